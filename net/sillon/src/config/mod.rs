//! `sillon config`: how topics and brokers are configured, and how they are to be.

mod alter;
mod describe;
mod of;

use std::io::{self, Write};

use clap::Subcommand;

use crate::failure::Failure;

pub use alter::{apply, changes, key_value};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the configuration of a topic or a broker, and where each value comes from
    Describe(describe::DescribeArgs),
    /// Change the configuration of a topic or of brokers while they run
    Alter(alter::AlterArgs),
    /// Print all keys there are and what becomes of them, in Markdown
    Reference,
}

impl ConfigCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            ConfigCommand::Describe(args) => args.run(),
            ConfigCommand::Alter(args) => args.run(),
            ConfigCommand::Reference => {
                let page = sillon_controller::configs_page();
                let written = io::stdout().lock().write_all(page.as_bytes());
                written.map_err(Failure::Output)
            }
        }
    }
}
