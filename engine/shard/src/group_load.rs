//! Reading a partition of `__consumer_offsets` from its start to its end, piece by piece, when its
//! shard opens.

use sillon_buffer::Slice;
use sillon_log::partition::ReadPlan;
use sillon_record::{
    Batches, BatchesError, DECOMPRESSED_BYTES_MAX, Offset, Records, RecordsError, Scratch,
    TopicPartition,
};

use crate::LogLevel;
use crate::cold::extent_end;
use crate::partition_files::{ColdError, PartitionFiles};
use crate::procedure::{Io, yield_now};
use crate::state::{Phase, Shared, State};

/// Bytes of records that are taken in before other work gets its turn: about 1,000 of them, some
/// 100 us.
const PIECE_BYTES: u64 = 128 << 10;

/// Why a partition could not be read to its end.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Cold(#[from] ColdError),
    #[error("{0}")]
    Batches(#[from] BatchesError),
    #[error("the batch at offset {offset}: {error}")]
    Records { offset: Offset, error: RecordsError },
    /// The shard is stopping, or the topic has gone.
    #[error("the partition is not wanted any more")]
    Unwanted,
}

/// What comes next.
enum Piece {
    End,
    Memory(Vec<Slice>),
    File {
        segment_base: Offset,
        generation: u32,
        limit: u64,
    },
}

/// How far the reading is.
struct Cursor {
    partition: TopicPartition,
    offset: Offset,
    /// Where that offset begins in its segment's file, of that generation, once known.
    place: Option<(Offset, u32, u64)>,
    /// Records that nothing is known of.
    unknown: u64,
    buffer: Vec<u8>,
    scratch: Scratch,
}

impl State {
    /// Reads what is to be read, one partition after the other.
    pub(crate) fn spawn_group_loader(&mut self, io: &Io) {
        if self.phase == Phase::Open && !self.groups.is_loading {
            self.groups.is_loading = true;
            self.cold_requests += 1;
            let shared = self.shared.upgrade().expect("a shard owns its state");
            io.spawn(load(shared, io.clone()));
        }
    }
}

async fn load(shared: Shared, io: Io) {
    loop {
        let next = shared.borrow_mut().groups.to_load.pop_front();
        let Some(place) = next else {
            break;
        };
        load_one(&shared, &io, place).await;
    }
    let mut state = shared.borrow_mut();
    state.groups.is_loading = false;
    state.cold_requests -= 1;
}

async fn load_one(shared: &Shared, io: &Io, place: TopicPartition) {
    let Some(files) = PartitionFiles::find(shared, io, place) else {
        return;
    };
    let read = read(&files, io, place).await;
    let mut state = shared.borrow_mut();
    if state.groups.topic != Some(place.topic) {
        return;
    }
    match read {
        Ok(unknown) => {
            if unknown > 0 {
                let message = format!(
                    "__consumer_offsets-{}: {unknown} records of a kind that this version does \
                     not know are passed over",
                    place.partition
                );
                state.log(LogLevel::Warn, message);
            }
            state.finish_group_load(io, place.partition);
        }
        Err(LoadError::Unwanted | LoadError::Cold(ColdError::Gone)) => {}
        Err(error) => {
            let message = format!(
                "__consumer_offsets-{} cannot be read: {error}; its groups are not served",
                place.partition
            );
            state.log(LogLevel::Error, message);
            let groups = &mut state.groups;
            groups
                .coordinator
                .unload(place.partition, &mut groups.effects);
            state.perform_for_groups(io);
        }
    }
}

/// Gives all records to the coordinator. Returns how many it did not know.
async fn read(
    files: &PartitionFiles<'_>,
    io: &Io,
    partition: TopicPartition,
) -> Result<u64, LoadError> {
    let mut cursor = Cursor {
        partition,
        offset: files.partition(|partition| partition.log.log_start())?,
        place: None,
        unknown: 0,
        buffer: Vec::new(),
        scratch: Scratch::default(),
    };
    while files.using(read_piece(files, &mut cursor)).await? {
        yield_now(io).await;
    }
    Ok(cursor.unknown)
}

/// Gives the records of the next piece to the coordinator. False: there is none.
async fn read_piece(files: &PartitionFiles<'_>, cursor: &mut Cursor) -> Result<bool, LoadError> {
    files.restore_tail().await?;
    match files.state(|state, key| plan(state, key, cursor.offset))? {
        Piece::End => return Ok(false),
        Piece::Memory(slices) => {
            for slice in slices {
                files.state(|state, _| cursor.take(state, &slice))??;
            }
        }
        Piece::File {
            segment_base,
            generation,
            limit,
        } => {
            let begin = match cursor.place {
                Some((segment, of, begin)) if (segment, of) == (segment_base, generation) => begin,
                _ if cursor.offset == segment_base => 0,
                _ => files.locate(segment_base, cursor.offset, limit).await?,
            };
            // Else the end of a piece is found by reading it.
            files.load_index(segment_base).await?;
            let end = extent_end(files, segment_base, begin, limit, PIECE_BYTES, true).await?;
            let bytes = files.read(segment_base, begin, end - begin).await?;
            files.state(|state, _| cursor.take(state, &bytes))??;
            cursor.place = Some((segment_base, generation, end));
        }
    }
    Ok(true)
}

fn plan(state: &State, key: usize, offset: Offset) -> Piece {
    let end = state.readable_end(key);
    let mut slices = Vec::new();
    let log = &state.partitions[key].log;
    let push = |slice| slices.push(slice);
    match log.read(offset, end, PIECE_BYTES, true, push) {
        ReadPlan::Empty => Piece::End,
        ReadPlan::Memory(_) => Piece::Memory(slices),
        ReadPlan::File {
            segment_base,
            limit,
        } => Piece::File {
            segment_base,
            generation: log.segment_of(offset).generation,
            limit,
        },
    }
}

impl Cursor {
    /// Takes in whole batches.
    fn take(&mut self, state: &mut State, bytes: &[u8]) -> Result<(), LoadError> {
        if state.phase != Phase::Open || state.groups.topic != Some(self.partition.topic) {
            return Err(LoadError::Unwanted);
        }
        for batch in Batches::new(bytes) {
            let batch = batch?;
            let offset = batch.header.base_offset();
            self.offset = batch.header.last_offset().plus(1);
            if batch.info().is_control {
                continue;
            }
            let (buffer, scratch) = (&mut self.buffer, &mut self.scratch);
            let wrong = |error| LoadError::Records { offset, error };
            let records = Records::of(batch.bytes, buffer, DECOMPRESSED_BYTES_MAX, scratch);
            for record in records.map_err(wrong)? {
                let record = record.map_err(wrong)?;
                let coordinator = &mut state.groups.coordinator;
                if !coordinator.load(self.partition.partition, record.key, record.value) {
                    self.unknown += 1;
                }
            }
        }
        Ok(())
    }
}
