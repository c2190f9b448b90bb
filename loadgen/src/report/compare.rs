//! The report of a comparison.

use std::collections::BTreeMap;

use super::comparison::{Cell, Comparison, Run, Spread, US};
use super::line_chart::{Line, STYLES};
use super::number::{figure, ratio};
use super::page::{self, Tone, Verdict};
use super::range_chart::{Range, RangeChart, Row};
use super::run::{by_percentile_chart, percentiles};

/// A figure of the comparison: its key, its name, its unit, and what the key's unit is
/// multiplied by.
struct Figure {
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    factor: f64,
}

const fn known(key: &'static str, name: &'static str, unit: &'static str, factor: f64) -> Figure {
    Figure {
        key,
        name,
        unit,
        factor,
    }
}

const FIGURES: [Figure; 13] = [
    known("requests_per_s", "Requests", "requests/s", 1.0),
    known("mb_per_s", "Throughput", "MB/s", 1.0),
    known("p50_us", "p50", "ms", 1e-3),
    known("p99_us", "p99", "ms", 1e-3),
    known("p999_us", "p99.9", "ms", 1e-3),
    known("cpu_s_per_gb", "Broker CPU", "CPU s/GB", 1.0),
    known("resident_mb", "Memory", "MB", 1.0),
    known("flushes_per_s", "Flushes", "flushes/s", 1.0),
    known("device_bytes_per_byte", "Written", "device bytes/byte", 1.0),
    known("p50_influence", "p50", "with / without", 1.0),
    known("p99_influence", "p99", "with / without", 1.0),
    known("reader_mb_per_s", "Reader", "MB/s", 1.0),
    known("first_ack_ms", "First record", "ms", 1.0),
];

/// A kind of cell: its key, its heading, the figures whose ratios are drawn.
const KINDS: [(&str, &str, &[&str]); 6] = [
    ("produce", "Saturation", &["requests_per_s", "cpu_s_per_gb"]),
    ("latency", "Latency on a schedule", &["p50_us", "p99_us"]),
    ("fetch", "Hot fetch", &["mb_per_s", "cpu_s_per_gb"]),
    (
        "catch-up",
        "A producer beside a cold reader",
        &["p50_influence", "p99_influence"],
    ),
    (
        "memory",
        "Memory under load, Sillon with --memory 256MiB",
        &["resident_mb"],
    ),
    (
        "start",
        "Start to the first acknowledged record",
        &["first_ack_ms"],
    ),
];

fn of(key: &str) -> &'static Figure {
    FIGURES
        .iter()
        .find(|figure| figure.key == key)
        .unwrap_or(&FIGURES[0])
}

/// Title and body of a page about a comparison.
pub fn page(comparison: &Comparison) -> (String, String) {
    let others = comparison.brokers.keys().filter(|name| *name != US);
    let others: Vec<&str> = others.map(String::as_str).collect();
    let title = format!("{US} compared with {}", others.join(" and "));
    let mut body = page::head(&title, &heading(comparison));
    body.push_str(&page::verdicts(&verdicts(comparison)));
    for (kind, heading, ratios) in KINDS {
        let cells: Vec<&Cell> = comparison
            .cells
            .iter()
            .filter(|cell| cell.kind == kind)
            .collect();
        if cells.is_empty() {
            continue;
        }
        body.push_str(&format!("<h2>{heading}</h2>\n"));
        let mut charts = ratio_charts(comparison, &cells, ratios);
        charts.extend(absolute_charts(comparison, &cells));
        if kind == "latency" {
            charts.extend(cells.iter().map(|cell| percentile_chart(comparison, cell)));
        }
        body.push_str(&page::charts(&charts));
        body.push_str(&table(&cells));
    }
    body.push_str(&across_classes(comparison));
    body.push_str(&details(comparison));
    (title, body)
}

fn heading(comparison: &Comparison) -> [String; 3] {
    let settings = &comparison.settings;
    let versions = comparison.brokers.iter();
    let versions: Vec<String> = versions
        .map(|(name, broker)| format!("{name} {}", broker.version))
        .collect();
    let value = |name: &str| match comparison.machine.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "unknown".to_string(),
    };
    [
        format!(
            "{}. {} pair{} of runs of {} s after {} s of warm-up, in turns; began {}.",
            versions.join(", "),
            settings.pairs,
            if settings.pairs == 1 { "" } else { "s" },
            figure(settings.measured_s),
            figure(settings.warm_up_s),
            comparison
                .started
                .replace('T', " ")
                .replace("+00:00", " UTC"),
        ),
        format!(
            "{} cores of {}, Linux {}, {}; load average {}.",
            value("cores"),
            value("cpu"),
            value("kernel"),
            value("file_system"),
            value("load_average").split(' ').next().unwrap_or_default(),
        ),
        comparison
            .classes
            .iter()
            .map(|(class, meaning)| format!("Class {class}: {meaning}. "))
            .collect(),
    ]
}

