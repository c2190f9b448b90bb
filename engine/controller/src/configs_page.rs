use std::fmt::Write;

use crate::{BrokerKey, ConfigKey, Family, TopicConfig, Treatment, Update};

const HEAD: &str = "\
# Configuration

This page is written by `sillon config reference` from the tables that the broker uses; a test \
compares the two.

A topic's own value goes before the broker's, and that before the default. A value given to a \
broker while it runs (`sillon config alter`, `kafka-configs`) goes before one given at its start \
(`sillon serve --help`); one for a single broker goes before one for all. A name that is not on \
this page is refused.

**Sillon** says what becomes of a value: *honoured*, *partly*, *no effect* (kept and shown, so \
that tools find it), or *refused* (other values are).
";

/// `docs/configs.md`.
pub fn configs_page() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Topics\n\n";
    page += "| Key | Type | Default | Values | The broker's key | What for | Sillon |\n";
    page += "|---|---|---|---|---|---|---|\n";
    let defaults = TopicConfig::default();
    for key in ConfigKey::all() {
        let broker_keys: Vec<String> = key.broker_keys.iter().map(|(name, _)| code(name)).collect();
        row(
            &mut page,
            &[
                code(key.name),
                key.kind.type_name().to_owned(),
                code(&key.value_in(&defaults)),
                key.kind.range(),
                broker_keys.join(", "),
                key.documentation.to_owned(),
                treatment(key.treatment),
            ],
        );
    }
    page += "\n## Brokers\n\n";
    page += "*Live* keys may change while the broker runs.\n\n";
    page += "| Key | Type | Default | Values | Live | What for | Sillon |\n";
    page += "|---|---|---|---|---|---|---|\n";
    for key in BrokerKey::all() {
        row(
            &mut page,
            &[
                code(key.name),
                key.kind.type_name().to_owned(),
                key.default.as_deref().map(code).unwrap_or_default(),
                key.kind.range(),
                match key.update {
                    Update::ReadOnly => String::new(),
                    Update::WhileRunning => "yes".to_owned(),
                },
                key.documentation.to_string(),
                treatment(key.treatment),
            ],
        );
    }
    page += "\n### Families\n\n";
    page += "Kafka's other keys with these beginnings are known by them, and not shown.\n\n";
    page += "| Beginning | Sillon |\n|---|---|\n";
    for family in Family::all() {
        row(
            &mut page,
            &[code(family.prefix), treatment(family.treatment)],
        );
    }
    page
}

fn row(page: &mut String, cells: &[String]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("a text takes what is written");
}

fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text => format!("`{text}`"),
    }
}

fn treatment(treatment: Treatment) -> String {
    match treatment {
        Treatment::Honoured => "honoured".to_owned(),
        Treatment::Partly(which) => format!("partly: {which}"),
        Treatment::NoEffect(why) => format!("no effect: {why}"),
        Treatment::Refused(what) => format!("refused: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_tables_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configs.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == configs_page(),
            "docs/configs.md is old: cargo run -- config reference > docs/configs.md"
        );
    }
}
