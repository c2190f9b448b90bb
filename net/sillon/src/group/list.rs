use clap::Args;
use serde::Serialize;
use sillon_client::ListedGroup;

use super::CoordinatorArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

/// Kafka's names of the states of a group.
const STATES: [&str; 7] = [
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "Dead",
    "Empty",
    "Assigning",
    "Reconciling",
];

/// Kafka's names of the types of groups that share partitions.
const TYPES: [&str; 2] = ["Classic", "Consumer"];

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only groups in these states, comma-separated, such as stable,empty
    #[arg(
        long,
        value_name = "STATES",
        num_args = 0..=1,
        value_delimiter = ',',
        value_parser = state
    )]
    state: Vec<String>,
    /// Only groups of these types, comma-separated: classic, consumer
    #[arg(
        long = "type",
        value_name = "TYPES",
        num_args = 0..=1,
        value_delimiter = ',',
        value_parser = group_type
    )]
    types: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

#[derive(Serialize)]
struct Listed {
    group: String,
    #[serde(rename = "type")]
    group_type: String,
    state: String,
}

fn state(text: &str) -> Result<String, String> {
    one_of(&STATES, "state", text)
}

fn group_type(text: &str) -> Result<String, String> {
    one_of(&TYPES, "type", text)
}

/// Kafka's own spelling of a name, which may be written in any case.
fn one_of(names: &[&str], what: &str, text: &str) -> Result<String, String> {
    let text = text.trim();
    let found = names.iter().find(|name| name.eq_ignore_ascii_case(text));
    let found = found.map(|name| name.to_string());
    found.ok_or_else(|| format!("no {what} of a group; there are {}", names.join(", ")))
}

/// Whether a group shares partitions, or did before all its members left.
pub(super) fn is_consumer_group(group: &ListedGroup) -> bool {
    let is_type = TYPES.contains(&group.group_type.as_str());
    is_type && matches!(group.protocol_type.as_str(), "consumer" | "")
}

impl ListArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.coordinator.connect()?;
        let found = client.list_groups(&self.state, &self.types)?.into_iter();
        let groups = found.filter(is_consumer_group).map(|group| Listed {
            group: group.group,
            group_type: group.group_type,
            state: group.state,
        });
        let groups: Vec<Listed> = groups.collect();
        let mut table = Table::new(&["GROUP", "TYPE", "STATE"]);
        for group in &groups {
            table.row(vec![
                group.group.clone(),
                group.group_type.clone(),
                group.state.clone(),
            ]);
        }
        output::print(self.format, &groups, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_types_are_read_in_any_case_and_others_are_refused() {
        assert_eq!(state("preparingrebalance").unwrap(), "PreparingRebalance");
        assert_eq!(state(" Stable").unwrap(), "Stable");
        assert!(state("asleep").unwrap_err().contains("CompletingRebalance"));
        assert_eq!(group_type("classic").unwrap(), "Classic");
        assert!(group_type("share").is_err());
    }

    #[test]
    fn groups_of_other_protocols_are_not_consumer_groups() {
        let group = |protocol: &str, group_type: &str| ListedGroup {
            group: "g".into(),
            protocol_type: protocol.into(),
            state: "Empty".into(),
            group_type: group_type.into(),
        };
        assert!(is_consumer_group(&group("consumer", "Classic")));
        assert!(is_consumer_group(&group("", "Classic")));
        assert!(is_consumer_group(&group("consumer", "Consumer")));
        assert!(!is_consumer_group(&group("connect", "Classic")));
        assert!(!is_consumer_group(&group("share", "Share")));
    }
}
