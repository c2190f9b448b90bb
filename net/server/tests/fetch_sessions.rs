//! Incremental fetch sessions (KIP-227), over a socket.

mod house;

use bytes::Bytes;
use house::{Client, Node, batch, partition, values};
use sillon_protocol::TopicKey;
use sillon_protocol::fetch::{FetchHead, FetchPartition, FetchResponse};
use sillon_record::TopicId;

fn head(session_id: i32, session_epoch: i32) -> FetchHead {
    FetchHead {
        session_id,
        session_epoch,
        ..FetchHead::default()
    }
}

/// Who is asked for by which kind of name.
#[derive(Clone, Copy)]
struct Named {
    version: i16,
    id: TopicId,
}

impl Named {
    fn key(self) -> TopicKey<&'static str> {
        match self.version >= 13 {
            true => TopicKey::Id(self.id),
            false => TopicKey::Name("furrow"),
        }
    }

    fn fetch(
        self,
        client: &mut Client,
        head: FetchHead,
        asked: &[FetchPartition],
        forgotten: &[i32],
    ) -> FetchResponse<Bytes> {
        let topics = [(self.key(), asked)];
        let topics = if asked.is_empty() {
            &[][..]
        } else {
            &topics[..]
        };
        let gone = [(self.key(), forgotten)];
        let gone = if forgotten.is_empty() {
            &[][..]
        } else {
            &gone[..]
        };
        let sent = client.send_fetch_in_session(self.version, head, topics, gone);
        client.receive_fetch(sent)
    }
}

fn indexes(response: &FetchResponse<Bytes>) -> Vec<i32> {
    response.partitions.iter().map(|p| p.index).collect()
}

fn all() -> Vec<FetchPartition> {
    (0..4).map(|index| partition(index, 0)).collect()
}

#[test]
fn a_session_answers_what_has_changed_and_remembers_what_is_asked() {
    for version in [7, 12, 13, 18] {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::start(folder.path());
        let mut client = node.client();
        client.create("furrow");
        let id = TopicId(client.topic("furrow").topic_id.to_bytes());
        let named = Named { version, id };
        let first = named.fetch(&mut client, head(0, 0), &all(), &[]);
        let session = first.head.session_id;
        assert!(session > 0 && !first.head.error.is_error());
        assert_eq!(indexes(&first), [0, 1, 2, 3], "the first answer is whole");
        let second = named.fetch(&mut client, head(session, 1), &[], &[]);
        assert_eq!(second.head.session_id, session);
        assert_eq!(indexes(&second), [0; 0], "nothing has changed");
        assert_eq!(client.produce("furrow", &[(2, batch(&["a"]))]), [(0, 0)]);
        let third = named.fetch(&mut client, head(session, 2), &[], &[]);
        assert_eq!(indexes(&third), [2]);
        assert_eq!(values(&third.partitions[0].records), ["a"]);
        let moved = [partition(2, 1)];
        let fourth = named.fetch(&mut client, head(session, 3), &moved, &[]);
        assert_eq!(
            indexes(&fourth),
            [0; 0],
            "it is asked for from offset 1 on now"
        );
        assert_eq!(client.produce("furrow", &[(2, batch(&["b"]))]), [(0, 1)]);
        assert_eq!(client.produce("furrow", &[(3, batch(&["c"]))]), [(0, 0)]);
        let fifth = named.fetch(&mut client, head(session, 4), &[], &[3]);
        assert_eq!(indexes(&fifth), [2], "partition 3 is forgotten");
        assert_eq!(values(&fifth.partitions[0].records), ["b"]);
    }
}

#[test]
fn a_session_that_waits_is_woken_by_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let (mut reader, mut writer) = (node.client(), node.client());
    writer.create("furrow");
    reader.await_topic("furrow");
    let named = Named {
        version: 12,
        id: TopicId::ZERO,
    };
    let first = named.fetch(&mut reader, head(0, 0), &all(), &[]);
    let waiting = FetchHead {
        max_wait_ms: 60_000,
        min_bytes: 1,
        ..head(first.head.session_id, 1)
    };
    let sent = reader.send_fetch_in_session(12, waiting, &[], &[]);
    assert_eq!(writer.produce("furrow", &[(1, batch(&["x"]))]), [(0, 0)]);
    let woken = reader.receive_fetch(sent);
    assert_eq!(indexes(&woken), [1]);
}

#[test]
fn a_session_is_known_by_its_id_and_goes_on_from_epoch_to_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let id = TopicId(client.topic("furrow").topic_id.to_bytes());
    let named = Named { version: 12, id };
    let stranger = named.fetch(&mut client, head(12_345, 1), &[], &[]);
    assert_eq!(stranger.head.error.code(), 70, "there is no such session");
    let first = named.fetch(&mut client, head(0, 0), &all(), &[]);
    let session = first.head.session_id;
    let mut code = |head, named: Named| {
        let response = named.fetch(&mut client, head, &[], &[]);
        (response.head.error.code(), response.head.session_id)
    };
    assert_eq!(code(head(session, 2), named), (71, 0), "epoch 1 is due");
    let by_id = Named { version: 13, id };
    assert_eq!(
        code(head(session, 1), by_id),
        (106, 0),
        "it names topics otherwise"
    );
    assert_eq!(code(head(session, 1), named), (0, session));
    assert_eq!(code(head(session, -1), named), (0, 0), "this ends it");
    assert_eq!(code(head(session, 2), named), (70, 0));
}

#[test]
fn a_session_from_which_everything_is_forgotten_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let named = Named {
        version: 12,
        id: TopicId::ZERO,
    };
    let first = named.fetch(&mut client, head(0, 0), &all(), &[]);
    let session = first.head.session_id;
    let last = named.fetch(&mut client, head(session, 1), &[], &[0, 1, 2, 3]);
    assert_eq!((last.head.error.code(), last.head.session_id), (0, 0));
    let gone = named.fetch(&mut client, head(session, 2), &[], &[]);
    assert_eq!(gone.head.error.code(), 70);
}

#[test]
fn an_error_is_told_again_until_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let named = Named {
        version: 12,
        id: TopicId::ZERO,
    };
    let beyond = [partition(0, 1), partition(1, 0)];
    let first = named.fetch(&mut client, head(0, 0), &beyond, &[]);
    let session = first.head.session_id;
    for epoch in 1..3 {
        let again = named.fetch(&mut client, head(session, epoch), &[], &[]);
        assert_eq!(indexes(&again), [0]);
        assert_eq!(again.partitions[0].error.code(), 1);
    }
    let back = [partition(0, 0)];
    let well = named.fetch(&mut client, head(session, 3), &back, &[]);
    assert_eq!(indexes(&well), [0]);
    assert!(!well.partitions[0].error.is_error());
    let quiet = named.fetch(&mut client, head(session, 4), &[], &[]);
    assert!(quiet.partitions.is_empty());
}
