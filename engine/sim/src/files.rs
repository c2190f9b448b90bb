//! What must be true of the segment files right after a start, when nothing has been appended yet.

use sillon_log::partition_folder;
use sillon_record::{Batches, BatchesError, TopicPartition};

use crate::disk::SimDisk;
use crate::history::{Checked, History, Present, note_present};

/// The files of a partition hold its batches one behind the other, up to the end of its log, and
/// nothing else but zeros. Of a compacted partition some may be gone: returns the records that are
/// there, unless a compacted segment is taking its place.
pub fn check_files(
    disk: &SimDisk,
    paths: &[String],
    history: &History,
    partition: TopicPartition,
    ends: std::ops::Range<i64>,
) -> Checked<Option<Present>> {
    let (log_start, log_end) = (ends.start, ends.end);
    let known = &history.partitions[&partition];
    let folder = format!("{}/", partition_folder(&known.topic, partition.partition));
    let is_compacted = known.compaction.is_some();
    let is_swapping = |path: &String| path.starts_with(&folder) && path.ends_with(".swap");
    if is_compacted && paths.iter().any(is_swapping) {
        return Ok(None);
    }
    let mut present = Present::new();
    let mut next: Option<i64> = None;
    let names = paths
        .iter()
        .filter_map(|path| path.strip_prefix(&folder))
        .filter_map(|name| name.strip_suffix(".log"));
    let mut logs = Vec::new();
    for name in names {
        let base: i64 = name.parse().map_err(|_| {
            let detail = format!("{folder}{name}.log: no segment has this name");
            known.violation("wrong-file", detail)
        })?;
        logs.push((base, name));
    }
    for (at, &(base, name)) in logs.iter().enumerate() {
        if logs.get(at + 1).is_some_and(|(next, _)| *next <= log_start) {
            // All of it lies before the log start. It was removed and came back, as far as it had
            // ever been durable, and is on its way out again.
            continue;
        }
        let wrong =
            |what: String| known.violation("wrong-file", format!("{folder}{name}.log: {what}"));
        let content = disk
            .contents(&format!("{folder}{name}.log"))
            .expect("it was listed");
        let mut end = base;
        let mut batches = Batches::new(content).checking_crcs();
        for batch in &mut batches {
            match batch {
                Ok(batch) => {
                    let at = batch.header.base_offset().0;
                    if is_compacted && at >= end {
                        note_present(batch.bytes, &mut present);
                    } else if at != end {
                        return Err(wrong(format!("offset {at} follows {end}")));
                    }
                    end = batch.header.last_offset().0 + 1;
                }
                Err(BatchesError::Zeros { .. }) => break,
                Err(error) => {
                    return Err(wrong(format!(
                        "behind offset {end} (log end {log_end}): {error}"
                    )));
                }
            }
        }
        // What lies before the log start is on its way out, in any order.
        if end > base && end > log_start {
            if next.is_some_and(|next| next != base) {
                return Err(wrong(format!("it follows offset {next:?}")));
            }
            next = Some(end);
            if end > log_end {
                return Err(wrong(format!("it ends at {end}, the log at {log_end}")));
            }
        }
    }
    if next.is_some_and(|next| next != log_end) || (next.is_none() && log_end > log_start) {
        return Err(known.violation(
            "wrong-file",
            format!("{folder}: the files end at {next:?}, the log at {log_end}"),
        ));
    }
    Ok(is_compacted.then_some(present))
}
