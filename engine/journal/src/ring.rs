use sillon_buffer::BLOCK_BYTES;

/// A block as the ring counts, in bytes.
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

/// See [`RingLayout::unflushed_bytes_max`]: 8 MiB take about 8 ms at the 1 GB/s of one good disk,
/// and only topics that do not wait for a flush ever get there.
const UNFLUSHED_BYTES_MAX: u64 = 8 << 20;

/// What the headers of a round add to its largest payload, rounded up to blocks, in bytes.
const ENTRY_HEADERS_SLACK: u64 = 2 * BLOCK;

/// One life of a journal, durable in the manifest: another shard count means other ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalId(pub u128);

/// One life of a journal's owner: random, drawn at every open, durable in the checkpoint before
/// the first append, and never shown to a client. It is in every round's header and thereby in its
/// checksum: no block of an earlier life and no client's payload can pass for a round of this one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u128);

/// Without its value, which must not get into a log that is sent around.
impl std::fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incarnation(..)")
    }
}

/// The size of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLayout {
    /// How many files it has, at least one.
    pub files: u32,
    /// Length of each, in bytes: a multiple of 4,096.
    pub file_bytes: u64,
}

impl RingLayout {
    /// Smallest ring file, in bytes: a quarter of it is a round, and a round is at least a block.
    pub const FILE_BYTES_MIN: u64 = 4 * BLOCK;
    /// Largest ring file, in bytes: a round's length is a u32 and a round may fill a file.
    pub const FILE_BYTES_MAX: u64 = 1 << 30;

    /// Whether a ring can have this size.
    pub fn is_valid(&self) -> bool {
        self.files > 0
            && self.file_bytes.is_multiple_of(BLOCK)
            && (Self::FILE_BYTES_MIN..=Self::FILE_BYTES_MAX).contains(&self.file_bytes)
    }

    /// A journal is flushed at the latest when this much of it has been written since its last
    /// flush, in bytes: recovery then finds what was promised without reading the whole ring.
    pub fn unflushed_bytes_max(&self) -> u64 {
        UNFLUSHED_BYTES_MAX.min(self.file_bytes / 4)
    }

    /// How far behind a round that was flushed and is lost the next begins that promises it, in
    /// bytes, even when one more is lost: what was not flushed before the last round of its flush,
    /// that round, the file end which the next one may have left out, and one more. Each is at
    /// most a quarter of a file and a block of headers.
    pub(crate) fn promise_bytes_max(&self) -> u64 {
        self.unflushed_bytes_max() + 4 * (self.file_bytes / 4 + ENTRY_HEADERS_SLACK)
    }

    /// Whether a round could begin at `position`.
    pub fn contains(&self, position: RingPosition) -> bool {
        position.file < self.files
            && position.offset < self.file_bytes
            && position.offset.is_multiple_of(BLOCK)
    }

    /// Bytes of all files.
    pub fn capacity_bytes(&self) -> u64 {
        u64::from(self.files) * self.file_bytes
    }

    /// The place of a byte that is counted on from the first byte of file 0, lap after lap.
    pub(crate) fn position(&self, ring_byte: u64) -> RingPosition {
        RingPosition {
            file: ((ring_byte / self.file_bytes) % u64::from(self.files)) as u32,
            offset: ring_byte % self.file_bytes,
        }
    }

    /// The count of a place in the first lap.
    ///
    /// # Panics
    /// When the layout is not valid or does not contain the position.
    pub(crate) fn ring_byte(&self, position: RingPosition) -> u64 {
        assert!(self.is_valid(), "a ring of {self:?} is refused at boot");
        assert!(
            self.contains(position),
            "a chain goes on within its ring: {position:?} in {self:?}"
        );
        u64::from(position.file) * self.file_bytes + position.offset
    }

    /// Where a round of `len_bytes` begins when the one before it ends at `ring_byte`: there, or
    /// at the next file's start when it would cross the file's end.
    pub(crate) fn place(&self, ring_byte: u64, len_bytes: u64) -> u64 {
        if ring_byte % self.file_bytes + len_bytes <= self.file_bytes {
            ring_byte
        } else {
            self.next_file(ring_byte)
        }
    }

    /// The first file start at or behind `ring_byte`.
    pub(crate) fn next_file(&self, ring_byte: u64) -> u64 {
        ring_byte.next_multiple_of(self.file_bytes)
    }
}

/// A place where a round can begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingPosition {
    /// Number of the ring file, counted from 0.
    pub file: u32,
    /// Bytes from its beginning: a multiple of 4,096 below the file's length.
    pub offset: u64,
}

/// Where a chain of rounds goes on. Kept in the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPoint {
    /// Sequence of the next round; the first of a journal is 1.
    pub next_sequence: u64,
    /// Where it begins, or else at the start of the file behind.
    pub position: RingPosition,
    /// Checksum of the round before it; 0 for none.
    pub previous_checksum: u32,
    /// Every round up to this one is known to be flushed; 0 is none.
    pub durable_through: u64,
}

impl ChainPoint {
    /// The beginning of a fresh journal.
    pub const FRESH: ChainPoint = ChainPoint {
        next_sequence: 1,
        position: RingPosition { file: 0, offset: 0 },
        previous_checksum: 0,
        durable_through: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: RingLayout = RingLayout {
        files: 3,
        file_bytes: 8 * BLOCK,
    };

    #[test]
    fn a_round_that_would_cross_a_file_end_begins_the_next_file() {
        assert_eq!(LAYOUT.place(5 * BLOCK, 3 * BLOCK), 5 * BLOCK);
        assert_eq!(LAYOUT.place(5 * BLOCK, 4 * BLOCK), 8 * BLOCK);
        assert_eq!(LAYOUT.place(8 * BLOCK, 8 * BLOCK), 8 * BLOCK);
        let start = LAYOUT.place(23 * BLOCK, 2 * BLOCK);
        assert_eq!(LAYOUT.position(start), RingPosition::default());
    }

    #[test]
    fn a_ring_of_no_files_or_of_odd_or_huge_files_is_not_valid() {
        assert!(LAYOUT.is_valid());
        for (files, file_bytes) in [
            (0, 8 * BLOCK),
            (1, 8 * BLOCK + 1),
            (1, 3 * BLOCK),
            (1, 2 << 30),
        ] {
            assert!(!RingLayout { files, file_bytes }.is_valid());
        }
        assert!(!LAYOUT.contains(RingPosition { file: 3, offset: 0 }));
        assert!(!LAYOUT.contains(RingPosition {
            file: 0,
            offset: 8 * BLOCK
        }));
        assert!(!LAYOUT.contains(RingPosition { file: 0, offset: 1 }));
    }
}
