use std::collections::BTreeSet;

/// Longest list of topics that is believed: more do not fit into a JoinGroup.
const TOPICS_MAX: usize = 100_000;

/// The topics in a consumer's metadata (Kafka's `ConsumerProtocolSubscription`): a version (i16),
/// then an array (i32 count) of names (i16 length); what follows does not matter here. `None`:
/// it is not that format.
pub(crate) fn subscribed_topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let (version, rest) = metadata.split_first_chunk()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    if count > TOPICS_MAX {
        return None;
    }
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, behind) = behind.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        rest = behind;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_what_is_no_subscription_is_not() {
        let bytes = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
        let topics = subscribed_topics(bytes).unwrap();
        assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["a", "bc"]);
        for end in 0..13 {
            assert_eq!(subscribed_topics(&bytes[..end]), None, "{end}");
        }
        assert_eq!(subscribed_topics(b"\0\0\x7f\xff\xff\xff"), None);
        assert_eq!(subscribed_topics(b"\0\0\0\0\0\0"), Some(BTreeSet::new()));
    }
}
