//! What an operator sees of a data folder on which no broker runs.

mod broker;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Output;

use broker::{Broker, data_dir};
use serde_json::Value;
use tempfile::TempDir;

fn offline(arguments: &[&str]) -> Output {
    broker::run(arguments, &[])
}

fn run(command: [&str; 2], data: &TempDir, more: &[&str]) -> Output {
    let folder = data.path().to_str().unwrap();
    offline(&[&command, &[folder][..], more].concat())
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every round that a start would replay, as `journal dump` has it.
fn rounds(data: &TempDir) -> Vec<Value> {
    let dumped = run(["journal", "dump"], data, &["--format", "json"]);
    assert!(dumped.status.success(), "{}", complaint(&dumped));
    let printed = printed(&dumped);
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A folder whose broker was killed after it had acknowledged ten records, one a request.
fn killed() -> TempDir {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    broker.succeed(&["topic", "create", "furrow"], "");
    for number in 0..10 {
        broker.succeed(&["produce", "furrow"], &format!("{number}\n"));
    }
    broker.kill();
    data
}

fn batches(round: &Value) -> usize {
    let entries = round["entries"].as_array().unwrap();
    let batches = entries.iter().filter(|entry| entry["kind"] == "batch");
    batches.count()
}

#[test]
fn a_running_brokers_folder_is_left_alone() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    for command in [
        ["journal", "verify"],
        ["journal", "dump"],
        ["log", "verify"],
    ] {
        let refused = run(command, &data, &[]);
        assert!(!refused.status.success());
        assert!(complaint(&refused).contains("in use by process"));
    }
    broker.stop();
    let no_folder = data_dir();
    let refused = run(["journal", "verify"], &no_folder, &[]);
    assert!(complaint(&refused).contains("no data folder"));
}

#[test]
fn a_stopped_broker_has_a_clean_journal_and_whole_segments() {
    let data = data_dir();
    let broker = Broker::start(&data, &["--override", "log.segment.bytes=1048576"]);
    broker.succeed(&["topic", "create", "furrow"], "");
    let lines: String = (0..4000).map(|n| format!("{n:0>1000}\n")).collect();
    broker.succeed(&["produce", "furrow"], &lines);
    broker.stop();
    let journal = run(["journal", "verify"], &data, &[]);
    assert!(journal.status.success(), "{}", complaint(&journal));
    assert!(printed(&journal).contains("clean stop"));
    assert!(rounds(&data).is_empty());

    let verified = run(["log", "verify"], &data, &["--format", "json"]);
    assert!(verified.status.success(), "{}", complaint(&verified));
    let verified: Value = serde_json::from_str(&printed(&verified)).unwrap();
    assert_eq!(verified[0]["partition"], "furrow-0");
    assert_eq!(verified[0]["records"], 4000);
    assert!(verified[0]["segments"].as_u64().unwrap() > 2);

    let segment = data.path().join("furrow-0/00000000000000000000.log");
    let path = segment.to_str().unwrap();
    let inspected = offline(&["log", "inspect", path, "--format", "json", "--records"]);
    assert!(inspected.status.success(), "{}", complaint(&inspected));
    let printed = printed(&inspected);
    let batch: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!(batch["base_offset"], 0);
    assert_eq!(batch["content"][0]["value"], format!("{:0>1000}", 0));

    // One bit of a closed segment.
    let file = std::fs::File::options().write(true).open(&segment).unwrap();
    file.write_all_at(b"X", 70_000).unwrap();
    let verified = run(["log", "verify"], &data, &[]);
    assert!(!verified.status.success());
    assert!(complaint(&verified).contains("00000000000000000000.log: byte"));
    let inspected = offline(&["log", "inspect", path]);
    assert!(!inspected.status.success());
    assert!(complaint(&inspected).contains("CRC-32C"));
}

#[test]
fn damage_to_what_was_promised_stops_the_start_until_the_loss_is_accepted() {
    let data = killed();
    let verified = run(["journal", "verify"], &data, &[]);
    assert!(verified.status.success(), "{}", complaint(&verified));
    let nothing = run(["journal", "repair"], &data, &["--accept-loss"]);
    assert!(printed(&nothing).contains("nothing to repair"));

    // The round of the fourth record, in the middle of its ring file.
    let rounds = rounds(&data);
    let with_records: Vec<&Value> = rounds.iter().filter(|round| batches(round) > 0).collect();
    assert_eq!(with_records.len(), 10);
    let lost = with_records[3];
    let journals = std::fs::read_dir(data.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_journal = |path: &PathBuf| path.to_string_lossy().contains("/journal-");
    let journal = journals.into_iter().find(is_journal).unwrap();
    let ring = journal.join(format!("ring-{}", lost["file"]));
    let ring = std::fs::File::options().write(true).open(ring).unwrap();
    ring.write_all_at(b"X", lost["offset"].as_u64().unwrap() + 20)
        .unwrap();

    let verified = run(["journal", "verify"], &data, &[]);
    assert!(!verified.status.success());
    let place = format!("round {}", lost["sequence"]);
    assert!(
        complaint(&verified).contains(&place),
        "{}",
        complaint(&verified)
    );
    let refused = broker::refused_at_start(&[
        "--data-dir",
        data.path().to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--journal",
        "64MiB",
    ]);
    assert!(refused.contains(&place), "{refused}");
    assert!(refused.contains("sillon journal repair"), "{refused}");

    let shown = run(["journal", "repair"], &data, &[]);
    assert!(!shown.status.success(), "the loss is not accepted yet");
    assert!(printed(&shown).contains("furrow-0"), "{}", printed(&shown));
    let repaired = run(["journal", "repair"], &data, &["--accept-loss"]);
    assert!(repaired.status.success(), "{}", complaint(&repaired));
    let folders = std::fs::read_dir(data.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_saved = |path: &PathBuf| path.extension().is_some_and(|end| end == "saved");
    let saved = folders.into_iter().find(is_saved).unwrap();
    let report: Value =
        serde_json::from_slice(&std::fs::read(saved.join("report.json")).unwrap()).unwrap();
    let partition = &report["partitions"]["furrow-0"];
    assert_eq!(partition["first_lost_offset"], 3);
    assert_eq!(partition["last_lost_offset"], 9);
    assert_eq!(partition["batches_saved"], 6);
    let saved_log = saved.join("furrow-0/00000000000000000004.log");
    let inspected = offline(&["log", "inspect", saved_log.to_str().unwrap(), "--records"]);
    assert!(
        printed(&inspected).contains("value \"9\""),
        "{}",
        printed(&inspected)
    );

    let broker = Broker::start(&data, &[]);
    let all = ["consume", "furrow", "--from-beginning", "--until-end"];
    assert_eq!(broker.succeed(&all, ""), "0\n1\n2\n");
    broker.succeed(&["produce", "furrow"], "again\n");
    broker.stop();
    let broker = Broker::start(&data, &[]);
    assert_eq!(broker.succeed(&all, ""), "0\n1\n2\nagain\n");
    broker.stop();
}
