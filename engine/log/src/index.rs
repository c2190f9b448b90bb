use sillon_record::Offset;

/// Entries that one segment's index holds at most: 2,048 of 24 bytes are 48 KiB. A full index
/// drops every second entry and doubles its interval, so a segment of 1 GiB ends with one entry
/// per 512 KiB to 1 MiB.
pub const INDEX_ENTRIES_MAX: usize = 2048;

/// Bytes of log between two entries of a fresh index: Kafka's `index.interval.bytes`.
const INTERVAL_BYTES: u64 = 4096;

/// Kafka's "no timestamp".
const NO_TIMESTAMP_MS: i64 = -1;

/// One batch that an index points at. Offsets are relative to the segment's base offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Offset of the batch's last record.
    pub relative_offset: u32,
    /// Where the batch begins in the segment, in bytes.
    pub position: u32,
    /// Largest timestamp of the segment up to and including that batch, in ms since the Unix
    /// epoch; -1 when none.
    pub max_timestamp_ms: i64,
    /// Offset of the last record of the (first) batch that has that timestamp.
    pub max_timestamp_offset: u32,
}

/// Finds batches of one segment by offset and by time: a sparse list in memory, of bounded size,
/// that serves as both `.index` and `.timeindex`.
///
/// Owned by the partition's shard. The files are written when a segment is closed; the active
/// segment's index is kept in the checkpoint, thinned, and completed by replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    base_offset: Offset,
    entries: Vec<IndexEntry>,
    /// The last batch, whether `entries` has it or not; after a truncation and in an index that
    /// was read from files, the last one known, with a maximum that covers all of the segment.
    last: Option<IndexEntry>,
    interval_bytes: u64,
    /// Bytes of log from the last entry's batch on, that included.
    bytes_since_entry: u64,
}

impl SegmentIndex {
    /// The index of an empty segment.
    pub fn new(base: Offset) -> SegmentIndex {
        SegmentIndex {
            base_offset: base,
            entries: Vec::new(),
            last: None,
            interval_bytes: INTERVAL_BYTES,
            bytes_since_entry: 0,
        }
    }

