use clap::Args;
use serde::Serialize;
use sillon_client::ConfigEntry;

use super::of::OfArgs;
use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    of: OfArgs,
    /// Show the values that nobody has set, too
    #[arg(long)]
    all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Serialize)]
struct Described {
    key: String,
    value: Option<String>,
    source: &'static str,
    is_read_only: bool,
    documentation: Option<String>,
}

impl DescribeArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        let entries = client.describe_configs(&self.of.configured())?;
        let is_shown = |entry: &ConfigEntry| self.all || entry.source != "DEFAULT_CONFIG";
        let shown = entries.into_iter().filter(is_shown);
        let shown: Vec<Described> = shown
            .map(|entry| Described {
                key: entry.key,
                value: entry.value,
                source: entry.source,
                is_read_only: entry.is_read_only,
                documentation: entry.documentation,
            })
            .collect();
        let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
        for described in &shown {
            table.row(vec![
                described.key.clone(),
                described.value.clone().unwrap_or_else(|| "-".to_string()),
                described.source.to_string(),
            ]);
        }
        output::print(self.format, &shown, table)
    }
}
