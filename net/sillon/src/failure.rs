use std::io;
use std::net::SocketAddr;

use sillon_client::ClientError;
use sillon_runtime::NodeError;
use sillon_server::BindError;

use crate::bench::BenchError;
use crate::configuration::ConfigurationError;
use crate::group::GroupError;
use crate::offline::OfflineError;
use crate::verify::VerifyError;

/// Why a command failed, in words for whoever ran it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A measurement could not be done, or found something wrong.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A broker was found out, or nothing can be said of it.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A broker said no, or could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something about a consumer group cannot be done.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The system does not let signals be caught.
    #[error("cannot catch signals: {0}")]
    Signals(#[source] io::Error),
    /// Standard output does not take what is printed.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(#[source] io::Error),
    /// A line of standard input is no record.
    #[error("line {line} has no key: there is no {separator:?} in it")]
    NoKey {
        /// Counted from 1.
        line: u64,
        /// What would end the key.
        separator: String,
    },
    /// The broker's configuration cannot be.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The listener cannot be set up.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The journal is too small for what topics may send.
    #[error(
        "--journal {journal_bytes} over {shards} shards takes batches of at most \
         {message_bytes_max} bytes, and max.message.bytes is {wanted}: give a larger --journal, \
         fewer --shards, or --override message.max.bytes={message_bytes_max}"
    )]
    JournalTooSmall {
        /// As given, in bytes.
        journal_bytes: u64,
        /// Shards of the node.
        shards: u16,
        /// What fits, in bytes.
        message_bytes_max: u64,
        /// What topics may send, in bytes.
        wanted: u32,
    },
    /// The memory is too small for what topics may send.
    #[error(
        "--memory {memory_bytes} over {shards} shards takes batches of at most \
         {message_bytes_max} bytes, and max.message.bytes is {wanted}: give a larger --memory, \
         fewer --shards, or --override message.max.bytes={message_bytes_max}"
    )]
    MemoryTooSmall {
        /// As given, in bytes.
        memory_bytes: u64,
        /// Shards of the node.
        shards: u16,
        /// What fits, in bytes.
        message_bytes_max: u64,
        /// What topics may send, in bytes.
        wanted: u32,
    },
    /// A broker would not start on this host.
    #[error(
        "{missing} of these keep{} a broker from starting here: see each `fail` above",
        if *.missing == 1 { "s" } else { "" }
    )]
    Unfit {
        /// How many.
        missing: usize,
    },
    /// Nothing to do.
    #[error("nothing is to be altered: say what, see --help")]
    NothingToAlter,
    /// No page.
    #[error("there is no command {name}")]
    NoCommand {
        /// As given.
        name: String,
    },
    /// A data folder cannot be looked at, or something is wrong in it.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The broker ended.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The host's name is not known, so clients cannot be told where the broker is.
    #[error("listening on {listen} needs --advertise: the address that clients can reach")]
    Advertise {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// The place to listen is no address of this host.
    #[error("cannot listen on {host}:{port}: {source}; name an address of this host")]
    Listen {
        /// As given.
        host: String,
        /// As given.
        port: u16,
        /// The system's words.
        source: io::Error,
    },
}

impl Failure {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Verify(error) => error.exit_code(),
            _ => 1,
        }
    }
}
