//! The metadata log.

use sillon_controller::{MetadataRecord, decode_append, encode_append};
use sillon_record::{BrokerId, PartitionIncarnation, TopicId};
use sillon_shard::read_metadata_log;

use crate::target::{Outcome, Target, about, kind, outcome};

fn records() -> Vec<MetadataRecord> {
    vec![
        MetadataRecord::BrokerRegistered {
            broker: BrokerId(1),
            host: "localhost".to_owned(),
            port: 9092,
        },
        MetadataRecord::Topic {
            id: TopicId([7; 16]),
            name: "furrow".to_owned(),
        },
        MetadataRecord::TopicConfig {
            topic: TopicId([7; 16]),
            key: "retention.ms".to_owned(),
            value: Some("5".to_owned()),
        },
        MetadataRecord::Partition {
            topic: TopicId([7; 16]),
            partition: 3,
            incarnation: PartitionIncarnation(9),
            replicas: vec![BrokerId(1), BrokerId(2)],
        },
        MetadataRecord::TopicRemoved {
            id: TopicId([7; 16]),
        },
        MetadataRecord::BrokerConfig {
            broker: None,
            key: "log.retention.ms".to_owned(),
            value: None,
        },
    ]
}

/// Length and checksum of the append that `bytes` begin with.
fn seal(bytes: &mut [u8]) {
    if bytes.len() > 8 {
        let length = ((bytes.len() - 8) as u32).to_le_bytes();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&length);
        hasher.update(&bytes[8..]);
        bytes[..4].copy_from_slice(&length);
        bytes[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
}

fn appended(first_index: u64, records: &[MetadataRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_append(first_index, records, &mut out);
    out
}

/// One append.
pub struct Appends;

impl Target for Appends {
    fn name(&self) -> String {
        "metadata-append".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let all = records();
        let single = all
            .iter()
            .map(|record| appended(5, std::slice::from_ref(record)));
        single
            .chain([appended(0, &all), appended(9, &[])])
            .collect()
    }

    fn seal(&self, bytes: &mut Vec<u8>) {
        seal(bytes);
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        match decode_append(bytes) {
            Ok(Some(append)) => {
                assert!(append.len_bytes <= bytes.len(), "it lies in the log");
                let again = appended(append.first_index, &append.records);
                let read = decode_append(&again);
                let records = read.map(|read| read.map(|read| read.records));
                assert_eq!(
                    records,
                    Ok(Some(append.records.clone())),
                    "it reads back otherwise"
                );
                let kinds: Vec<_> = append.records.iter().map(std::mem::discriminant).collect();
                outcome((about(append.records.len()), kinds.first(), kinds.last()))
            }
            Ok(None) => outcome("none"),
            Err(error) => outcome(kind(&error)),
        }
    }

    fn memory_max(&self, len: usize) -> usize {
        // A record takes up to 100 bytes, and 9 in the log; read, written, read and compared.
        64 * len + (16 << 10)
    }
}

/// A whole log, whose appends each begin on a block.
pub struct Log;

const BLOCK: usize = sillon_buffer::BLOCK_BYTES;

impl Target for Log {
    fn name(&self) -> String {
        "metadata-log".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let all = records();
        let mut log = Vec::new();
        let mut seeds = vec![Vec::new()];
        for (index, record) in (0..).zip(&all) {
            log.extend(appended(index, std::slice::from_ref(record)));
            log.resize(log.len().next_multiple_of(BLOCK), 0);
            seeds.push(log.clone());
        }
        seeds.push([&log[..], &[0; 3 * BLOCK]].concat());
        seeds
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        match read_metadata_log(bytes) {
            Ok(records) => outcome(records.len()),
            Err(error) => outcome(kind(&error)),
        }
    }

    fn memory_max(&self, len: usize) -> usize {
        32 * len + (16 << 10)
    }
}
