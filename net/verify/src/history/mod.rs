//! A history in a file: one JSON object per line, the first of which says what follows.
//!
//! `docs/verify.md` describes it for those who write their own.

mod line;
mod reader;
mod recorder;

pub use line::{Header, NotAnEvent};
pub use reader::{CheckError, check, check_file};
pub use recorder::{RecordError, Recorder};

/// What the first line calls this format.
pub const FORMAT: &str = "sillon-history";

/// Its version: raised when a reader of the former one would misread it.
pub const VERSION: u32 = 1;
