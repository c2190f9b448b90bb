//! The options that make a broker: those of `sillon serve`, which `sillon doctor` judges.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::Args;
use sillon_runtime::{default_shards, message_bytes_max};

use crate::bytes::parse_bytes;
use crate::configuration::{self, BrokerConfig, Listener, is_everywhere};
use crate::failure::Failure;
use crate::memory_budget::frame_bytes_max;

#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// Where to listen: an address or name of this host; nothing before the colon is everywhere
    /// [default: 127.0.0.1:9092]
    #[arg(long, env = "SILLON_LISTEN", value_name = "[HOST]:PORT", value_parser = listen)]
    pub listen: Option<Listen>,
    /// Where clients reach this broker, when that is not where it listens
    #[arg(long, env = "SILLON_ADVERTISE", value_name = "HOST[:PORT]", value_parser = advertised)]
    pub advertise: Option<Advertised>,
    /// Where the data lies; made when it does not exist [default: sillon-data]
    #[arg(long, env = "SILLON_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Number of shards, each with a core of its own [default: by the host's cores]
    #[arg(long, env = "SILLON_SHARDS", value_name = "COUNT",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,
    /// Memory for records and requests
    #[arg(long, env = "SILLON_MEMORY", value_name = "BYTES", default_value = "1GiB",
        value_parser = memory)]
    pub memory: u64,
    /// Size of the journals of all shards [default: by the size of the file system]
    #[arg(long, env = "SILLON_JOURNAL", value_name = "BYTES", value_parser = parse_bytes)]
    pub journal: Option<u64>,
    /// A file of configuration under Kafka's names, such as Kafka's own server.properties.
    /// The environment goes before it (KAFKA_NUM_PARTITIONS=3, and before that
    /// SILLON_NUM_PARTITIONS=3), and options go before that
    #[arg(long, env = "SILLON_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Configuration under Kafka's name, such as num.partitions=3; may be given several times
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Empty: everywhere.
    pub host: String,
    pub port: u16,
}

fn listen(text: &str) -> Result<Listen, String> {
    let wrong = || "[host]:port is needed, such as 0.0.0.0:9092".to_string();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // Without brackets it cannot be told where an IPv6 address ends.
    if bare.contains(['/', ' ']) || (bare.contains(':') && !host.starts_with('[')) {
        return Err(wrong());
    }
    Ok(Listen {
        host: bare.to_string(),
        port: port.parse().map_err(|_| wrong())?,
    })
}

/// Where clients are told to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    pub host: String,
    /// `None`: the one it listens on.
    pub port: Option<u16>,
}

const EVERYWHERE: &str = "clients cannot connect to every address: name one";

