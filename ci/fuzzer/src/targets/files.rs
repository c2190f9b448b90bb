//! The small files of the data folder.

use sillon_log::{
    CheckpointBuilder, CheckpointHeader, IndexEntry, LeaderEpochs, Manifest, MetaProperties,
    PartitionCheckpoint, Producers, SegmentIndex, SegmentInfo, decode_checkpoint,
    decode_offset_index, decode_partition_metadata, encode_offset_index, encode_partition,
    encode_partition_metadata, encode_time_index,
};
use sillon_record::{BrokerId, LeaderEpoch, Offset, TopicId};

use crate::target::{Outcome, Target, about, kind, outcome};

/// One of them: how it is called, how it is read (and written again), and files of its kind.
struct SmallFile {
    name: &'static str,
    read: fn(&[u8]) -> Outcome,
    seeds: fn() -> Vec<Vec<u8>>,
    seal: fn(&mut [u8]),
}

pub fn all() -> Vec<Box<dyn Target>> {
    let none = |_: &mut [u8]| {};
    let files = [
        SmallFile {
            name: "checkpoint",
            read: checkpoint,
            seeds: checkpoints,
            seal: seal_checkpoint,
        },
        SmallFile {
            name: "index",
            read: index,
            seeds: indexes,
            seal: none,
        },
        SmallFile {
            name: "leader-epochs",
            read: epochs,
            seeds: || vec![some_epochs().encode().into_bytes()],
            seal: none,
        },
        SmallFile {
            name: "producers",
            read: producers,
            seeds: || vec![Producers::default().encode_snapshot(), vec![0, 0, 0, 0]],
            seal: none,
        },
        SmallFile {
            name: "folder-files",
            read: folder_files,
            seeds: folder_seeds,
            seal: none,
        },
    ];
    let boxed = |file| Box::new(file) as Box<dyn Target>;
    files.into_iter().map(boxed).collect()
}

impl Target for SmallFile {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        (self.seeds)()
    }

    fn seal(&self, bytes: &mut Vec<u8>) {
        (self.seal)(bytes);
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        (self.read)(bytes)
    }

    fn memory_max(&self, len: usize) -> usize {
        64 * len + (64 << 10)
    }
}

fn some_epochs() -> LeaderEpochs {
    let mut epochs = LeaderEpochs::default();
    for (epoch, start) in [(0, 0), (3, 17), (4, 99)] {
        epochs.assign(LeaderEpoch(epoch), Offset(start));
    }
    epochs
}

fn epochs(bytes: &[u8]) -> Outcome {
    match LeaderEpochs::decode(&String::from_utf8_lossy(bytes)) {
        Ok(epochs) => {
            let again = LeaderEpochs::decode(&epochs.encode());
            assert_eq!(again.as_ref(), Ok(&epochs), "it reads back otherwise");
            outcome(about(epochs.entries().len()))
        }
        Err(error) => outcome(kind(&error)),
    }
}

fn checkpoints() -> Vec<Vec<u8>> {
    let header = CheckpointHeader {
        shard_count: 2,
        next_sequence: 9,
        ..CheckpointHeader::default()
    };
    let partition = PartitionCheckpoint {
        topic: TopicId([7; 16]),
        topic_name: "furrow".to_owned(),
        next_offset: Offset(99),
        segments: vec![SegmentInfo::default(); 2],
        active_index: vec![entry(10), entry(20)],
        epochs: some_epochs(),
        ..PartitionCheckpoint::default()
    };
    (0..3)
        .map(|count| {
            let mut builder = CheckpointBuilder::new(header);
            let mut encoded = Vec::new();
            encode_partition(&partition.borrowed(), &mut encoded);
            for _ in 0..count {
                builder.push_encoded(&encoded);
            }
            builder.finish()
        })
        .collect()
}

