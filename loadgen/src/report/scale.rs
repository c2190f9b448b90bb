//! Where a value stands on an axis, and which values the axis names.

use super::number;

/// How an axis maps values to its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Evenly, from zero to a named value.
    Linear,
    /// Evenly, from zero to the last value.
    Time,
    /// Each power of ten as long as the next.
    Log,
    /// Percentiles, by their nines: 90, 99 and 99.9 at even distances.
    Nines,
}

/// An axis: a kind, and the range that it shows.
#[derive(Clone, Debug)]
pub struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

/// The highest percentile that has a place: eight nines.
const PERCENTILE_MAX: f64 = 99.999_999;

/// Decades above which a logarithmic axis names powers of ten only.
const FINE_DECADES_MAX: f64 = 2.2;

impl Scale {
    /// A scale that has room for all `values`, and names about `ticks` of them.
    pub fn around(kind: Kind, values: impl Iterator<Item = f64>, ticks: usize) -> Scale {
        let values =
            values.filter(|value| value.is_finite() && (kind != Kind::Log || *value > 0.0));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.1, 1.0) };
        match kind {
            Kind::Linear => Scale::linear(high, ticks),
            Kind::Time => Scale::time(high, ticks),
            Kind::Log => Scale::log(low, high),
            Kind::Nines => Scale::nines(high),
        }
    }

    fn linear(high: f64, ticks: usize) -> Scale {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high, ticks, &[1.0, 2.0, 2.5, 5.0, 10.0]);
        let count = (high / step - 1e-9).ceil().max(1.0);
        Scale {
            kind: Kind::Linear,
            low: 0.0,
            high: count * step,
            ticks: named(step, count),
        }
    }

    fn time(high: f64, ticks: usize) -> Scale {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high, ticks, &[1.0, 2.0, 5.0, 10.0]);
        let count = (high / step + 1e-9).floor();
        Scale {
            kind: Kind::Time,
            low: 0.0,
            high,
            ticks: named(step, count),
        }
    }

    fn log(low: f64, high: f64) -> Scale {
        let fine = (high / low).log10() < FINE_DECADES_MAX;
        let factors: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let first = low.log10().floor() as i32;
        let last = high.log10().ceil() as i32;
        let named: Vec<f64> = (first..=last)
            .flat_map(|power| {
                factors
                    .iter()
                    .map(move |factor| factor * 10_f64.powi(power))
            })
            .collect();
        // The ends are named values, so that every line ends within the axis.
        let low = named.iter().rev().find(|value| **value <= low * 1.0001);
        let low = low.copied().unwrap_or(named[0]);
        let high = named
            .iter()
            .find(|value| **value >= high * 0.9999 && **value > low);
        let high = high.copied().unwrap_or(10.0 * low);
        let ticks = named
            .into_iter()
            .filter(|value| *value >= low && *value <= high);
        Scale {
            kind: Kind::Log,
            low,
            high,
            ticks: ticks.map(|value| (value, number::figure(value))).collect(),
        }
    }

    fn nines(high: f64) -> Scale {
        let high = high.clamp(90.0, PERCENTILE_MAX);
        let named = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
        let ticks = named.into_iter().filter(|value| *value <= high);
        Scale {
            kind: Kind::Nines,
            low: 0.0,
            high,
            ticks: ticks.map(|value| (value, value.to_string())).collect(),
        }
    }

    /// 0 at the axis' beginning, 1 at its end; values beyond stand at the end.
    pub fn place(&self, value: f64) -> f64 {
        let map = |value: f64| match self.kind {
            Kind::Linear | Kind::Time => value,
            Kind::Log => value.max(f64::MIN_POSITIVE).log10(),
            Kind::Nines => -(1.0 - value.min(PERCENTILE_MAX) / 100.0).log10(),
        };
        let (low, high) = (map(self.low), map(self.high));
        ((map(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// The values that are named, and their names.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks
            .iter()
            .map(|(value, name)| (*value, name.as_str()))
    }
}

/// The distance of about `ticks` named values up to `high`: one of `factors` times a power of ten.
fn step(high: f64, ticks: usize, factors: &[f64]) -> f64 {
    let raw = high / ticks.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let found = factors
        .iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw * 0.999);
    found.unwrap_or(10.0 * power)
}

fn named(step: f64, count: f64) -> Vec<(f64, String)> {
    let values = (0..=count as usize).map(|at| at as f64 * step);
    values.map(|value| (value, number::figure(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scale: &Scale) -> Vec<&str> {
        scale.ticks().map(|(_, name)| name).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_named_value_above_all() {
        let scale = Scale::around(Kind::Linear, [12_300.0, 17_100.0].into_iter(), 4);
        assert_eq!(names(&scale), ["0", "5,000", "10,000", "15,000", "20,000"]);
        assert_eq!(scale.place(10_000.0), 0.5);
        assert_eq!(scale.place(1e9), 1.0);
    }

    #[test]
    fn a_time_axis_ends_with_the_last_value() {
        let scale = Scale::around(Kind::Time, [1.0, 12.0].into_iter(), 5);
        assert_eq!(names(&scale), ["0", "5", "10"]);
        assert_eq!(scale.place(12.0), 1.0);
    }

    #[test]
    fn a_short_logarithmic_axis_names_ones_twos_and_fives_and_a_long_one_powers_of_ten() {
        let scale = Scale::around(Kind::Log, [0.19, 1.8].into_iter(), 4);
        assert_eq!(names(&scale), ["0.1", "0.2", "0.5", "1", "2"]);
        let scale = Scale::around(Kind::Log, [0.05, 700.0].into_iter(), 4);
        assert_eq!(names(&scale), ["0.01", "0.1", "1", "10", "100", "1,000"]);
        assert!((scale.place(1.0) - 0.4).abs() < 1e-9);
    }

    #[test]
    fn percentiles_stand_by_their_nines() {
        let scale = Scale::around(Kind::Nines, [50.0, 99.99].into_iter(), 0);
        assert_eq!(names(&scale), ["0", "50", "90", "99", "99.9", "99.99"]);
        assert!((scale.place(99.0) - 0.5).abs() < 1e-9);
        assert_eq!(scale.place(100.0), 1.0);
    }

    #[test]
    fn an_axis_without_values_is_an_axis_all_the_same() {
        for kind in [Kind::Linear, Kind::Time, Kind::Log, Kind::Nines] {
            let scale = Scale::around(kind, std::iter::empty(), 4);
            assert!(scale.ticks().count() >= 2, "{kind:?}");
            assert!(scale.place(0.5).is_finite());
        }
    }
}
