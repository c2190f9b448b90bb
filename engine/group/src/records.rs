//! The records of `__consumer_offsets`, as Kafka 4 writes and reads them. All integers are
//! big-endian; a text is an i16 length (-1: null) and UTF-8, bytes are an i32 length and the
//! bytes. Values of version 4 are in the flexible encoding (KIP-482): a length counts from 1 and is
//! a varint. Of a group they are read and not written.
//!
//! ```text
//! key of an offset:  i16 = 1 | group text | topic text | partition i32
//! its value:         i16 = 4 | offset i64 | leader epoch i32 | metadata text | commit time i64 |
//!                    tagged fields: number, each tag | size | bytes (0: the topic's id)
//!                    i16 = 1 | offset i64 | metadata text | commit time i64 | expiry time i64
//! key of a group:    i16 = 2 | group text
//! its value:         i16 = 3 | protocol type text | generation i32 | protocol text or null |
//!                    leader text or null | state's time i64 | members: i32 count, each
//!                      id text | instance id text or null | client id text | host text |
//!                      rebalance timeout i32 | session timeout i32 | subscription bytes |
//!                      assignment bytes
//! ```

mod reader;

use std::sync::Arc;

use reader::Reader;
use sillon_record::TopicId;

use crate::LogRecord;
pub use crate::offsets::CommittedOffset;

const OFFSET_KEY: i16 = 1;
/// Of Kafka before 0.9.
const OFFSET_KEY_OLD: i16 = 0;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = FLEXIBLE;
/// The one version with a time of expiry.
const OFFSET_VALUE_EXPIRING: i16 = 1;
const GROUP_VALUE: i16 = 3;
/// First version of a value in the flexible encoding, and the newest that is read.
const FLEXIBLE: i16 = 4;
/// The tagged field of an offset's value that says which topic it is of.
const TOPIC_ID_TAG: u8 = 0;
const TOPIC_ID_BYTES: usize = 16;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The committed offset of a partition.
    Offset {
        /// Of which group.
        group: Arc<str>,
        /// Which topic.
        topic: Arc<str>,
        /// Which partition of it.
        partition: i32,
    },
    /// A group's members.
    Group {
        /// Which group.
        group: Arc<str>,
    },
}

/// A group with members, or without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetadata {
    /// "consumer", "connect", ...; empty: none.
    pub protocol_type: Arc<str>,
    /// Counts its generations.
    pub generation: i32,
    /// What its members use.
    pub protocol: Option<Arc<str>>,
    /// Who assigns.
    pub leader: Option<Arc<str>>,
    /// Since when it is in its state, in ms since the Unix epoch; -1: unknown.
    pub state_since_ms: i64,
    /// Its members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a stable group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Its id.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it, in ms.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in ms.
    pub session_timeout_ms: i32,
    /// What it said to whoever assigned.
    pub subscription: Arc<[u8]>,
    /// What it was assigned.
    pub assignment: Arc<[u8]>,
}

/// The record of a committed offset.
pub fn offset_commit(
    group: &str,
    topic: &str,
    partition: i32,
    committed: &CommittedOffset,
) -> LogRecord {
    let mut value = Vec::with_capacity(48 + committed.metadata.len());
    let version = match committed.expires_ms {
        None => OFFSET_VALUE,
        Some(_) => OFFSET_VALUE_EXPIRING,
    };
    value.extend_from_slice(&version.to_be_bytes());
    value.extend_from_slice(&committed.offset.to_be_bytes());
    if let Some(expires_ms) = committed.expires_ms {
        put_text(&mut value, &committed.metadata);
        value.extend_from_slice(&committed.committed_ms.to_be_bytes());
        value.extend_from_slice(&expires_ms.to_be_bytes());
    } else {
        value.extend_from_slice(&committed.leader_epoch.to_be_bytes());
        put_varint(&mut value, committed.metadata.len() as u32 + 1);
        value.extend_from_slice(committed.metadata.as_bytes());
        value.extend_from_slice(&committed.committed_ms.to_be_bytes());
        put_topic_id(&mut value, committed.topic_id);
    }
    LogRecord {
        key: offset_key(group, topic, partition),
        value: Some(value),
    }
}

/// The record that forgets a committed offset.
pub fn offset_tombstone(group: &str, topic: &str, partition: i32) -> LogRecord {
    LogRecord {
        key: offset_key(group, topic, partition),
        value: None,
    }
}

