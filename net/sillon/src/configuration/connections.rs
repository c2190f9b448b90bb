use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};

use super::{BrokerConfig, ConfigurationError, refused};

const OVERRIDES: &str = "max.connections.per.ip.overrides";
const PER_IP: &str = "max.connections.per.ip";

/// How many connections a broker has at most, and how long they may be silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections`; `None`: the server's own.
    pub max: Option<usize>,
    /// `max.connections.per.ip`; `None`: without bound.
    pub per_ip_max: Option<usize>,
    /// `max.connections.per.ip.overrides`, by address.
    pub overrides: BTreeMap<IpAddr, usize>,
    /// `connections.max.idle.ms`; `None`: for ever.
    pub idle_ms: Option<u64>,
}

impl ConnectionLimits {
    /// What a configuration says.
    pub(super) fn of(config: &BrokerConfig) -> Result<ConnectionLimits, ConfigurationError> {
        let given = |key: &str| config.given.get(key);
        let count = |key: &str| given(key).map(|_| config.number(key) as usize);
        let mut overrides = BTreeMap::new();
        if let Some(setting) = given(OVERRIDES) {
            for part in setting.value.split(',').map(str::trim) {
                if part.is_empty() {
                    continue;
                }
                let read = of_host(part).map_err(|reason| refused(setting, reason))?;
                overrides.extend(read);
            }
        }
        let per_ip_max = count(PER_IP);
        if let (Some(0), true, Some(setting)) = (per_ip_max, overrides.is_empty(), given(PER_IP)) {
            let reason = format!("nobody could connect: 0 needs {OVERRIDES}");
            return Err(refused(setting, reason));
        }
        Ok(ConnectionLimits {
            max: count("max.connections"),
            per_ip_max,
            overrides,
            idle_ms: u64::try_from(config.number("connections.max.idle.ms")).ok(),
        })
    }
}

/// The addresses of `host:count`, each with the count. An IPv6 address may stand in brackets.
fn of_host(text: &str) -> Result<Vec<(IpAddr, usize)>, String> {
    let wrong = || format!("{text:?} is no host:count, such as 10.0.0.1:200");
    let (host, count) = text.rsplit_once(':').ok_or_else(wrong)?;
    let count: usize = count.trim().parse().map_err(|_| wrong())?;
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse() {
        return Ok(vec![(address, count)]);
    }
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| format!("{host:?} has no address: {error}"))?;
    Ok(found.map(|address| (address.ip(), count)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::overrides;
    use super::*;

    fn limits(given: &[&str]) -> ConnectionLimits {
        let given: Vec<String> = given.iter().map(|text| text.to_string()).collect();
        let config = BrokerConfig::with(overrides(&given).unwrap()).unwrap();
        config.connections
    }

    #[test]
    fn hosts_have_their_numbers_by_name_and_by_address() {
        let limits = limits(&[
            "max.connections.per.ip=0",
            "max.connections.per.ip.overrides=10.0.0.1:2, ::1:3,[fe80::1]:4,localhost:5",
            "connections.max.idle.ms=1000",
        ]);
        assert_eq!(limits.per_ip_max, Some(0));
        assert_eq!(limits.idle_ms, Some(1000));
        let of = |address: &str| limits.overrides.get(&address.parse().unwrap()).copied();
        assert_eq!(of("10.0.0.1"), Some(2));
        assert_eq!(of("fe80::1"), Some(4));
        assert_eq!(of("127.0.0.1"), Some(5));
    }

    #[test]
    fn without_a_word_addresses_are_not_counted_and_silence_is_ten_minutes() {
        let none = limits(&[]);
        assert_eq!(
            (none.max, none.per_ip_max, none.idle_ms),
            (None, None, Some(600_000))
        );
        assert_eq!(limits(&["connections.max.idle.ms=-1"]).idle_ms, None);
    }
}
