//! Whole runs against a server in this process, which can be told to lie: a generator is trusted
//! when it is seen to notice.

use std::time::Duration;

use sillon_loadgen::null_server::{Behaviour, Lie};
use sillon_loadgen::run_report::RunReport;
use sillon_loadgen::scenario::{Acks, Codec, Keys, Produce};
use sillon_loadgen::{NullServer, RunOptions, Scenario, TargetOptions, progress_nothing, run};

/// The Produce request that a server does something to.
const VICTIM: u64 = 40;

fn scenario() -> Scenario {
    let mut scenario = Scenario {
        name: "test".to_string(),
        warm_up_s: 0.1,
        duration_s: 0.3,
        partitions: 3,
        primes: false,
        produce: Some(Produce {
            connections: 2,
            rate: Some(500.0),
            drain_s: 5.0,
            ..Produce::default()
        }),
        ..Scenario::default()
    };
    scenario.records.value_bytes = 100;
    scenario.records.per_batch = 4;
    scenario
}

fn produce(scenario: &mut Scenario) -> &mut Produce {
    scenario.produce.as_mut().unwrap()
}

fn run_against(behaviour: Behaviour, scenario: &Scenario) -> RunReport {
    let server = NullServer::start(behaviour).unwrap();
    let target = TargetOptions {
        name: "null".to_string(),
        bootstrap: server.address().to_string(),
        pid: Some(std::process::id()),
        is_embedded: false,
    };
    run(
        scenario,
        &target,
        &RunOptions::default(),
        &mut progress_nothing,
    )
    .unwrap()
}

fn run_storing(scenario: &Scenario) -> RunReport {
    let honest = Behaviour {
        is_storing: true,
        lie: None,
    };
    run_against(honest, scenario)
}

fn run_lying(lie: Lie, scenario: &Scenario) -> RunReport {
    let lying = Behaviour {
        is_storing: true,
        lie: Some((VICTIM, lie)),
    };
    run_against(lying, scenario)
}

/// The run passed, and everything that was acknowledged was read back.
fn assert_whole(report: &RunReport) {
    let verification = &report.verification;
    assert!(verification.passed, "{:?}", verification.findings);
    assert!(verification.is_complete);
    assert!(verification.acknowledged_records > 0);
    assert_eq!(verification.log_records, verification.acknowledged_records);
    assert_eq!(
        verification.read_back_records,
        verification.acknowledged_records
    );
    assert_eq!(report.errors, []);
}

/// The run failed for this reason.
fn assert_finds(report: &RunReport, what: &str) {
    let findings = &report.verification.findings;
    assert!(!report.verification.passed);
    assert!(
        findings.iter().any(|finding| finding.contains(what)),
        "{findings:?}"
    );
}

#[test]
fn a_schedule_is_kept_counted_and_verified() {
    let report = run_storing(&scenario());
    assert_whole(&report);
    // 0.4 s of 500 requests, each of 4 records; the last may fall on the end.
    let records = report.verification.acknowledged_records;
    assert!((796..=800).contains(&records), "{records}");
    let produced = report.produce.unwrap();
    assert_eq!(produced.records, 4 * produced.requests);
    assert_eq!(produced.payload_bytes, 400 * produced.requests);
    let latency = produced.latency.unwrap();
    assert!(latency.p50_us <= latency.p99_us && latency.p99_us <= latency.max_us);
    let lateness = report.lateness.unwrap();
    assert!(lateness.p50_us <= latency.max_us);
    assert_eq!((report.unanswered, report.unsent), (0, 0));
    let seconds = report.seconds;
    assert_eq!(seconds.len(), 1);
    assert_eq!(seconds[0].offered_requests_per_s, Some(500.0));
    assert_eq!(seconds[0].produce.unwrap().requests, produced.requests);
}

#[test]
fn every_partition_has_batches_before_the_load() {
    let mut scenario = scenario();
    scenario.partitions = 500;
    scenario.primes = true;
    produce(&mut scenario).rate = Some(10.0);
    let report = run_storing(&scenario);
    assert_whole(&report);
    assert!(report.verification.read_back_batches >= 500 * 22 + report.produce.unwrap().requests);
}

#[test]
fn saturation_keeps_connections_full_and_is_verified() {
    let mut scenario = scenario();
    produce(&mut scenario).rate = None;
    produce(&mut scenario).in_flight = 4;
    let report = run_storing(&scenario);
    assert_whole(&report);
    assert_eq!(report.lateness, None);
    assert!(report.cpu.generator_s_per_gb.is_some());
}

#[test]
fn keys_topics_idempotence_and_several_partitions_a_request_are_verified() {
    let mut scenario = scenario();
    scenario.topics = 2;
    scenario.records.keys = Keys::Zipf {
        count: 1000,
        exponent: 1.0,
    };
    produce(&mut scenario).idempotent = true;
    produce(&mut scenario).partitions_per_request = 3;
    produce(&mut scenario).acks = Acks::Leader;
    assert_whole(&run_storing(&scenario));
}

#[test]
fn compressed_batches_are_verified() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut scenario = scenario();
        scenario.records.compression = codec;
        scenario.consume.tailing = 1;
        let report = run_storing(&scenario);
        assert_whole(&report);
        let latency = report.end_to_end.unwrap().latency.unwrap();
        assert_eq!(latency.resolution_us, 1000.0);
    }
}

