//! The report of runs: one in full, or several beside each other.

use super::line_chart::{Line, LineChart};
use super::number::{count, figure};
use super::page::{self, Tone, Verdict};
use super::scale::Kind;
use crate::run_report::{Flow, Latency, RunReport, Second, Window};

/// Title and body of a page about `runs`.
///
/// # Panics
/// When there is none.
pub fn page(runs: &[RunReport]) -> (String, String) {
    match runs {
        [run] => one(run),
        runs => several(runs),
    }
}

fn one(run: &RunReport) -> (String, String) {
    let title = format!("{}: {}", run.target.name, run.scenario.name);
    let lines = [
        run.scenario.description.clone(),
        measured(run),
        machine(run),
    ];
    let mut body = page::head(&title, &lines);
    body.push_str(&page::verdicts(&verdicts(run)));
    body.push_str(&page::tiles(&tiles(run)));
    body.push_str(&page::charts(&charts_of_one(run)));
    body.push_str("<h2>Figures</h2>\n");
    body.push_str(&figures(run));
    body.push_str(&details(run));
    (title, body)
}

fn several(runs: &[RunReport]) -> (String, String) {
    let title = format!("{} runs", runs.len());
    let mut lines: Vec<String> = Vec::new();
    for line in runs.iter().map(machine) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let mut body = page::head(&title, &lines);
    let names = names(runs);
    let of_all = runs.iter().zip(&names).flat_map(|(run, name)| {
        verdicts(run).into_iter().map(move |mut verdict| {
            verdict.gist = format!("{name}: {}", verdict.gist);
            verdict
        })
    });
    body.push_str(&page::verdicts(&of_all.collect::<Vec<_>>()));
    body.push_str("<h2>Figures</h2>\n");
    let rows = runs.iter().zip(&names).flat_map(|(run, name)| {
        flows(run).into_iter().map(move |(kind, flow)| {
            let mut row = vec![name.clone(), kind.to_string()];
            row.extend(flow_row(flow));
            row.push(optional(run.cpu.broker_s_per_gb));
            row
        })
    });
    let mut headings = vec!["run", ""];
    headings.extend(FLOW_HEADINGS);
    headings.push("broker CPU s/GB");
    body.push_str(&page::table(&headings, &rows.collect::<Vec<_>>()));
    body.push_str(&page::charts(&charts_of_several(runs, &names)));
    for (run, name) in runs.iter().zip(&names) {
        body.push_str(&format!("<h2>{}</h2>\n", super::svg::escape(name)));
        body.push_str(&details(run));
    }
    (title, body)
}

/// What tells the runs apart: the scenario, with the target where scenarios are the same, and a
/// number where both are.
fn names(runs: &[RunReport]) -> Vec<String> {
    let same_target = runs
        .iter()
        .all(|run| run.target.name == runs[0].target.name);
    let name = |run: &RunReport| {
        let scenario = run.scenario.name.clone();
        if same_target {
            scenario
        } else {
            format!("{}: {scenario}", run.target.name)
        }
    };
    let mut names: Vec<String> = Vec::new();
    for run in runs {
        let plain = name(run);
        let before = runs
            .iter()
            .take(names.len())
            .filter(|other| name(other) == plain)
            .count();
        names.push(if before == 0 {
            plain
        } else {
            format!("{plain} ({})", before + 1)
        });
    }
    names
}

fn measured(run: &RunReport) -> String {
    let (target, scenario) = (&run.target, &run.scenario);
    let target = if target.is_embedded {
        "an embedded broker on an empty folder".to_string()
    } else {
        target.bootstrap.clone()
    };
    format!(
        "{} s measured after {} s of warm-up, on {target}, {} UTC.",
        figure(run.measured_s),
        figure(scenario.warm_up_s),
        time(run.started_unix_ms),
    )
}

fn machine(run: &RunReport) -> String {
    let machine = &run.machine;
    format!(
        "{} cores of {}, {} GiB of memory, Linux {}; load average {} when it began.",
        machine.cores,
        machine.cpu,
        machine.memory_bytes >> 30,
        machine.kernel,
        figure(machine.load_average),
    )
}

/// `2026-01-31 23:59`, from ms since the Unix epoch.
fn time(unix_ms: i64) -> String {
    let minutes = unix_ms.div_euclid(60_000);
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    // Civil date from a count of days; a year is counted from March, so that the leap day is last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}",
        minute / 60,
        minute % 60
    )
}

