use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_controller::{AppendError, MetadataRecord, decode_append, encode_append};

use crate::layout::METADATA_LOG;
use crate::procedure::{Io, Procedures, Signal, bytes, done, length};
use crate::{Access, Action, DiskError, DiskOp, DiskResult, FileId, IoClass, OpId, reserve};

/// How far space is reserved ahead, in bytes. What only gives space back may be recorded in it
/// when the disk is full; everything else is refused then.
const RESERVED_BYTES: u64 = 64 << 10;

/// Added to the numbers of the metadata log's operations and files.
pub(crate) const NAMESPACE: u64 = 0b11 << 62;

/// Why the metadata log cannot be read. Nothing has been given up.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The disk says so.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Something in the middle is damaged.
    #[error("metadata.log, byte {at}: {error}, and valid appends follow at byte {next}")]
    Damaged {
        /// Where, in bytes.
        at: usize,
        /// What is wrong.
        error: AppendError,
        /// Where what follows begins, in bytes.
        next: usize,
    },
    /// Written by a newer version.
    #[error("metadata.log, byte {at}: {error}")]
    Newer {
        /// Where, in bytes.
        at: usize,
        /// What it says.
        error: AppendError,
    },
    /// Appends that do not follow each other.
    #[error("metadata.log, byte {at}: record {found} follows record {expected}")]
    Order {
        /// Where, in bytes.
        at: usize,
        /// Number of the first record there.
        found: u64,
        /// Number that it should have.
        expected: u64,
    },
}

/// The records of a metadata log that was read whole, without what a crash has torn at its end.
///
/// # Errors
/// It is damaged, or of a newer version.
pub fn read_metadata_log(content: &[u8]) -> Result<Vec<MetadataRecord>, MetadataLogError> {
    parse(content).map(|loaded| loaded.records)
}

/// The durable log of cluster metadata. Appends are whole: each begins on a fresh block, so that a
/// torn one harms nothing before it.
pub struct MetadataLog {
    io: Io,
    procedures: Procedures,
    shared: Rc<RefCell<Queue>>,
}

struct Queue {
    waiting: Option<Append>,
    results: VecDeque<Result<(), DiskError>>,
    arrived: Signal,
    records_count: u64,
}

struct Append {
    records_count: u64,
    encoded: Vec<u8>,
    /// Whether it only removes topics.
    gives_back: bool,
}

/// The log file, as far as it is written and reserved.
pub(crate) struct Tail {
    file: Option<FileId>,
    /// Where the next append begins, in bytes.
    end: u64,
    /// Space is reserved up to here, in bytes.
    reserved: u64,
}

impl MetadataLog {
    /// A log of `records_count` records.
    pub(crate) fn new(records_count: u64, tail: Tail) -> MetadataLog {
        let io = Io::new(NAMESPACE);
        let shared = Rc::new(RefCell::new(Queue {
            waiting: None,
            results: VecDeque::new(),
            arrived: Signal::default(),
            records_count,
        }));
        io.spawn(append_all(shared.clone(), io.clone(), tail));
        MetadataLog {
            io,
            procedures: Procedures::default(),
            shared,
        }
    }

    /// Whether an operation is the metadata log's.
    pub fn owns(op: OpId) -> bool {
        op.0 & NAMESPACE == NAMESPACE
    }

    /// Begins to append records, which hold together or not at all. One at a time.
    ///
    /// # Panics
    /// When the append before has not ended.
    pub fn append(&mut self, records: &[MetadataRecord], actions: &mut Vec<Action>) {
        {
            let mut queue = self.shared.borrow_mut();
            let mut encoded = Vec::new();
            encode_append(queue.records_count, records, &mut encoded);
            let append = Append {
                records_count: records.len() as u64,
                encoded,
                gives_back: records.iter().all(MetadataRecord::gives_back_space),
            };
            let before = queue.waiting.replace(append);
            assert!(before.is_none(), "one append at a time");
            queue.arrived.raise(&self.io);
        }
        self.procedures.run(&self.io);
        self.io.drain(actions);
    }

    /// Takes a completion. Some when the append has ended: durable; refused with
    /// [`DiskError::NoSpace`], of which nothing was written; or failed otherwise, after which the
    /// log takes no more.
    pub fn handle(
        &mut self,
        op: OpId,
        result: DiskResult,
        actions: &mut Vec<Action>,
    ) -> Option<Result<(), DiskError>> {
        self.io.complete(op, result);
        self.procedures.run(&self.io);
        self.io.drain(actions);
        self.shared.borrow_mut().results.pop_front()
    }
}

async fn append_all(shared: Rc<RefCell<Queue>>, io: Io, mut tail: Tail) {
    loop {
        let (append, arrived) = {
            let mut queue = shared.borrow_mut();
            (queue.waiting.take(), queue.arrived.clone())
        };
        let Some(append) = append else {
            arrived.wait(&io).await;
            continue;
        };
        let result = tail.append(&io, &append.encoded, append.gives_back).await;
        let is_final = !matches!(result, Ok(()) | Err(DiskError::NoSpace));
        let mut queue = shared.borrow_mut();
        if result.is_ok() {
            queue.records_count += append.records_count;
        }
        queue.results.push_back(result);
        if is_final {
            return;
        }
    }
}

