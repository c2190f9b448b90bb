//! Kafka's keys in the environment, as its container images name them: `KAFKA_NUM_PARTITIONS` or
//! `SILLON_NUM_PARTITIONS` is `num.partitions`. `__` stands for `_`, and `___` for `-`.

use super::{Origin, Setting, is_known};

/// Variables of Sillon that are no key of Kafka: options of `serve` and of other commands.
const OPTIONS: &[&str] = &[
    "SILLON_ADVERTISE",
    "SILLON_BOOTSTRAP",
    "SILLON_CONFIG",
    "SILLON_DATA_DIR",
    "SILLON_JOURNAL",
    "SILLON_LISTEN",
    "SILLON_LOG",
    "SILLON_MEMORY",
    "SILLON_SHARDS",
];

/// How variables of Kafka begin that are for its scripts and its JVM.
const FOR_SCRIPTS: &[&str] = &[
    "KAFKA_CLUSTER_ID",
    "KAFKA_DEBUG",
    "KAFKA_GC_LOG",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    "KAFKA_JMX_",
    "KAFKA_JVM_",
    "KAFKA_LOG4J",
    "KAFKA_OPTS",
    "KAFKA_TOOLS_",
    "KAFKA_VERSION",
];

/// What the environment says.
#[derive(Debug, Default)]
pub struct Found {
    /// Kafka's, then Sillon's, which go before them.
    pub settings: Vec<Setting>,
    /// Variables that look like a key and are none.
    pub unknown: Vec<String>,
}

/// Looks for keys among variables.
pub fn find(variables: impl Iterator<Item = (String, String)>) -> Found {
    let mut variables: Vec<(String, String)> = variables.collect();
    variables.sort();
    let mut found = Found::default();
    for prefix in ["KAFKA_", "SILLON_"] {
        for (name, value) in &variables {
            let Some(rest) = name.strip_prefix(prefix) else {
                continue;
            };
            let is_silent = OPTIONS.contains(&&**name)
                || FOR_SCRIPTS.iter().any(|begin| name.starts_with(begin));
            if is_silent {
                continue;
            }
            let key = key(rest);
            match is_known(&key) {
                true => found.settings.push(Setting {
                    key,
                    value: value.trim().to_owned(),
                    origin: Origin::Environment(name.clone()),
                }),
                false => found.unknown.push(name.clone()),
            }
        }
    }
    found
}

fn key(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.replace("___", "-").replace("__", "\0");
    name.replace('_', ".").replace('\0', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_keys_and_sillons_go_before_kafkas() {
        let variables = [
            ("SILLON_NUM_PARTITIONS", "4"),
            ("KAFKA_NUM_PARTITIONS", "3"),
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("KAFKA_NUM_PARTITION", "3"),
            ("SILLON_LISTEN", ":9092"),
            ("SILLON_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = find(variables.into_iter());
        let values: Vec<_> = found
            .settings
            .iter()
            .map(|s| (&*s.key, &*s.value))
            .collect();
        assert_eq!(values, [("num.partitions", "3"), ("num.partitions", "4")]);
        assert_eq!(
            found.unknown,
            ["KAFKA_NUM_PARTITION", "SILLON_SERVICE_HOST"]
        );
        assert_eq!(key("A_B__C___D"), "a.b_c-d");
    }
}