/// The record of a group; `None` when a part of it is longer than the format can say.
pub fn group_metadata(group: &str, metadata: &GroupMetadata) -> Option<LogRecord> {
    let mut value = Vec::new();
    value.extend_from_slice(&GROUP_VALUE.to_be_bytes());
    put_checked(&mut value, Some(&metadata.protocol_type))?;
    value.extend_from_slice(&metadata.generation.to_be_bytes());
    put_checked(&mut value, metadata.protocol.as_deref())?;
    put_checked(&mut value, metadata.leader.as_deref())?;
    value.extend_from_slice(&metadata.state_since_ms.to_be_bytes());
    value.extend_from_slice(&(metadata.members.len() as i32).to_be_bytes());
    for member in &metadata.members {
        put_checked(&mut value, Some(&member.member_id))?;
        put_checked(&mut value, member.instance_id.as_deref())?;
        put_checked(&mut value, Some(&member.client_id))?;
        put_checked(&mut value, Some(&member.client_host))?;
        value.extend_from_slice(&member.rebalance_timeout_ms.to_be_bytes());
        value.extend_from_slice(&member.session_timeout_ms.to_be_bytes());
        for bytes in [&member.subscription, &member.assignment] {
            let len = i32::try_from(bytes.len()).ok()?;
            value.extend_from_slice(&len.to_be_bytes());
            value.extend_from_slice(bytes);
        }
    }
    Some(LogRecord {
        key: group_key(group),
        value: Some(value),
    })
}

/// The record that forgets a group.
pub fn group_tombstone(group: &str) -> LogRecord {
    LogRecord {
        key: group_key(group),
        value: None,
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = Vec::with_capacity(10 + group.len() + topic.len());
    key.extend_from_slice(&OFFSET_KEY.to_be_bytes());
    put_text(&mut key, group);
    put_text(&mut key, topic);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

fn group_key(group: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + group.len());
    key.extend_from_slice(&GROUP_KEY.to_be_bytes());
    put_text(&mut key, group);
    key
}

/// The tagged fields of an offset's value.
fn put_topic_id(out: &mut Vec<u8>, topic: TopicId) {
    if topic == TopicId::ZERO {
        return out.push(0);
    }
    out.extend_from_slice(&[1, TOPIC_ID_TAG, TOPIC_ID_BYTES as u8]);
    out.extend_from_slice(&topic.0);
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Texts of requests are held to what an i16 counts when they are decoded.
fn put_text(out: &mut Vec<u8>, text: &str) {
    put_checked(out, Some(text)).expect("a text of at most 32,767 bytes");
}

fn put_checked(out: &mut Vec<u8>, text: Option<&str>) -> Option<()> {
    let Some(text) = text else {
        out.extend_from_slice(&(-1i16).to_be_bytes());
        return Some(());
    };
    let len = i16::try_from(text.len()).ok()?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// What a record is about; `None`: something else, or nothing that can be read.
pub fn decode_key(key: &[u8]) -> Option<Key> {
    let mut reader = Reader::new(key);
    let key = match reader.i16()? {
        OFFSET_KEY | OFFSET_KEY_OLD => Key::Offset {
            group: reader.text()?,
            topic: reader.text()?,
            partition: reader.i32()?,
        },
        GROUP_KEY => Key::Group {
            group: reader.text()?,
        },
        _ => return None,
    };
    reader.is_at_end().then_some(key)
}

/// The value of an offset's record.
pub fn decode_offset(value: &[u8]) -> Option<CommittedOffset> {
    let mut reader = Reader::new(value);
    let version = reader.version(FLEXIBLE)?;
    let mut committed = CommittedOffset {
        topic_id: TopicId::ZERO,
        offset: reader.i64()?,
        leader_epoch: match version {
            3.. => reader.i32()?,
            _ => -1,
        },
        metadata: reader.text()?,
        committed_ms: reader.i64()?,
        expires_ms: match version {
            1 => Some(reader.i64()?).filter(|ms| *ms >= 0),
            _ => None,
        },
    };
    if let Some(id) = reader.tag(TOPIC_ID_TAG.into())? {
        committed.topic_id = TopicId(id.try_into().ok()?);
    }
    reader.is_at_end().then_some(committed)
}

/// The value of a group's record.
pub fn decode_group(value: &[u8]) -> Option<GroupMetadata> {
    let mut reader = Reader::new(value);
    let version = reader.version(FLEXIBLE)?;
    let mut metadata = GroupMetadata {
        protocol_type: reader.text()?,
        generation: reader.i32()?,
        protocol: reader.nullable_text()?,
        leader: reader.nullable_text()?,
        state_since_ms: match version {
            2.. => reader.i64()?,
            _ => -1,
        },
        members: Vec::new(),
    };
    for _ in 0..reader.count()? {
        let member_id = reader.text()?;
        let instance_id = match version {
            3.. => reader.nullable_text()?,
            _ => None,
        };
        let (client_id, client_host) = (reader.text()?, reader.text()?);
        let rebalance_timeout_ms = match version {
            1.. => Some(reader.i32()?),
            _ => None,
        };
        let session_timeout_ms = reader.i32()?;
        metadata.members.push(MemberMetadata {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: reader.bytes()?,
            assignment: reader.bytes()?,
        });
        reader.tags()?;
    }
    reader.tags()?;
    reader.is_at_end().then_some(metadata)
}