fn verdicts(comparison: &Comparison) -> Vec<Verdict> {
    let mut said = Vec::new();
    for cell in &comparison.cells {
        said.extend(cell.refused.iter().map(|refusal| Verdict {
            tone: Tone::Bad,
            gist: format!("Refused: {}.", in_class(cell)),
            rest: refusal.clone(),
        }));
    }
    if said.is_empty() {
        said.push(Verdict {
            tone: Tone::Good,
            gist: "Every run counts:".to_string(),
            rest: "verified by the load generator, and with the flushes that its class needs."
                .to_string(),
        });
    }
    let bound: Vec<String> = comparison
        .cells
        .iter()
        .filter(|cell| cell.is_generator_bound)
        .map(in_class)
        .collect();
    if !bound.is_empty() {
        said.push(Verdict {
            tone: Tone::Warn,
            gist: "Generator-bound:".to_string(),
            rest: format!(
                "{}. Above two thirds of what the generator does against a server that does \
                 nothing; the ratios may be too small.",
                bound.join("; ")
            ),
        });
    }
    if comparison.settings.pairs < 2 {
        said.push(Verdict {
            tone: Tone::Warn,
            gist: "A quick look.".to_string(),
            rest: "A single pair has no control: it says nothing about the spread.".to_string(),
        });
    }
    said
}

fn in_class(cell: &Cell) -> String {
    match cell.class.as_str() {
        "-" => cell.title.clone(),
        class => format!("{}, class {class}", cell.title),
    }
}

/// Cells that differ in their class only, in their order.
fn by_title<'a>(cells: &[&'a Cell]) -> Vec<(&'a str, Vec<&'a Cell>)> {
    let mut groups: Vec<(&str, Vec<&Cell>)> = Vec::new();
    for cell in cells {
        match groups.iter_mut().find(|(title, _)| *title == cell.title) {
            Some((_, group)) => group.push(cell),
            None => groups.push((&cell.title, vec![cell])),
        }
    }
    groups
}

fn classes<'a>(cells: &[&'a Cell]) -> Vec<&'a str> {
    let mut classes: Vec<&str> = cells.iter().map(|cell| cell.class.as_str()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// Ratios of each figure over each other broker: a row per scenario, a range per class.
fn ratio_charts(comparison: &Comparison, cells: &[&Cell], figures: &[&str]) -> Vec<String> {
    let others = comparison.brokers.keys().filter(|name| *name != US);
    let classes = classes(cells);
    let mut charts = Vec::new();
    for other in others {
        for key in figures {
            let spread = |cell: &Cell| cell.ratios.get(other)?.get(*key).copied();
            let rows = by_title(cells).into_iter().map(|(title, group)| Row {
                name: title.to_string(),
                ranges: group
                    .iter()
                    .filter_map(|cell| {
                        let style = classes.iter().position(|class| *class == cell.class)?;
                        Some(range(style, class_name(&cell.class), spread(cell)?, 1.0))
                    })
                    .collect(),
                control: control(&group, key),
                limit: None,
            });
            let legend = classes.iter().enumerate();
            let chart = RangeChart {
                title: format!("{}: {US} / {other}", title_of(of(key))),
                x_label: "times, log scale".to_string(),
                better: better(comparison, key),
                reference: Some((1.0, "equal")),
                suffix: "×",
                legend: legend
                    .map(|(style, class)| (class_name(class), style))
                    .collect(),
                rows: rows.filter(|row| !row.ranges.is_empty()).collect(),
            };
            charts.push(chart.figure());
        }
    }
    charts
}

fn class_name(class: &str) -> String {
    match class {
        "A" => "class A, not flushed".to_string(),
        "B" => "class B, flushed".to_string(),
        _ => "ratio".to_string(),
    }
}

fn title_of(figure: &Figure) -> String {
    match figure.unit {
        "with / without" => format!("{} with / without the reader", figure.name),
        _ => figure.name.to_string(),
    }
}

fn better(comparison: &Comparison, key: &str) -> &'static str {
    match comparison.higher_is_better.get(key) {
        Some(true) => "higher is better →",
        Some(false) => "← lower is better",
        None => "",
    }
}

/// What the same broker differs from itself by, over the classes.
fn control(cells: &[&Cell], key: &str) -> Option<(f64, f64)> {
    let spreads = cells.iter().filter_map(|cell| cell.control.get(key));
    spreads.fold(None, |ends, spread| {
        let (low, high) = ends.unwrap_or((spread.lowest, spread.highest));
        Some((low.min(spread.lowest), high.max(spread.highest)))
    })
}

fn range(style: usize, name: String, spread: Spread, factor: f64) -> Range {
    let values = [spread.lowest, spread.median, spread.highest];
    Range {
        style,
        name,
        values: values.map(|value| value * factor),
    }
}

