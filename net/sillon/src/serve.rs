use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use sillon_record::BrokerId;
use sillon_runtime::{Core, NodeOptions, Ready, default_shards, message_bytes_max};
use sillon_server::{Server, ServerOptions};

use crate::bytes::parse_bytes;
use crate::failure::Failure;
use crate::overrides::BrokerConfig;

/// The part of `--memory` that is for requests which have not been worked on yet: a quarter, as
/// much as shards keep for records that are not in their segment files yet.
const RECEIVE_SHARE: u64 = 4;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// Where clients reach this broker, when that is not where it listens
    #[arg(long, value_name = "HOST[:PORT]", value_parser = advertised)]
    advertise: Option<Advertised>,
    /// Where the data lies; made when it does not exist
    #[arg(long, value_name = "FOLDER", default_value = "sillon-data")]
    data_dir: PathBuf,
    /// Number of shards, each with a core of its own [default: by the host's cores]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: Option<u16>,
    /// Memory for records and requests
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = memory)]
    memory: u64,
    /// Size of the journals of all shards [default: by the size of the file system]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    journal: Option<u64>,
    /// Configuration under Kafka's name, such as num.partitions=3; may be given several times
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Advertised {
    host: String,
    /// `None`: the one it listens on.
    port: Option<u16>,
}

fn advertised(text: &str) -> Result<Advertised, String> {
    let wrong = || "a host name or address is needed, and a port if it differs".to_string();
    if let Ok(address) = text.parse::<IpAddr>() {
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

impl ServeArgs {
    /// Runs a broker until it is stopped.
    pub fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let config = BrokerConfig::with(&self.overrides)?;
        self.check_journal(config.topics.max_message_bytes)?;
        let mut server = ServerOptions::new(self.listen, &self.data_dir);
        server.auto_create_topics = config.auto_create_topics;
        server.receive_bytes = self.memory / RECEIVE_SHARE;
        if let Some(connections_max) = config.connections_max {
            server.connections_max = connections_max;
        }
        let server = Server::bind(server)?;
        let address = server.local_addr();
        let (host, port) = self.reached_at(address)?;
        tracing::info!(%address, host, port, "listening");

        let mut node = NodeOptions::new(&self.data_dir);
        node.shards = self.shards;
        node.memory_bytes = self.memory;
        node.journal_bytes = self.journal;
        node.broker = BrokerId(config.node_id);
        node.host = host;
        node.port = port;
        node.topic_defaults = config.topics;
        node.controller = config.controller;
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

    /// Host and port that clients are told.
    fn reached_at(&self, address: SocketAddr) -> Result<(String, u16), Failure> {
        if let Some(advertised) = &self.advertise {
            let port = advertised.port.unwrap_or(address.port());
            return Ok((advertised.host.clone(), port));
        }
        if !address.ip().is_unspecified() {
            return Ok((address.ip().to_string(), address.port()));
        }
        let name = rustix::system::uname();
        match name.nodename().to_str() {
            Ok(name) if !name.is_empty() => Ok((name.to_string(), address.port())),
            _ => Err(Failure::Advertise {
                listen: self.listen,
            }),
        }
    }
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
        for text in ["", ":9092", "host:0", "host:99999", "PLAINTEXT://host:9092"] {
            assert!(advertised(text).is_err(), "{text}");
        }
    }
}
