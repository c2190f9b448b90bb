//! Medians over repetitions, as a table or as JSON.

use std::path::Path;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::machine;

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a human.
    #[default]
    Table,
    /// For a program.
    Json,
}

/// The value below which `share` of the sorted `samples` lie.
///
/// # Panics
/// When there is none.
pub fn percentile(samples: &[f64], share: f64) -> f64 {
    let at = (samples.len() as f64 * share) as usize;
    samples[at.min(samples.len() - 1)]
}

/// The middle one, and the mean of the middle two of an even number.
///
/// # Panics
/// When there is none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    (sorted[low] + sorted[high]) / 2.0
}

/// Times of single iterations. Beside other load their mean says little: one slice of a few ms
/// that another process takes outweighs hundreds of iterations of some us.
pub struct Samples {
    name: String,
    ns: Vec<f64>,
}

/// Iterations that are kept at most: 8 MiB.
const SAMPLES_MAX: usize = 1 << 20;

impl Samples {
    /// None yet, and room for all.
    pub fn new(name: impl Into<String>) -> Samples {
        Samples {
            name: name.into(),
            ns: Vec::with_capacity(SAMPLES_MAX),
        }
    }

    /// Adds one iteration.
    pub fn push(&mut self, time: std::time::Duration) {
        if self.ns.len() < SAMPLES_MAX {
            self.ns.push(time.as_nanos() as f64);
        }
    }

    /// Prints a line: the median, the mean of all but the slowest hundredth (which has what every
    /// 16th or 64th iteration pays for, such as fresh memory, and hardly any foreign time), and
    /// the 99th percentile.
    pub fn print(mut self) {
        if self.ns.is_empty() {
            return;
        }
        self.ns.sort_by(f64::total_cmp);
        let most = &self.ns[..(self.ns.len() * 99).div_ceil(100)];
        let mean = most.iter().sum::<f64>() / most.len() as f64;
        println!(
            "{:44}  p50 {:>7.2} us  mean below p99 {:>7.2} us  p99 {:>7.2} us",
            self.name,
            percentile(&self.ns, 0.5) / 1e3,
            mean / 1e3,
            percentile(&self.ns, 0.99) / 1e3
        );
    }
}

/// Figures of one scenario: rows of named values, each measured once per repetition.
pub struct Report {
    scenario: &'static str,
    /// Units and conditions.
    notes: Vec<String>,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    goals: Vec<Goal>,
}

struct Row {
    name: String,
    /// By column, then by repetition.
    values: Vec<Vec<f64>>,
}

struct Goal {
    name: String,
    /// By repetition.
    values: Vec<f64>,
    at_most: f64,
}

impl Report {
    /// An empty report.
    pub fn new(scenario: &'static str, columns: &[&'static str]) -> Report {
        Report {
            scenario,
            notes: Vec::new(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            goals: Vec::new(),
        }
    }

    /// Says something about how it was measured.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a repetition's values, one per column.
    pub fn add(&mut self, name: &str, values: &[f64]) {
        assert_eq!(values.len(), self.columns.len(), "a value per column");
        let at = match self.rows.iter().position(|row| row.name == name) {
            Some(at) => at,
            None => {
                let values = vec![Vec::new(); self.columns.len()];
                let name = name.to_string();
                self.rows.push(Row { name, values });
                self.rows.len() - 1
            }
        };
        for (all, value) in self.rows[at].values.iter_mut().zip(values) {
            all.push(*value);
        }
    }

    /// Demands that the median of one row's column over another's, repetition by repetition, is
    /// at most this.
    ///
    /// # Panics
    /// When there are no such rows or no such column.
    pub fn goal(&mut self, row: &str, over: &str, column: &str, at_most: f64) {
        let at = self.columns.iter().position(|name| *name == column);
        let at = at.expect("a column of the report");
        let values = |name: &str| {
            let row = self.rows.iter().find(|row| row.name == name);
            &row.expect("a row of the report").values[at]
        };
        let ratios = values(row).iter().zip(values(over)).map(|(a, b)| a / b);
        let goal = Goal {
            name: format!("{column}: {row} / {over}"),
            values: ratios.collect(),
            at_most,
        };
        self.goals.push(goal);
    }

    /// Prints it, with the machine that `folder` is on.
    pub fn print(&self, format: Format, folder: &Path) {
        match format {
            Format::Table => self.print_table(&machine::describe(folder)),
            Format::Json => println!("{:#}", self.json(machine::describe(folder))),
        }
    }

    fn print_table(&self, machine: &Value) {
        println!("{}", self.scenario);
        for (name, value) in machine.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_string);
            println!("  {name}: {text}");
        }
        for note in &self.notes {
            println!("  {note}");
        }
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        print!("\n{:width$}", "median (lowest - highest)");
        for column in &self.columns {
            print!("  {column:>26}");
        }
        println!();
        let width = width.max("median (lowest - highest)".len());
        for row in &self.rows {
            print!("{:width$}", row.name);
            for values in &row.values {
                print!("  {:>26}", spread(values));
            }
            println!();
        }
        println!();
        for goal in &self.goals {
            let verdict = if median(&goal.values) <= goal.at_most {
                "met"
            } else {
                "MISSED"
            };
            let (name, spread, at_most) = (&goal.name, spread(&goal.values), goal.at_most);
            println!("{name}: {spread}, goal <= {at_most}: {verdict}");
        }
    }

    fn json(&self, machine: Value) -> Value {
        let rows = self.rows.iter().map(|row| {
            let columns = self.columns.iter().zip(&row.values);
            let columns = columns.map(|(name, values)| (name.to_string(), figures(values)));
            json!({ "name": row.name, "values": columns.collect::<serde_json::Map<_, _>>() })
        });
        let goals = self.goals.iter().map(|goal| {
            json!({
                "name": goal.name,
                "ratio": figures(&goal.values),
                "at_most": goal.at_most,
                "is_met": median(&goal.values) <= goal.at_most,
            })
        });
        json!({
            "scenario": self.scenario,
            "machine": machine,
            "notes": self.notes,
            "rows": rows.collect::<Vec<_>>(),
            "goals": goals.collect::<Vec<_>>(),
        })
    }
}

fn figures(values: &[f64]) -> Value {
    json!({ "median": median(values), "repetitions": values })
}

fn spread(values: &[f64]) -> String {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({lowest:.2} - {highest:.2})", median(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_one_or_between_the_middle_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_goal_compares_repetition_by_repetition() {
        let mut report = Report::new("test", &["us"]);
        for (ours, theirs) in [(2.0, 1.0), (30.0, 10.0), (4.0, 4.0)] {
            report.add("ours", &[ours]);
            report.add("theirs", &[theirs]);
        }
        report.goal("ours", "theirs", "us", 1.5);
        let json = report.json(json!({}));
        assert_eq!(json["goals"][0]["ratio"]["median"], 2.0);
        assert_eq!(json["goals"][0]["is_met"], false);
    }
}
