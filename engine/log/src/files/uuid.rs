use sillon_record::TopicId;

/// Digits of a UUID in URL-safe base64 without padding: 22 of 6 bits hold 132 bits.
const DIGITS: usize = 22;

/// A UUID as Kafka prints it (directory and topic ids): URL-safe base64 without padding.
pub fn display_uuid(uuid: u128) -> String {
    TopicId(uuid.to_be_bytes()).to_string()
}

/// Reads what [`display_uuid`] prints; `None` when it is anything else.
pub fn parse_uuid(text: &str) -> Option<u128> {
    if text.len() != DIGITS {
        return None;
    }
    let mut bits = 0_u128;
    for (place, digit) in text.bytes().enumerate() {
        let value = u128::from(digit_value(digit)?);
        if place < DIGITS - 1 {
            bits = bits << 6 | value;
        } else if value & 0b1111 == 0 {
            // The last digit has 2 bits and 4 zeros.
            bits = bits << 2 | value >> 4;
        } else {
            return None;
        }
    }
    Some(bits)
}

fn digit_value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_uuid_reads_back_as_printed(uuid: u128) {
            prop_assert_eq!(parse_uuid(&display_uuid(uuid)), Some(uuid));
        }
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAA+AAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAA==",
        ] {
            assert_eq!(parse_uuid(text), None, "{text:?}");
        }
    }
}
