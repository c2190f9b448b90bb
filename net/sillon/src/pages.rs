//! What is written from the commands themselves: completions for shells and the manual page.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page of a command, such as serve or topic create [default: sillon itself]
    command: Vec<String>,
}

impl CompletionsArgs {
    pub fn run(self, mut command: Command) -> Result<(), Failure> {
        let mut page = Vec::new();
        clap_complete::generate(self.shell, &mut command, "sillon", &mut page);
        print(&page)
    }
}

impl ManArgs {
    pub fn run(self, sillon: &Command) -> Result<(), Failure> {
        let mut built = sillon.clone();
        built.build();
        let mut command = &built;
        for name in &self.command {
            let found = command.find_subcommand(name);
            command = found.ok_or_else(|| Failure::NoCommand { name: name.clone() })?;
        }
        let mut page = Vec::new();
        let man = Man::new(command.clone());
        man.render(&mut page).map_err(Failure::Output)?;
        print(&page)
    }
}

fn print(page: &[u8]) -> Result<(), Failure> {
    io::stdout().lock().write_all(page).map_err(Failure::Output)
}
