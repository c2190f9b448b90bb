//! One HTML page that shows what was measured: self-contained, without a script, for light and
//! dark, a desktop and a phone.
//!
//! [`read`] takes what `sillon bench --format json` or `bench/compare --save` wrote, [`render`]
//! makes the page.

mod compare;
mod comparison;
mod line_chart;
mod number;
mod page;
mod range_chart;
mod run;
mod scale;
mod svg;

use serde::Deserialize;

use self::comparison::Comparison;
use crate::run_report::{self, BenchReport, RunReport};

/// A file that there can be a page about.
#[derive(Clone, Debug)]
pub enum Input {
    /// Runs of the load generator.
    Bench(BenchReport),
    /// A comparison of brokers.
    Comparison(Box<Compared>),
}

/// What `bench/compare` wrote.
#[derive(Clone, Debug)]
pub struct Compared(Comparison);

/// Files that there can be no page about.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It cannot be read as what it should be.
    #[error(
        "{origin}: {source}; what `sillon bench --format json` or `bench/compare --save` wrote is \
         needed"
    )]
    Syntax {
        /// The file's name.
        origin: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("{origin}: its format is {found}, and this version reads {known}: write it again")]
    Version {
        /// The file's name.
        origin: String,
        /// What it says.
        found: u32,
        /// What can be read.
        known: u32,
    },
    /// A comparison beside something else.
    #[error("a comparison stands alone: give the files of runs, or one comparison")]
    Mixed,
    /// Nothing to show.
    #[error("there is no run in the files given")]
    Nothing,
}

/// What tells the two kinds apart.
#[derive(Deserialize)]
#[serde(untagged)]
enum Format {
    Bench { format: u32 },
    Comparison { format: String, format_version: u32 },
}

/// Reads a file's text; `origin` is its name, for the error.
pub fn read(text: &str, origin: &str) -> Result<Input, ReportError> {
    let syntax = |source| ReportError::Syntax {
        origin: origin.to_string(),
        source,
    };
    let version = |found, known| {
        if found == known {
            return Ok(());
        }
        Err(ReportError::Version {
            origin: origin.to_string(),
            found,
            known,
        })
    };
    match serde_json::from_str(text).map_err(syntax)? {
        Format::Comparison {
            format,
            format_version,
        } if format == comparison::FORMAT => {
            version(format_version, comparison::FORMAT_VERSION)?;
            let comparison = serde_json::from_str(text).map_err(syntax)?;
            Ok(Input::Comparison(Box::new(Compared(comparison))))
        }
        Format::Bench { format } => {
            version(format, run_report::FORMAT)?;
            Ok(Input::Bench(serde_json::from_str(text).map_err(syntax)?))
        }
        Format::Comparison { .. } => {
            let unknown = <serde_json::Error as serde::de::Error>::custom("an unknown format");
            Err(syntax(unknown))
        }
    }
}

/// The page about one comparison, or about all runs of the files.
pub fn render(inputs: &[Input]) -> Result<String, ReportError> {
    if let [Input::Comparison(compared)] = inputs {
        let (title, body) = compare::page(&compared.0);
        return Ok(page::document(&title, &body));
    }
    let mut runs: Vec<RunReport> = Vec::new();
    for input in inputs {
        match input {
            Input::Bench(report) => runs.extend(report.runs.iter().cloned()),
            Input::Comparison(_) => return Err(ReportError::Mixed),
        }
    }
    if runs.is_empty() {
        return Err(ReportError::Nothing);
    }
    let (title, body) = run::page(&runs);
    Ok(page::document(&title, &body))
}