fn advertised(text: &str) -> Result<Advertised, String> {
    let wrong = || "a host name or address is needed, and a port if it differs".to_string();
    if let Ok(address) = text.parse::<IpAddr>() {
        if address.is_unspecified() {
            return Err(EVERYWHERE.to_string());
        }
        return Ok(Advertised {
            host: address.to_string(),
            port: None,
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if is_everywhere(host) && !host.is_empty() {
        return Err(EVERYWHERE.to_string());
    }
    if host.is_empty() || port == Some(0) || host.contains(['/', ' ']) {
        return Err(wrong());
    }
    Ok(Advertised {
        host: host.to_string(),
        port,
    })
}

/// Below this a broker cannot hold even one of the largest frames per quarter of its memory.
const MEMORY_BYTES_MIN: u64 = 128 << 20;

fn memory(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        bytes if bytes >= MEMORY_BYTES_MIN => Ok(bytes),
        _ => Err("at least 128MiB are needed".to_string()),
    }
}

/// What a Produce request of one batch has around it at most, in bytes.
const HEADERS_BYTES: u64 = 4 << 10;

/// Where the options of `serve` and the configuration behind them come together.
pub struct Chosen {
    pub listen: Listen,
    pub advertise: Option<Advertised>,
    /// Where else, and what is told to who comes there.
    pub more: Vec<(Listen, Option<Advertised>)>,
    pub data_dir: PathBuf,
    pub config: BrokerConfig,
}

impl BrokerArgs {
    /// Puts options before the environment, and that before the file.
    pub fn choose(&self) -> Result<Chosen, Failure> {
        let mut settings = match &self.config {
            Some(path) => configuration::file(path)?,
            None => Vec::new(),
        };
        // What is no text is no setting.
        let variables = std::env::vars_os();
        let variables = variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let found = configuration::find_in_environment(variables);
        settings.extend(found.settings);
        settings.extend(configuration::overrides(&self.overrides)?);
        let mut config = BrokerConfig::with(settings)?;
        if !found.unknown.is_empty() {
            let unknown = found.unknown.join(", ");
            let notice = format!("these variables name no configuration: {unknown}");
            config.notices.push(notice);
        }
        let place = |listener: &Listener| Listen {
            host: listener.host.clone(),
            port: listener.port,
        };
        let told = |listener: &Listener| Advertised {
            host: listener.host.clone(),
            port: Some(listener.port),
        };
        let mut places = config.listeners.iter();
        let mut places: Vec<(Listen, Option<Advertised>)> = places
            .by_ref()
            .map(|(listener, advertised)| (place(listener), advertised.as_ref().map(told)))
            .collect();
        if let Some(listen) = &self.listen {
            // An option goes before all of them.
            let advertised = match places.first() {
                Some((_, advertised)) => advertised.clone(),
                None => config.advertised.as_ref().map(told),
            };
            places = vec![(listen.clone(), advertised)];
        }
        if places.is_empty() {
            let listen = Listen {
                host: "127.0.0.1".to_string(),
                port: 9092,
            };
            places.push((listen, config.advertised.as_ref().map(told)));
        }
        let (listen, advertised) = places.remove(0);
        let folder = config.data_dir().map(|setting| {
            let first = setting.value.split(',').next().unwrap_or_default();
            PathBuf::from(first.trim())
        });
        Ok(Chosen {
            listen,
            advertise: self.advertise.clone().or(advertised),
            more: places,
            data_dir: self
                .data_dir
                .clone()
                .or(folder)
                .unwrap_or_else(|| PathBuf::from("sillon-data")),
            config,
        })
    }

    /// How many shards there will be.
    pub fn shards(&self) -> u16 {
        self.shards.unwrap_or_else(default_shards).max(1)
    }

    /// Every batch that a topic may take must fit into the journal, and a request with it into
    /// memory.
    pub fn check_sizes(&self, wanted: u32) -> Result<(), Failure> {
        self.check_journal(wanted)?;
        let (memory_bytes, shards) = (self.memory, self.shards());
        let message_bytes_max = frame_bytes_max(memory_bytes, shards) - HEADERS_BYTES;
        if message_bytes_max < u64::from(wanted) {
            return Err(Failure::MemoryTooSmall {
                memory_bytes,
                shards,
                message_bytes_max,
                wanted,
            });
        }
        Ok(())
    }

    /// Every batch that a topic may take must fit into the journal.
    fn check_journal(&self, wanted: u32) -> Result<(), Failure> {
        let Some(journal_bytes) = self.journal else {
            return Ok(());
        };
        let shards = self.shards();
        let message_bytes_max = message_bytes_max(journal_bytes, shards);
        if message_bytes_max < u64::from(wanted) {
            return Err(Failure::JournalTooSmall {
                journal_bytes,
                shards,
                message_bytes_max,
                wanted,
            });
        }
        Ok(())
    }
}

/// What a place to listen may mean, the best first: some addresses at once. Everywhere is both IPv6
/// and IPv4, where the host has both.
pub fn addresses(listen: &Listen) -> Result<Vec<Vec<SocketAddr>>, Failure> {
    let Listen { host, port } = listen;
    if host.is_empty() {
        let everywhere = [
            IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED),
            IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED),
        ];
        return Ok(everywhere
            .map(|ip| vec![SocketAddr::new(ip, *port)])
            .to_vec());
    }
    let found = (host.as_str(), *port).to_socket_addrs();
    let found = found.map_err(|source| Failure::Listen {
        host: host.clone(),
        port: *port,
        source,
    })?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(|address| (address.is_ipv6(), *address));
    found.dedup();
    if found.is_empty() {
        return Err(Failure::Listen {
            host: host.clone(),
            port: *port,
            source: io::Error::from(io::ErrorKind::AddrNotAvailable),
        });
    }
    Ok(vec![found])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertised_hosts_read_with_and_without_a_port() {
        for (text, host, port) in [
            ("broker-1", "broker-1", None),
            ("broker-1:19092", "broker-1", Some(19092)),
            ("10.0.0.1:19092", "10.0.0.1", Some(19092)),
            ("::1", "::1", None),
            ("[::1]:19092", "::1", Some(19092)),
        ] {
            let read = advertised(text).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port));
        }
        for text in [
            "",
            ":9092",
            "host:0",
            "host:99999",
            "PLAINTEXT://host:9092",
            "0.0.0.0",
            "0.0.0.0:9092",
            "[::]:9092",
        ] {
            assert!(advertised(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_to_listen_read_with_and_without_a_host() {
        for (text, host, port) in [
            (":9092", "", 9092),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:1", "::1", 1),
            ("localhost:2", "localhost", 2),
        ] {
            let read = listen(text).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port));
            assert!(!addresses(&read).unwrap().is_empty());
        }
        for text in [
            "",
            "9092",
            "host:",
            "host:x",
            "::1:9092",
            "PLAINTEXT://:9092",
        ] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