fn verdicts(run: &RunReport) -> Vec<Verdict> {
    let mut said = vec![verification(run)];
    let mut say = |tone, gist: &str, rest: String| {
        let gist = gist.to_string();
        said.push(Verdict { tone, gist, rest });
    };
    for error in &run.errors {
        let rest = format!(
            "{} {} requests: {}.",
            count(error.count),
            error.kind,
            error.what
        );
        say(Tone::Bad, "Errors.", rest);
    }
    if run.unanswered + run.unsent > 0 {
        let rest = format!(
            "{} requests had no answer in the end, {} could not be sent. An open loop counts \
             them among the latencies.",
            count(run.unanswered),
            count(run.unsent)
        );
        say(Tone::Warn, "The broker did not follow.", rest);
    }
    if let Some(ceiling) = &run.ceiling {
        let rest = format!(
            "{:.0} % of the {} requests/s that the generator does against a server that does \
             nothing.",
            ceiling.share * 100.0,
            figure(ceiling.requests_per_s)
        );
        if ceiling.is_generator_bound {
            let rest = format!("{rest} These may be the generator's figures, not the broker's.");
            say(Tone::Warn, "Generator-bound.", rest);
        } else {
            say(Tone::Good, "Not bound by the generator:", rest);
        }
    }
    if let Some(knee) = &run.knee {
        let (rate, p99) = (figure(knee.requests_per_s), ms(knee.p99_us));
        if knee.is_reached {
            let rest = format!("{rate} requests/s at a p99 of {p99}; beyond it fell behind.");
            say(Tone::Good, "Knee:", rest);
        } else {
            let rest = format!("the ramp ended at {rate} requests/s, at a p99 of {p99}.");
            say(Tone::Warn, "No knee:", rest);
        }
    }
    said
}

fn verification(run: &RunReport) -> Verdict {
    let checked = &run.verification;
    if !checked.passed {
        let more = checked
            .findings_count
            .saturating_sub(checked.findings.len() as u64);
        let more = if more > 0 {
            format!("; and {} more", count(more))
        } else {
            String::new()
        };
        return Verdict {
            tone: Tone::Bad,
            gist: "Not verified; these figures do not count.".to_string(),
            rest: format!("{}{more}", checked.findings.join("; ")),
        };
    }
    Verdict {
        tone: Tone::Good,
        gist: "Verified.".to_string(),
        rest: format!(
            "{} records were acknowledged, the log holds {}; {} of them were read back and \
             compared{}.",
            count(checked.acknowledged_records),
            count(checked.log_records),
            count(checked.read_back_records),
            if checked.is_complete {
                ""
            } else {
                ", evenly spaced"
            },
        ),
    }
}

/// What was done in the run, with its name.
fn flows(run: &RunReport) -> Vec<(&'static str, &Flow)> {
    let all = [
        ("produce", &run.produce),
        ("end to end", &run.end_to_end),
        ("fetch", &run.fetch),
    ];
    all.into_iter()
        .filter_map(|(name, flow)| Some((name, flow.as_ref()?)))
        .collect()
}

/// A part of a second that is drawn.
type Part = fn(&Second) -> Option<Window>;

/// A latency of it that is drawn, in us.
type Share = fn(&Window) -> f64;

const PARTS: [(&str, Part); 3] = [
    ("produce", |second| second.produce),
    ("end to end", |second| second.end_to_end),
    ("fetch", |second| second.fetch),
];

/// The part that a run is about.
fn main_part(run: &RunReport) -> Part {
    if run.produce.is_some() {
        PARTS[0].1
    } else {
        PARTS[2].1
    }
}

fn tiles(run: &RunReport) -> Vec<(String, &'static str)> {
    let mut tiles = Vec::new();
    if let Some((_, flow)) = flows(run).first() {
        tiles.push((figure(flow.requests_per_s), "requests/s"));
        tiles.push((figure(flow.mb_per_s), "MB/s of payload"));
        if let Some(latency) = &flow.latency {
            tiles.push((ms(latency.p50_us), "p50"));
            tiles.push((ms(latency.p99_us), "p99"));
            tiles.push((ms(latency.p99_9_us), "p99.9"));
        }
    }
    if let Some(cpu) = run.cpu.broker_s_per_gb {
        tiles.push((figure(cpu), "broker CPU s/GB"));
    }
    if let Some(bytes) = run.memory.broker_rss_max_bytes {
        tiles.push((
            format!("{} MB", figure(bytes as f64 / 1e6)),
            "broker memory, most",
        ));
    }
    tiles
}

