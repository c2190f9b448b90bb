//! What `sillon doctor` says of this host and of a configuration.

mod broker;

use std::net::TcpListener;

use broker::{Broker, data_dir, refused_at_start, run};
use serde_json::Value;

/// The report of a doctor that must be content, or not.
fn report(arguments: &[&str], is_content: bool) -> Value {
    let command = ["doctor", "--format", "json"];
    let output = run(&[&command[..], arguments].concat(), &[]);
    assert_eq!(output.status.success(), is_content, "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sum(parts: &Value) -> u64 {
    let parts = parts.as_array().unwrap().iter();
    parts.map(|part| part["bytes"].as_u64().unwrap()).sum()
}

fn line<'a>(report: &'a Value, subject: &str) -> &'a Value {
    let lines = report["host"].as_array().unwrap();
    let found = lines.iter().find(|line| line["subject"] == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {report}"))
}

#[test]
fn it_judges_the_host_and_does_the_sums_of_the_configuration() {
    let data = data_dir();
    let folder = data.path().join("not/there/yet");
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        folder.to_str().unwrap(),
        "--memory",
        "256MiB",
        "--journal",
        "64MiB",
        "--shards",
        "2",
        "--override",
        "max.connections=500",
    ];
    let report = report(&arguments, true);
    for subject in [
        "kernel",
        "io_uring",
        "locked memory",
        "open files",
        "processors",
        "memory",
        "data folder",
        "disk space",
        "device",
        "clock",
        "listener",
    ] {
        let line = line(&report, subject);
        assert_ne!(line["verdict"], "fail", "{line}");
        assert_eq!(line["verdict"] == "ok", line["mend"].is_null(), "{line}");
    }
    let memory = &report["memory"];
    let (within, beside) = (sum(&memory["within"]), sum(&memory["beside"]));
    assert_eq!(within, 256 << 20);
    assert_eq!(memory["budget_bytes"], 256 << 20);
    assert_eq!(memory["total_bytes"], within + beside);
    assert_eq!(report["descriptors"]["connections_max"], 500);
    assert_eq!(report["disk"]["journal_bytes"], 64 << 20);
    assert_eq!(report["disk"]["reserve_bytes"], 4 << 20);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);

    let command = [&["doctor"][..], &arguments].concat();
    let table = run(&command, &[]);
    let table = String::from_utf8(table.stdout).unwrap();
    for part in ["io_uring", "--memory", "together", "500 at most", "reserve"] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn what_keeps_a_broker_from_starting_is_told_in_the_same_words() {
    let data = data_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = data.path().to_str().unwrap();
    let report = report(&["--data-dir", folder, "--listen", &address], false);
    assert_eq!(report["verdict"], "fail");
    let said = line(&report, "listener")["detail"].as_str().unwrap();
    let refused = refused_at_start(&["--data-dir", folder, "--listen", &address]);
    assert!(refused.contains(said), "{refused} does not say {said}");

    for arguments in [
        &["--override", "num.partition=1"][..],
        &["--journal", "1MiB", "--shards", "2"],
        &[
            "--memory",
            "128MiB",
            "--shards",
            "2",
            "--override",
            "message.max.bytes=20000000",
        ],
        &["--config", "/no/such/file"],
    ] {
        let doctor = run(&[&["doctor"], arguments].concat(), &[]);
        assert!(!doctor.status.success());
        let said = String::from_utf8(doctor.stderr).unwrap();
        assert_eq!(said, refused_at_start(arguments));
    }
}

#[test]
fn beside_a_running_broker_it_says_whose_the_folder_is() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    let folder = data.path().to_str().unwrap();
    let arguments = ["--data-dir", folder, "--listen", &broker.address];
    let report = report(&arguments, true);
    let line = line(&report, "running broker");
    assert_eq!(line["verdict"], "warn");
    assert!(
        line["detail"]
            .as_str()
            .unwrap()
            .contains("in use by process"),
        "{line}"
    );
    broker.succeed(&["topic", "create", "furrow"], "");
    broker.stop();
}
