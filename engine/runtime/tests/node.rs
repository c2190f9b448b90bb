//! Whole nodes, without a network: start, work, stop, and what went wrong.

use std::path::Path;
use std::sync::{Arc, Mutex};

use sillon_buffer::Slice;
use sillon_controller::{ControlReply, ControlRequest, NewTopic};
use sillon_record::{
    BatchBuilder, BatchRules, Compression, Offset, Scratch, TopicId, TopicPartition, ValidBatch,
};
use sillon_runtime::{Core, NodeError, NodeOptions, Ready, ServiceError, ServiceFuture, run};
use sillon_shard::{
    Extent, Fetch, FetchEntry, Fetched, Produce, ProduceEntry, Request, ShardId, owner,
};
use tempfile::TempDir;

const TOPIC: TopicId = TopicId([7; 16]);
const PARTITIONS: i32 = 4;

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn options(folder: &Path, shards: u16) -> NodeOptions {
    NodeOptions {
        shards: Some(shards),
        journal_bytes: Some(u64::from(shards) * (4 << 20)),
        memory_bytes: 64 << 20,
        catches_signals: false,
        ..NodeOptions::new(folder)
    }
}

/// Runs `work` on executor 0 of a node, and stops the node when it is done.
fn with_node<F: Future<Output = ()> + 'static>(
    options: NodeOptions,
    work: impl Fn(Core) -> F + Send + Clone + 'static,
) -> Result<(), NodeError> {
    let stop = options.stop.clone();
    run(options, move |core| -> ServiceFuture {
        let (work, stop) = (work.clone(), stop.clone());
        Box::pin(async move {
            if core.id() == ShardId(0) {
                work(core.clone()).await;
                stop.stop();
            }
            core.stopping().await;
            Ok(())
        })
    })
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: TOPIC,
        partition,
    }
}

async fn create_topic(core: &Core) {
    let topic = NewTopic {
        partitions: PARTITIONS,
        ..NewTopic::with_defaults(TOPIC, "furrow")
    };
    let request = ControlRequest::CreateTopics {
        topics: vec![topic],
        validate_only: false,
    };
    let ControlReply::CreateTopics(results) = core.control(request).await.unwrap() else {
        panic!("another answer than to the question")
    };
    results[0].as_ref().unwrap();
}

async fn produce(core: &Core, partition: i32, value: &str) -> Offset {
    let mut builder = BatchBuilder::new(Compression::None);
    let now_ms = core.now().wall_ms;
    builder
        .append(now_ms, None, Some(value.as_bytes()), &[])
        .unwrap();
    let bytes = Slice::copy_of(&builder.build());
    let rules = BatchRules::defaults(now_ms);
    let batch = ValidBatch::check(bytes, &rules, &mut Scratch::default()).unwrap();
    let entry = ProduceEntry {
        partition: place(partition),
        batch,
        outcome: None,
    };
    let request = Request::Produce(Produce {
        entries: vec![entry],
        wait: true,
        ..Produce::default()
    });
    let owner = owner(place(partition), core.shards());
    core.has_room(owner).await;
    let Request::Produce(answered) = core.call(owner, request).await.unwrap() else {
        panic!("another request came back")
    };
    let outcome = answered.entries[0].outcome.as_ref().unwrap();
    outcome.as_ref().unwrap().base_offset
}

async fn fetch(core: &Core, partition: i32) -> Fetched {
    let entry = FetchEntry {
        partition: place(partition),
        max_bytes: 1 << 20,
        ..FetchEntry::default()
    };
    let request = Request::Fetch(Fetch {
        entries: vec![entry],
        max_bytes: 1 << 20,
        ..Fetch::default()
    });
    let owner = owner(place(partition), core.shards());
    let Request::Fetch(mut answered) = core.call(owner, request).await.unwrap() else {
        panic!("another request came back")
    };
    let entry = answered.entries.pop().unwrap();
    entry.outcome.unwrap().unwrap()
}

/// The bytes of all records that are found.
fn bytes(folder: &Path, fetched: &Fetched) -> Vec<u8> {
    let mut bytes = Vec::new();
    for extent in &fetched.records {
        match extent {
            Extent::Memory(slice) => bytes.extend_from_slice(slice),
            Extent::File {
                segment,
                position,
                len,
            } => {
                let file = std::fs::read(folder.join(&*segment.path)).unwrap();
                bytes.extend_from_slice(&file[*position as usize..(position + len) as usize]);
            }
        }
    }
    bytes
}

fn contains(bytes: &[u8], value: &str) -> bool {
    bytes
        .windows(value.len())
        .any(|window| window == value.as_bytes())
}

#[test]
fn records_survive_restarts_with_other_numbers_of_shards() {
    let folder = folder();
    let values = |life: i64, partition: i32| format!("life {life}, partition {partition}");
    for (life, shards) in [(0, 2), (1, 2), (2, 1), (3, 3)] {
        let path = folder.path().to_owned();
        let work = move |core: Core| {
            let path = path.clone();
            async move {
                if life == 0 {
                    create_topic(&core).await;
                }
                for partition in 0..PARTITIONS {
                    let before = bytes(&path, &fetch(&core, partition).await);
                    for earlier in 0..life {
                        assert!(
                            contains(&before, &values(earlier, partition)),
                            "life {life}"
                        );
                    }
                    let value = values(life, partition);
                    assert_eq!(produce(&core, partition, &value).await, Offset(life));
                    let after = fetch(&core, partition).await;
                    assert_eq!(after.high_watermark, Offset(life + 1));
                    assert!(contains(&bytes(&path, &after), &value));
                }
                let name = core.with_image(|image| image.topic(TOPIC).map(|t| t.name.clone()));
                assert_eq!(name.as_deref(), Some("furrow"));
            }
        };
        with_node(options(folder.path(), shards), work).unwrap();
    }
}

