//! Consumer groups on the command line: `sillon group` and `sillon consume --group`.

mod broker;

use std::fs;

use broker::{Broker, Running, data_dir, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// A broker whose groups do not wait for members, with the topic furrow of three partitions.
fn start(data: &TempDir) -> Broker {
    let broker = Broker::start(data, &["--override", "group.initial.rebalance.delay.ms=0"]);
    broker.succeed(&["topic", "create", "furrow", "-p", "3"], "");
    broker
}

/// Writes lines `from` to `to` to each partition, a different text in each.
fn produce(broker: &Broker, from: u32, to: u32) -> Vec<String> {
    let mut all = Vec::new();
    for partition in ["0", "1", "2"] {
        let lines: Vec<String> = (from..to).map(|n| format!("{partition}:{n}")).collect();
        broker.succeed(&["produce", "furrow", "-p", partition], &lines.join("\n"));
        all.extend(lines);
    }
    all.sort();
    all
}

const MEMBER: [&str; 7] = [
    "consume",
    "furrow",
    "--group",
    "ploughs",
    "--from-beginning",
    "--auto-commit-interval-ms",
    "50",
];

fn member(broker: &Broker, more: &[&str]) -> Running {
    broker.begin(&[&MEMBER[..], more].concat())
}

/// What all of them have printed, sorted.
fn printed(members: &[&Running]) -> Vec<String> {
    let mut lines: Vec<String> = members.iter().flat_map(|member| member.lines()).collect();
    lines.sort();
    lines
}

fn described(broker: &Broker, view: &[&str]) -> Value {
    let command = ["group", "describe", "ploughs", "--format", "json"];
    let text = broker.succeed(&[&command[..], view].concat(), "");
    serde_json::from_str::<Value>(&text).unwrap()[0].clone()
}

/// Committed offset and lag of every partition.
fn offsets(broker: &Broker) -> Vec<(Option<i64>, Option<i64>)> {
    let group = described(broker, &[]);
    let partitions = group["partitions"].as_array().unwrap().iter();
    partitions
        .map(|row| (row["current_offset"].as_i64(), row["lag"].as_i64()))
        .collect()
}

/// The number of partitions of every member.
fn shares(broker: &Broker) -> Vec<usize> {
    let output = broker.run(
        &[
            "group",
            "describe",
            "ploughs",
            "--members",
            "--format",
            "json",
        ],
        "",
    );
    let Ok(groups) = serde_json::from_slice::<Value>(&output.stdout) else {
        return Vec::new();
    };
    let members = groups[0]["members"].as_array().unwrap().iter();
    let mut shares: Vec<usize> = members
        .map(|member| {
            let topics = member["assignment"].as_array().unwrap().iter();
            topics
                .map(|topic| topic["partitions"].as_array().unwrap().len())
                .sum()
        })
        .collect();
    shares.sort_unstable();
    shares
}

#[test]
fn two_members_share_a_topic_and_print_every_record_once() {
    let data = data_dir();
    let broker = start(&data);
    let (one, other) = (member(&broker, &[]), member(&broker, &[]));
    eventually("they share", || (shares(&broker) == [1, 2]).then_some(()));
    let written = produce(&broker, 0, 100);
    eventually("all is printed", || {
        (printed(&[&one, &other]).len() >= written.len()).then_some(())
    });
    assert_eq!(printed(&[&one, &other]), written);
    eventually("all is committed", || {
        (offsets(&broker) == [(Some(100), Some(0)); 3]).then_some(())
    });

    let state = broker.succeed(&["group", "describe", "ploughs", "--state"], "");
    let rows: Vec<Vec<&str>> = state
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    let coordinator = format!("{} (1)", broker.address);
    let coordinator: Vec<&str> = coordinator.split(' ').collect();
    assert_eq!(rows[1][0], "ploughs");
    assert_eq!(rows[1][1..3], coordinator);
    assert_eq!(rows[1][3..], ["range", "Stable", "2"]);
    let table = broker.succeed(&["group", "describe", "ploughs"], "");
    let heading = table.lines().next().unwrap().split_whitespace();
    assert!(
        heading.eq(
            "GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST \
                        CLIENT-ID"
                .split_whitespace()
        )
    );
    assert_eq!(table.lines().count(), 4);

    for refused in [
        &[
            "group",
            "reset-offsets",
            "--group",
            "ploughs",
            "--all-topics",
            "--to-earliest",
        ][..],
        &[
            "group",
            "delete-offsets",
            "--group",
            "ploughs",
            "--topic",
            "furrow:0",
        ],
        &["group", "delete", "ploughs"],
    ] {
        broker.fail(refused, "");
    }
    one.stop();
    eventually("the other has everything", || {
        (shares(&broker) == [3]).then_some(())
    });
    other.stop();
    assert_eq!(described(&broker, &["--state"])["state"], "Empty");
    assert_eq!(offsets(&broker), [(Some(100), Some(0)); 3]);
    broker.stop();
}

#[test]
fn what_a_killed_member_had_committed_is_not_printed_again() {
    let data = data_dir();
    let broker = start(&data);
    let written = produce(&broker, 0, 10);
    let named = ["--group-instance-id", "the-one"];
    let one = member(&broker, &named);
    eventually("all is committed", || {
        let output = broker.run(&["group", "describe", "ploughs"], "");
        let is_known = output.status.success();
        (is_known && offsets(&broker) == [(Some(10), Some(0)); 3]).then_some(())
    });
    let mut before = one.kill();
    before.sort();
    assert_eq!(before, written);
    let written = produce(&broker, 10, 20);
    let other = member(&broker, &named);
    eventually("the rest is printed", || {
        (printed(&[&other]).len() >= written.len()).then_some(())
    });
    assert_eq!(printed(&[&other]), written);
    other.stop();
    broker.stop();
}

#[test]
fn a_member_ends_at_the_end_after_a_count_and_commits_only_what_it_may() {
    let data = data_dir();
    let broker = start(&data);
    let written = produce(&broker, 0, 10);
    let once = [&MEMBER[..5], &["--until-end"]].concat();
    let unkept = [&once[..], &["--no-auto-commit"]].concat();
    for command in [&unkept, &once] {
        let mut lines: Vec<String> = broker
            .succeed(command, "")
            .lines()
            .map(str::to_string)
            .collect();
        lines.sort();
        assert_eq!(lines, written);
    }
    assert_eq!(broker.succeed(&once, ""), "", "it was committed");
    produce(&broker, 10, 20);
    let counted = [&once[..], &["-n", "7"]].concat();
    assert_eq!(broker.succeed(&counted, "").lines().count(), 7);
    let committed: i64 = offsets(&broker)
        .iter()
        .map(|(offset, _)| offset.unwrap())
        .sum();
    assert_eq!(committed, 37, "what was not printed is not committed");
    broker.stop();
}

#[test]
fn a_reset_is_planned_shown_and_carried_out() {
    let data = data_dir();
    let broker = start(&data);
    produce(&broker, 0, 10);
    let reset = |arguments: &[&str]| {
        let command = [
            "group",
            "reset-offsets",
            "--group",
            "ploughs",
            "--format",
            "json",
        ];
        let text = broker.succeed(&[&command[..], arguments].concat(), "");
        let reset: Value = serde_json::from_str(&text).unwrap();
        let offsets = reset["offsets"].as_array().unwrap().iter();
        offsets
            .map(|row| {
                (
                    row["old_offset"].as_i64(),
                    row["new_offset"].as_i64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    let all = ["--topic", "furrow"];
    let plan = reset(&[&all[..], &["--to-latest"]].concat());
    assert_eq!(plan, [(None, 10); 3]);
    let said = broker.fail(&["group", "describe", "ploughs"], "");
    assert!(
        said.contains("there is no group ploughs"),
        "a plan changes nothing: {said}"
    );

    reset(&[&all[..], &["--to-offset", "4", "--execute"]].concat());
    assert_eq!(offsets(&broker), [(Some(4), Some(6)); 3]);
    let some = ["--topic", "furrow:0,2", "--shift-by", "-3", "--execute"];
    assert_eq!(reset(&some), [(Some(4), 1), (Some(4), 1)]);
    let everywhere = ["--all-topics", "--shift-by", "50", "--dry-run"];
    assert_eq!(
        reset(&everywhere),
        [(Some(1), 10), (Some(4), 10), (Some(1), 10)]
    );
    assert_eq!(reset(&["--all-topics", "--to-current"])[1], (Some(4), 4));
    assert_eq!(reset(&["--all-topics", "--to-earliest"])[1], (Some(4), 0));
    assert_eq!(
        reset(&["--all-topics", "--by-duration", "PT1H"])[1],
        (Some(4), 0)
    );
    let past = ["--all-topics", "--to-datetime", "2020-01-01T00:00:00.000"];
    assert_eq!(reset(&past)[1], (Some(4), 0));
    let future = ["--all-topics", "--to-datetime", "2100-01-01T00:00:00.000"];
    assert_eq!(reset(&future)[1], (Some(4), 10));

    let export = [
        "group",
        "reset-offsets",
        "--group",
        "ploughs",
        "--all-topics",
        "--export",
    ];
    let exported = broker.succeed(&[&export[..], &["--to-offset", "7"]].concat(), "");
    assert_eq!(exported, "furrow,0,7\nfurrow,1,7\nfurrow,2,7\n");
    let file = data.path().join("plan.csv");
    fs::write(&file, &exported).unwrap();
    reset(&["--from-file", file.to_str().unwrap(), "--execute"]);
    assert_eq!(offsets(&broker), [(Some(7), Some(3)); 3]);

    let command = [&MEMBER[..5], &["--until-end"]].concat();
    assert_eq!(broker.succeed(&command, "").lines().count(), 9);
    broker.stop();
}

#[test]
fn groups_and_offsets_are_deleted_and_what_is_wrong_is_said() {
    let data = data_dir();
    let broker = start(&data);
    let reset = [
        "group",
        "reset-offsets",
        "--topic",
        "furrow",
        "--to-latest",
        "--execute",
    ];
    for group in ["ploughs", "carts"] {
        broker.succeed(&[&reset[..], &["--group", group]].concat(), "");
    }
    let listed = broker.succeed(&["group", "list"], "");
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["GROUP", "TYPE", "STATE"]);
    assert_eq!(rows[1], ["carts", "Classic", "Empty"]);
    assert_eq!(rows[2], ["ploughs", "Classic", "Empty"]);
    let stable = broker.succeed(
        &["group", "list", "--state", "stable", "--format", "json"],
        "",
    );
    assert_eq!(stable, "[]\n");

    let delete = [
        "group",
        "delete-offsets",
        "--group",
        "ploughs",
        "--topic",
        "furrow:1",
    ];
    let deleted = broker.succeed(&delete, "");
    assert!(
        deleted.lines().nth(1).unwrap().contains("deleted"),
        "{deleted}"
    );
    assert_eq!(offsets(&broker).len(), 2);

    let said = broker.fail(&["group", "delete", "ploughs", "nope", "carts"], "");
    assert_eq!(said, "sillon: 1 of 3 groups are still there\n");
    assert_eq!(
        broker.succeed(&["group", "list", "--format", "json"], ""),
        "[]\n"
    );

    for (arguments, complaint) in [
        (
            &["group", "describe", "nope"][..],
            "there is no group nope; sillon group list",
        ),
        (
            &[
                "group",
                "reset-offsets",
                "--group",
                "g",
                "--all-topics",
                "--to-latest",
            ],
            "group g has committed nothing",
        ),
        (
            &[
                "group",
                "reset-offsets",
                "--group",
                "g",
                "--topic",
                "nope",
                "--to-latest",
            ],
            "there is no topic nope",
        ),
        (
            &[
                "group",
                "reset-offsets",
                "--group",
                "g",
                "--topic",
                "furrow:9",
                "--to-latest",
            ],
            "topic furrow has no partition 9",
        ),
        (
            &[
                "group",
                "reset-offsets",
                "--group",
                "g",
                "--topic",
                "furrow",
                "--shift-by",
                "1",
            ],
            "there is no offset to shift",
        ),
        (
            &[
                "group",
                "delete-offsets",
                "--group",
                "nope",
                "--topic",
                "furrow",
            ],
            "there is no group nope",
        ),
        (
            &["consume", "nope", "--group", "g"],
            "there is no topic nope",
        ),
    ] {
        let said = broker.fail(arguments, "");
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
    broker.stop();
}