/// The figure that says most, of every broker, beside the physical limit; a chart per class.
fn absolute_charts(comparison: &Comparison, cells: &[&Cell]) -> Vec<String> {
    let names: Vec<&String> = comparison.brokers.keys().collect();
    let mut charts = Vec::new();
    for class in classes(cells) {
        let cells: Vec<&&Cell> = cells.iter().filter(|cell| cell.class == class).collect();
        let figure = of(&cells[0].figure);
        let rows = cells.iter().map(|cell| Row {
            name: cell.title.clone(),
            ranges: names
                .iter()
                .enumerate()
                .filter_map(|(style, name)| {
                    let spread = cell.brokers.get(*name)?.get(figure.key)?;
                    Some(range(style + 2, (*name).clone(), *spread, figure.factor))
                })
                .collect(),
            control: None,
            limit: cell
                .limits
                .as_ref()
                .map(|limits| limits.bound * figure.factor),
        });
        let title = title_of(figure);
        let chart = RangeChart {
            title: if class == "-" {
                title
            } else {
                format!("{title}, {}", class_name(class))
            },
            x_label: format!("{}, log scale", figure.unit),
            better: better(comparison, figure.key),
            reference: None,
            suffix: "",
            legend: names
                .iter()
                .enumerate()
                .map(|(at, name)| ((*name).clone(), at + 2))
                .collect(),
            rows: rows.collect(),
        };
        charts.push(chart.figure());
    }
    charts
}

/// Latency by percentile of one cell: of each broker the run with the middle p99.
fn percentile_chart(comparison: &Comparison, cell: &Cell) -> String {
    let lines = comparison
        .brokers
        .keys()
        .enumerate()
        .filter_map(|(style, name)| {
            let run = middle_run(cell, name)?;
            let produce = run.report.as_ref()?.produce.as_ref()?;
            Some(percentiles(
                produce.latency.as_ref()?,
                name.clone(),
                (style + 2) % STYLES,
            ))
        });
    let lines: Vec<Line> = lines.collect();
    let mut chart = by_percentile_chart(lines);
    chart.title = in_class(cell);
    chart.figure()
}

fn middle_run<'a>(cell: &'a Cell, broker: &str) -> Option<&'a Run> {
    let p99 = |run: &Run| run.figures.get("p99_us").copied().flatten();
    let counts = |run: &&Run| run.broker == broker && run.refused.is_none() && p99(run).is_some();
    let mut runs: Vec<&Run> = cell.runs.iter().filter(counts).collect();
    runs.sort_by(|one, other| {
        let values = [p99(one), p99(other)].map(Option::unwrap_or_default);
        values[0].total_cmp(&values[1])
    });
    runs.get(runs.len() / 2).copied()
}

/// Medians of every figure that any of the cells has.
fn table(cells: &[&Cell]) -> String {
    let has = |key: &str| {
        let brokers = cells.iter().flat_map(|cell| cell.brokers.values());
        brokers.into_iter().any(|figures| figures.contains_key(key))
    };
    let shown: Vec<&Figure> = FIGURES.iter().filter(|figure| has(figure.key)).collect();
    let names: Vec<String> = shown
        .iter()
        .map(|figure| match figure.unit {
            unit @ ("ms" | "with / without") => format!("{} {unit}", figure.name),
            "MB" => "memory MB".to_string(),
            unit => unit.to_string(),
        })
        .collect();
    let mut headings = vec!["", "class", "broker"];
    headings.extend(names.iter().map(String::as_str));
    let mut rows = Vec::new();
    let mut last = "";
    for cell in cells {
        for (name, figures) in &cell.brokers {
            // Each title once, above the rows that share it.
            let title = if cell.title == last { "" } else { &cell.title };
            last = &cell.title;
            let mut row = vec![title.to_string(), cell.class.clone(), name.clone()];
            row.extend(shown.iter().map(|shown| match figures.get(shown.key) {
                Some(spread) => figure(spread.median * shown.factor),
                None => "-".to_string(),
            }));
            rows.push(row);
        }
    }
    format!(
        "<details><summary>Every figure, medians</summary>\n{}</details>\n",
        page::table(&headings, &rows)
    )
}

fn across_classes(comparison: &Comparison) -> String {
    if comparison.across_classes.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = comparison
        .across_classes
        .iter()
        .map(|row| {
            let spread = row.ratio;
            vec![
                row.title.clone(),
                format!("{US} flushed / {} not flushed", row.over),
                format!("{}×", ratio(spread.median)),
                format!("{} to {}", ratio(spread.lowest), ratio(spread.highest)),
            ]
        })
        .collect();
    format!(
        "<h2>Across the classes</h2>\n<p>Requests/s of Sillon, flushed before it acknowledges, over \
         those of brokers that do not flush. Each side keeps a different promise.</p>\n{}",
        page::table(&["", "ratio of", "median", "lowest to highest"], &rows)
    )
}

fn details(comparison: &Comparison) -> String {
    let machine: serde_json::Map<_, _> = comparison.machine.clone().into_iter().collect();
    let started: BTreeMap<&String, String> = comparison
        .brokers
        .iter()
        .map(|(name, broker)| (name, broker.command.join(" ")))
        .filter(|(_, command)| !command.is_empty())
        .collect();
    let started: Vec<(String, String)> = started
        .into_iter()
        .map(|(name, command)| (name.clone(), command))
        .collect();
    format!(
        "<h2>How it was measured</h2>\n<div class=\"columns\">\n{}{}</div>\n",
        page::words(
            "Machine",
            &page::flatten(&serde_json::Value::Object(machine))
        ),
        page::words("Brokers", &started),
    )
}
