//! What a run found, for people.

use std::io::{self, Write};

use sillon_loadgen::run_report::{Flow, RunReport, Verification, Window};

/// Heights of a line of small bars.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Findings that are printed.
const FINDINGS_MAX: usize = 10;

/// Writes what a run found.
pub fn write(out: &mut impl Write, report: &RunReport) -> io::Result<()> {
    let scenario = &report.scenario;
    writeln!(out, "\n{}: {}", scenario.name, scenario.description)?;
    let flows = [
        ("produce", &report.produce),
        ("end to end", &report.end_to_end),
        ("fetch", &report.fetch),
    ];
    let mut rows = vec![strings([
        "",
        "REQUESTS/S",
        "RECORDS/S",
        "MB/S",
        "P50",
        "P90",
        "P99",
        "P99.9",
        "P99.99",
        "MAX",
    ])];
    for (name, flow) in flows {
        if let Some(flow) = flow {
            rows.push(row(name, flow));
        }
    }
    write_aligned(out, &rows)?;
    by_second(out, report)?;
    if let Some(lateness) = &report.lateness {
        let (p50, p99) = (time(lateness.p50_us), time(lateness.p99_us));
        writeln!(
            out,
            "  sent late     p50 {p50}, p99 {p99}: the generator's share of that"
        )?;
    }
    cost(out, report)?;
    if let Some(knee) = &report.knee {
        let rate = count(knee.requests_per_s);
        let p99 = time(knee.p99_us);
        let then = match knee.is_reached {
            true => "then it fell behind",
            false => "and the ramp ended",
        };
        writeln!(
            out,
            "  knee          {rate} requests/s with a p99 of {p99}, {then}"
        )?;
    }
    if let Some(ceiling) = &report.ceiling {
        let (most, share) = (count(ceiling.requests_per_s), ceiling.share * 100.0);
        let bound = match ceiling.is_generator_bound {
            true => "; generator-bound: the broker may be faster",
            false => "",
        };
        writeln!(
            out,
            "  generator     {most} requests/s at most, {share:.0} % used{bound}"
        )?;
    }
    problems(out, report)?;
    verified(out, &report.verification)
}

fn row(name: &str, flow: &Flow) -> Vec<String> {
    let mut row = vec![
        format!("  {name}"),
        count(flow.requests_per_s),
        count(flow.records_per_s),
        format!("{:.1}", flow.mb_per_s),
    ];
    match &flow.latency {
        Some(latency) => row.extend([
            time(latency.p50_us),
            time(latency.p90_us),
            time(latency.p99_us),
            time(latency.p99_9_us),
            time(latency.p99_99_us),
            time(latency.max_us),
        ]),
        None => row.extend(strings(["-"; 6])),
    }
    row
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

/// The first column to the left, all others to the right.
fn write_aligned(out: &mut impl Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            match column {
                0 => line += &format!("{cell:<width$}"),
                _ => line += &format!("  {cell:>width$}"),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn by_second(out: &mut impl Write, report: &RunReport) -> io::Result<()> {
    let windows: Vec<Window> = report
        .seconds
        .iter()
        .filter_map(|second| second.produce.or(second.fetch))
        .collect();
    if windows.len() < 2 {
        return Ok(());
    }
    let requests: Vec<f64> = windows
        .iter()
        .map(|window| window.requests as f64)
        .collect();
    let p99s: Vec<f64> = windows.iter().map(|window| window.p99_us).collect();
    let (requests, p99s) = (bars(&requests), bars(&p99s));
    writeln!(out, "  by second     requests/s {requests}   p99 {p99s}")
}

/// A bar each, from 0 to the largest value.
fn bars(values: &[f64]) -> String {
    let max = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| match max > 0.0 {
        true => BARS[((value / max * 8.0) as usize).min(BARS.len() - 1)],
        false => BARS[0],
    };
    values.iter().map(bar).collect()
}

fn cost(out: &mut impl Write, report: &RunReport) -> io::Result<()> {
    let (cpu, memory) = (&report.cpu, &report.memory);
    let parts = |per_gb: Option<f64>, per_request: Option<f64>| match (per_gb, per_request) {
        (Some(per_gb), Some(each)) => format!("{per_gb:.2} CPU s/GB, {} a request", time(each)),
        _ => "-".to_string(),
    };
    let broker = parts(cpu.broker_s_per_gb, cpu.broker_us_per_request);
    let generator = parts(cpu.generator_s_per_gb, cpu.generator_us_per_request);
    let resident = match memory.broker_rss_max_bytes {
        Some(bytes) => format!(", {:.0} MB resident", bytes as f64 / 1e6),
        None => String::new(),
    };
    writeln!(
        out,
        "  cost          broker {broker}{resident}; generator {generator}"
    )
}

fn problems(out: &mut impl Write, report: &RunReport) -> io::Result<()> {
    for error in &report.errors {
        let code = error
            .code
            .map_or(String::new(), |code| format!(" ({code})"));
        writeln!(
            out,
            "  ERRORS        {} {}: {}{code}",
            error.count, error.kind, error.what
        )?;
    }
    if report.unanswered + report.unsent > 0 {
        let (unanswered, unsent) = (report.unanswered, report.unsent);
        writeln!(
            out,
            "  UNANSWERED    {unanswered} requests without an answer, {unsent} that could not be sent"
        )?;
    }
    Ok(())
}

fn verified(out: &mut impl Write, verification: &Verification) -> io::Result<()> {
    let (acknowledged, read) = (
        count(verification.acknowledged_records as f64),
        count(verification.read_back_records as f64),
    );
    let whole = match verification.is_complete {
        true => "all read back and compared".to_string(),
        false => format!("a sample of {read} read back and compared"),
    };
    if verification.passed {
        return writeln!(
            out,
            "  verified      {acknowledged} records acknowledged, {whole}"
        );
    }
    let wrong = verification.findings_count;
    writeln!(
        out,
        "  NOT VERIFIED  {acknowledged} records acknowledged, {whole}: {wrong} wrong"
    )?;
    for finding in verification.findings.iter().take(FINDINGS_MAX) {
        writeln!(out, "      {finding}")?;
    }
    Ok(())
}

/// A number of things, with thousands apart.
pub fn count(number: f64) -> String {
    if number < 10.0 && number > 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in the unit that suits it.
pub fn time(us: f64) -> String {
    match us {
        us if us >= 10_000_000.0 => format!("{:.1} s", us / 1e6),
        us if us >= 10_000.0 => format!("{:.1} ms", us / 1e3),
        us if us >= 1_000.0 => format!("{:.2} ms", us / 1e3),
        us if us >= 100.0 => format!("{us:.0} us"),
        us => format!("{us:.1} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_easy_on_the_eye() {
        assert_eq!(count(0.0), "0");
        assert_eq!(count(4.5), "4.5");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(1_234_567.2), "1,234,567");
        assert_eq!(time(12.34), "12.3 us");
        assert_eq!(time(1234.0), "1.23 ms");
        assert_eq!(time(12_340_000.0), "12.3 s");
        assert_eq!(bars(&[0.0, 4.0, 8.0]), "▁▅█");
    }
}
