use std::fmt::Write as _;

use sillon_record::BrokerId;

use super::uuid::{display_uuid, parse_uuid};

/// Version of the file that this code writes and reads: Kafka's.
const VERSION: &str = "1";

/// Whose a data folder is: Kafka's `meta.properties`. A folder of another cluster or node is
/// refused at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: BrokerId,
    /// `directory.id`: a UUID; `None` in a folder that has none yet.
    pub directory_id: Option<u128>,
}

impl MetaProperties {
    /// The text of the file, in the format of Java's properties.
    pub fn encode(&self) -> String {
        let mut text = String::from("cluster.id=");
        escape(&self.cluster_id, &mut text);
        if let Some(directory_id) = self.directory_id {
            write!(text, "\ndirectory.id={}", display_uuid(directory_id))
                .expect("writing to a string cannot fail");
        }
        write!(text, "\nnode.id={}\nversion={VERSION}\n", self.node_id.0)
            .expect("writing to a string cannot fail");
        text
    }

    /// Reads what [`Self::encode`] or Kafka writes. Unknown keys are skipped.
    ///
    /// # Errors
    /// A key is missing or its value makes no sense.
    pub fn decode(text: &str) -> Result<MetaProperties, MetaPropertiesError> {
        let version = require(text, "version")?;
        if version != VERSION {
            return Err(MetaPropertiesError::Version { version });
        }
        let node_id = require(text, "node.id")?;
        let node_id = match node_id.parse() {
            Ok(number) if number >= 0 => BrokerId(number),
            _ => return Err(invalid("node.id", node_id)),
        };
        let directory_id = match find(text, "directory.id") {
            None => None,
            Some(id) => match parse_uuid(&id) {
                Some(uuid) => Some(uuid),
                None => return Err(invalid("directory.id", id)),
            },
        };
        Ok(MetaProperties {
            cluster_id: require(text, "cluster.id")?,
            node_id,
            directory_id,
        })
    }
}

fn require(text: &str, key: &'static str) -> Result<String, MetaPropertiesError> {
    find(text, key)
        .filter(|value| !value.is_empty())
        .ok_or(MetaPropertiesError::Missing { key })
}

fn invalid(key: &'static str, value: String) -> MetaPropertiesError {
    MetaPropertiesError::Value { key, value }
}

/// The value of a key in Java's properties: lines `key=value` or `key: value`, comments behind
/// `#` or `!`, a backslash before a character that means itself. As in Java the last one counts.
fn find(text: &str, key: &str) -> Option<String> {
    text.lines().rev().find_map(|line| {
        let line = line.trim();
        if line.starts_with(['#', '!']) {
            return None;
        }
        let (name, value) = line.split_once(['=', ':'])?;
        (name.trim_end() == key).then(|| unescape(value.trim_start()))
    })
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        if matches!(character, '=' | ':' | '#' | '!' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
}

fn unescape(value: &str) -> String {
    let mut characters = value.chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

/// A `meta.properties` that cannot be read. It says whose the folder is, so it is never guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaPropertiesError {
    /// A key is not there, or empty.
    #[error("meta.properties lacks {key}")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// Another version.
    #[error(
        "version {version:?} is not the one that this program reads, 1: start the version of \
         sillon that wrote it"
    )]
    Version {
        /// What stands there.
        version: String,
    },
    /// A value that makes no sense.
    #[error("meta.properties has {key}={value:?}, which makes no sense")]
    Value {
        /// Which key.
        key: &'static str,
        /// What stands there.
        value: String,
    },
}
