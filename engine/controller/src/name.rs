/// Longest topic name, in bytes: with `-<partition>` it must fit into a file name (255).
pub const NAME_BYTES_MAX: usize = 249;

/// Why a text is no topic name. INVALID_TOPIC_EXCEPTION.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// The empty text.
    #[error("a topic name must not be empty")]
    Empty,
    /// A name that file systems give another meaning.
    #[error("a topic name must not be {0:?}")]
    Dots(String),
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a topic name of {len} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
    /// A character outside of Kafka's set.
    #[error("topic name {0:?} has other characters than ASCII letters, digits, '.', '_' and '-'")]
    Character(String),
}

/// Kafka's rules for topic names.
pub fn check_topic_name(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameFault::Dots(name.to_owned()));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameFault::TooLong { len: name.len() });
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !name.bytes().all(is_allowed) {
        return Err(NameFault::Character(name.to_owned()));
    }
    Ok(())
}

/// What two names must not share: in the names of metrics '.' becomes '_'. `None`: the name has
/// neither and collides with nothing but itself.
pub(crate) fn collision_key(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "furrow.plough_1-X", "...", "-", &"x".repeat(249)] {
            assert_eq!(check_topic_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(250);
        for bad in ["", ".", "..", "a b", "a/b", "é", "a\0", &long] {
            assert!(check_topic_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dots_and_underscores_are_one_and_other_characters_are_not() {
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
        assert_ne!(collision_key("a.b"), collision_key("a.c"));
        assert_eq!(collision_key("a-b"), None);
    }
}
