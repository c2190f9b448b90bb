//! What people and scripts see: `sillon serve` and the commands that talk to it.

mod broker;

use broker::{Broker, data_dir, refused_at_start};

#[test]
fn topics_are_created_described_listed_and_deleted() {
    let data = data_dir();
    let broker = Broker::start(&data, &["--override", "num.partitions=2"]);
    let created = broker.succeed(&["topic", "create", "furrow", "-p", "3"], "");
    assert!(created.starts_with("CREATED  ID\nfurrow   "), "{created}");
    broker.succeed(&["topic", "create", "field"], "");

    let listed = broker.succeed(&["topic", "list"], "");
    let columns =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_string).collect() };
    let rows: Vec<Vec<String>> = listed.lines().map(columns).collect();
    assert_eq!(rows[0], ["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
    assert_eq!(rows[1][..3], ["field", "2", "1"]);
    assert_eq!(rows[2][..3], ["furrow", "3", "1"]);

    broker.succeed(&["produce", "furrow", "-p", "1"], "one\ntwo\n");
    let described = broker.succeed(&["topic", "describe", "furrow", "--format", "json"], "");
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let partitions = described["partitions"].as_array().unwrap();
    let ends = partitions
        .iter()
        .map(|partition| partition["high_watermark"].as_i64());
    assert!(ends.eq([Some(0), Some(2), Some(0)]), "{described}");

    let deleted = broker.succeed(&["topic", "delete", "furrow", "field"], "");
    assert_eq!(deleted, "DELETED\nfurrow\nfield\n");
    assert_eq!(
        broker.succeed(&["topic", "list", "--format", "json"], ""),
        "[]\n"
    );
    broker.stop();
}

#[test]
fn records_come_out_as_they_went_in() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    broker.succeed(&["topic", "create", "furrow"], "");
    broker.succeed(&["produce", "furrow", "-k", ":"], "a:1\nb:2\nc:x:y\n");
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        broker.succeed(
            &["produce", "furrow", "--compression", codec],
            &format!("{codec}\n"),
        );
    }
    let all = ["consume", "furrow", "--from-beginning", "--until-end"];
    let printed = broker.succeed(&all, "");
    assert_eq!(printed, "1\n2\nx:y\ngzip\nsnappy\nlz4\nzstd\n");

    let printed = broker.succeed(
        &[&all[..], &["--keys", "--offsets", "-n", "3"]].concat(),
        "",
    );
    assert_eq!(printed, "0\t0\ta\t1\n0\t1\tb\t2\n0\t2\tc\tx:y\n");

    let from = [
        "consume", "furrow", "--offset", "2", "-n", "1", "--format", "json",
    ];
    let printed = broker.succeed(&from, "");
    let record: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(record["offset"], 2);
    assert_eq!(record["key"], "c");
    assert_eq!(record["value"], "x:y");
    broker.stop();
}

#[test]
fn records_are_there_after_a_stop_and_after_a_kill() {
    let data = data_dir();
    let consume = ["consume", "furrow", "--from-beginning", "--until-end"];
    let numbers = |from: u32, to: u32| -> String { (from..to).map(|n| format!("{n}\n")).collect() };

    let broker = Broker::start(&data, &[]);
    broker.succeed(&["topic", "create", "furrow"], "");
    broker.succeed(&["produce", "furrow"], &numbers(0, 10_000));
    broker.stop();

    let broker = Broker::start(&data, &[]);
    assert_eq!(broker.succeed(&consume, ""), numbers(0, 10_000));
    broker.succeed(&["produce", "furrow"], &numbers(10_000, 20_000));
    broker.kill();

    let broker = Broker::start(&data, &[]);
    assert_eq!(broker.succeed(&consume, ""), numbers(0, 20_000));
    broker.stop();
}

