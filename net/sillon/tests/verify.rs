//! `sillon verify` as people and scripts see it.

mod broker;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use broker::{Broker, data_dir, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// Groups that are quick enough for a short run.
const QUICK: [&str; 2] = [
    "--override=group.min.session.timeout.ms=500",
    "--override=group.initial.rebalance.delay.ms=0",
];

const SHORT: [&str; 12] = [
    "verify",
    "run",
    "--session-timeout-ms",
    "1000",
    "--commit-ms",
    "50",
    "--churn-ms",
    "500",
    "--kill-consumers",
    "--rate",
    "2000",
    "--format",
];

fn report(printed: &str) -> serde_json::Value {
    serde_json::from_str(printed).unwrap()
}

#[test]
fn a_run_on_a_sound_broker_finds_nothing_and_leaves_nothing_behind() {
    let data = data_dir();
    let broker = Broker::start(&data, &QUICK);
    let arguments = [&SHORT[..], &["json", "--duration", "3"]].concat();
    let found = report(&broker.succeed(&arguments, ""));
    assert_eq!(found["anomalies"], serde_json::json!({}));
    assert_eq!(found["shortcomings"], serde_json::json!([]));
    let count = |name: &str| found["counts"][name].as_u64().unwrap();
    assert!(count("acknowledged") > 100, "{found}");
    assert_eq!((count("unknown"), count("failed")), (0, 0));
    // All of it in the end, and before that what the members came to.
    assert!(count("polled") > count("acknowledged"), "{found}");
    assert_eq!(count("drained"), 4);
    assert!(count("generations") > 1 && count("commits") > 1, "{found}");
    assert!(!Path::new(found["history"].as_str().unwrap()).exists());
    assert!(!broker.succeed(&["topic", "list"], "").contains("verify"));
    broker.stop();
}

/// Waits until a history has so many lines that hold `text`.
fn wait_for(history: &Path, text: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let written = fs::read_to_string(history).unwrap_or_default();
        if written.matches(text).count() >= count {
            return;
        }
        assert!(Instant::now() < deadline, "{count} times {text}: {written}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_survives_a_broker_that_is_killed_and_comes_back() {
    let data = data_dir();
    let broker = Broker::start(&data, &QUICK);
    let address = broker.address.clone();
    let history = data.path().join("run.history");
    let verifying = {
        let (address, history) = (address.clone(), history.clone());
        thread::spawn(move || {
            let more = [
                "json",
                "--duration",
                "6",
                "--bootstrap",
                &address,
                "--history",
            ];
            let history = history.to_str().unwrap();
            run(
                &[&SHORT[..], &more, &[history, "--topic", "t"]].concat(),
                &[],
            )
        })
    };
    let commits = r#""op":"commit","type":"ok""#;
    wait_for(&history, commits, 5);
    broker.kill();
    let listen = [&["--listen", address.as_str()], &QUICK[..]].concat();
    let broker = Broker::start(&data, &listen);
    let output = verifying.join().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    let found = report(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(found["anomalies"], serde_json::json!({}));
    // What was named stays.
    assert!(broker.succeed(&["topic", "list"], "").contains('t'));
    let again = broker.run(&["verify", "run", "--topic", "t", "--duration", "1"], "");
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds records already"));
    broker.stop();
    let again = run(&["verify", "check", history.to_str().unwrap()], &[]);
    assert_eq!(again.status.code(), Some(0));
    let printed = String::from_utf8(again.stdout).unwrap();
    assert!(printed.starts_with("topic t, "), "{printed}");
}

#[test]
fn the_exit_code_tells_anomalies_from_histories_that_prove_nothing() {
    let folder = data_dir();
    let history = folder.path().join("history");
    let check = |lines: &[&str]| {
        let header = r#"{"format":"sillon-history","version":1,"topic":"t"}"#;
        fs::write(&history, [&[header], lines].concat().join("\n")).unwrap();
        run(&["verify", "check", history.to_str().unwrap()], &[])
    };
    let sent = [
        r#"{"t":1,"p":1,"op":"send","type":"invoke","partition":0,"first":7,"count":2}"#,
        r#"{"t":2,"p":1,"op":"send","type":"ok","partition":0,"first":7,"offset":0}"#,
        r#"{"t":3,"p":2,"op":"seek","type":"ok","partition":0,"offset":0}"#,
    ];
    let drained = r#"{"t":5,"p":2,"op":"drain","type":"ok","partition":0,"from":0,"end":2}"#;
    let poll = r#"{"t":4,"p":2,"op":"poll","type":"ok","partition":0,"runs":[[0,7,2,0]]}"#;
    let sound = check(&[&sent[..], &[poll, drained]].concat());
    assert_eq!(sound.status.code(), Some(0));

    let torn = r#"{"t":4,"p":2,"op":"poll","type":"ok","partition":0,"runs":[[0,7,1,0]]}"#;
    let lost = check(&[&sent[..], &[torn, drained]].concat());
    assert_eq!(lost.status.code(), Some(1));
    let printed = String::from_utf8(lost.stdout).unwrap();
    assert!(
        printed.contains("unseen                   1\n"),
        "{printed}"
    );
    assert!(
        printed.contains("value 8 was acknowledged at offset 1"),
        "{printed}"
    );
    assert!(printed.contains("[lines 2, 3, 6]"), "{printed}");

    let nothing = check(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    let complaint = String::from_utf8(nothing.stderr).unwrap();
    assert!(
        complaint.contains("no send was acknowledged"),
        "{complaint}"
    );
    assert_eq!(check(&["{}"]).status.code(), Some(2));
    let missing = run(&["verify", "check", "no-such-history"], &[]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_broker_that_cannot_be_reached_is_no_anomaly() {
    let ran = run(&["verify", "run", "--bootstrap", "127.0.0.1:1"], &[]);
    assert_eq!(ran.status.code(), Some(2));
}
