use sillon_record::{Offset, crc32c};

use crate::cursor::{Cursor, CutShort};
use crate::producers::{PRODUCER_BATCHES_MAX, ProducerBatch, ProducerState, Producers};

/// Version of Kafka's snapshot file that [`Producers::encode_snapshot`] writes.
const SNAPSHOT_VERSION: i16 = 1;

impl Producers {
    /// Appends everything that is known to `out`, for the checkpoint, which has its own checksum
    /// and version. Big-endian: u32 number of producers; for each i64 id, i16 epoch, i32 next
    /// sequence, u8 whether whole, i64 last use in ms, i64 end offset, u8 number of batches; for
    /// each i32 base sequence, i32 last offset delta, i64 last offset, i64 timestamp in ms.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.len()).expect("producers fit in memory many times below");
        out.extend_from_slice(&count.to_be_bytes());
        for (id, state) in self.states() {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&state.epoch.to_be_bytes());
            out.extend_from_slice(&state.next_sequence.to_be_bytes());
            out.push(u8::from(state.is_whole));
            out.extend_from_slice(&state.last_used_ms.to_be_bytes());
            out.extend_from_slice(&state.end_offset.0.to_be_bytes());
            out.push(state.batches().len() as u8);
            for batch in state.batches() {
                out.extend_from_slice(&batch.base_sequence.to_be_bytes());
                out.extend_from_slice(&batch.last_offset_delta.to_be_bytes());
                out.extend_from_slice(&batch.last_offset.0.to_be_bytes());
                out.extend_from_slice(&batch.timestamp_ms.to_be_bytes());
            }
        }
    }

    /// Reads what [`Self::encode`] wrote, all of `bytes`.
    ///
    /// # Errors
    /// `bytes` is not of that form.
    pub fn decode(bytes: &[u8]) -> Result<Producers, ProducersError> {
        let mut cursor = Cursor::new(bytes);
        let producers = Self::read(&mut cursor)?;
        match cursor.remaining() {
            0 => Ok(producers),
            count => Err(ProducersError::BytesBehind { count }),
        }
    }

    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Producers, ProducersError> {
        let count = cursor.u32()?;
        let mut producers = Producers::default();
        for _ in 0..count {
            let at = cursor.at();
            let id = cursor.i64()?;
            let state = read_state(cursor, at)?;
            producers
                .push(id, state)
                .ok_or(ProducersError::Order { at, id })?;
        }
        Ok(producers)
    }

    /// The bytes of Kafka's `.snapshot` file, version 1: i16 version, u32 CRC-32C of what
    /// follows, i32 number of producers; for each i64 id, i16 epoch, i32 last sequence, i64 last
    /// offset, i32 offset delta, i64 timestamp in ms, i32 coordinator epoch, i64 first offset of
    /// its transaction. It holds the last batch of each producer only, and our own start never
    /// reads it: the checkpoint holds more.
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let count = i32::try_from(self.len()).expect("producers fit in memory many times below");
        let mut entries = count.to_be_bytes().to_vec();
        for (id, state) in self.states() {
            // Kafka's "none" in every field.
            let last = state.batches().last().map_or((-1, -1, 0, -1), |batch| {
                let sequence = batch.last_sequence();
                let (offset, delta) = (batch.last_offset.0, batch.last_offset_delta);
                (sequence, offset, delta, batch.timestamp_ms)
            });
            entries.extend_from_slice(&id.to_be_bytes());
            entries.extend_from_slice(&state.epoch.to_be_bytes());
            entries.extend_from_slice(&last.0.to_be_bytes());
            entries.extend_from_slice(&last.1.to_be_bytes());
            entries.extend_from_slice(&i32::to_be_bytes(last.2));
            entries.extend_from_slice(&last.3.to_be_bytes());
            entries.extend_from_slice(&(-1_i32).to_be_bytes());
            entries.extend_from_slice(&(-1_i64).to_be_bytes());
        }
        let mut file = SNAPSHOT_VERSION.to_be_bytes().to_vec();
        file.extend_from_slice(&crc32c(&entries).to_be_bytes());
        file.extend_from_slice(&entries);
        file
    }
}

fn read_state(cursor: &mut Cursor<'_>, at: usize) -> Result<ProducerState, ProducersError> {
    let (epoch, next_sequence) = (cursor.i16()?, cursor.i32()?);
    let is_whole = match cursor.u8()? {
        0 => false,
        1 => true,
        _ => return Err(ProducersError::Field { at }),
    };
    let mut state = ProducerState::new(epoch, next_sequence);
    state.is_whole = is_whole;
    state.last_used_ms = cursor.i64()?;
    state.end_offset = Offset(cursor.i64()?);
    let batches_count = usize::from(cursor.u8()?);
    if batches_count > PRODUCER_BATCHES_MAX || epoch < 0 || next_sequence < 0 {
        return Err(ProducersError::Field { at });
    }
    for _ in 0..batches_count {
        let batch = ProducerBatch {
            base_sequence: cursor.i32()?,
            last_offset_delta: cursor.i32()?,
            last_offset: Offset(cursor.i64()?),
            timestamp_ms: cursor.i64()?,
        };
        let has_base = i64::from(batch.last_offset_delta) <= batch.last_offset.0;
        if batch.base_sequence < 0 || batch.last_offset_delta < 0 || !has_base {
            return Err(ProducersError::Field { at });
        }
        state.remember(batch);
    }
    Ok(state)
}

/// Producer state that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducersError {
    /// It ends in the middle of a producer.
    #[error(transparent)]
    CutShort(#[from] CutShort),
    /// A producer whose fields no code of ours writes.
    #[error("the producer at byte {at} has a field out of range")]
    Field {
        /// Where it begins, in bytes.
        at: usize,
    },
    /// Producer ids do not ascend.
    #[error("the producer at byte {at} has id {id}, not above the one before it")]
    Order {
        /// Where it begins, in bytes.
        at: usize,
        /// Its id.
        id: i64,
    },
    /// Something follows the last producer.
    #[error("{count} bytes follow the last producer")]
    BytesBehind {
        /// How many.
        count: usize,
    },
}