    /// Notes a batch at the end of the segment. `max_timestamp_ms` is the batch's own.
    ///
    /// # Panics
    /// When the batch does not come behind the last one, or [`Self::has_room_for`] denies it.
    pub fn appended(
        &mut self,
        last_offset: Offset,
        position: u32,
        size_bytes: u32,
        max_timestamp_ms: i64,
    ) {
        let relative_offset = self
            .relative(last_offset)
            .expect("a segment is rolled before its offsets leave the range of an index entry");
        let mut entry = IndexEntry {
            relative_offset,
            position,
            max_timestamp_ms,
            max_timestamp_offset: relative_offset,
        };
        if let Some(last) = self.last {
            assert!(
                last.position < position && last.relative_offset < relative_offset,
                "batches are appended in order"
            );
            if max_timestamp_ms <= last.max_timestamp_ms {
                entry.max_timestamp_ms = last.max_timestamp_ms;
                entry.max_timestamp_offset = last.max_timestamp_offset;
            }
        }
        // Kafka's rule: no entry for the first batch, it is found at position 0 anyway.
        if self.bytes_since_entry > self.interval_bytes {
            self.push(entry);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += u64::from(size_bytes);
        self.last = Some(entry);
    }

    /// A batch boundary at or before the batch that holds `offset`, in bytes.
    pub fn position_for(&self, offset: Offset) -> u32 {
        let relative = offset.0.saturating_sub(self.base_offset.0);
        self.before(|entry| i64::from(entry.relative_offset) <= relative)
    }

    /// A batch boundary at or before the first batch that may hold a record with this timestamp
    /// or a later one, in bytes. When [`Self::max_timestamp_ms`] is smaller there is none.
    pub fn position_for_time(&self, timestamp_ms: i64) -> u32 {
        self.before(|entry| entry.max_timestamp_ms < timestamp_ms)
    }

    /// The largest batch boundary known that is not beyond `position`, in bytes.
    pub fn boundary_at_or_before(&self, position: u32) -> u32 {
        self.before(|entry| entry.position <= position)
    }

    /// Forgets the batches from `end_position` on, which is a batch boundary.
    ///
    /// When the batch with the largest timestamp is among them, [`Self::max_timestamp_ms`] becomes
    /// an upper bound: batches between two entries are not remembered one by one. Lookups by time
    /// stay right, they may only begin earlier than they need to.
    pub fn truncate(&mut self, end_position: u32) {
        let Some(last) = &mut self.last else {
            return;
        };
        if end_position == 0 {
            *self = SegmentIndex::new(self.base_offset);
            return;
        }
        if last.position >= end_position {
            let kept = self
                .entries
                .partition_point(|entry| entry.position < end_position);
            self.entries.truncate(kept);
            let newest = self.entries.last();
            last.position = newest.map_or(0, |entry| entry.position);
            last.relative_offset = newest.map_or(0, |entry| entry.relative_offset);
            self.bytes_since_entry = u64::from(end_position - last.position);
        }
        // With the maximum's own batch gone, the bound is tied to the last batch known.
        last.max_timestamp_offset = last.max_timestamp_offset.min(last.relative_offset);
    }

    /// All entries, ascending. The batch at position 0 and the last batch need not be there.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// At most `count_max` entries, spread evenly, the last of which is that of the last batch:
    /// for the checkpoint, to be given to [`Self::from_entries`].
    pub fn thinned(&self, count_max: usize) -> Vec<IndexEntry> {
        let Some(last) = self.last.filter(|_| count_max > 0) else {
            return Vec::new();
        };
        let inner = match self.entries.split_last() {
            Some((tail, rest)) if tail.position == last.position => rest,
            _ => &self.entries[..],
        };
        let step = inner.len().div_ceil((count_max - 1).max(1)).max(1);
        let kept = if count_max == 1 { &[][..] } else { inner };
        // Counted from the end: the newest entries are the ones asked for most.
        let mut thinned: Vec<_> = kept.iter().rev().step_by(step).copied().collect();
        thinned.reverse();
        thinned.push(last);
        thinned
    }

    /// The index that these entries (ascending) make, the last being that of the last batch.
    pub fn from_entries(base: Offset, entries: Vec<IndexEntry>) -> SegmentIndex {
        let last = entries.last().copied();
        let mut index = SegmentIndex::new(base);
        for entry in entries {
            index.push(entry);
        }
        index.last = last;
        index
    }

    /// Whether a batch that ends at `last_offset` can be in this segment: index entries hold
    /// offsets up to `i32::MAX` above the base offset. Otherwise it is time to roll.
    pub fn has_room_for(&self, last_offset: Offset) -> bool {
        self.relative(last_offset).is_some()
    }

    /// Offset that the entries are relative to.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Largest timestamp of the segment, in ms since the Unix epoch; -1 when none.
    pub fn max_timestamp_ms(&self) -> i64 {
        self.last
            .map_or(NO_TIMESTAMP_MS, |last| last.max_timestamp_ms)
    }

    /// The last batch, once there is one.
    pub(crate) fn last(&self) -> Option<&IndexEntry> {
        self.last.as_ref()
    }

    pub(crate) fn set_last(&mut self, last: IndexEntry) {
        self.last = Some(last);
    }

    fn relative(&self, offset: Offset) -> Option<u32> {
        let relative = u32::try_from(offset.0.checked_sub(self.base_offset.0)?).ok()?;
        (relative <= i32::MAX as u32).then_some(relative)
    }

    /// Position of the last entry for which `is_before` holds; it holds for a prefix of them.
    fn before(&self, is_before: impl Fn(&IndexEntry) -> bool) -> u32 {
        match self.entries.partition_point(is_before) {
            0 => 0,
            count => self.entries[count - 1].position,
        }
    }

    pub(crate) fn push(&mut self, entry: IndexEntry) {
        if self.entries.len() >= INDEX_ENTRIES_MAX {
            let mut place = 0;
            self.entries.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.interval_bytes *= 2;
        }
        self.entries.push(entry);
    }
}