#[test]
fn a_node_says_what_it_is_when_it_is_ready() {
    let folder = folder();
    let said: Arc<Mutex<Option<Ready>>> = Arc::default();
    let heard = said.clone();
    let options = NodeOptions {
        ready: Box::new(move |ready| *heard.lock().unwrap() = Some(ready.clone())),
        ..options(folder.path(), 2)
    };
    with_node(options, async |core: Core| {
        assert_eq!(
            core.cluster_id().len(),
            22,
            "as Kafka's: 16 bytes in base64"
        );
    })
    .unwrap();
    let ready = said.lock().unwrap().take().unwrap();
    assert_eq!(ready.shards, 2);
    assert_eq!(ready.cluster_id.len(), 22);
}

/// A fetch that waits for a byte that never comes.
fn waiting_fetch(partition: i32, deadline_ns: u64) -> Request {
    let entry = FetchEntry {
        partition: place(partition),
        max_bytes: 1,
        ..FetchEntry::default()
    };
    Request::Fetch(Fetch {
        entries: vec![entry],
        min_bytes: 1,
        deadline_ns,
        max_bytes: 1,
        ..Fetch::default()
    })
}

#[test]
fn time_goes_on_on_executors_where_nothing_happens() {
    let folder = folder();
    with_node(options(folder.path(), 2), async |core: Core| {
        create_topic(&core).await;
        for partition in 0..PARTITIONS {
            let deadline_ns = core.now().mono_ns + 20_000_000;
            let request = waiting_fetch(partition, deadline_ns);
            core.call(owner(place(partition), core.shards()), request)
                .await
                .unwrap();
            assert!(core.now().mono_ns >= deadline_ns);
        }
    })
    .unwrap();
}

#[test]
fn a_dropped_call_is_forgotten_and_others_go_on() {
    let folder = folder();
    with_node(options(folder.path(), 2), async |core: Core| {
        create_topic(&core).await;
        for partition in 0..PARTITIONS {
            let waiting = waiting_fetch(partition, u64::MAX);
            let owner = owner(place(partition), core.shards());
            drop(core.call(owner, waiting));
            assert_eq!(produce(&core, partition, "x").await, Offset(0));
        }
    })
    .unwrap();
}

#[test]
fn what_still_waits_when_the_node_stops_hears_of_it() {
    let folder = folder();
    with_node(options(folder.path(), 2), async |core: Core| {
        create_topic(&core).await;
        for partition in 0..PARTITIONS {
            let waiting = waiting_fetch(partition, u64::MAX);
            let owner = owner(place(partition), core.shards());
            let call = core.call(owner, waiting);
            // Nobody waits for this task: the node stops although the call is open.
            glommio::spawn_local(call).detach();
        }
    })
    .unwrap();
}

#[test]
fn a_second_node_on_the_same_folder_is_refused() {
    let folder = folder();
    let path = folder.path().to_owned();
    let work = move |_: Core| {
        let path = path.clone();
        async move {
            let second = std::thread::spawn(move || with_node(options(&path, 1), async |_| {}));
            let error = second.join().unwrap().unwrap_err();
            assert!(matches!(error, NodeError::Lock(_)), "{error}");
        }
    };
    with_node(options(folder.path(), 1), work).unwrap();
}

#[test]
fn a_service_that_fails_ends_the_node_with_its_words() {
    let folder = folder();
    let error = run(options(folder.path(), 2), |core| -> ServiceFuture {
        Box::pin(async move {
            if core.id() == ShardId(1) {
                return Err(ServiceError::from("address 1.2.3.4:9092 is taken"));
            }
            core.stopping().await;
            Ok(())
        })
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("address 1.2.3.4:9092 is taken"), "{error}");
}

#[test]
fn a_panic_on_one_executor_ends_the_node() {
    let folder = folder();
    let outcome = run(options(folder.path(), 2), |core| -> ServiceFuture {
        Box::pin(async move {
            assert_ne!(core.id(), ShardId(1), "this executor is to panic");
            core.stopping().await;
            Ok(())
        })
    });
    let error = outcome.unwrap_err();
    assert!(matches!(error, NodeError::Panicked { shard: 1 }), "{error}");
}

#[test]
fn a_node_that_is_stopped_before_it_runs_ends_at_once() {
    let folder = folder();
    let options = options(folder.path(), 2);
    options.stop.stop();
    run(options, |_| -> ServiceFuture {
        Box::pin(async { panic!("no service is started") })
    })
    .unwrap();
}

#[test]
fn a_connection_that_does_not_finish_is_cut_when_the_time_for_it_is_over() {
    let folder = folder();
    let options = NodeOptions {
        drain_ms: 50,
        ..options(folder.path(), 1)
    };
    let stop = options.stop.clone();
    run(options, move |_| -> ServiceFuture {
        stop.stop();
        Box::pin(std::future::pending())
    })
    .unwrap();
}