fn charts_of_one(run: &RunReport) -> Vec<String> {
    let by_percentile = flows(run)
        .into_iter()
        .enumerate()
        .filter_map(|(style, (name, flow))| {
            Some(percentiles(flow.latency.as_ref()?, name.to_string(), style))
        });
    let part = main_part(run);
    let shares: [(&str, Share); 4] = [
        ("p50", |window| window.p50_us),
        ("p99", |window| window.p99_us),
        ("p99.9", |window| window.p99_9_us),
        ("max", |window| window.max_us),
    ];
    let latencies = shares
        .into_iter()
        .enumerate()
        .map(|(style, (name, share))| latency_over_time(run, part, share, name.to_string(), style));
    let mut rates: Vec<Line> = PARTS
        .into_iter()
        .enumerate()
        .map(|(style, (name, part))| rate_over_time(run, part, name.to_string(), style))
        .collect();
    let offered = over_time(run, |second| second.offered_requests_per_s);
    if is_on_schedule(run) {
        rates.push(Line {
            name: "schedule".to_string(),
            style: 5,
            points: offered,
        });
    }
    let cpu = over_time(run, |second| Some(second.broker_cpu_s? / second.length_s));
    let memory = over_time(run, |second| Some(second.broker_rss_bytes? as f64 / 1e6));
    vec![
        by_percentile_chart(by_percentile.collect()).figure(),
        over_time_chart("Latency over time", "ms", Kind::Log, latencies.collect()).figure(),
        over_time_chart("Throughput over time", rate_unit(run), Kind::Linear, rates).figure(),
        over_time_chart("Broker CPU over time", "cores", Kind::Linear, single(cpu)).figure(),
        over_time_chart(
            "Broker memory over time",
            "MB",
            Kind::Linear,
            single(memory),
        )
        .figure(),
    ]
}

fn charts_of_several(runs: &[RunReport], names: &[String]) -> Vec<String> {
    let named = || runs.iter().zip(names).enumerate();
    let by_percentile = named().filter_map(|(style, (run, name))| {
        let latency = flows(run).first()?.1.latency.as_ref()?;
        Some(percentiles(latency, name.clone(), style))
    });
    let end_to_end = named().filter_map(|(style, (run, name))| {
        let latency = run.end_to_end.as_ref()?.latency.as_ref()?;
        Some(percentiles(latency, name.clone(), style))
    });
    let p99 = named().map(|(style, (run, name))| {
        latency_over_time(
            run,
            main_part(run),
            |window| window.p99_us,
            name.clone(),
            style,
        )
    });
    let unit = rate_unit(&runs[0]);
    let rates = named()
        .filter(|(_, (run, _))| rate_unit(run) == unit)
        .map(|(style, (run, name))| rate_over_time(run, main_part(run), name.clone(), style));
    let mut end_to_end = by_percentile_chart(end_to_end.collect());
    end_to_end.title = "End to end by percentile".to_string();
    vec![
        by_percentile_chart(by_percentile.collect()).figure(),
        end_to_end.figure(),
        over_time_chart("p99 over time", "ms", Kind::Log, p99.collect()).figure(),
        over_time_chart("Throughput over time", unit, Kind::Linear, rates.collect()).figure(),
    ]
}

/// Latency by percentile; the lines are made by [`percentiles`].
pub fn by_percentile_chart(lines: Vec<Line>) -> LineChart {
    LineChart {
        title: "Latency by percentile".to_string(),
        x_label: "percentile",
        x_kind: Kind::Nines,
        y_label: "ms",
        y_kind: Kind::Log,
        lines,
    }
}

/// A distribution as a line, in ms by percentile.
pub fn percentiles(latency: &Latency, name: String, style: usize) -> Line {
    // The largest of n stands where one of n does: 100 has no place among the nines.
    let last = 100.0 - 100.0 / (latency.count.max(2) as f64);
    let points = latency.percentiles.iter();
    let points = points.map(|point| (point.percentile.min(last), point.value_us / 1e3));
    Line {
        name,
        style,
        points: points.collect(),
    }
}

fn over_time_chart(
    title: &str,
    y_label: &'static str,
    y_kind: Kind,
    lines: Vec<Line>,
) -> LineChart {
    let title = title.to_string();
    LineChart {
        title,
        x_label: "seconds",
        x_kind: Kind::Time,
        y_label,
        y_kind,
        lines,
    }
}

fn single(points: Vec<(f64, f64)>) -> Vec<Line> {
    vec![Line {
        name: "broker".to_string(),
        style: 0,
        points,
    }]
}