fn seal_checkpoint(bytes: &mut [u8]) {
    let len = bytes.len() as u64;
    let knows_its_length = bytes
        .get(8..10)
        .is_some_and(|version| version >= &[0, 3][..]);
    if let Some(place) = bytes.get_mut(10..18).filter(|_| knows_its_length) {
        place.copy_from_slice(&len.to_be_bytes());
    }
    if let Some(end) = bytes.len().checked_sub(4) {
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
    }
}

fn checkpoint(bytes: &[u8]) -> Outcome {
    match decode_checkpoint(bytes) {
        Ok((header, partitions)) => {
            let mut builder = CheckpointBuilder::new(header);
            for partition in &partitions {
                let mut encoded = Vec::new();
                encode_partition(&partition.borrowed(), &mut encoded);
                builder.push_encoded(&encoded);
            }
            let again = decode_checkpoint(&builder.finish());
            assert_eq!(
                again,
                Ok((header, partitions.clone())),
                "it reads back otherwise"
            );
            outcome(about(partitions.len()))
        }
        Err(error) => outcome(kind(&error)),
    }
}

fn entry(number: u32) -> IndexEntry {
    IndexEntry {
        relative_offset: number,
        position: number * 4096,
        max_timestamp_ms: 1_700_000_000_000 + i64::from(number),
        max_timestamp_offset: number,
    }
}

/// Both files of an index, one behind the other, after the length of the first in two bytes.
fn indexes() -> Vec<Vec<u8>> {
    let of = |count: u32| {
        let entries: Vec<IndexEntry> = (1..=count).map(entry).collect();
        let offsets = encode_offset_index(&entries);
        let index = SegmentIndex::from_entries(Offset(1000), entries);
        let mut input = (offsets.len() as u16).to_be_bytes().to_vec();
        input.extend(offsets);
        input.extend(encode_time_index(&index));
        input
    };
    [0, 1, 2, 30].into_iter().map(of).collect()
}

fn index(bytes: &[u8]) -> Outcome {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else {
        return outcome("short");
    };
    let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
    let (offsets, times) = rest.split_at(len);
    match decode_offset_index(Offset(1000), offsets, times) {
        Ok(index) => {
            for offset in [0, 1000, 1001, i64::MAX] {
                index.position_for(Offset(offset));
                index.position_for_time(offset);
            }
            outcome(about(offsets.len()))
        }
        Err(error) => outcome(kind(&error)),
    }
}

fn producers(bytes: &[u8]) -> Outcome {
    match Producers::decode(bytes) {
        Ok(producers) => {
            let mut again = Vec::new();
            producers.encode(&mut again);
            assert_eq!(
                Producers::decode(&again).as_ref(),
                Ok(&producers),
                "otherwise"
            );
            outcome(about(again.len()))
        }
        Err(error) => outcome(kind(&error)),
    }
}

fn folder_seeds() -> Vec<Vec<u8>> {
    let manifest = Manifest {
        shard_count: 2,
        journals: vec![1, 2],
        ring_files: 4,
        ring_file_bytes: 1 << 20,
    };
    let properties = MetaProperties {
        cluster_id: "c2lsbG9uLWNvbXBhdC1ycw".to_owned(),
        node_id: BrokerId(1),
        directory_id: Some(9),
    };
    vec![
        manifest.encode().into_bytes(),
        properties.encode().into_bytes(),
        encode_partition_metadata(TopicId([7; 16])).into_bytes(),
    ]
}

fn folder_files(bytes: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(bytes);
    let manifest = Manifest::decode(&text).map(|manifest| {
        let again = Manifest::decode(&manifest.encode());
        assert_eq!(again.as_ref(), Ok(&manifest), "it reads back otherwise");
        manifest.shard_count
    });
    let properties = MetaProperties::decode(&text).map(|properties| properties.node_id.0);
    let metadata = decode_partition_metadata(&text).map(|topic| topic.0[0]);
    outcome((
        manifest.map_err(|error| kind(&error)),
        properties.map_err(|error| kind(&error)),
        metadata.map_err(|error| kind(&error)),
    ))
}
