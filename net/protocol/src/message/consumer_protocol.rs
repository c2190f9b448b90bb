//! What the members of a consumer group tell each other through their coordinator, to which it is
//! opaque: subscriptions in JoinGroup, assignments in SyncGroup. A version (i16) stands before
//! each.
//!
//! As in Kafka's clients a newer version is read as the newest known one, and bytes behind what is
//! known are left alone.

use bytes::{Bytes, BytesMut};
use kafka_wire::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, KafkaMessage,
    encode_consumer_protocol_assignment, encode_consumer_protocol_subscription,
};
use kafka_wire_core::{ApiVersion, DecodeError, Decoder, EncodeError, KafkaDecode};

use super::{ANSWER, decode_limits};

/// A member's subscription, in the newest version.
pub fn encode_subscription(
    subscription: &ConsumerProtocolSubscription,
) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    let version = ConsumerProtocolSubscription::SUPPORTED_VERSIONS.max();
    encode_consumer_protocol_subscription(&mut out, subscription, version)?;
    Ok(out.freeze())
}

/// A member's assignment, in the newest version.
pub fn encode_assignment(assignment: &ConsumerProtocolAssignment) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    let version = ConsumerProtocolAssignment::SUPPORTED_VERSIONS.max();
    encode_consumer_protocol_assignment(&mut out, assignment, version)?;
    Ok(out.freeze())
}

/// Reads a member's subscription.
pub fn decode_subscription(bytes: Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    decode(bytes)
}

/// Reads a member's assignment. No bytes at all are an empty one: a member without partitions.
pub fn decode_assignment(bytes: Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    if bytes.is_empty() {
        return Ok(ConsumerProtocolAssignment::default());
    }
    decode(bytes)
}

fn decode<M: KafkaMessage + KafkaDecode>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes, decode_limits(ANSWER))?;
    let version = decoder.read_i16()?;
    let newest = M::SUPPORTED_VERSIONS.max().value();
    M::decode(&mut decoder, ApiVersion::new(version.min(newest)))
}

#[cfg(test)]
mod tests {
    use kafka_wire::{consumer_protocol_assignment, consumer_protocol_subscription};
    use kafka_wire_core::StrBytes;

    use super::*;

    fn subscription() -> ConsumerProtocolSubscription {
        let mut subscription = ConsumerProtocolSubscription::default();
        subscription.topics = vec![StrBytes::from("a"), StrBytes::from("bc")];
        subscription
    }

    #[test]
    fn a_subscription_is_written_as_javas_client_writes_it() {
        // ConsumerProtocol.serializeSubscription of kafka-clients 4.4.0.
        let bytes = encode_subscription(&subscription()).unwrap();
        let expected =
            b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff";
        assert_eq!(&bytes[..], expected);
        assert_eq!(decode_subscription(bytes).unwrap(), subscription());
    }

    #[test]
    fn an_assignment_is_written_as_javas_client_writes_it() {
        let mut topic = consumer_protocol_assignment::TopicPartition::default();
        topic.topic = StrBytes::from("a");
        topic.partitions = vec![0, 2];
        let mut assignment = ConsumerProtocolAssignment::default();
        assignment.assigned_partitions = vec![topic];
        // ConsumerProtocol.serializeAssignment of kafka-clients 4.4.0.
        let bytes = encode_assignment(&assignment).unwrap();
        let expected = b"\0\x03\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff";
        assert_eq!(&bytes[..], expected);
        assert_eq!(decode_assignment(bytes).unwrap(), assignment);
        assert_eq!(
            decode_assignment(Bytes::new()).unwrap(),
            ConsumerProtocolAssignment::default()
        );
    }

    #[test]
    fn older_versions_are_read_and_newer_ones_as_far_as_they_are_known() {
        let oldest = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01a\xff\xff\xff\xff");
        assert_eq!(&*decode_subscription(oldest).unwrap().topics[0], "a");

        let mut owned = consumer_protocol_subscription::TopicPartition::default();
        owned.topic = StrBytes::from("a");
        owned.partitions = vec![1];
        let mut newer = subscription();
        newer.owned_partitions = vec![owned];
        let mut bytes = BytesMut::from(&encode_subscription(&newer).unwrap()[..]);
        bytes[1] = 9;
        bytes.extend_from_slice(b"what is to come");
        assert_eq!(decode_subscription(bytes.freeze()).unwrap(), newer);
    }

    #[test]
    fn what_is_cut_short_or_counts_beyond_its_end_is_refused() {
        let whole = encode_subscription(&subscription()).unwrap();
        for end in 0..whole.len() {
            assert!(decode_subscription(whole.slice(..end)).is_err(), "{end}");
        }
        let boundless = Bytes::from_static(b"\0\x03\x7f\xff\xff\xff");
        assert!(decode_assignment(boundless).is_err());
        assert!(decode_assignment(Bytes::from_static(b"\xff\xff\0\0\0\0")).is_err());
    }
}
