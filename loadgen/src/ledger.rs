//! What was acknowledged: per batch a bit, per partition a count and a sum, so that a run of any
//! length fits into memory.

use std::collections::BTreeMap;

/// A set of numbers that are mostly dense from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    /// Adds a number; false when it was there.
    pub fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Adds the numbers of `other`. Returns the smallest that both had, and how many they were.
    pub fn merge(&mut self, other: &BitSet) -> Option<(u64, u64)> {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let (mut first, mut count) = (None, 0);
        for (index, (word, theirs)) in self.words.iter_mut().zip(&other.words).enumerate() {
            let both = *word & theirs;
            if both != 0 {
                first.get_or_insert(index as u64 * 64 + u64::from(both.trailing_zeros()));
                count += u64::from(both.count_ones());
            }
            *word |= theirs;
        }
        first.map(|first| (first, count))
    }

    /// The smallest number that is here and not in `other`, and how many there are.
    pub fn missing_in(&self, other: &BitSet) -> Option<(u64, u64)> {
        let mut first = None;
        let mut count = 0;
        for (index, word) in self.words.iter().enumerate() {
            let missing = word & !other.words.get(index).copied().unwrap_or(0);
            if missing != 0 {
                let number = index as u64 * 64 + u64::from(missing.trailing_zeros());
                first.get_or_insert(number);
                count += u64::from(missing.count_ones());
            }
        }
        first.map(|first| (first, count))
    }
}

/// What a connection's batches came to.
#[derive(Clone, Debug, Default)]
pub struct ConnectionLedger {
    /// Batches that were given to the socket, in part at least: their numbers are below this.
    pub sent: u64,
    /// Numbers of batches that were acknowledged.
    pub acknowledged: BitSet,
}

/// What a partition was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionLedger {
    /// Records that were acknowledged.
    pub acknowledged_records: u64,
    /// Records of which nobody knows: refused, unanswered, or sent with acks 0.
    pub unknown_records: u64,
    /// The sum of [`placed`] over all acknowledged batches.
    pub placed: u64,
    /// The end of the last acknowledged batch.
    pub acknowledged_end: i64,
}

impl PartitionLedger {
    /// A batch was acknowledged.
    pub fn acknowledge(&mut self, connection: u32, number: u64, base_offset: i64, records: u64) {
        self.acknowledged_records += records;
        self.placed = self
            .placed
            .wrapping_add(placed(connection, number, base_offset));
        self.acknowledged_end = self.acknowledged_end.max(base_offset + records as i64);
    }

    /// Adds what another thread knows of it.
    pub fn add(&mut self, other: &PartitionLedger) {
        self.acknowledged_records += other.acknowledged_records;
        self.unknown_records += other.unknown_records;
        self.placed = self.placed.wrapping_add(other.placed);
        self.acknowledged_end = self.acknowledged_end.max(other.acknowledged_end);
    }
}

/// A number for "this batch has this offset". Sums of it are equal when, but for one chance in
/// 2^64, the batches and their offsets are.
pub fn placed(connection: u32, number: u64, base_offset: i64) -> u64 {
    let mut mixed = (u64::from(connection) << 40) ^ number;
    for word in [base_offset as u64, 0x5bf0_3635_dcb9_8a01] {
        mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 32;
    }
    mixed
}

/// What all threads know.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By connection.
    pub connections: BTreeMap<u32, ConnectionLedger>,
    /// By the run's own number of the partition.
    pub partitions: Vec<PartitionLedger>,
}

impl Ledger {
    /// Nothing yet, of that many partitions.
    pub fn new(partitions: usize) -> Ledger {
        Ledger {
            connections: BTreeMap::new(),
            partitions: vec![PartitionLedger::default(); partitions],
        }
    }

    /// Adds what another thread knows; connections have one thread.
    pub fn add(&mut self, other: Ledger) {
        self.connections.extend(other.connections);
        for (ours, theirs) in self.partitions.iter_mut().zip(&other.partitions) {
            ours.add(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_what_another_lacks() {
        let (mut whole, mut part) = (BitSet::default(), BitSet::default());
        for number in 0..300 {
            assert!(whole.insert(number));
            if number != 7 && number != 200 {
                part.insert(number);
            }
        }
        assert!(!whole.insert(299));
        assert_eq!(whole.missing_in(&part), Some((7, 2)));
        assert_eq!(part.missing_in(&whole), None);
        assert_eq!(part.merge(&whole), Some((0, 298)));
        assert_eq!(part, whole);
    }

    #[test]
    fn where_batches_lie_is_told_apart() {
        let sum = |places: &[(u32, u64, i64)]| {
            let places = places.iter();
            places.fold(0_u64, |sum, place| {
                sum.wrapping_add(placed(place.0, place.1, place.2))
            })
        };
        let right = sum(&[(0, 0, 0), (0, 1, 16), (1, 0, 32)]);
        assert_eq!(right, sum(&[(1, 0, 32), (0, 0, 0), (0, 1, 16)]));
        assert_ne!(right, sum(&[(0, 0, 16), (0, 1, 0), (1, 0, 32)]));
        assert_ne!(right, sum(&[(0, 1, 0), (0, 0, 16), (1, 0, 32)]));
    }
}
