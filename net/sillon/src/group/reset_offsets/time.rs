//! Points in time and durations as people write them, in ISO 8601 as Kafka's tool takes them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

/// Milliseconds since the Unix epoch of `2026-03-01T14:30:00.000`, which is in UTC unless it says
/// otherwise (`+01:00`).
pub fn datetime(text: &str) -> Result<i64, String> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let local = text.parse::<DateTime>().ok().filter(|_| text.contains('T'));
    let zoned = local.and_then(|local| local.to_zoned(TimeZone::UTC).ok());
    let zoned =
        zoned.ok_or("a time such as 2026-03-01T14:30:00.000 or 2026-03-01T14:30:00+01:00")?;
    Ok(zoned.timestamp().as_millisecond())
}

/// Milliseconds of `P1DT2H30M`; a day has 24 hours.
pub fn duration(text: &str) -> Result<i64, String> {
    let span = text
        .parse::<Span>()
        .ok()
        .filter(|_| text.starts_with(['P', 'p', '-', '+']));
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.ok_or("a duration such as P7D or PT2H30M")?;
    i64::try_from(duration.as_millis()).map_err(|_| "a shorter duration".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc_unless_it_says_otherwise() {
        for (text, ms) in [
            ("1970-01-01T00:00:01.500", 1_500),
            ("1970-01-01T00:00:01.500Z", 1_500),
            ("1970-01-01T01:00:00.000+01:00", 0),
            ("1970-01-01T00:01:00", 60_000),
            ("2026-03-01T14:30:00.000", 1_772_375_400_000),
        ] {
            assert_eq!(datetime(text), Ok(ms), "{text}");
        }
        for text in ["", "yesterday", "2026-03-01", "2026-13-01T00:00:00.000"] {
            assert!(datetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_may_have_days_but_no_months() {
        for (text, ms) in [("PT1S", 1_000), ("P1DT2H30M", 95_400_000), ("PT0.5S", 500)] {
            assert_eq!(duration(text), Ok(ms), "{text}");
        }
        for text in ["", "1h", "P1M", "PT", "an hour"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
