use sillon_record::TopicPartition;
use sillon_shard::Extent;

use super::{Clients, Surroundings, TopicState};
use crate::disk::SimDisk;
use crate::history::{Checked, Violation};

/// An answer whose file extents are read later, as a slow connection does.
#[derive(Debug)]
pub struct DelayedRead {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    pub(super) is_tailing: bool,
    pub(super) high_watermark: i64,
    pub(super) extents: Vec<Extent>,
}

/// How many bytes an extent has.
pub(super) fn len_of(extent: &Extent) -> u64 {
    match extent {
        Extent::Memory(slice) => slice.len() as u64,
        Extent::File { len, .. } => *len,
    }
}

/// The bytes of extents, as a connection would send them now.
///
/// # Errors
/// A file is gone, or too short: the text says which.
pub fn bytes_of(disk: &SimDisk, extents: &[Extent]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for extent in extents {
        match extent {
            Extent::Memory(slice) => bytes.extend_from_slice(slice),
            Extent::File {
                segment,
                position,
                len,
            } => {
                let path = &segment.path;
                let mut found = segment.paths().filter_map(|path| disk.contents(path));
                let Some(content) = found.next() else {
                    return Err(format!("{path} is gone although a reader holds it"));
                };
                let range = *position as usize..(position + len) as usize;
                let Some(part) = content.get(range) else {
                    return Err(format!(
                        "{path} has {} bytes, the answer promises {len} at {position}",
                        content.len()
                    ));
                };
                bytes.extend_from_slice(part);
            }
        }
    }
    Ok(bytes)
}

impl Clients {
    /// Reads what an earlier answer points at.
    pub fn read_delayed(&mut self, around: &mut Surroundings<'_>) -> Checked {
        if let Some(read) = self.delayed.pop_front() {
            around.host.coverage.hit("file read after its answer");
            self.read(&read, around)?;
        }
        Ok(())
    }

    pub(super) fn read(&mut self, read: &DelayedRead, around: &mut Surroundings<'_>) -> Checked {
        let partition = read.partition;
        let bytes = match bytes_of(&around.host.disk, &read.extents) {
            Ok(bytes) => bytes,
            // A deleted topic's folder has another name by now; a descriptor that was open in
            // time would still read it.
            Err(_) if self.topics.state_of(partition) != TopicState::Live => return Ok(()),
            Err(detail) => return Err(Violation::new("unreadable", detail)),
        };
        let next = around
            .history
            .read(partition, &bytes, read.offset, read.high_watermark)?;
        let position = self.positions.get_mut(&partition);
        if let Some(position) = position.filter(|_| read.is_tailing) {
            *position = next.max(*position);
        }
        Ok(())
    }
}
