//! The scenarios that come with the generator: the files of `loadgen/scenarios`.

use crate::scenario::{Scenario, ScenarioError};

/// Name and text of each.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "saturation-16x1k",
        include_str!("../scenarios/saturation-16x1k.toml"),
    ),
    (
        "saturation-1x1k",
        include_str!("../scenarios/saturation-1x1k.toml"),
    ),
    (
        "saturation-100x100",
        include_str!("../scenarios/saturation-100x100.toml"),
    ),
    (
        "idle-latency",
        include_str!("../scenarios/idle-latency.toml"),
    ),
    ("end-to-end", include_str!("../scenarios/end-to-end.toml")),
    ("knee", include_str!("../scenarios/knee.toml")),
    (
        "hot-fetch-memory",
        include_str!("../scenarios/hot-fetch-memory.toml"),
    ),
    (
        "hot-fetch-segments",
        include_str!("../scenarios/hot-fetch-segments.toml"),
    ),
    ("cold-reader", include_str!("../scenarios/cold-reader.toml")),
    ("zipf-keys", include_str!("../scenarios/zipf-keys.toml")),
    (
        "demo-throughput",
        include_str!("../scenarios/demo-throughput.toml"),
    ),
    (
        "demo-latency",
        include_str!("../scenarios/demo-latency.toml"),
    ),
    (
        "demo-end-to-end",
        include_str!("../scenarios/demo-end-to-end.toml"),
    ),
];

/// What a newcomer is shown, in order.
const DEMONSTRATION: [&str; 3] = ["demo-throughput", "demo-latency", "demo-end-to-end"];

/// The scenario of a name; `None` when there is none.
pub fn named(name: &str) -> Option<Result<Scenario, ScenarioError>> {
    let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Scenario::parse(text, name))
}

/// What runs when nothing is asked for.
pub fn demonstration() -> Vec<Scenario> {
    let scenarios = DEMONSTRATION.iter().map(|name| {
        let scenario = named(name).expect("the demonstration is built in");
        scenario.expect("a test reads all that are built in")
    });
    scenarios.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_run_and_is_called_like_its_file() {
        for (name, _) in BUILT_IN {
            let scenario = named(name).unwrap().unwrap();
            scenario.check().unwrap();
            assert_eq!(scenario.name, *name);
            assert!(!scenario.description.is_empty());
        }
        assert_eq!(demonstration().len(), DEMONSTRATION.len());
        assert!(named("no-such-scenario").is_none());
    }

    #[test]
    fn every_file_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files, BUILT_IN.len());
    }
}
