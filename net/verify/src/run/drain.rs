use std::time::{Duration, Instant};

use sillon_client::{ClientError, Consumer, ConsumerOptions, OffsetSpec};

use super::Context;
use super::consumer::{is_out_of_range, poll_once};
use super::session::Session;
use crate::event::What;

/// A broker that answers and gives nothing for so long has nothing more.
const QUIET_FOR: Duration = Duration::from_secs(5);

/// Reads everything that is there, from the first offset of each partition to its end. Waits for a
/// broker that is gone until its time is up; returns what kept it then.
pub(super) fn run(context: &Context<'_>) -> Result<(), String> {
    let process = context.process();
    let mut session = Session::new(context);
    let deadline = Instant::now() + context.options.drain_timeout;
    for partition in 0..context.partitions {
        let kept = |error: ClientError| format!("partition {partition}: {error}");
        let (from, end) = patiently(&mut session, deadline, |session| {
            ends(context, session, partition)
        })
        .map_err(kept)?;
        let topic = &context.place.topic;
        let mut consumer = Consumer::new(ConsumerOptions::default());
        consumer.assign(topic, partition, from);
        let offset = from;
        context.record(process, What::Positioned { partition, offset });
        let mut came_at = Instant::now();
        while consumer.position(topic, partition) < Some(end) && came_at.elapsed() < QUIET_FOR {
            let before = consumer.position(topic, partition);
            let polled = patiently(&mut session, deadline, |session| {
                poll_once(context, process, session, &mut consumer)
            });
            match polled {
                // A log that ends before the reader is shorter than it was.
                Err(error) if is_out_of_range(&error) => break,
                other => other.map_err(kept)?,
            };
            if consumer.position(topic, partition) != before {
                came_at = Instant::now();
            }
        }
        let drained = What::Drained {
            partition,
            from,
            end,
        };
        context.record(process, drained);
    }
    Ok(())
}

/// Tries until it works or the time is up.
fn patiently<T>(
    session: &mut Session<'_>,
    deadline: Instant,
    mut attempt: impl FnMut(&mut Session<'_>) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    loop {
        match attempt(session) {
            Err(error) if !is_out_of_range(&error) && Instant::now() < deadline => {
                session.recover();
            }
            result => return result,
        }
    }
}

/// The first offset of a partition and its end.
fn ends(
    context: &Context<'_>,
    session: &mut Session<'_>,
    partition: i32,
) -> Result<(i64, i64), ClientError> {
    let client = session.client()?;
    let mut ask = |spec| {
        let found = client.list_offsets(&context.place.topic, &[partition], spec)?;
        Ok(found[0].offset.unwrap_or(0))
    };
    Ok((ask(OffsetSpec::Earliest)?, ask(OffsetSpec::Latest)?))
}