#[test]
fn tailing_consumers_get_everything_and_time_it() {
    let mut scenario = scenario();
    scenario.consume.tailing = 2;
    let report = run_storing(&scenario);
    assert_whole(&report);
    let verification = &report.verification;
    assert_eq!(
        verification.consumed_batches,
        verification.read_back_batches
    );
    assert!(report.end_to_end.unwrap().latency.unwrap().count > 0);
}

#[test]
fn looping_consumers_read_what_was_there_again_and_again() {
    let mut scenario = scenario();
    scenario.produce = None;
    scenario.preload_mib = 1;
    scenario.consume.looping = 2;
    scenario.consume.check_every = 2;
    let report = run_storing(&scenario);
    assert_whole(&report);
    assert_eq!(report.produce, None);
    let verification = &report.verification;
    assert!(verification.consumed_batches > verification.read_back_batches);
    assert!(verification.consumed_batches_unchecked > 0);
    assert!(report.fetch.unwrap().records > verification.log_records);
}

#[test]
fn catching_up_consumers_read_all_of_it_once() {
    let mut scenario = scenario();
    scenario.preload_mib = 1;
    scenario.consume.catching_up = 1;
    let report = run_storing(&scenario);
    assert_whole(&report);
    assert!(report.verification.consumed_batches >= (1 << 20) / 400);
    assert!(report.fetch.is_some());
}

#[test]
fn without_acknowledgements_what_was_sent_is_in_the_log() {
    let mut scenario = scenario();
    produce(&mut scenario).acks = Acks::None;
    let report = run_storing(&scenario);
    let verification = &report.verification;
    assert!(verification.passed, "{:?}", verification.findings);
    assert_eq!(verification.acknowledged_records, 0);
    assert!(verification.read_back_records > 0);
    assert_eq!(report.produce.unwrap().latency, None);
}

#[test]
fn a_stall_is_in_the_latency_of_everything_that_was_due_meanwhile() {
    let mut scenario = scenario();
    scenario.warm_up_s = 0.0;
    scenario.duration_s = 1.0;
    produce(&mut scenario).connections = 1;
    produce(&mut scenario).rate = Some(400.0);
    let stall = Duration::from_millis(500);
    let report = run_lying(Lie::Stall(stall), &scenario);
    assert_whole(&report);
    let latency = report.produce.unwrap().latency.unwrap();
    assert_eq!(latency.count, 400);
    let stall_us = stall.as_secs_f64() * 1e6;
    assert!(latency.max_us >= stall_us);
    // Half of the requests were due during the stall, and a quarter waited for more than half of
    // it. One that waits for answers before it sends would have one such request.
    assert!(latency.p90_us >= stall_us / 2.0, "{latency:?}");
}

#[test]
fn a_ramp_ends_at_its_knee() {
    let mut scenario = scenario();
    scenario.warm_up_s = 0.0;
    scenario.duration_s = 2.0;
    produce(&mut scenario).connections = 1;
    produce(&mut scenario).rate = Some(10.0);
    produce(&mut scenario).ramp_to = Some(100.0);
    produce(&mut scenario).knee_p99_ms = 200.0;
    let report = run_lying(Lie::Stall(Duration::from_millis(700)), &scenario);
    let knee = report.knee.unwrap();
    assert!(knee.is_reached);
    assert_eq!(knee.requests_per_s, 32.5);
}

#[test]
fn a_lost_batch_fails_the_run() {
    let report = run_lying(Lie::Lose, &scenario());
    assert_finds(&report, "4 are lost");
    assert_finds(
        &report,
        "was acknowledged and is not in the log (1 like it)",
    );
}

#[test]
fn a_changed_record_fails_the_run() {
    let report = run_lying(Lie::Corrupt, &scenario());
    assert_finds(&report, "the records are not what was sent");
}

#[test]
fn a_damaged_batch_fails_the_run() {
    let report = run_lying(Lie::Damage, &scenario());
    assert_finds(&report, "CRC-32C");
}

#[test]
fn a_batch_that_is_there_twice_fails_the_run() {
    let report = run_lying(Lie::Duplicate, &scenario());
    assert_finds(&report, "is in the log twice");
    assert_finds(&report, "4 too many");
}

#[test]
fn a_batch_at_another_offset_fails_the_run() {
    let report = run_lying(Lie::Misplace, &scenario());
    assert_finds(
        &report,
        "batches are not all at the offsets that were acknowledged",
    );
}

#[test]
fn consumers_notice_a_changed_record_during_the_run() {
    let mut scenario = scenario();
    scenario.consume.tailing = 1;
    scenario.verify.read_back_mib_max = 0;
    let report = run_lying(Lie::Corrupt, &scenario);
    assert_finds(&report, "the records are not what was sent");
    assert!(!report.verification.is_complete);
}

#[test]
fn a_refusal_is_counted_by_its_code_and_is_no_lie() {
    let report = run_lying(Lie::Refuse, &scenario());
    assert!(
        report.verification.passed,
        "{:?}",
        report.verification.findings
    );
    let error = &report.errors[0];
    assert_eq!((error.code, error.count), (Some(6), 1));
    assert_eq!(error.what, "NOT_LEADER_OR_FOLLOWER");
}

#[test]
fn a_connection_that_ends_is_told_and_what_was_under_way_may_be_there_or_not() {
    let report = run_lying(Lie::HangUp, &scenario());
    assert!(
        report.verification.passed,
        "{:?}",
        report.verification.findings
    );
    assert!(report.unanswered + report.unsent > 0);
    assert_eq!(report.errors[0].code, None);
}
