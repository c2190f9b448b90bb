//! The JSON of a report is what others build on.

use sillon_loadgen::run_report::*;
use sillon_loadgen::{BenchReport, RunReport, Scenario};

fn latency() -> Latency {
    Latency {
        count: 3,
        mean_us: 2.0,
        min_us: 1.0,
        p50_us: 2.0,
        p90_us: 3.0,
        p99_us: 3.0,
        p99_9_us: 3.0,
        p99_99_us: 3.0,
        max_us: 3.0,
        resolution_us: 0.001,
        percentiles: vec![Percentile {
            percentile: 100.0,
            value_us: 3.0,
        }],
    }
}

fn report() -> RunReport {
    RunReport {
        scenario: Scenario::parse("name = \"x\"\n[produce]\nrate = 5.0", "x.toml").unwrap(),
        target: Target {
            name: "sillon".to_string(),
            bootstrap: "127.0.0.1:9092".to_string(),
            is_embedded: true,
            pid: Some(7),
            brokers: 1,
            cluster_id: None,
        },
        machine: Machine {
            cpu: "a processor".to_string(),
            cores: 2,
            memory_bytes: 1 << 30,
            kernel: "6.1".to_string(),
            load_average: 0.5,
        },
        started_unix_ms: 1_700_000_000_000,
        measured_s: 10.0,
        produce: Some(Flow {
            requests: 3,
            records: 48,
            payload_bytes: 49_152,
            requests_per_s: 0.3,
            records_per_s: 4.8,
            mb_per_s: 0.0049,
            latency: Some(latency()),
        }),
        end_to_end: None,
        fetch: None,
        errors: vec![ErrorCount {
            kind: "produce".to_string(),
            code: Some(6),
            what: "NOT_LEADER_OR_FOLLOWER".to_string(),
            count: 2,
        }],
        unanswered: 1,
        unsent: 0,
        lateness: Some(latency()),
        seconds: vec![Second {
            end_s: 1.0,
            length_s: 1.0,
            offered_requests_per_s: Some(5.0),
            produce: Some(Window::default()),
            end_to_end: None,
            fetch: None,
            errors: 2,
            broker_cpu_s: Some(0.5),
            broker_rss_bytes: Some(1 << 26),
        }],
        cpu: Cpu {
            broker_s: Some(1.0),
            generator_s: 0.5,
            payload_gb: 0.1,
            broker_s_per_gb: Some(10.0),
            generator_s_per_gb: Some(5.0),
            broker_us_per_request: Some(3.0),
            generator_us_per_request: Some(1.0),
        },
        memory: Memory::default(),
        verification: Verification::default(),
        ceiling: Some(Ceiling {
            requests_per_s: 100_000.0,
            share: 0.1,
            is_generator_bound: false,
        }),
        knee: None,
    }
}

#[test]
fn a_report_reads_back_from_its_json() {
    let report = BenchReport {
        format: FORMAT,
        runs: vec![report()],
    };
    let json = serde_json::to_string(&report).unwrap();
    let read: BenchReport = serde_json::from_str(&json).unwrap();
    assert_eq!(read, report);
}

#[test]
fn a_scenario_that_says_little_has_the_defaults() {
    let scenario = Scenario::parse("", "empty.toml").unwrap();
    assert_eq!(scenario, Scenario::default());
    assert!(scenario.check().is_err(), "there is nothing to do");
}

#[test]
fn a_field_that_does_not_exist_is_named_with_its_place() {
    let error = Scenario::parse("[produce]\nrat = 1", "x.toml").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("x.toml") && text.contains("rat"), "{text}");
}
