//! Everything that a run found, put together.

use super::{Run, RunError, Sampled};
use crate::clock::{Part, Timeline};
use crate::collect::{Collected, unix_ms};
use crate::measure::Kind;
use crate::process::Usage;
use crate::run_report::{
    Cpu, Flow, Knee, Machine, Memory, RunReport, Second, Target, Verification,
};
use crate::schedule::{SECOND_NS, Schedule};

/// Latencies are recorded in ns.
const RESOLUTION_US: f64 = 0.001;
/// Kafka's time stamps are in ms.
const TIMESTAMP_RESOLUTION_US: f64 = 1000.0;

impl Run<'_> {
    pub(super) fn report(
        &mut self,
        machine: Machine,
        timeline: Timeline,
        collected: &Collected,
        sampled: &Sampled,
        verification: Verification,
    ) -> Result<RunReport, RunError> {
        let measured_s = (sampled.measured_ns as f64 / SECOND_NS as f64).max(1e-3);
        let end_to_end_us = match self.templates.is_compressed() {
            true => TIMESTAMP_RESOLUTION_US,
            false => RESOLUTION_US,
        };
        let produce = collected.flow(Kind::Produce, measured_s, RESOLUTION_US);
        let end_to_end = collected.flow(Kind::EndToEnd, measured_s, end_to_end_us);
        let fetch = collected.flow(Kind::Fetch, measured_s, RESOLUTION_US);
        let seconds = self.seconds(timeline, collected, sampled);
        let metadata = self.client.metadata()?;
        Ok(RunReport {
            scenario: self.scenario.clone(),
            target: Target {
                name: self.target.name.clone(),
                bootstrap: self.target.bootstrap.clone(),
                is_embedded: self.target.is_embedded,
                pid: self.target.pid,
                brokers: metadata.brokers.len() as u32,
                cluster_id: metadata.cluster_id,
            },
            machine,
            started_unix_ms: unix_ms(&self.clock, timeline.measure_ns),
            measured_s,
            cpu: cpu(sampled, [&produce, &end_to_end, &fetch]),
            produce,
            end_to_end,
            fetch,
            errors: collected.errors(),
            unanswered: self.unanswered,
            unsent: self.unsent,
            lateness: collected.lateness(),
            knee: self.knee(&seconds),
            seconds,
            memory: memory(sampled),
            verification,
            ceiling: None,
        })
    }

    fn schedule(&self) -> Option<Schedule> {
        let produce = self.scenario.produce.as_ref()?;
        let rate = produce.rate?;
        let to = produce.ramp_to.unwrap_or(rate);
        Some(Schedule::ramp(rate, to, 0.0, self.scenario.duration_s))
    }

    fn seconds(&self, timeline: Timeline, collected: &Collected, sampled: &Sampled) -> Vec<Second> {
        let schedule = self.schedule();
        let mut seconds = Vec::new();
        let mut at_ns = timeline.measure_ns;
        let end_ns = timeline.measure_ns + sampled.measured_ns;
        while let Part::Measured(second) = timeline.part(at_ns)
            && at_ns < end_ns
        {
            let part = Part::Measured(second);
            let until_ns = timeline.end_of_part(at_ns).min(end_ns);
            let middle_ns = (at_ns + until_ns) / 2 - timeline.measure_ns;
            let before = sampled.broker.get(second as usize).copied().flatten();
            let after = sampled.broker.get(second as usize + 1).copied().flatten();
            seconds.push(Second {
                end_s: (until_ns - timeline.measure_ns) as f64 / SECOND_NS as f64,
                length_s: (until_ns - at_ns) as f64 / SECOND_NS as f64,
                offered_requests_per_s: schedule.map(|schedule| schedule.rate_at(middle_ns)),
                produce: collected.window(part, Kind::Produce),
                end_to_end: collected.window(part, Kind::EndToEnd),
                fetch: collected.window(part, Kind::Fetch),
                errors: collected.errors_in(second),
                broker_cpu_s: before
                    .zip(after)
                    .map(|(before, after)| after.cpu_s - before.cpu_s),
                broker_rss_bytes: after.map(|after| after.rss_bytes),
            });
            at_ns = until_ns;
        }
        seconds
    }

    fn knee(&self, seconds: &[Second]) -> Option<Knee> {
        let produce = self.scenario.produce.as_ref()?;
        produce.ramp_to?;
        let limit_us = produce.knee_p99_ms * 1e3;
        let follows = |second: &&Second| {
            let window = second.produce;
            window.is_some_and(|window| window.requests > 0 && window.p99_us <= limit_us)
        };
        let followed = seconds.iter().take_while(follows).count();
        let last = seconds.get(followed.checked_sub(1)?)?;
        Some(Knee {
            requests_per_s: last.offered_requests_per_s?,
            p99_us: last.produce?.p99_us,
            is_reached: followed < seconds.len(),
        })
    }
}

fn cpu(sampled: &Sampled, flows: [&Option<Flow>; 3]) -> Cpu {
    let payload = flows.iter().filter_map(|flow| flow.as_ref());
    let payload_gb = payload.map(|flow| flow.payload_bytes).sum::<u64>() as f64 / 1e9;
    let [produce, _, fetch] = flows;
    let requests = produce
        .as_ref()
        .or(fetch.as_ref())
        .map_or(0, |flow| flow.requests);
    let used = |first: Option<Usage>, last: Option<Usage>| Some(last?.cpu_s - first?.cpu_s);
    let broker = &sampled.broker;
    let broker_s = used(
        broker.first().copied().flatten(),
        broker.last().copied().flatten(),
    );
    let generator = &sampled.generator;
    let generator_s = used(generator.first().copied(), generator.last().copied()).unwrap_or(0.0);
    let per_gb = |seconds: f64| (payload_gb > 0.0).then(|| seconds / payload_gb);
    let per_request = |seconds: f64| (requests > 0).then(|| seconds * 1e6 / requests as f64);
    Cpu {
        broker_s,
        generator_s,
        payload_gb,
        broker_s_per_gb: broker_s.and_then(per_gb),
        generator_s_per_gb: per_gb(generator_s),
        broker_us_per_request: broker_s.and_then(per_request),
        generator_us_per_request: per_request(generator_s),
    }
}

fn memory(sampled: &Sampled) -> Memory {
    let rss = |usage: &Option<Usage>| usage.map(|usage| usage.rss_bytes);
    Memory {
        broker_rss_before_bytes: rss(&sampled.broker_before),
        broker_rss_bytes: sampled.broker.last().and_then(rss),
        broker_rss_max_bytes: sampled.broker.iter().filter_map(rss).max(),
    }
}
