use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::line::{Header, Line};
use crate::event::{Event, What};

/// Why a history cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the history {}: {source}", path.display())]
pub struct RecordError {
    /// Where.
    pub path: PathBuf,
    /// The system's words.
    pub source: io::Error,
}

/// Writes what several threads do, in the order in which they say so: the beginning of something
/// before it is done, its end after it was. A failure to write is kept for [`Recorder::finish`].
#[derive(Debug)]
pub struct Recorder<W: Write = BufWriter<File>> {
    began: Instant,
    out: Mutex<Out<W>>,
}

#[derive(Debug)]
struct Out<W> {
    writer: W,
    failed: Option<io::Error>,
}

impl Recorder {
    /// Begins a history in a file; what was there is replaced.
    pub fn create(path: &Path, header: &Header) -> Result<Recorder, RecordError> {
        let failed = |source| RecordError {
            path: path.to_path_buf(),
            source,
        };
        let file = File::create(path).map_err(failed)?;
        Recorder::new(BufWriter::with_capacity(1 << 20, file), header).map_err(failed)
    }
}

impl<W: Write> Recorder<W> {
    /// Begins a history.
    pub fn new(mut writer: W, header: &Header) -> io::Result<Recorder<W>> {
        serde_json::to_writer(&mut writer, header)?;
        writer.write_all(b"\n")?;
        Ok(Recorder {
            began: Instant::now(),
            out: Mutex::new(Out {
                writer,
                failed: None,
            }),
        })
    }

    /// Something happens now.
    pub fn record(&self, process: u32, what: What) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let time_ns = self.began.elapsed().as_nanos() as u64;
        let event = Event {
            time_ns,
            process,
            what,
        };
        if out.failed.is_none()
            && let Err(error) = write(&mut out.writer, &event)
        {
            out.failed = Some(error);
        }
    }

    /// What was recorded so far can be read.
    pub fn flush(&self) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = out.writer.flush() {
            out.failed.get_or_insert(error);
        }
    }

    /// Everything is said.
    pub fn finish(self) -> io::Result<W> {
        let out = self.out.into_inner();
        let mut out = out.unwrap_or_else(PoisonError::into_inner);
        match out.failed {
            Some(error) => Err(error),
            None => {
                out.writer.flush()?;
                Ok(out.writer)
            }
        }
    }
}

fn write(writer: &mut impl Write, event: &Event) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, &Line::of(event))?;
    writer.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::super::{FORMAT, VERSION, check};
    use super::*;

    #[test]
    fn what_is_recorded_reads_back_as_the_same_history() {
        let header = Header {
            format: FORMAT.to_string(),
            version: VERSION,
            topic: "furrow".to_string(),
            has_members: true,
            started_unix_ms: 5,
            command: "plough \"deep\"".to_string(),
        };
        let events = crate::synthetic::history(7, 3_000);
        let recorder = Recorder::new(Vec::new(), &header).unwrap();
        for event in &events {
            recorder.record(event.process, event.what.clone());
        }
        let bytes = recorder.finish().unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').skip(1);
        for event in &events {
            let line: Line<'_> = serde_json::from_slice(lines.next().unwrap()).unwrap();
            assert_eq!(line.event().unwrap().what, event.what);
        }
        let (read, report) = check(Path::new("memory"), &bytes[..]).unwrap();
        assert_eq!(read, header);
        assert_eq!(report.counts.events, events.len() as u64);
        assert_eq!(report.findings, []);
    }

    #[test]
    fn a_line_that_is_no_event_is_named_by_its_number() {
        let header = format!(r#"{{"format":"{FORMAT}","version":{VERSION},"topic":"t"}}"#);
        for (line, words) in [
            ("{}", "missing field"),
            (r#"{"t":1,"p":1,"op":"plough","type":"ok"}"#, "\"plough\""),
            (
                r#"{"t":1,"p":1,"op":"send","type":"ok","first":1}"#,
                "\"partition\"",
            ),
            (
                r#"{"t":1,"p":1,"op":"send","type":"ok","partition":0,"first":1}"#,
                "not begin",
            ),
            (
                r#"{"t":1,"p":1,"op":"seek","type":"ok","partition":0,"offset":-1}"#,
                "cannot be -1",
            ),
        ] {
            let text = format!("{header}\n{line}\n");
            let error = check(Path::new("h"), text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains("h, line 2"), "{error}");
            assert!(error.contains(words), "{error}");
        }
        let other = header.replace(FORMAT, "something");
        let error = check(Path::new("h"), other.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("of format \"something\""),
            "{error}"
        );
    }
}
