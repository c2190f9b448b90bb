//! What `bench/compare --format json` writes, as far as the report shows it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::run_report::Flow;

/// What `format` says in such a document.
pub const FORMAT: &str = "sillon-compare";

/// The layout that this module reads.
pub const FORMAT_VERSION: u32 = 1;

/// The name of the broker that ratios are of.
pub const US: &str = "sillon";

/// A whole comparison.
#[derive(Clone, Debug, Deserialize)]
pub struct Comparison {
    /// When it began, ISO 8601.
    pub started: String,
    /// The machine, in names and values.
    pub machine: BTreeMap<String, serde_json::Value>,
    /// How often and how long.
    pub settings: Settings,
    /// The brokers by name.
    pub brokers: BTreeMap<String, Broker>,
    /// What the durability classes mean.
    pub classes: BTreeMap<String, String>,
    /// Whether more of a figure is better.
    pub higher_is_better: BTreeMap<String, bool>,
    /// Every scenario in every class.
    pub cells: Vec<Cell>,
    /// Sillon flushed over others not flushed.
    pub across_classes: Vec<AcrossClasses>,
}

/// How it was measured.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// Pairs of every cell.
    pub pairs: u32,
    /// Load before each measurement, in seconds.
    pub warm_up_s: f64,
    /// Each measurement, in seconds.
    pub measured_s: f64,
}

/// A broker.
#[derive(Clone, Debug, Deserialize)]
pub struct Broker {
    /// Its version.
    pub version: String,
    /// How it was started; empty when somebody else did.
    pub command: Vec<String>,
}

/// Median and ends of some values.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

/// Figures by their name.
pub type Figures = BTreeMap<String, Spread>;

/// One scenario in one class.
#[derive(Clone, Debug, Deserialize)]
pub struct Cell {
    /// What kind of scenario: produce, latency, fetch, catch-up or start.
    pub kind: String,
    /// What it is, in words.
    pub title: String,
    /// The durability class; `-` where there is none.
    pub class: String,
    /// The figure that says most.
    pub figure: String,
    /// Broker to figures.
    pub brokers: BTreeMap<String, Figures>,
    /// Other broker to ratios, Sillon's figure over its.
    pub ratios: BTreeMap<String, Figures>,
    /// Ratios of the same broker over itself.
    pub control: Figures,
    /// What raw io_uring and raw TCP do with the same bytes.
    pub limits: Option<Limits>,
    /// Why runs do not count.
    pub refused: Vec<String>,
    /// The load generator may bound its figures.
    pub is_generator_bound: bool,
    /// Every run, in the order of time.
    pub runs: Vec<Run>,
}

/// The physical limit of a cell.
#[derive(Clone, Debug, Deserialize)]
pub struct Limits {
    /// Of the cell's figure.
    pub bound: f64,
}

/// One run.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Of which broker.
    pub broker: String,
    /// Its figures.
    pub figures: BTreeMap<String, Option<f64>>,
    /// Why it does not count.
    pub refused: Option<String>,
    /// What the load generator found.
    pub report: Option<RunFlow>,
}

/// Of a [`crate::RunReport`] what is drawn.
#[derive(Clone, Debug, Deserialize)]
pub struct RunFlow {
    /// As there.
    pub produce: Option<Flow>,
}

/// A ratio of figures in different classes.
#[derive(Clone, Debug, Deserialize)]
pub struct AcrossClasses {
    /// The scenario, in words.
    pub title: String,
    /// The broker that was not flushed.
    pub over: String,
    /// Sillon flushed over it.
    pub ratio: Spread,
}
