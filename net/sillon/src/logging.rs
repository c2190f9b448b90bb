use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What is logged, on standard error.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What to log: error, warn, info, debug, trace, or a filter such as sillon_server=debug
    #[arg(long, global = true, env = "SILLON_LOG", value_name = "FILTER", value_parser = filter)]
    log: Option<String>,
    /// How to log
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// glommio reports as an error what the broker brings about on purpose at every start: that its
/// files use no polled I/O.
const EXPECTED_ERRORS: &str = "glommio::reactor=off,";

fn filter(text: &str) -> Result<String, ParseError> {
    EnvFilter::try_new(text).map(|_| text.to_string())
}

impl LogArgs {
    /// Sends log events to standard error, those that `default` selects unless told otherwise.
    pub fn start(&self, default: &str) {
        let wanted = self.log.as_deref().unwrap_or(default);
        let filter = EnvFilter::new(format!("{EXPECTED_ERRORS}{wanted}"));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false);
        match self.log_format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().init(),
        }
    }
}
