//! `sillon doctor`: whether a broker with these options would start on this host and how well it
//! would run, what mends each shortage, and what it will take.

mod report;

use std::net::TcpListener;

use clap::Args;
use sillon_runtime::{Finding, FolderLock, FolderLockError, Needs, Verdict, probe, raise_limits};
use sillon_server::BindError;

use crate::broker_args::{BrokerArgs, Chosen, addresses};
use crate::failure::Failure;
use crate::memory_budget::{DescriptorNeeds, MemoryNeeds};
use crate::output::Format;

use report::{DiskNeeds, Report};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Print all limits there are, in Markdown, and look at nothing
    #[arg(long)]
    limits: bool,
}

impl DoctorArgs {
    pub fn run(self) -> Result<(), Failure> {
        if self.limits {
            return report::print_text(&sillon_server::limits_page());
        }
        // As a start does first.
        raise_limits();
        let chosen = self.broker.choose()?;
        self.broker
            .check_sizes(chosen.config.topics.max_message_bytes)?;
        let connections = &chosen.config.connections;
        let memory = MemoryNeeds::of(&self.broker, connections);
        let needs = Needs {
            shards: self.broker.shards(),
            journal_bytes: self.broker.journal,
            memory_bytes: memory.total_bytes,
        };
        let mut findings = probe(&chosen.data_dir, &needs);
        let running = broker_on_it(&chosen);
        findings.extend(listener(&chosen, running.is_some())?);
        findings.extend(running);
        let descriptors = DescriptorNeeds::of(&self.broker, connections);
        let disk = DiskNeeds::of(&chosen.data_dir, &needs);
        let report = Report::new(findings, memory, descriptors, disk);
        report.print(self.format)?;
        match report.missing() {
            0 => Ok(()),
            missing => Err(Failure::Unfit { missing }),
        }
    }
}

/// A broker that has the data folder already. A second one would be refused, but whoever asks for
/// the doctor then hardly wants to start one.
fn broker_on_it(chosen: &Chosen) -> Option<Finding> {
    let folder = &chosen.data_dir;
    let process = FolderLock::holder(folder)?;
    let in_use = FolderLockError::InUse {
        folder: folder.clone(),
        process,
    };
    Some(Finding {
        subject: "running broker",
        verdict: Verdict::Poor,
        detail: in_use.to_string(),
        mend: None,
    })
}

/// Whether the place to listen is free.
fn listener(chosen: &Chosen, is_running: bool) -> Result<Option<Finding>, Failure> {
    let mut last = None;
    for addresses in addresses(&chosen.listen)? {
        let listen = addresses[0];
        match TcpListener::bind(listen) {
            Ok(_) => {
                return Ok(Some(Finding {
                    subject: "listener",
                    verdict: Verdict::Good,
                    detail: format!("{listen} is free"),
                    mend: None,
                }));
            }
            // The broker that runs there has it, as far as can be told.
            Err(error) if is_running && error.kind() == std::io::ErrorKind::AddrInUse => {
                return Ok(None);
            }
            Err(source) => last = Some(BindError::Listen { listen, source }),
        }
    }
    Ok(last.map(|error| Finding {
        subject: "listener",
        verdict: Verdict::Missing,
        detail: error.to_string(),
        mend: None,
    }))
}