fn over_time(run: &RunReport, value: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = run
        .seconds
        .iter()
        .filter_map(|second| Some((second.end_s, value(second)?)));
    points.collect()
}

fn latency_over_time(
    run: &RunReport,
    part: Part,
    share: Share,
    name: String,
    style: usize,
) -> Line {
    let points = over_time(run, |second| {
        let window = part(second).filter(|window| window.requests > 0)?;
        Some(share(&window) / 1e3)
    });
    Line {
        name,
        style,
        points,
    }
}

fn is_on_schedule(run: &RunReport) -> bool {
    run.seconds
        .iter()
        .any(|second| second.offered_requests_per_s.is_some())
}

/// What a run is asked to do is shown in: requests on a schedule, else bytes.
fn rate_unit(run: &RunReport) -> &'static str {
    if is_on_schedule(run) {
        "requests/s"
    } else {
        "MB/s"
    }
}

fn rate_over_time(run: &RunReport, part: Part, name: String, style: usize) -> Line {
    let scheduled = is_on_schedule(run);
    let points = over_time(run, |second| {
        let window = part(second)?;
        let amount = if scheduled {
            window.requests as f64
        } else {
            window.payload_bytes as f64 / 1e6
        };
        Some(amount / second.length_s)
    });
    Line {
        name,
        style,
        points,
    }
}

const FLOW_HEADINGS: [&str; 9] = [
    "requests/s",
    "records/s",
    "MB/s",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "p99.99",
    "max",
];

fn flow_row(flow: &Flow) -> Vec<String> {
    let mut row = [flow.requests_per_s, flow.records_per_s, flow.mb_per_s]
        .map(figure)
        .to_vec();
    match &flow.latency {
        Some(latency) => row.extend(
            [
                latency.p50_us,
                latency.p90_us,
                latency.p99_us,
                latency.p99_9_us,
                latency.p99_99_us,
                latency.max_us,
            ]
            .map(ms),
        ),
        None => row.extend(std::iter::repeat_n("-".to_string(), 6)),
    }
    row
}

fn figures(run: &RunReport) -> String {
    let rows: Vec<Vec<String>> = flows(run)
        .into_iter()
        .map(|(name, flow)| {
            let mut row = vec![name.to_string()];
            row.extend(flow_row(flow));
            row
        })
        .collect();
    let mut headings = vec![""];
    headings.extend(FLOW_HEADINGS);
    page::table(&headings, &rows)
}

fn details(run: &RunReport) -> String {
    let json =
        |value: serde_json::Result<serde_json::Value>| page::flatten(&value.unwrap_or_default());
    let mut costs = Vec::new();
    let mut cost = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            costs.push((name.to_string(), figure(value)));
        }
    };
    cost("broker CPU, s", run.cpu.broker_s);
    cost("broker CPU s/GB", run.cpu.broker_s_per_gb);
    cost("broker CPU us/request", run.cpu.broker_us_per_request);
    cost("generator CPU, s", Some(run.cpu.generator_s));
    cost("generator CPU s/GB", run.cpu.generator_s_per_gb);
    cost("generator CPU us/request", run.cpu.generator_us_per_request);
    let bytes = |bytes: Option<u64>| Some(bytes? as f64 / 1e6);
    cost(
        "broker memory before, MB",
        bytes(run.memory.broker_rss_before_bytes),
    );
    cost(
        "broker memory at the end, MB",
        bytes(run.memory.broker_rss_bytes),
    );
    cost(
        "broker memory, most, MB",
        bytes(run.memory.broker_rss_max_bytes),
    );
    cost(
        "generator's lateness p99, ms",
        run.lateness.as_ref().map(|late| late.p99_us / 1e3),
    );
    format!(
        "<div class=\"columns\">\n{}<div>{}{}{}</div></div>\n",
        page::words("Scenario", &json(serde_json::to_value(&run.scenario))),
        page::words("Costs", &costs),
        page::words("Target", &json(serde_json::to_value(&run.target))),
        page::words("Machine", &json(serde_json::to_value(&run.machine))),
    )
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), figure)
}

fn ms(us: f64) -> String {
    format!("{} ms", figure(us / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_a_date_and_a_time() {
        assert_eq!(time(0), "1970-01-01 00:00");
        assert_eq!(time(951_827_940_000), "2000-02-29 12:39");
        assert_eq!(time(1_735_689_599_999), "2024-12-31 23:59");
    }
}
