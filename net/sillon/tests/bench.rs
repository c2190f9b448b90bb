//! `sillon bench` as people and scripts see it, on a broker of its own and on one that runs.

mod broker;

use broker::{Broker, bench, data_dir};
use sillon_loadgen::BenchReport;

/// A broker that is started for a test is small.
const SMALL: [&str; 3] = [
    "--broker-arg=--memory=128MiB",
    "--broker-arg=--journal=64MiB",
    "--broker-arg=--shards=1",
];

fn short(dir: &tempfile::TempDir) -> Vec<String> {
    let dir = dir.path().to_str().unwrap().to_string();
    let times = ["--duration", "1", "--warm-up", "0.2", "--dir", &dir];
    let all = times.iter().chain(&SMALL);
    all.map(|argument| argument.to_string()).collect()
}

#[test]
fn a_run_on_a_broker_of_its_own_is_verified_and_leaves_nothing_behind() {
    let data = data_dir();
    let (log, page) = (data.path().join("run.hlog"), data.path().join("run.html"));
    let (log, page) = (log.to_str().unwrap(), page.to_str().unwrap());
    let mut arguments = short(&data);
    let more = [
        "--format",
        "json",
        "--rate",
        "500",
        "--tailing",
        "1",
        "--hdr-log",
        log,
        "--html",
        page,
    ];
    arguments.extend(more.map(str::to_string));
    let output = bench(&arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let report: BenchReport = serde_json::from_slice(&output.stdout).unwrap();
    let [run] = &report.runs[..] else {
        panic!("one run was asked for: {report:?}");
    };
    assert!(run.verification.passed && run.verification.is_complete);
    // 1.2 s of 500 records, and 10 before for each partition, with what was under way then.
    let acknowledged = run.verification.acknowledged_records;
    assert!((760..=792).contains(&acknowledged), "{acknowledged}");
    assert_eq!(run.verification.read_back_records, acknowledged);
    assert!(run.target.is_embedded && run.cpu.broker_s.is_some());
    assert!(run.memory.broker_rss_bytes.is_some_and(|bytes| bytes > 0));
    assert!(
        run.end_to_end
            .as_ref()
            .is_some_and(|flow| flow.requests > 0)
    );
    assert!(
        run.ceiling
            .as_ref()
            .is_some_and(|ceiling| ceiling.requests_per_s > 0.0)
    );
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("Tag=produce,") && log.contains("Tag=end-to-end,"),
        "{log}"
    );
    assert!(std::fs::read_to_string(page).unwrap().contains("</html>"));
    let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_run_on_a_broker_that_runs_prints_a_table_and_deletes_its_topics() {
    let data = data_dir();
    let broker = Broker::start(&data, &[]);
    let arguments = [
        "bench",
        "--scenario=saturation-100x100",
        "--duration=1",
        "--warm-up=0.1",
        "--connections=2",
        "--in-flight=1",
        "--partitions=4",
        "--no-ceiling",
        "--name=the broker under test",
    ];
    let printed = broker.succeed(&arguments, "");
    assert!(printed.contains("saturation-100x100: "), "{printed}");
    for part in [
        "REQUESTS/S",
        "P99.99",
        "  produce",
        "CPU s/GB",
        "all read back and compared",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert_eq!(
        broker.succeed(&["topic", "list", "--format", "json"], ""),
        "[]\n"
    );
    broker.stop();
}

#[test]
fn what_cannot_be_run_is_told_before_a_broker_is_started() {
    let complaint = |arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|text| text.to_string()).collect();
        let output = bench(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(complaint(&["-s", "no-such"]).contains("--list names those"));
    assert!(complaint(&["--record-bytes", "5"]).contains("records.value_bytes is 5"));
    assert!(complaint(&["--ramp-to", "5"]).contains("a ramp begins at produce.rate"));
    assert!(complaint(&["--no-produce"]).contains("nothing to measure"));
}

/// Files as `sillon bench` and `bench/compare` write them.
const MEASURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../loadgen/tests/report");

#[test]
fn a_page_is_made_of_what_was_measured_before() {
    let data = data_dir();
    let page = data.path().join("page.html");
    for (name, title) in [
        ("run", "sillon: sixteen"),
        ("comparison", "sillon compared with kafka"),
    ] {
        let measured = format!("{MEASURED}/{name}.json");
        let output =
            bench(&["report", &measured, "-o", page.to_str().unwrap()].map(str::to_string));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
        let html = std::fs::read_to_string(&page).unwrap();
        assert!(html.contains(&format!("<title>{title}</title>")), "{title}");
    }
}

#[test]
fn a_page_of_what_is_not_there_names_the_file() {
    let output = bench(&["report".to_string(), "nothing.json".to_string()]);
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("cannot read nothing.json"),
        "{complaint}"
    );
}