#[test]
fn records_before_an_offset_are_given_up_in_all_partitions_or_in_one() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    broker.succeed(&["topic", "create", "furrow", "-p", "2"], "");
    for partition in ["0", "1"] {
        broker.succeed(&["produce", "furrow", "-p", partition], "one\ntwo\nthree\n");
    }
    let delete = ["topic", "delete-records", "furrow", "--before"];
    let starts = broker.succeed(&[&delete[..], &["2", "-p", "1"]].concat(), "");
    assert_eq!(starts, "PARTITION  LOG START\n        1          2\n");
    let starts = broker.succeed(&[&delete[..], &["1"]].concat(), "");
    assert_eq!(
        starts,
        "PARTITION  LOG START\n        0          1\n        1          2\n"
    );
    let all = ["consume", "furrow", "--from-beginning", "--until-end"];
    let mut left: Vec<String> = broker
        .succeed(&all, "")
        .lines()
        .map(str::to_owned)
        .collect();
    left.sort();
    assert_eq!(left, ["three", "three", "two"]);
    let refused = broker.fail(&[&delete[..], &["9"]].concat(), "");
    assert!(refused.contains("OFFSET_OUT_OF_RANGE"), "{refused}");
    broker.succeed(&[&delete[..], &["end"]].concat(), "");
    assert_eq!(broker.succeed(&all, ""), "");
    broker.stop();
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let data = data_dir();
    let broker = Broker::start(&data, &["--override", "auto.create.topics.enable=false"]);
    broker.succeed(&["topic", "create", "furrow", "-p", "2"], "");
    for (arguments, complaint) in [
        (&["topic", "describe", "nope"][..], "there is no topic nope"),
        (&["produce", "nope"], "there is no topic nope"),
        (
            &["consume", "furrow", "-p", "7"],
            "topic furrow has no partition 7",
        ),
        (&["topic", "create", "furrow"], "TOPIC_ALREADY_EXISTS (36)"),
        (&["topic", "create", "a b"], "INVALID_TOPIC_EXCEPTION (17)"),
        (
            &["topic", "create", "x", "-c", "retention.mss=1"],
            "INVALID_CONFIG (40)",
        ),
        (
            &["topic", "create", "x", "-r", "3"],
            "INVALID_REPLICATION_FACTOR (38)",
        ),
        (
            &["consume", "furrow", "--offset", "5", "-n", "1"],
            "OFFSET_OUT_OF_RANGE (1)",
        ),
    ] {
        let said = broker.fail(arguments, "");
        assert!(said.contains(complaint), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
    let said = broker.fail(&["produce", "furrow", "-k", ":"], "a:1\nno key\n");
    assert!(said.contains("line 2 has no key"), "{said}");
    let consume = ["consume", "furrow", "--from-beginning", "--until-end"];
    assert_eq!(
        broker.succeed(&consume, ""),
        "1\n",
        "the line before was written"
    );
    broker.stop();
}

#[test]
fn a_setting_that_does_not_exist_is_refused_before_anything_starts() {
    let data = data_dir();
    let folder = data.path().to_str().unwrap();
    let said = refused_at_start(&["--data-dir", folder, "--override", "num.partition=3"]);
    assert!(said.contains("did you mean num.partitions?"), "{said}");
    let said = refused_at_start(&["--data-dir", folder, "--memory", "1MiB"]);
    assert!(said.contains("at least 128MiB"), "{said}");
}

#[test]
fn two_brokers_do_not_share_a_folder_or_a_port() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    let folder = data.path().to_str().unwrap();
    let said = refused_at_start(&["--listen", "127.0.0.1:0", "--data-dir", folder]);
    assert!(said.contains("sillon: "), "{said}");
    let other = data_dir();
    let folder = other.path().to_str().unwrap();
    let said = refused_at_start(&["--listen", &broker.address, "--data-dir", folder]);
    assert!(said.contains("cannot listen on"), "{said}");
    broker.stop();
}

#[test]
fn the_ready_line_says_where_and_how_fast() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    let ready = broker
        .first_words
        .lines()
        .find(|line| line.starts_with("ready at "));
    let ready = ready.unwrap();
    assert!(
        ready.contains(&broker.address) && ready.contains(" ms ("),
        "{ready}"
    );
    broker.stop();
}
