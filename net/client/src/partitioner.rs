//! Which partition a record goes to, as in the Java client: records with equal keys meet, whatever
//! client they come from.

use std::hash::{BuildHasher, RandomState};

/// Kafka's murmur2 (32 bits, with its seed), as Java's signed number.
pub fn murmur2(bytes: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

/// The partition of a key in a topic of `partitions` partitions (at least 1).
pub fn partition_of_key(key: &[u8], partitions: usize) -> i32 {
    let positive = murmur2(key) & i32::MAX;
    (positive as usize % partitions.max(1)) as i32
}

/// Chooses partitions. Records without a key stay on one partition until [`Self::next_batch`], so
/// that they make full batches (KIP-480).
#[derive(Clone, Debug)]
pub struct Partitioner {
    turn: usize,
}

impl Default for Partitioner {
    fn default() -> Partitioner {
        Partitioner::new()
    }
}

impl Partitioner {
    /// Starts at a random partition.
    pub fn new() -> Partitioner {
        Partitioner {
            turn: RandomState::new().hash_one(0) as usize,
        }
    }

    /// The partition of a record in a topic of `partitions` partitions (at least 1).
    pub fn partition(&self, key: Option<&[u8]>, partitions: usize) -> i32 {
        match key {
            Some(key) => partition_of_key(key, partitions),
            None => (self.turn % partitions.max(1)) as i32,
        }
    }

    /// Records without a key go to the next partition from now on.
    pub fn next_batch(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_java_client() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn records_without_a_key_stay_together_until_the_next_batch() {
        let mut partitioner = Partitioner::new();
        let first = partitioner.partition(None, 3);
        assert_eq!(partitioner.partition(None, 3), first);
        partitioner.next_batch();
        assert_eq!(partitioner.partition(None, 3), (first + 1) % 3);
    }
}
