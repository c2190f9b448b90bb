use sillon_record::Offset;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// What one key takes, in bytes: 128 bits of hash and an offset, whatever the key's length.
pub const MAP_ENTRY_BYTES: usize = 24;

/// Of 10 slots 9 are used at most: beyond that the search for a free one becomes long.
const LOAD_NUMERATOR: usize = 9;
const LOAD_DENOMINATOR: usize = 10;

/// An offset that no record has: the slot is free.
const FREE: i64 = -1;

/// The newest offset of every key of a stretch of log, in bounded memory.
///
/// Keys are told apart by a keyed 128-bit hash (SipHash-1-3 with a secret of this life), so that
/// nobody outside can make two keys look alike.
pub struct OffsetMap {
    secret: (u64, u64),
    slots: Vec<(u64, u64, i64)>,
    len: usize,
    len_max: usize,
}

impl OffsetMap {
    /// An empty map that takes at most `bytes_max` bytes (but one key at least), and no more than
    /// `keys_max` keys need. `secret` must be unknown to clients.
    pub fn new(secret: u128, bytes_max: u64, keys_max: u64) -> OffsetMap {
        let wanted = keys_max.saturating_mul(LOAD_DENOMINATOR as u64) / LOAD_NUMERATOR as u64 + 2;
        let count = (bytes_max / MAP_ENTRY_BYTES as u64).clamp(2, wanted.max(2)) as usize;
        OffsetMap {
            secret: ((secret >> 64) as u64, secret as u64),
            slots: vec![(0, 0, FREE); count],
            len: 0,
            len_max: (count * LOAD_NUMERATOR / LOAD_DENOMINATOR).max(1),
        }
    }

    /// Notes a record. Records come in the order of their offsets. False: the map is full, and the
    /// record is not in it.
    pub fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let slot = self.slot_of(hash);
        let (first, second, known) = &mut self.slots[slot];
        if *known == FREE {
            if self.len == self.len_max {
                return false;
            }
            self.len += 1;
            (*first, *second) = hash;
        }
        *known = offset.0;
        true
    }

    /// The newest offset of a key; `None` when no record of that key was noted.
    pub fn newest(&self, key: &[u8]) -> Option<Offset> {
        let (_, _, offset) = self.slots[self.slot_of(self.hash(key))];
        (offset != FREE).then_some(Offset(offset))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the key with that hash is, or would be.
    fn slot_of(&self, hash: (u64, u64)) -> usize {
        let count = self.slots.len();
        let mut slot = ((u128::from(hash.0) * count as u128) >> 64) as usize;
        loop {
            let (first, second, offset) = self.slots[slot];
            if offset == FREE || (first, second) == hash {
                return slot;
            }
            slot = if slot + 1 == count { 0 } else { slot + 1 };
        }
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(key);
        let hash = hasher.finish128();
        (hash.h1, hash.h2)
    }
}

impl std::fmt::Debug for OffsetMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OffsetMap of {} keys", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_each_key_is_kept_and_an_unknown_key_has_none() {
        let mut map = OffsetMap::new(7, 1 << 20, 1000);
        for offset in 0..1000 {
            let key = (offset % 100_i64).to_le_bytes();
            assert!(map.note(&key, Offset(offset)));
        }
        assert_eq!(map.len(), 100);
        for key in 0..100_i64 {
            assert_eq!(map.newest(&key.to_le_bytes()), Some(Offset(900 + key)));
        }
        assert_eq!(map.newest(b"other"), None);
    }

    #[test]
    fn a_full_map_takes_known_keys_and_no_other() {
        let mut map = OffsetMap::new(7, 10 * MAP_ENTRY_BYTES as u64, u64::MAX);
        let taken = (0..20_i64).take_while(|key| map.note(&key.to_le_bytes(), Offset(*key)));
        assert_eq!(taken.count(), 9);
        assert!(map.note(&3_i64.to_le_bytes(), Offset(50)));
        assert_eq!(map.newest(&3_i64.to_le_bytes()), Some(Offset(50)));
        assert_eq!(map.newest(&9_i64.to_le_bytes()), None);
    }

    #[test]
    fn the_smallest_map_takes_a_key() {
        let mut map = OffsetMap::new(1, 0, 0);
        assert!(map.note(b"a", Offset(1)));
        assert!(!map.note(b"b", Offset(2)));
    }

    #[test]
    fn a_few_records_do_not_take_the_whole_budget() {
        let map = OffsetMap::new(1, 1 << 30, 1000);
        assert!(map.slots.len() < 1200);
    }
}
