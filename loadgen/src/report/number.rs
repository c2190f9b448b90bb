//! Numbers as people read them.

/// Three significant digits below 1,000, none behind the point above, thousands apart.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        return grouped(value.round());
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A whole number with its thousands apart.
pub fn count(value: u64) -> String {
    grouped(value as f64)
}

/// A ratio: two digits behind the point, less when it is large; two that count when it is small.
pub fn ratio(value: f64) -> String {
    match value {
        value if value > 0.0 && value < 0.1 => {
            let decimals = (1 - value.log10().floor() as i32).clamp(2, 8) as usize;
            format!("{value:.decimals$}")
        }
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_thousands_stand_apart() {
        for (value, text) in [
            (0.0, "0"),
            (0.000_123_4, "0.000123"),
            (0.2, "0.2"),
            (1.2345, "1.23"),
            (12.0, "12"),
            (99.96, "100"),
            (1234.5, "1,235"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn a_ratio_has_fewer_digits_the_larger_it_is() {
        let ratios = [0.0, 0.01234, 0.333, 12.34, 123.4].map(ratio);
        assert_eq!(ratios, ["0.00", "0.012", "0.33", "12.3", "123"]);
    }
}
