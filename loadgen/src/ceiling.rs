//! What the generator can do at most: the scenario's producers against a server that does nothing.

use crate::progress_nothing;
use crate::run::{RunError, RunOptions, run};
use crate::run_report::{Ceiling, RunReport};
use crate::scenario::{Consume, Scenario, Verify};
use crate::target::TargetOptions;

/// The measurement, and the load before it, in seconds.
const MEASURE_S: f64 = 1.5;
const WARM_UP_S: f64 = 0.5;

/// Above this share of the ceiling a figure may be the generator's.
const SHARE_MAX: f64 = 2.0 / 3.0;

/// Requests per second of a scenario's producers in saturation against the null server at
/// `target`; `None` without producers, or with acks 0.
pub fn measure(scenario: &Scenario, target: &TargetOptions) -> Result<Option<f64>, RunError> {
    let Some(produce) = &scenario.produce else {
        return Ok(None);
    };
    let mut produce = produce.clone();
    produce.rate = None;
    produce.ramp_to = None;
    let scenario = Scenario {
        warm_up_s: WARM_UP_S,
        duration_s: MEASURE_S,
        preload_mib: 0,
        produce: Some(produce),
        consume: Consume::default(),
        verify: Verify {
            read_back_mib_max: 0,
        },
        topic_configs: Default::default(),
        replication_factor: None,
        ..scenario.clone()
    };
    let report = run(
        &scenario,
        target,
        &RunOptions::default(),
        &mut progress_nothing,
    )?;
    Ok(report.produce.map(|produce| produce.requests_per_s))
}

/// Puts a ceiling into a report.
pub fn apply(report: &mut RunReport, requests_per_s: f64) {
    let Some(produce) = &report.produce else {
        return;
    };
    let share = produce.requests_per_s / requests_per_s.max(f64::MIN_POSITIVE);
    report.ceiling = Some(Ceiling {
        requests_per_s,
        share,
        is_generator_bound: share > SHARE_MAX,
    });
}
