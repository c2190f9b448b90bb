//! What Produce and Fetch have in common: texts that stay in their frame, topics by name or id,
//! and who leads a partition.

use std::fmt;
use std::ops::{Deref, Range};

use sillon_record::{BrokerId, LeaderEpoch, TopicId};

use crate::wire::{Frame, Reader, WireError, Writer};

/// A string that stays in its frame (and keeps it alive).
#[derive(Clone)]
pub struct Text<F> {
    /// UTF-8, checked when this was made.
    bytes: F,
}

impl<F: Frame> Text<F> {
    pub(crate) fn read(reader: &mut Reader<'_>, frame: &F) -> Result<Text<F>, WireError> {
        let length = reader.string()?.len();
        Ok(Self::just_read(reader, frame, length))
    }

    pub(crate) fn read_nullable(
        reader: &mut Reader<'_>,
        frame: &F,
    ) -> Result<Option<Text<F>>, WireError> {
        let length = reader.nullable_string()?.map(str::len);
        Ok(length.map(|length| Self::just_read(reader, frame, length)))
    }

    fn just_read(reader: &Reader<'_>, frame: &F, length: usize) -> Text<F> {
        let end = reader.position();
        Text {
            bytes: frame.part(end - length..end),
        }
    }
}

impl<F: Frame> Deref for Text<F> {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(self.bytes.as_ref()).expect("a text was UTF-8 when it was read")
    }
}

impl<F: Frame> AsRef<str> for Text<F> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<F: Frame> fmt::Debug for Text<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<F: Frame> PartialEq for Text<F> {
    fn eq(&self, other: &Text<F>) -> bool {
        **self == **other
    }
}

impl<F: Frame> Eq for Text<F> {}

/// How a request names a topic: by name up to version 12 of Produce and Fetch, by id from 13 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey<T> {
    /// By its name.
    Name(T),
    /// By its id.
    Id(TopicId),
}

impl<T: AsRef<str>> TopicKey<T> {
    /// The same, borrowed: what the writers take.
    pub fn as_ref(&self) -> TopicKey<&str> {
        match self {
            TopicKey::Name(name) => TopicKey::Name(name.as_ref()),
            TopicKey::Id(id) => TopicKey::Id(*id),
        }
    }
}

impl<F: Frame> TopicKey<Text<F>> {
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        frame: &F,
        by_id: bool,
    ) -> Result<TopicKey<Text<F>>, WireError> {
        if by_id {
            Ok(TopicKey::Id(TopicId(reader.uuid()?)))
        } else {
            Ok(TopicKey::Name(Text::read(reader, frame)?))
        }
    }
}

impl TopicKey<&str> {
    /// # Panics
    /// When the version asks for the other kind of key.
    pub(crate) fn write(self, writer: &mut Writer<'_>, by_id: bool) {
        match self {
            TopicKey::Id(id) if by_id => writer.uuid(&id.0),
            TopicKey::Name(name) if !by_id => writer.string(name),
            _ => panic!("{self:?} in a version whose topics go by the other kind of key"),
        }
    }
}

/// A topic of a request or response. Its partitions lie side by side with those of the other
/// topics in one vector, so that nothing is allocated for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic<F: Frame> {
    /// Which.
    pub key: TopicKey<Text<F>>,
    /// Which elements of that vector are its partitions.
    pub partitions: Range<usize>,
}

/// The leader that a client which asked the wrong broker should ask (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentLeader {
    /// Who; -1 when there is none.
    pub leader: BrokerId,
    /// Since which epoch; -1 when unknown.
    pub epoch: LeaderEpoch,
}

impl CurrentLeader {
    /// On the wire: two numbers and no tagged fields, in bytes.
    pub(crate) const BYTES: usize = 9;

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<CurrentLeader, WireError> {
        let leader = BrokerId(reader.i32()?);
        let epoch = LeaderEpoch(reader.i32()?);
        reader.skip_tags()?;
        Ok(CurrentLeader { leader, epoch })
    }

    pub(crate) fn write(self, writer: &mut Writer<'_>) {
        writer.i32(self.leader.0);
        writer.i32(self.epoch.0);
        writer.tags(0);
    }
}

/// Where a broker that [`CurrentLeader`] names is (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint<T> {
    /// Who.
    pub broker: BrokerId,
    /// Its advertised host.
    pub host: T,
    /// Its advertised port.
    pub port: i32,
    /// Its rack, when it has one.
    pub rack: Option<T>,
}

impl<F: Frame> NodeEndpoint<Text<F>> {
    pub(crate) fn read_all(
        reader: &mut Reader<'_>,
        frame: &F,
        into: &mut Vec<NodeEndpoint<Text<F>>>,
    ) -> Result<(), WireError> {
        for _ in 0..reader.array_length("node endpoints")? {
            into.push(NodeEndpoint {
                broker: BrokerId(reader.i32()?),
                host: Text::read(reader, frame)?,
                port: reader.i32()?,
                rack: Text::read_nullable(reader, frame)?,
            });
            reader.skip_tags()?;
        }
        Ok(())
    }
}

impl<T: AsRef<str>> NodeEndpoint<T> {
    /// Writes `endpoints` as the tagged fields that end a response: one, with tag 0, or none.
    pub(crate) fn write_all(endpoints: &[NodeEndpoint<T>], writer: &mut Writer<'_>) {
        if endpoints.is_empty() {
            return writer.tags(0);
        }
        writer.tags(1);
        writer.sized_tag(0, |writer| {
            writer.array_length(endpoints.len());
            for endpoint in endpoints {
                writer.i32(endpoint.broker.0);
                writer.string(endpoint.host.as_ref());
                writer.i32(endpoint.port);
                writer.nullable_string(endpoint.rack.as_ref().map(AsRef::as_ref));
                writer.tags(0);
            }
        });
    }
}

/// Elements that a vector keeps room for when it is emptied for the next request: more is for
/// rare, huge requests, whose memory is given back.
const KEPT_MAX: usize = 4096;

/// Empties a vector for the next request.
pub(crate) fn reuse<T>(vector: &mut Vec<T>) {
    vector.clear();
    vector.shrink_to(KEPT_MAX);
}

/// Refuses an array whose elements, with the `held` ones of its vector, are more than `max`.
pub(crate) fn within(
    reader: &Reader<'_>,
    held: usize,
    count: usize,
    max: usize,
    what: &'static str,
) -> Result<(), WireError> {
    if held + count <= max {
        return Ok(());
    }
    Err(WireError::Length {
        at: reader.position(),
        length: (held + count) as i64,
        what,
    })
}
