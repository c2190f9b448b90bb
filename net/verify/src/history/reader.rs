use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::line::{Header, Line, NotAnEvent};
use super::{FORMAT, VERSION};
use crate::checker::{Checker, Nonsense, Report};

/// A line that is longer, in bytes, is no line of a history: a poll of a megabyte of records in
/// runs of one is about this long.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Why a history cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be opened or read.
    #[error("cannot read the history {}: {source}", path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The first line does not say what it is.
    #[error("{}: the first line is no header of a history ({source})", path.display())]
    Header {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is something else.
    #[error(
        "{} is of format {found:?} {version}; this program reads {FORMAT:?} {VERSION}",
        path.display()
    )]
    Format {
        /// As given.
        path: PathBuf,
        /// What it says that it is.
        found: String,
        /// In which version.
        version: u32,
    },
    /// A line is too long.
    #[error("{}, line {line}: longer than {LINE_BYTES_MAX} bytes", path.display())]
    LineTooLong {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
    /// A line is not JSON with an event's fields.
    #[error("{}, line {line}: {source}", path.display())]
    Json {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is no event.
    #[error("{}, line {line}: {source}", path.display())]
    NotAnEvent {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        source: NotAnEvent,
    },
    /// An event does not fit the ones before it.
    #[error("{}, line {line}: {source}", path.display())]
    Nonsense {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why not.
        source: Nonsense,
    },
}

/// Checks the history in a file.
pub fn check_file(path: &Path) -> Result<(Header, Report), CheckError> {
    let file = File::open(path).map_err(|source| CheckError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    check(path, BufReader::with_capacity(1 << 20, file))
}

/// Checks a history; `path` is what errors call it.
pub fn check(path: &Path, mut source: impl BufRead) -> Result<(Header, Report), CheckError> {
    let mut lines = Lines {
        path,
        source: &mut source,
        line: 0,
        buffer: Vec::new(),
    };
    let path_buf = || path.to_path_buf();
    let first = lines.next_line()?.unwrap_or_default();
    let header: Header = serde_json::from_slice(first).map_err(|source| CheckError::Header {
        path: path_buf(),
        source,
    })?;
    if header.format != FORMAT || header.version != VERSION {
        return Err(CheckError::Format {
            path: path_buf(),
            found: header.format,
            version: header.version,
        });
    }
    let mut checker = Checker::new();
    loop {
        let line = lines.line + 1;
        let Some(text) = lines.next_line()? else {
            break;
        };
        let parsed: Line<'_> = serde_json::from_slice(text).map_err(|source| CheckError::Json {
            path: path_buf(),
            line,
            source,
        })?;
        let event = parsed.event().map_err(|source| CheckError::NotAnEvent {
            path: path_buf(),
            line,
            source,
        })?;
        let checked = checker.event(line, &event);
        checked.map_err(|source| CheckError::Nonsense {
            path: path_buf(),
            line,
            source,
        })?;
    }
    let report = checker.finish(header.has_members);
    Ok((header, report))
}

struct Lines<'a, R> {
    path: &'a Path,
    source: &'a mut R,
    /// The last one that was read, counted from 1.
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line, without its end; `None` behind the last.
    fn next_line(&mut self) -> Result<Option<&[u8]>, CheckError> {
        self.line += 1;
        self.buffer.clear();
        let mut bounded = (&mut *self.source).take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|source| CheckError::Read {
            path: self.path.to_path_buf(),
            source,
        })?;
        if read == 0 {
            return Ok(None);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if read as u64 == LINE_BYTES_MAX {
            return Err(CheckError::LineTooLong {
                path: self.path.to_path_buf(),
                line: self.line,
            });
        }
        Ok(Some(&self.buffer))
    }
}
