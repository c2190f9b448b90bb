//! What the null server knows: topics, and of each partition where it ends and, when it stores,
//! its batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sillon_protocol::TopicKey;
use sillon_record::{BatchHeader, LeaderEpoch, Offset, TopicId, patch_placement, seal_crc};

use super::Lie;

/// All topics.
#[derive(Debug)]
pub struct Cluster {
    /// Where it listens.
    pub port: u16,
    topics: Mutex<BTreeMap<String, Arc<Topic>>>,
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// By number.
    pub partitions: Vec<Mutex<Log>>,
}

/// A partition.
#[derive(Debug, Default)]
pub struct Log {
    /// Where the next record will be.
    pub end: i64,
    /// Stored batches, one behind the other.
    bytes: Vec<u8>,
    /// Of each stored batch, the offset behind it and where it begins and ends in `bytes`.
    batches: Vec<(i64, usize, usize)>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked has left nothing half done that anybody would trust.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// Without topics.
    pub fn new(port: u16) -> Cluster {
        Cluster {
            port,
            topics: Mutex::new(BTreeMap::new()),
        }
    }

    /// All topics by name.
    pub fn topics(&self) -> Vec<(String, Arc<Topic>)> {
        let topics = locked(&self.topics);
        let topics = topics.iter();
        topics
            .map(|(name, topic)| (name.clone(), topic.clone()))
            .collect()
    }

    /// A topic, as a request names it.
    pub fn topic<T: AsRef<str>>(&self, key: &TopicKey<T>) -> Option<Arc<Topic>> {
        let topics = locked(&self.topics);
        match key {
            TopicKey::Name(name) => topics.get(name.as_ref()).cloned(),
            TopicKey::Id(id) => topics.values().find(|topic| topic.id == *id).cloned(),
        }
    }

    /// Creates a topic; `None` when it exists.
    pub fn create(&self, name: &str, partitions: usize) -> Option<TopicId> {
        let mut topics = locked(&self.topics);
        if topics.contains_key(name) {
            return None;
        }
        let mut id = TopicId([7; 16]);
        id.0[..8].copy_from_slice(&(topics.len() as u64 + 1).to_be_bytes());
        let partitions = (0..partitions).map(|_| Mutex::new(Log::default()));
        let partitions = partitions.collect();
        topics.insert(name.to_string(), Arc::new(Topic { id, partitions }));
        Some(id)
    }

    /// Deletes a topic; false when it does not exist.
    pub fn delete(&self, name: &str) -> bool {
        locked(&self.topics).remove(name).is_some()
    }
}

impl Topic {
    /// A partition's log.
    pub fn log(&self, index: i32) -> Option<MutexGuard<'_, Log>> {
        let log = self.partitions.get(usize::try_from(index).ok()?)?;
        Some(locked(log))
    }
}

impl Log {
    /// Appends a batch, or does to it what `lie` says. Returns the offset to answer.
    pub fn append(&mut self, batch: &[u8], is_storing: bool, lie: Option<Lie>) -> Option<i64> {
        let header = BatchHeader::peek(batch)?;
        let count = i64::from(header.last_offset_delta()) + 1;
        let offset = self.end;
        match lie {
            Some(Lie::Lose) => return Some(offset),
            Some(Lie::Duplicate) => self.keep(batch, count, is_storing, None),
            _ => {}
        }
        self.keep(batch, count, is_storing, lie);
        match lie {
            Some(Lie::Misplace) => Some(offset + count),
            _ => Some(offset),
        }
    }

    fn keep(&mut self, batch: &[u8], count: i64, is_storing: bool, lie: Option<Lie>) {
        if is_storing {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(batch);
            let copy = &mut self.bytes[start..];
            if matches!(lie, Some(Lie::Corrupt | Lie::Damage)) {
                *copy.last_mut().expect("a batch has a header") ^= 2;
            }
            if lie == Some(Lie::Corrupt) {
                seal_crc(copy);
            }
            patch_placement(copy, Offset(self.end), LeaderEpoch(0));
            self.batches
                .push((self.end + count, start, self.bytes.len()));
        }
        self.end += count;
    }

    /// Whole batches from the one that holds `offset` on, at least one where there is one.
    pub fn read(&self, offset: i64, max_bytes: usize) -> &[u8] {
        let first = self.batches.partition_point(|(end, ..)| *end <= offset);
        let Some((_, from, mut to)) = self.batches.get(first).copied() else {
            return &[];
        };
        let most = from + max_bytes;
        let rest = self.batches[first..].iter();
        if let Some((_, _, end)) = rest.take_while(|(_, _, end)| *end <= most).last() {
            to = *end;
        }
        &self.bytes[from..to]
    }
}
