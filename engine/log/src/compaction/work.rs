use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_record::{
    BatchFilter, BatchView, Batches, BatchesError, DECOMPRESSED_BYTES_MAX, FilterRule, Filtered,
    Offset, Records, RecordsError, Scratch,
};

use super::OffsetMap;

/// Bytes of one piece of output: a journal round that comes meanwhile waits for no more than this
/// on the device.
const PIECE_BYTES: usize = 64 << 10;
const _: () = assert!(PIECE_BYTES.is_multiple_of(BLOCK_BYTES));

/// What holds for a whole pass.
#[derive(Clone, Debug, Default)]
pub struct PassRules {
    /// When the pass began, in ms since the Unix epoch.
    pub now_ms: i64,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// The last offset of each idempotent producer that is known: that batch stays.
    pub producers: Arc<BTreeMap<i64, Offset>>,
}

/// How large a pass's map may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct MapSize {
    /// Unknown to clients.
    pub secret: u128,
    /// The most that it takes, in bytes.
    pub bytes_max: u64,
    /// Number of keys that it can come to at most.
    pub keys_max: u64,
}

/// What a piece of a segment is to be used for.
#[derive(Debug, Default)]
pub enum CompactionTask {
    /// Nothing.
    #[default]
    None,
    /// Note the newest offset of each key, of records from `from` on, below `until`.
    Map {
        /// The first offset that counts.
        from: Offset,
        /// The first that does not.
        until: Offset,
    },
    /// Give the map's memory back.
    End,
    /// Keep what the map leaves.
    Filter {
        /// The map knows everything below this offset, and nothing from there on.
        through: Offset,
        /// The offset behind the segment that is read: its last batch stays, for it may be the last
        /// of the new segment.
        end: Offset,
    },
}

/// A batch that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutBatch {
    /// Its last offset.
    pub last_offset: Offset,
    /// Its size, in bytes.
    pub size_bytes: u32,
    /// Its largest timestamp, in ms since the Unix epoch; -1 when none.
    pub max_timestamp_ms: i64,
}

/// A pass over one partition: what goes to a helper thread and comes back with each piece.
#[derive(Default)]
pub struct Compaction {
    map_size: MapSize,
    /// The newest offset of each key; made by the first run.
    map: Option<OffsetMap>,
    rules: PassRules,
    /// What [`Self::run`] is to do.
    pub task: CompactionTask,
    /// A piece of a segment that begins with a batch: to be filled in before each run.
    pub bytes: Vec<u8>,
    /// After a run: bytes of `bytes` that are done with, whole batches.
    pub consumed: usize,
    /// After a run that consumed nothing: `bytes` must be at least this long.
    pub needed: usize,
    /// After a Map: everything below this offset is in the map.
    pub mapped_to: Offset,
    /// After a Map: the map is full.
    pub is_full: bool,
    /// After a Filter: whole blocks to be written, one behind the other.
    pub pieces: Vec<Slice>,
    /// What follows them, less than a piece; the next run goes on behind it.
    pub rest: Vec<u8>,
    /// After a Filter: the batches that it added to the output.
    pub batches: Vec<OutBatch>,
    /// A Filter changed something since this was last set to false.
    pub is_changed: bool,
    /// Records that were taken out, in all.
    pub records_removed: u64,
    /// Why the last run failed.
    pub error: Option<CompactionError>,
    filter: BatchFilter,
    decompressed: Vec<u8>,
    scratch: Scratch,
}

/// A piece of a segment cannot be compacted. It stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactionError {
    /// Not whole batches.
    #[error(transparent)]
    Batches(#[from] BatchesError),
    /// Its records cannot be read.
    #[error("the batch at offset {offset}: {error}")]
    Records {
        /// Of its first record.
        offset: Offset,
        /// What is wrong.
        error: RecordsError,
    },
    /// The work was lost.
    #[error("the helper thread's work panicked: see the log")]
    Lost,
}

impl std::fmt::Debug for Compaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {} bytes", self.task, self.bytes.len())
    }
}

impl Compaction {
    /// A pass that begins. Takes no memory yet.
    pub fn new(map_size: MapSize, rules: PassRules) -> Compaction {
        Compaction {
            map_size,
            rules,
            ..Compaction::default()
        }
    }

    /// Does the task. Takes some milliseconds of CPU for a large piece, more when it is
    /// compressed: not to be called on a shard's thread.
    pub fn run(&mut self) {
        self.consumed = 0;
        self.needed = 0;
        self.error = None;
        if matches!(self.task, CompactionTask::End) {
            *self = Compaction::default();
            return;
        }
        self.map.get_or_insert_with(|| {
            let size = self.map_size;
            OffsetMap::new(size.secret, size.bytes_max, size.keys_max)
        });
        let bytes = std::mem::take(&mut self.bytes);
        let result = self.run_over(&bytes);
        self.bytes = bytes;
        if let Err(error) = result {
            self.error = Some(error);
        }
        self.cut_pieces(PIECE_BYTES);
    }

