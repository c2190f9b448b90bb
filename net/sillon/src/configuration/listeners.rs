//! Kafka's `listeners` and `advertised.listeners`.

/// A place in such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, such as PLAINTEXT.
    pub name: String,
    /// Empty: everywhere.
    pub host: String,
    pub port: u16,
}

/// Reads a list of `NAME://HOST:PORT`.
pub fn parse(list: &str) -> Result<Vec<Listener>, String> {
    let parts = list.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| one(part).ok_or_else(|| format!("{part:?} is no NAME://HOST:PORT")))
        .collect()
}

fn one(text: &str) -> Option<Listener> {
    let (name, place) = text.split_once("://")?;
    let (host, port) = place.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(Listener {
        name: name.to_owned(),
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

/// Those that are served: not the controller's, and none with encryption or authentication. At
/// least one. `protocols` is `listener.security.protocol.map`.
pub fn served(
    listeners: Vec<Listener>,
    controllers: &str,
    protocols: &str,
) -> Result<Vec<Listener>, String> {
    let is_controller = |listener: &Listener| {
        let mut names = controllers.split(',').map(str::trim);
        names.any(|name| name == listener.name)
    };
    let served = listeners
        .into_iter()
        .filter(|listener| !is_controller(listener));
    let served: Vec<Listener> = served.collect();
    if served.is_empty() {
        return Err("no listener is left for clients".to_owned());
    }
    for listener in &served {
        let mut protocols = protocols.split(',').filter_map(|pair| pair.split_once(':'));
        let protocol = protocols.find(|(name, _)| name.trim() == listener.name);
        let protocol = protocol.map_or(&*listener.name, |(_, protocol)| protocol.trim());
        if protocol != "PLAINTEXT" {
            return Err(format!(
                "listener {} is {protocol}: only PLAINTEXT is built",
                listener.name
            ));
        }
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served_of(list: &str, protocols: &str) -> Result<Vec<Listener>, String> {
        served(parse(list)?, "CONTROLLER", protocols)
    }

    #[test]
    fn the_clients_listeners_are_found() {
        for (list, host, port) in [
            ("PLAINTEXT://:9092,CONTROLLER://:9093", "", 9092),
            ("CONTROLLER://:9093, PLAINTEXT://[::1]:1", "::1", 1),
            ("PLAINTEXT://0.0.0.0:9092", "0.0.0.0", 9092),
        ] {
            let found = served_of(list, "").unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!((&*found[0].host, found[0].port), (host, port));
        }
        let mapped = served_of("CLIENT://field:1", "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT");
        assert_eq!(mapped.unwrap()[0].name, "CLIENT");
        let two = served_of("PLAINTEXT://:1,HOST://:2", "HOST:PLAINTEXT").unwrap();
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for (list, protocols) in [
            ("", ""),
            ("CONTROLLER://:9093", ""),
            ("SSL://:9092", ""),
            ("CLIENT://:9092", "CLIENT:SASL_SSL"),
            ("PLAINTEXT://:1,OTHER://:2", "OTHER:SSL"),
            ("PLAINTEXT", ""),
            ("PLAINTEXT://host", ""),
            ("PLAINTEXT://host:x", ""),
        ] {
            assert!(served_of(list, protocols).is_err(), "{list}");
        }
    }
}