/// Appends the first record of a node's life, in the last space that there is if need be.
pub(crate) async fn begin(io: &Io, end: u64, encoded: &[u8]) -> Result<Tail, DiskError> {
    let mut tail = Tail::at(end);
    tail.append(io, encoded, true).await?;
    if let Some(file) = tail.file.take() {
        done(io.call(DiskOp::Close { file }).await)?;
    }
    Ok(tail)
}

impl Tail {
    fn at(end: u64) -> Tail {
        Tail {
            file: None,
            end,
            reserved: end,
        }
    }

    /// Appends and makes durable.
    async fn append(&mut self, io: &Io, encoded: &[u8], gives_back: bool) -> Result<(), DiskError> {
        let file = match self.file {
            Some(file) => file,
            None => {
                let file = io.new_file();
                open_log(io, file).await?;
                *self.file.insert(file)
            }
        };
        let end = self.end + (encoded.len() as u64).next_multiple_of(BLOCK_BYTES as u64);
        if end + RESERVED_BYTES > self.reserved {
            // In steps, so that most appends find theirs.
            match self.reserve(io, file, end + 2 * RESERVED_BYTES).await {
                Err(DiskError::NoSpace) if gives_back => self.reserve(io, file, end).await?,
                other => other?,
            }
        }
        let write = io.call(DiskOp::Write {
            file,
            position: self.end,
            pieces: vec![Slice::copy_of(encoded)],
            class: IoClass::Journal,
        });
        done(write.await).map_err(in_reserved_space)?;
        done(io.call(DiskOp::Sync { file }).await).map_err(in_reserved_space)?;
        self.end = end;
        Ok(())
    }

    /// Reserves space up to `to`, by what is set aside for a full disk when there is no other.
    async fn reserve(&mut self, io: &Io, file: FileId, to: u64) -> Result<(), DiskError> {
        if to <= self.reserved {
            return Ok(());
        }
        let allocate = DiskOp::Allocate {
            file,
            position: self.reserved,
            len: to - self.reserved,
        };
        match done(io.call(allocate.clone()).await) {
            Err(DiskError::NoSpace) => {
                reserve::spend(io).await?;
                done(io.call(allocate).await)?;
            }
            other => other?,
        }
        self.reserved = to;
        Ok(())
    }
}

/// Space that was reserved and is not there: nobody knows what was written, so this is final.
fn in_reserved_space(error: DiskError) -> DiskError {
    match error {
        DiskError::NoSpace => DiskError::Io {
            path: METADATA_LOG.into(),
            operation: "write",
            message: "no space left where space had been reserved".into(),
        },
        other => other,
    }
}

async fn open_log(io: &Io, file: FileId) -> Result<u64, DiskError> {
    let open = io.call(DiskOp::Open {
        file,
        path: METADATA_LOG.into(),
        create: true,
        access: Access::Direct,
    });
    length(open.await)
}

/// What a metadata log holds.
pub(crate) struct Loaded {
    pub(crate) records: Vec<MetadataRecord>,
    /// Where the next append begins, in bytes.
    pub(crate) end: u64,
}

/// Reads the whole log and cuts off an append that a crash has torn: it was never answered for.
pub(crate) async fn load(io: &Io) -> Result<Loaded, MetadataLogError> {
    let file = io.new_file();
    let len = open_log(io, file).await?;
    let read = io.call(DiskOp::Read {
        file,
        position: 0,
        len,
        class: IoClass::Foreground,
    });
    let content = bytes(read.await)?;
    let loaded = parse(&content)?;
    if loaded.end < len {
        let len = loaded.end;
        done(io.call(DiskOp::Truncate { file, len }).await)?;
    }
    done(io.call(DiskOp::Sync { file }).await)?;
    done(io.call(DiskOp::Close { file }).await)?;
    done(io.call(DiskOp::SyncFolder { path: "".into() }).await)?;
    Ok(loaded)
}

fn parse(content: &[u8]) -> Result<Loaded, MetadataLogError> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let append = match decode_append(&content[at..]) {
            Ok(Some(append)) => append,
            Ok(None) => break,
            Err(error @ AppendError::Format { .. }) => {
                return Err(MetadataLogError::Newer { at, error });
            }
            Err(error) => {
                let count = records.len() as u64;
                if let Some(next) = valid_behind(content, at, count) {
                    return Err(MetadataLogError::Damaged { at, error, next });
                }
                break;
            }
        };
        if append.first_index != records.len() as u64 {
            return Err(MetadataLogError::Order {
                at,
                found: append.first_index,
                expected: records.len() as u64,
            });
        }
        records.extend(append.records);
        at += append.len_bytes.next_multiple_of(BLOCK_BYTES);
    }
    let end = at as u64;
    Ok(Loaded { records, end })
}

/// Where a valid append of later records begins behind `at`: then what is at `at` was durable
/// once.
fn valid_behind(content: &[u8], at: usize, count: u64) -> Option<usize> {
    let mut blocks = (at + BLOCK_BYTES..content.len()).step_by(BLOCK_BYTES);
    blocks.find(|block| {
        decode_append(&content[*block..])
            .is_ok_and(|append| append.is_some_and(|append| append.first_index > count))
    })
}
