//! What a checker found, for people and for scripts.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use sillon_verify::{Anomaly, Report};

use super::VerifyError;
use crate::failure::Failure;
use crate::output::{Format, Table, write_json};

/// Lines of a finding that are named.
const LINES_MAX: usize = 8;

/// What is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    topic: &'a str,
    history: &'a Path,
    #[serde(flatten)]
    report: &'a Report,
}

/// Prints what was found.
pub fn print(
    format: Format,
    topic: &str,
    history: &Path,
    report: &Report,
) -> Result<(), VerifyError> {
    let mut out = io::stdout().lock();
    let written = match format {
        Format::Json => {
            let printed = Printed {
                topic,
                history,
                report,
            };
            write_json(&mut out, &printed)
        }
        Format::Table => write_tables(&mut out, topic, report),
    };
    match written {
        // Whoever reads it has had enough; the exit code is still to come.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(VerifyError::Output),
    }
}

fn write_tables(out: &mut impl Write, topic: &str, report: &Report) -> io::Result<()> {
    let counts = &report.counts;
    writeln!(out, "topic {topic}, {} events", counts.events)?;
    let mut table = Table::new(&["WHAT", "COUNT"]);
    for (what, count) in [
        ("records acknowledged", counts.acknowledged),
        ("records refused", counts.failed),
        ("records of unknown fate", counts.unknown),
        ("batches sent again", counts.retried),
        ("copies by plain retries", counts.copies),
        ("records polled", counts.polled),
        ("leader epochs", counts.epochs),
        ("assignments", counts.assignments),
        ("generations", counts.generations),
        ("commits", counts.commits),
        ("commits of unknown fate", counts.commits_unknown),
        ("committed offsets asked for", counts.fetches),
    ] {
        table.row(vec![what.to_string(), count.to_string()]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut table = Table::new(&["ANOMALY", "FOUND"]);
    for anomaly in Anomaly::ALL {
        let count = report.anomalies.get(&anomaly).copied().unwrap_or(0);
        table.row(vec![anomaly.name().to_string(), count.to_string()]);
    }
    table.write(out)?;
    for finding in &report.findings {
        let lines: Vec<String> = finding.lines.iter().map(u32::to_string).collect();
        let more = if lines.len() > LINES_MAX { ", ..." } else { "" };
        let named = lines[..lines.len().min(LINES_MAX)].join(", ");
        let (name, detail) = (finding.anomaly.name(), &finding.detail);
        writeln!(out, "{name}: {detail} [lines {named}{more}]")?;
    }
    Ok(())
}

/// How the process ends. `because`: why the final read was not complete.
pub fn verdict(report: &Report, because: Option<&str>) -> Result<(), Failure> {
    let count = report.anomalies_count();
    if count > 0 {
        return Err(VerifyError::Anomalies(count).into());
    }
    if report.shortcomings.is_empty() {
        return Ok(());
    }
    let shortcomings = report.shortcomings.iter();
    let mut texts: Vec<&str> = shortcomings.map(|missing| missing.text()).collect();
    texts.extend(because);
    Err(VerifyError::TooLittle(texts.join("; ")).into())
}
