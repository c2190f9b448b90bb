//! What a start reads of `__consumer_offsets`: a million commits of a thousand partitions, before
//! and after compaction, against the bytes of the thousand that count.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use serde_json::json;
use sillon_bench::executor;
use sillon_bench::folder;
use sillon_bench::node::{Node, Size};
use sillon_bench::report::Format;
use sillon_disk::GlommioDisk;
use sillon_group::records::{CommittedOffset, offset_commit};
use sillon_group::{CommitPartition, CommitTopic, GroupRequest, OffsetCommit};
use sillon_record::{BatchBuilder, Compression, TopicId};
use sillon_shard::{GroupCall, OFFSETS_TOPIC, Request};

/// Commits that wait for their answer.
const IN_FLIGHT: usize = 1000;

const GROUP: &str = "facturation";
const TOPIC: &str = "paiement";

#[derive(Parser)]
#[command(about = "Bytes that a start reads of committed offsets", version)]
struct Options {
    /// A folder on the file system to measure; a folder of its own is made in it and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The core to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Commits, each of one partition
    #[arg(long, default_value_t = 1_000_000)]
    commits: usize,
    /// Partitions that offsets are committed of
    #[arg(long, default_value_t = 1000)]
    partitions: i32,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let measured = folder::within(&options.dir, |folder| {
        executor::run(options.core, measure(&options, folder))
    })?;
    measured?.print(&options);
    Ok(())
}

struct Measured {
    /// The newest record of each key, each in a batch of its own, in bytes.
    live_bytes: u64,
    before: Load,
    after: Load,
    compaction_s: f64,
}

/// What a start read, and how long it took.
struct Load {
    read_bytes: u64,
    ms: f64,
}

async fn start(folder: &Path, compaction_backoff_ms: u64) -> std::io::Result<Node<GlommioDisk>> {
    let disk = folder::disk(folder).await?;
    let size = Size {
        compaction_backoff_ms,
        ..Size::default()
    };
    Ok(Node::start(disk, size).await)
}

async fn measure(options: &Options, folder: &Path) -> std::io::Result<Measured> {
    let never_ms = Size::default().compaction_backoff_ms;
    let mut node = start(folder, never_ms).await?;
    let topic = node.create_topic(TOPIC, 1).await;
    // As FindCoordinator makes it, with one partition.
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "104857600"),
    ];
    node.create_topic_with(OFFSETS_TOPIC, 1, &configs).await;
    node.quiet().await;
    commit(&mut node, options, topic).await;
    node.stop().await.idle().await;
    let before = load(folder).await?;
    let mut node = start(folder, 50).await?;
    let began = Instant::now();
    while began.elapsed().as_millis() < 200 {
        node.quiet().await;
    }
    node.quiet().await;
    let compaction_s = began.elapsed().as_secs_f64();
    node.stop().await.idle().await;
    Ok(Measured {
        live_bytes: live_bytes(options),
        before,
        after: load(folder).await?,
        compaction_s,
    })
}

/// A start, and nothing else.
async fn load(folder: &Path) -> std::io::Result<Load> {
    let began = Instant::now();
    let node = start(folder, Size::default().compaction_backoff_ms).await?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    let read_bytes = node.read_bytes;
    node.stop().await.idle().await;
    Ok(Load { read_bytes, ms })
}

async fn commit(node: &mut Node<GlommioDisk>, options: &Options, topic: TopicId) {
    let (mut sent, mut answered) = (0, 0);
    while answered < options.commits {
        while sent < options.commits && sent - answered < IN_FLIGHT {
            let commit = OffsetCommit {
                group_id: GROUP.into(),
                generation: -1,
                topics: vec![CommitTopic {
                    name: TOPIC.into(),
                    id: topic,
                    partitions: vec![CommitPartition {
                        partition: (sent % options.partitions as usize) as i32,
                        offset: sent as i64,
                        leader_epoch: -1,
                        ..CommitPartition::default()
                    }],
                }],
                ..OffsetCommit::default()
            };
            let call = GroupCall::Ask(GroupRequest::OffsetCommit(commit));
            node.request(sent as u64, Request::Group(Box::new(call)));
            sent += 1;
        }
        node.perform();
        node.reply().await;
        answered += 1;
        while node.replies.pop_front().is_some() {
            answered += 1;
        }
    }
}

fn live_bytes(options: &Options) -> u64 {
    let newest = (0..options.partitions).map(|partition| {
        let committed = CommittedOffset {
            topic_id: TopicId([7; 16]),
            offset: options.commits as i64,
            leader_epoch: -1,
            metadata: "".into(),
            committed_ms: 0,
            expires_ms: None,
        };
        let record = offset_commit(GROUP, TOPIC, partition, &committed);
        let mut builder = BatchBuilder::new(Compression::None);
        let appended = builder.append(0, Some(&record.key), record.value.as_deref(), &[]);
        appended.expect("a small record has room");
        builder.build().len() as u64
    });
    newest.sum()
}

impl Measured {
    fn print(&self, options: &Options) {
        let ratio = |load: &Load| load.read_bytes as f64 / self.live_bytes as f64;
        match options.format {
            Format::Json => println!(
                "{}",
                json!({
                    "commits": options.commits,
                    "keys": options.partitions,
                    "live_bytes": self.live_bytes,
                    "read_before_bytes": self.before.read_bytes,
                    "read_after_bytes": self.after.read_bytes,
                    "ratio_after": ratio(&self.after),
                    "start_before_ms": self.before.ms,
                    "start_after_ms": self.after.ms,
                    "compaction_s": self.compaction_s,
                })
            ),
            Format::Table => {
                println!(
                    "{} commits of {} partitions; the newest of each: {} bytes",
                    options.commits, options.partitions, self.live_bytes
                );
                for (when, load) in [("before", &self.before), ("after", &self.after)] {
                    println!(
                        "{when:>6} compaction a start reads {:>11} bytes, {:>7.2} x the live ones, \
                         and takes {:>8.1} ms",
                        load.read_bytes,
                        ratio(load),
                        load.ms
                    );
                }
                println!(
                    "compaction took {:.2} s; the goal is 2 x at most: {}",
                    self.compaction_s,
                    if ratio(&self.after) <= 2.0 {
                        "met"
                    } else {
                        "MISSED"
                    }
                );
            }
        }
    }
}
