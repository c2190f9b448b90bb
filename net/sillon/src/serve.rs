use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Instant;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use serde::Serialize;
use sillon_controller::BrokerKey;
use sillon_record::BrokerId;
use sillon_runtime::{Core, NodeOptions, Ready, default_shards, message_bytes_max};
use sillon_server::{ListenerOptions, Server, ServerOptions};

use crate::bytes::parse_bytes;
use crate::configuration::{self, BrokerConfig, Listener, Origin, is_everywhere};
use crate::failure::Failure;
use crate::output::{self, Format, Table};

/// The part of `--memory` that is for requests which have not been worked on yet: a quarter, as
/// much as shards keep for records that are not in their segment files yet.
const RECEIVE_SHARE: u64 = 4;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen: an address or name of this host; nothing before the colon is everywhere
    /// [default: 127.0.0.1:9092]
    #[arg(long, env = "SILLON_LISTEN", value_name = "[HOST]:PORT", value_parser = listen)]
    listen: Option<Listen>,
    /// Where clients reach this broker, when that is not where it listens
    #[arg(long, env = "SILLON_ADVERTISE", value_name = "HOST[:PORT]", value_parser = advertised)]
    advertise: Option<Advertised>,
    /// Where the data lies; made when it does not exist [default: sillon-data]
    #[arg(long, env = "SILLON_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Number of shards, each with a core of its own [default: by the host's cores]
    #[arg(long, env = "SILLON_SHARDS", value_name = "COUNT",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: Option<u16>,
    /// Memory for records and requests
    #[arg(long, env = "SILLON_MEMORY", value_name = "BYTES", default_value = "1GiB",
        value_parser = memory)]
    memory: u64,
    /// Size of the journals of all shards [default: by the size of the file system]
    #[arg(long, env = "SILLON_JOURNAL", value_name = "BYTES", value_parser = parse_bytes)]
    journal: Option<u64>,
    /// A file of configuration under Kafka's names, such as Kafka's own server.properties.
    /// The environment goes before it (KAFKA_NUM_PARTITIONS=3, and before that
    /// SILLON_NUM_PARTITIONS=3), and options go before that
    #[arg(long, env = "SILLON_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Configuration under Kafka's name, such as num.partitions=3; may be given several times
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print each value and who gave it, and do not start
    #[arg(long)]
    print_config: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t, requires = "print_config")]
    format: Format,
}

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listen {
    /// Empty: everywhere.
    host: String,
    port: u16,
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

#[derive(Clone, Debug, PartialEq, Eq)]
struct Advertised {
    host: String,
    /// `None`: the one it listens on.
    port: Option<u16>,
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

/// Where the options of `serve` and the configuration behind them come together.
struct Chosen {
    listen: Listen,
    advertise: Option<Advertised>,
    /// Where else, and what is told to who comes there.
    more: Vec<(Listen, Option<Advertised>)>,
    data_dir: PathBuf,
    config: BrokerConfig,
}

impl ServeArgs {
    /// Runs a broker until it is stopped. `matches`: what these arguments were read from.
    pub fn run(self, matches: &ArgMatches) -> Result<(), Failure> {
        let started = Instant::now();
        let mut chosen = self.choose()?;
        if self.print_config {
            return self.print(&chosen, matches);
        }
        for notice in &chosen.config.notices {
            tracing::warn!("{notice}");
        }
        self.check_journal(chosen.config.topics.max_message_bytes)?;
        let server = self.bind(&chosen)?;
        let address = server.local_addr();
        let (host, port) = reached_at(&chosen, address)?;
        tracing::info!(%address, host, port, "listening");
        if chosen.advertise.is_none() && address.ip().is_unspecified() {
            tracing::info!("clients are told to connect to {host}: --advertise changes that");
        }

        let config = &mut chosen.config;
        let mut settings = config.settings();
        let mut say = |key: &str, value: String| settings.insert(key.to_owned(), value);
        say("node.id", config.node_id().to_string());
        say("log.dirs", chosen.data_dir.display().to_string());
        if chosen.more.is_empty() {
            say("listeners", format!("PLAINTEXT://{address}"));
            say("advertised.listeners", format!("PLAINTEXT://{host}:{port}"));
        }
        let mut node = NodeOptions::new(&chosen.data_dir);
        node.shards = self.shards;
        node.memory_bytes = self.memory;
        node.journal_bytes = self.journal;
        node.broker = BrokerId(config.node_id());
        node.host = host;
        node.port = port;
        node.groups = config.groups();
        node.topic_defaults = config.topics;
        node.retention_check_ms = config.number("log.retention.check.interval.ms") as u64;
        node.compaction = config.compaction();
        node.controller = config.controller;
        node.settings = settings;
        node.ready = Box::new(move |ready| say_ready(address, started, ready));
        let service = move |core: Core| -> sillon_runtime::ServiceFuture {
            let server = server.clone();
            Box::pin(async move {
                server.serve(core).await;
                Ok(())
            })
        };
        Ok(sillon_runtime::run(node, service)?)
    }

    /// Puts options before the environment, and that before the file.
    fn choose(&self) -> Result<Chosen, Failure> {
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

    fn bind(&self, chosen: &Chosen) -> Result<Server, Failure> {
        let mut last = None;
        for addresses in addresses(&chosen.listen)? {
            let (first, others) = addresses.split_first().expect("a name has an address");
            let mut options = ServerOptions::new(*first, &chosen.data_dir);
            options.also_listen = others.iter().map(SocketAddr::ip).collect();
            options.more = chosen.more.iter().map(also).collect::<Result<_, _>>()?;
            options.auto_create_topics = chosen.config.auto_create_topics();
            options.offsets_partitions =
                chosen.config.number("offsets.topic.num.partitions") as i32;
            options.fetch_bytes_max = chosen.config.number("fetch.max.bytes") as u64;
            options.receive_bytes = self.memory / RECEIVE_SHARE;
            let sessions_max = "max.incremental.fetch.session.cache.slots";
            options.fetch_sessions_max = chosen.config.number(sessions_max) as usize;
            if let Some(connections_max) = chosen.config.connections_max() {
                options.connections_max = connections_max;
            }
            match Server::bind(options) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a name has an address").into())
    }

    fn print(&self, chosen: &Chosen, matches: &ArgMatches) -> Result<(), Failure> {
        let option =
            |id: &str, flag: &'static str, variable: &str| match matches.value_source(id)? {
                ValueSource::CommandLine => Some(Origin::Flag(flag)),
                ValueSource::EnvVariable => Some(Origin::Environment(variable.to_owned())),
                _ => None,
            };
        let config = &chosen.config;
        let given = |key: &str| config.given.get(key).map(|setting| setting.origin.clone());
        let mut values = Vec::new();
        let mut say = |key: &str, value: Option<String>, origin: Option<Origin>| {
            values.push(Value {
                key: key.to_owned(),
                value,
                origin: origin.map_or("default".to_owned(), |origin| origin.to_string()),
            });
        };
        let Listen { host, port } = &chosen.listen;
        let listening = option("listen", "--listen", "SILLON_LISTEN");
        let folder = option("data_dir", "--data-dir", "SILLON_DATA_DIR");
        let advertising = option("advertise", "--advertise", "SILLON_ADVERTISE");
        let folder_given = config.data_dir().map(|setting| setting.origin.clone());
        for key in BrokerKey::all() {
            let name = key.name;
            match name {
                "listeners" => {
                    let value = match (&listening, config.value(name)) {
                        (None, Some(list)) if config.given.contains_key(name) => list,
                        _ => format!("PLAINTEXT://{host}:{port}"),
                    };
                    say(name, Some(value), listening.clone().or(given(name)));
                }
                "advertised.listeners" => {
                    let value = chosen.advertise.as_ref().map(|advertised| {
                        let port = advertised.port.unwrap_or(*port);
                        format!("PLAINTEXT://{}:{port}", advertised.host)
                    });
                    say(name, value, advertising.clone().or(given(name)));
                }
                "log.dirs" => {
                    let value = chosen.data_dir.display().to_string();
                    say(name, Some(value), folder.clone().or(folder_given.clone()));
                }
                "node.id" => {
                    let origin = given(name).or(given("broker.id"));
                    say(name, Some(config.node_id().to_string()), origin);
                }
                _ => say(name, config.value(name), given(name)),
            }
        }
        let shards = self.shards.unwrap_or_else(default_shards).to_string();
        say(
            "--shards",
            Some(shards),
            option("shards", "--shards", "SILLON_SHARDS"),
        );
        let memory = self.memory.to_string();
        say(
            "--memory",
            Some(memory),
            option("memory", "--memory", "SILLON_MEMORY"),
        );
        let journal = self.journal.map(|bytes| bytes.to_string());
        say(
            "--journal",
            journal,
            option("journal", "--journal", "SILLON_JOURNAL"),
        );
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for value in &values {
            table.row(vec![
                value.key.clone(),
                value.value.clone().unwrap_or_else(|| "-".to_string()),
                value.origin.clone(),
            ]);
        }
        output::print(self.format, &values, table)
    }

    /// Every batch that a topic may take must fit into the journal.
    fn check_journal(&self, wanted: u32) -> Result<(), Failure> {
        let Some(journal_bytes) = self.journal else {
            return Ok(());
        };
        let shards = self.shards.unwrap_or_else(default_shards);
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

/// A value that `--print-config` shows.
#[derive(Serialize)]
struct Value {
    key: String,
    value: Option<String>,
    origin: String,
}

/// What a place to listen may mean, the best first: some addresses at once. Everywhere is both IPv6
/// and IPv4, where the host has both.
fn addresses(listen: &Listen) -> Result<Vec<Vec<SocketAddr>>, Failure> {
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

/// Another place to listen.
fn also(place: &(Listen, Option<Advertised>)) -> Result<ListenerOptions, Failure> {
    let (listen, advertised) = place;
    // Everywhere is by IPv4 where it cannot be by both.
    let mut candidates = addresses(listen)?.into_iter();
    let can_be = |addresses: &Vec<SocketAddr>| std::net::TcpListener::bind(addresses[0]).is_ok();
    let last = candidates.len() - 1;
    let mut numbered = candidates.by_ref().enumerate();
    let found = numbered.find(|(number, addresses)| *number == last || can_be(addresses));
    let (_, addresses) = found.expect("the last one is taken as it is");
    let (first, others) = addresses.split_first().expect("a name has an address");
    let (host, port) = match advertised {
        Some(advertised) => (advertised.host.clone(), advertised.port),
        None if first.ip().is_unspecified() => (host_name(*first)?, None),
        None => (first.ip().to_string(), None),
    };
    Ok(ListenerOptions {
        listen: *first,
        also_listen: others.iter().map(SocketAddr::ip).collect(),
        host,
        port: port.filter(|port| *port != 0),
    })
}

/// The host's name, for who listens everywhere.
fn host_name(listen: SocketAddr) -> Result<String, Failure> {
    let name = rustix::system::uname();
    match name.nodename().to_str() {
        Ok(name) if !name.is_empty() => Ok(name.to_string()),
        _ => Err(Failure::Advertise { listen }),
    }
}

/// Host and port that clients are told.
fn reached_at(chosen: &Chosen, address: SocketAddr) -> Result<(String, u16), Failure> {
    if let Some(advertised) = &chosen.advertise {
        let port = advertised.port.filter(|port| *port != 0);
        return Ok((advertised.host.clone(), port.unwrap_or(address.port())));
    }
    if !address.ip().is_unspecified() {
        return Ok((address.ip().to_string(), address.port()));
    }
    Ok((host_name(address)?, address.port()))
}

/// The one line that scripts and people wait for.
fn say_ready(address: SocketAddr, started: Instant, ready: &Ready) {
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    eprintln!(
        "ready at {address} in {elapsed_ms:.1} ms ({} shard{}, {} journal bytes replayed, \
         cluster {})",
        ready.shards,
        if ready.shards == 1 { "" } else { "s" },
        ready.replayed_bytes,
        ready.cluster_id,
    );
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
