//! When requests are due. A schedule is arithmetic: it knows nothing of answers, so nothing that
//! a broker does can move it.

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// A constant rate, then one that changes evenly, then a constant one again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Requests per second in the beginning.
    from_rate: f64,
    /// Requests per second in the end.
    to_rate: f64,
    /// How long the first rate is held, in seconds.
    hold_s: f64,
    /// How long the change takes, in seconds.
    ramp_s: f64,
}

impl Schedule {
    /// `from_rate` for `hold_s` seconds, then in `ramp_s` seconds to `to_rate`, which is kept.
    pub fn ramp(from_rate: f64, to_rate: f64, hold_s: f64, ramp_s: f64) -> Schedule {
        assert!(from_rate > 0.0 && to_rate > 0.0, "a rate is positive");
        assert!(hold_s >= 0.0 && ramp_s > 0.0, "time goes forward");
        Schedule {
            from_rate,
            to_rate,
            hold_s,
            ramp_s,
        }
    }

    /// When the request `number`, counted from 0, is due, in ns from the beginning.
    pub fn due_ns(&self, number: u64) -> u64 {
        let number = number as f64;
        let held = self.from_rate * self.hold_s;
        let due_s = if number < held {
            number / self.from_rate
        } else {
            self.hold_s + self.due_in_ramp_s(number - held)
        };
        (due_s * SECOND_NS as f64) as u64
    }

    /// Solves rate x t + slope / 2 x t^2 = number for t.
    fn due_in_ramp_s(&self, number: f64) -> f64 {
        let in_ramp = (self.from_rate + self.to_rate) / 2.0 * self.ramp_s;
        if number >= in_ramp {
            return self.ramp_s + (number - in_ramp) / self.to_rate;
        }
        let slope = (self.to_rate - self.from_rate) / self.ramp_s;
        let root = (self.from_rate * self.from_rate + 2.0 * slope * number).sqrt();
        2.0 * number / (self.from_rate + root)
    }

    /// Requests per second at a time, in ns from the beginning.
    pub fn rate_at(&self, time_ns: u64) -> f64 {
        let into_ramp_s = time_ns as f64 / SECOND_NS as f64 - self.hold_s;
        let part = (into_ramp_s / self.ramp_s).clamp(0.0, 1.0);
        self.from_rate + (self.to_rate - self.from_rate) * part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_until(schedule: &Schedule, time_s: f64) -> u64 {
        let time_ns = (time_s * SECOND_NS as f64) as u64;
        (0..)
            .find(|number| schedule.due_ns(*number) >= time_ns)
            .unwrap()
    }

    #[test]
    fn a_constant_rate_is_even() {
        let schedule = Schedule::ramp(1000.0, 1000.0, 2.0, 3.0);
        assert_eq!(schedule.due_ns(0), 0);
        assert_eq!(schedule.due_ns(1), 1_000_000);
        assert_eq!(schedule.due_ns(1_000_000), 1000 * SECOND_NS);
        assert_eq!(schedule.rate_at(5 * SECOND_NS), 1000.0);
    }

    #[test]
    fn a_ramp_sends_the_area_below_it() {
        for (from, to) in [(100.0, 300.0), (300.0, 100.0), (200.0, 200.0)] {
            let schedule = Schedule::ramp(from, to, 2.0, 4.0);
            let held = (2.0 * from) as u64;
            assert_eq!(count_until(&schedule, 2.0), held, "{from} to {to}");
            let ramp = (4.0 * (from + to) / 2.0) as u64;
            assert_eq!(count_until(&schedule, 6.0), held + ramp);
            assert_eq!(count_until(&schedule, 7.0), held + ramp + to as u64);
            assert_eq!(schedule.rate_at(4 * SECOND_NS), (from + to) / 2.0);
        }
    }

    #[test]
    fn no_request_is_due_before_the_one_before_it() {
        let schedule = Schedule::ramp(10.0, 100_000.0, 0.5, 3.0);
        let due: Vec<u64> = (0..200_000).map(|number| schedule.due_ns(number)).collect();
        assert!(due.is_sorted());
    }
}
