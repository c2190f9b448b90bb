//! Records of `__consumer_offsets`: the key's length in two bytes, the key, the value.

use std::sync::Arc;

use sillon_group::records::{
    CommittedOffset, GroupMetadata, Key, MemberMetadata, decode_group, decode_key, decode_offset,
    group_metadata, group_tombstone, offset_commit, offset_tombstone,
};
use sillon_record::TopicId;

use crate::target::{Outcome, Target, about, outcome};

pub struct OffsetsTopic;

fn joined(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut input = (key.len() as u16).to_be_bytes().to_vec();
    input.extend_from_slice(key);
    input.extend_from_slice(value);
    input
}

impl Target for OffsetsTopic {
    fn name(&self) -> String {
        "group-records".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut records = vec![
            offset_tombstone("ploughs", "furrow", 3),
            group_tombstone("ploughs"),
        ];
        for expires_ms in [None, Some(99)] {
            let committed = CommittedOffset {
                topic_id: TopicId([7; 16]),
                offset: 42,
                leader_epoch: 1,
                metadata: Arc::from("here"),
                committed_ms: 1_700_000_000_000,
                expires_ms,
            };
            records.push(offset_commit("ploughs", "furrow", 3, &committed));
        }
        let member = MemberMetadata {
            member_id: Arc::from("member-1"),
            instance_id: Some(Arc::from("static")),
            client_id: Arc::from("plough"),
            client_host: Arc::from("/127.0.0.1"),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Arc::from(&[0, 1, 0, 0, 0, 0][..]),
            assignment: Arc::from(&[0, 1][..]),
        };
        for members in [0, 1, 3] {
            let metadata = GroupMetadata {
                protocol_type: Arc::from("consumer"),
                generation: 7,
                protocol: Some(Arc::from("range")),
                leader: Some(Arc::from("member-1")),
                state_since_ms: 1_700_000_000_000,
                members: vec![member.clone(); members],
            };
            records.extend(group_metadata("ploughs", &metadata));
        }
        let seeds = records.iter();
        let mut seeds: Vec<_> = seeds
            .map(|record| joined(&record.key, record.value.as_deref().unwrap_or_default()))
            .collect();
        // The flexible encoding, which is only read of a group.
        let newest = [
            0, 4, 9, b'c', b'o', b'n', b's', b'u', b'm', b'e', b'r', 0, 0, 0, 7,
        ];
        let mut value = newest.to_vec();
        value.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        seeds.push(joined(&group_tombstone("ploughs").key, &value));
        seeds
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some((len, rest)) = bytes.split_first_chunk::<2>() else {
            return outcome("short");
        };
        let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
        let (key, value) = rest.split_at(len);
        // A value is read by what its key says, and by the other as well.
        let (offset, group) = (decode_offset(value), decode_group(value));
        let decoded = decode_key(key);
        if let Some(committed) = &offset {
            let again = offset_commit("g", "t", 0, committed);
            let value = again.value.expect("a commit has a value");
            let mut wanted = committed.clone();
            if wanted.expires_ms.is_some() {
                // That version does not say it.
                wanted.leader_epoch = -1;
            }
            assert_eq!(
                decode_offset(&value),
                Some(wanted),
                "it reads back otherwise"
            );
        }
        if let Some(metadata) = &group
            && let Some(again) = group_metadata("g", metadata)
        {
            let value = again.value.expect("a group has a value");
            assert_eq!(
                decode_group(&value).as_ref(),
                Some(metadata),
                "it reads back otherwise"
            );
        }
        if let Some(Key::Offset {
            group,
            topic,
            partition,
        }) = &decoded
        {
            let again = offset_tombstone(group, topic, *partition).key;
            assert_eq!(decode_key(&again), decoded, "it reads back otherwise");
        }
        let members = group.as_ref().map(|metadata| about(metadata.members.len()));
        outcome((
            decoded.is_some(),
            offset.is_some(),
            members,
            value.first_chunk::<2>(),
        ))
    }

    fn memory_max(&self, len: usize) -> usize {
        // A member takes 150 bytes, and 24 in the value; read, written, and read again.
        64 * len + (16 << 10)
    }
}
