use std::fs;
use std::path::PathBuf;

use clap::Args;
use sillon_loadgen::report;

use super::BenchError;

/// `sillon bench report`: what was measured before, as one HTML page.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What `sillon bench --format json` printed, or one file that `bench/compare --save` wrote
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the page goes
    #[arg(long, short, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

impl ReportArgs {
    /// Writes the page.
    pub fn run(self) -> Result<(), BenchError> {
        let mut inputs = Vec::new();
        for path in self.files {
            let text = fs::read_to_string(&path);
            let origin = path.display().to_string();
            let text = text.map_err(|source| BenchError::Measured { path, source })?;
            inputs.push(report::read(&text, &origin)?);
        }
        let page = report::render(&inputs)?;
        let path = self.output;
        fs::write(&path, page).map_err(|source| BenchError::Page { path, source })
    }
}
