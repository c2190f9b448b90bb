use std::net::SocketAddr;
use std::time::Instant;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use serde::Serialize;
use sillon_controller::BrokerKey;
use sillon_record::BrokerId;
use sillon_runtime::{Core, NodeOptions, Ready};
use sillon_server::{ListenerOptions, Server, ServerOptions};

use crate::broker_args::{Advertised, BrokerArgs, Chosen, Listen, addresses};
use crate::configuration::Origin;
use crate::failure::Failure;
use crate::memory_budget::{MemoryBudget, MemoryNeeds};
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Print each value and who gave it, and do not start
    #[arg(long)]
    print_config: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t, requires = "print_config")]
    format: Format,
}

impl ServeArgs {
    /// Runs a broker until it is stopped. `matches`: what these arguments were read from.
    pub fn run(self, matches: &ArgMatches) -> Result<(), Failure> {
        let started = Instant::now();
        let mut chosen = self.broker.choose()?;
        if self.print_config {
            return self.print(&chosen, matches);
        }
        for notice in &chosen.config.notices {
            tracing::warn!("{notice}");
        }
        self.broker
            .check_sizes(chosen.config.topics.max_message_bytes)?;
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
        node.shards = self.broker.shards;
        node.memory_bytes = self.broker.memory;
        let memory = MemoryNeeds::of(&self.broker, &config.connections);
        node.memory_needed_bytes = Some(memory.total_bytes);
        node.journal_bytes = self.broker.journal;
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
            let memory = MemoryBudget::of(self.broker.memory);
            options.receive_bytes = memory.receive_bytes;
            options.send_bytes = memory.send_bytes;
            let sessions_max = "max.incremental.fetch.session.cache.slots";
            options.fetch_sessions_max = chosen.config.number(sessions_max) as usize;
            let connections = &chosen.config.connections;
            options.connections_max = connections.max.unwrap_or(options.connections_max);
            options.connections_per_ip_max = connections.per_ip_max;
            options.connections_per_ip_overrides = connections.overrides.clone();
            options.idle_ms = connections.idle_ms;
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
        let shards = self.broker.shards().to_string();
        say(
            "--shards",
            Some(shards),
            option("shards", "--shards", "SILLON_SHARDS"),
        );
        let memory = self.broker.memory.to_string();
        say(
            "--memory",
            Some(memory),
            option("memory", "--memory", "SILLON_MEMORY"),
        );
        let journal = self.broker.journal.map(|bytes| bytes.to_string());
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
}

/// A value that `--print-config` shows.
#[derive(Serialize)]
struct Value {
    key: String,
    value: Option<String>,
    origin: String,
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
