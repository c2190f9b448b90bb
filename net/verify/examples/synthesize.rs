//! Writes a correct history of many events to standard output: what `docs/verify.md` says of time
//! and memory can be measured again with it.
//!
//! `synthesize EVENTS [SEED]`

use std::io::{self, BufWriter, Write};

use sillon_verify::history::{FORMAT, Header, Recorder, VERSION};
use sillon_verify::synthetic;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let events = arguments
        .next()
        .ok_or("synthesize EVENTS [SEED]")?
        .parse()?;
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let header = Header {
        format: FORMAT.to_string(),
        version: VERSION,
        topic: "synthetic".to_string(),
        has_members: true,
        started_unix_ms: 0,
        command: format!("synthesize {events} {seed}"),
    };
    let out = BufWriter::new(io::stdout().lock());
    let recorder = Recorder::new(out, &header)?;
    for event in synthetic::history(seed, events) {
        recorder.record(event.process, event.what);
    }
    recorder.finish()?.flush()?;
    Ok(())
}
