//! One clock for a run: what is sent, what arrives and what is due are told in the same time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::schedule::SECOND_NS;

/// Nanoseconds since the run began, by the monotonic clock; and what the wall clock said then.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    began_unix_ns: u64,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Clock {
            began: Instant::now(),
            began_unix_ns: since.map_or(0, |since| since.as_nanos() as u64),
        }
    }

    /// Nanoseconds since it began.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// A time of this clock in ns since the Unix epoch. Steps of the wall clock do not show.
    #[inline]
    pub fn unix_ns(&self, time_ns: u64) -> u64 {
        self.began_unix_ns + time_ns
    }

    /// The opposite of [`Self::unix_ns`]; times before the beginning are 0.
    #[inline]
    pub fn of_unix_ns(&self, unix_ns: u64) -> u64 {
        unix_ns.saturating_sub(self.began_unix_ns)
    }
}

/// What of a run is measured, in ns of its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Here the load begins, and with it the warm-up.
    pub load_ns: u64,
    /// Here the measurement begins.
    pub measure_ns: u64,
    /// Here it ends.
    pub end_ns: u64,
}

/// A part of the timeline, about a second long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Seconds before the measurement: -1 is the last of them.
    WarmUp(i64),
    /// Seconds of the measurement, counted from 0.
    Measured(u32),
    /// After its end.
    Drain,
}

impl Timeline {
    /// In which part a time is.
    pub fn part(&self, time_ns: u64) -> Part {
        if time_ns >= self.end_ns {
            Part::Drain
        } else if time_ns >= self.measure_ns {
            Part::Measured(((time_ns - self.measure_ns) / SECOND_NS) as u32)
        } else {
            Part::WarmUp(-1 - ((self.measure_ns - time_ns - 1) / SECOND_NS) as i64)
        }
    }

    /// Where that part ends.
    pub fn end_of_part(&self, time_ns: u64) -> u64 {
        match self.part(time_ns) {
            Part::Drain => u64::MAX,
            Part::Measured(second) => {
                let end = self.measure_ns + (u64::from(second) + 1) * SECOND_NS;
                end.min(self.end_ns)
            }
            Part::WarmUp(second) => self.measure_ns - (-1 - second) as u64 * SECOND_NS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_gaps() {
        let timeline = Timeline {
            load_ns: 100,
            measure_ns: 100 + 2 * SECOND_NS,
            end_ns: 100 + 4 * SECOND_NS + 7,
        };
        let mut time_ns = timeline.load_ns;
        let mut parts = Vec::new();
        while time_ns != u64::MAX {
            parts.push(timeline.part(time_ns));
            time_ns = timeline.end_of_part(time_ns);
        }
        let expected = [
            Part::WarmUp(-2),
            Part::WarmUp(-1),
            Part::Measured(0),
            Part::Measured(1),
            Part::Measured(2),
            Part::Drain,
        ];
        assert_eq!(parts, expected);
    }
}