    fn run_over(&mut self, bytes: &[u8]) -> Result<(), CompactionError> {
        let mut batches = Batches::new(bytes).checking_crcs();
        while let Some(batch) = batches.next() {
            let batch = match batch {
                Ok(batch) => batch,
                // The end of a piece, not of the segment.
                Err(BatchesError::Torn { needed, .. }) => {
                    self.needed = needed;
                    return Ok(());
                }
                Err(BatchesError::Zeros { position }) if position > 0 => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            match self.task {
                CompactionTask::None | CompactionTask::End => {}
                CompactionTask::Map { from, until } => {
                    if batch.header.base_offset() >= until {
                        return Ok(());
                    }
                    self.map(&batch, from)?;
                    if self.is_full {
                        return Ok(());
                    }
                }
                CompactionTask::Filter { through, end } => self.filter(&batch, through, end)?,
            }
            self.consumed = batches.position();
        }
        Ok(())
    }

    fn map(&mut self, batch: &BatchView<'_>, from: Offset) -> Result<(), CompactionError> {
        let next_offset = batch.header.last_offset().plus(1);
        if next_offset <= from {
            return Ok(());
        }
        let map = self.map.as_mut().expect("a pass has a map");
        if !batch.header.is_control() {
            let (decompressed, scratch) = (&mut self.decompressed, &mut self.scratch);
            let offset = batch.header.base_offset();
            let wrong = |error| CompactionError::Records { offset, error };
            let limit = DECOMPRESSED_BYTES_MAX;
            let records = Records::of(batch.bytes, decompressed, limit, scratch);
            for record in records.map_err(wrong)? {
                let record = record.map_err(wrong)?;
                let Some(key) = record.key.filter(|_| record.offset >= from) else {
                    continue;
                };
                let noted = match planted::is(Bug::NewestByBatch) {
                    true => batch.header.last_offset(),
                    false => record.offset,
                };
                if !map.note(key, noted) {
                    self.is_full = true;
                    return Ok(());
                }
                self.mapped_to = record.offset.plus(1);
            }
        }
        self.mapped_to = next_offset;
        Ok(())
    }

    fn filter(
        &mut self,
        batch: &BatchView<'_>,
        through: Offset,
        end: Offset,
    ) -> Result<(), CompactionError> {
        let header = batch.header;
        let map = self.map.as_ref().expect("a pass has a map");
        let begin = self.rest.len();
        let is_beyond = header.base_offset() >= through;
        let last_offset = header.last_offset();
        let filtered = if is_beyond || header.is_control() {
            self.rest.extend_from_slice(batch.bytes);
            Filtered::Whole
        } else {
            let is_last_of_its_producer = batch.info().producer.is_some_and(|producer| {
                self.rules.producers.get(&producer.id) == Some(&last_offset)
            });
            let rule = FilterRule {
                delete_horizon_ms: self
                    .rules
                    .now_ms
                    .saturating_add(self.rules.delete_retention_ms),
                stays_empty: is_last_of_its_producer || last_offset.plus(1) == end,
            };
            let now_ms = self.rules.now_ms;
            let horizon_ms = header.delete_horizon_ms();
            let mut removed = 0;
            let keeps = |record: &sillon_record::Record<'_>| {
                let stays = record.offset >= through
                    || record.key.is_some_and(|key| {
                        let is_newest =
                            map.newest(key).is_none_or(|newest| record.offset >= newest);
                        let is_gone = record.value.is_none()
                            && (horizon_ms.is_some_and(|horizon_ms| now_ms >= horizon_ms)
                                || planted::is(Bug::TombstoneRemovedEarly));
                        is_newest && !is_gone
                    });
                removed += u64::from(!stays);
                stays
            };
            let filtered = self.filter.filter(batch.bytes, rule, keeps, &mut self.rest);
            self.records_removed += removed;
            filtered.map_err(|error| CompactionError::Records {
                offset: header.base_offset(),
                error,
            })?
        };
        let is_as_it_was = match filtered {
            Filtered::Whole => true,
            Filtered::Empty => header.records_count() == 0,
            _ => false,
        };
        self.is_changed |= !is_as_it_was;
        let max_timestamp_ms = match filtered {
            Filtered::Gone => return Ok(()),
            Filtered::Empty => -1,
            Filtered::Whole if header.records_count() == 0 => -1,
            Filtered::Whole => header.max_timestamp_ms(),
            Filtered::Partly { max_timestamp_ms } => max_timestamp_ms,
        };
        self.batches.push(OutBatch {
            last_offset,
            size_bytes: (self.rest.len() - begin) as u32,
            max_timestamp_ms,
        });
        Ok(())
    }

    /// Moves whole pieces from `rest` to `pieces`.
    fn cut_pieces(&mut self, piece_bytes: usize) {
        let whole = self.rest.len() - self.rest.len() % piece_bytes;
        for piece in self.rest[..whole].chunks(piece_bytes) {
            self.pieces.push(Slice::copy_of(piece));
        }
        self.rest.drain(..whole);
    }
}
