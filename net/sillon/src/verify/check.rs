use std::path::PathBuf;

use clap::Args;
use sillon_verify::check_file;

use super::{VerifyError, report};
use crate::failure::Failure;
use crate::output::Format;

/// The process exits with 0 when nothing was found, with 1 when there are anomalies, and with 2
/// when nothing can be said.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The history, as `verify run` keeps it; docs/verify.md describes it
    #[arg(value_name = "FILE")]
    history: PathBuf,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl CheckArgs {
    pub fn run(self) -> Result<(), Failure> {
        let (header, checked) = check_file(&self.history).map_err(VerifyError::from)?;
        report::print(self.format, &header.topic, &self.history, &checked)?;
        report::verdict(&checked, None)
    }
}
