use clap::Args;
use serde::Serialize;
use sillon_client::{Client, ConfigChange, Configured};

use super::of::OfArgs;
use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct AlterArgs {
    #[command(flatten)]
    of: OfArgs,
    /// Give a key a value, such as retention.ms=3600000; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Take a key's own value back; may be given several times
    #[arg(long, value_name = "KEY")]
    delete: Vec<String>,
    /// Add elements to a list, such as cleanup.policy=compact
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Take elements out of a list
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
    /// Only say whether it could be done
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Reads `key=value`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_string(), value.trim().to_string())),
        None => Err("key=value is needed".to_string()),
    }
}

/// What a command asks to change.
pub fn changes(set: Vec<(String, String)>, delete: Vec<String>) -> Vec<(String, ConfigChange)> {
    let set = set.into_iter();
    let set = set.map(|(key, value)| (key, ConfigChange::Set(value)));
    let delete = delete.into_iter().map(|key| (key, ConfigChange::Delete));
    set.chain(delete).collect()
}

#[derive(Serialize)]
struct Altered<'a> {
    key: &'a str,
    change: &'static str,
    value: Option<&'a str>,
}

/// Changes a configuration and prints what was changed.
pub fn apply(
    client: &mut Client,
    of: &Configured,
    changes: &[(String, ConfigChange)],
    dry_run: bool,
    format: Format,
) -> Result<(), Failure> {
    client.alter_configs(of, changes, dry_run)?;
    let altered = changes.iter().map(|(key, change)| {
        let (change, value) = match change {
            ConfigChange::Set(value) => ("set", Some(value.as_str())),
            ConfigChange::Delete => ("delete", None),
            ConfigChange::Append(value) => ("append", Some(value.as_str())),
            ConfigChange::Subtract(value) => ("subtract", Some(value.as_str())),
        };
        Altered { key, change, value }
    });
    let altered: Vec<Altered<'_>> = altered.collect();
    let mut table = Table::new(&["KEY", "CHANGE", "VALUE"]);
    for altered in &altered {
        table.row(vec![
            altered.key.to_string(),
            altered.change.to_string(),
            altered.value.unwrap_or("-").to_string(),
        ]);
    }
    output::print(format, &altered, table)
}

impl AlterArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut changes = changes(self.set, self.delete);
        let append = self.append.into_iter();
        changes.extend(append.map(|(key, value)| (key, ConfigChange::Append(value))));
        let subtract = self.subtract.into_iter();
        changes.extend(subtract.map(|(key, value)| (key, ConfigChange::Subtract(value))));
        if changes.is_empty() {
            return Err(Failure::NothingToAlter);
        }
        let mut client = self.connect.connect()?;
        let of = self.of.configured();
        apply(&mut client, &of, &changes, self.dry_run, self.format)
    }
}
