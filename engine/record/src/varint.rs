//! Kafka's variable-length integers: zigzag, then seven bits a byte, lowest first.

/// Most bytes that a 32-bit varint takes.
pub const VARINT32_BYTES_MAX: usize = 5;
/// Most bytes that a 64-bit varint takes.
pub const VARINT64_BYTES_MAX: usize = 10;

/// Appends `value` as Kafka's `varint`.
#[inline]
pub fn put_i32(into: &mut Vec<u8>, value: i32) {
    // Sign-extending does not change the zigzag encoding of a value.
    put_i64(into, i64::from(value));
}

/// Appends `value` as Kafka's `varlong`.
#[inline]
pub fn put_i64(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

/// Bytes that `value` takes.
#[inline]
pub fn len_i64(value: i64) -> usize {
    let bits = 64 - (((value << 1) ^ (value >> 63)) as u64 | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Reads a `varint` from bytes that `next` supplies. `None` in the error is a varint that does not
/// fit its type; `Some` is the supplier's own error.
#[inline(always)]
pub(crate) fn read_i32<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<i32, Option<E>> {
    let first = next().map_err(Some)?;
    if first < 0x80 {
        return Ok(unzigzag(u64::from(first)) as i32);
    }
    let value = read_rest(u64::from(first & 0x7f), VARINT32_BYTES_MAX, next)?;
    match u32::try_from(value) {
        Ok(value) => Ok(unzigzag(u64::from(value)) as i32),
        Err(_) => Err(None),
    }
}

/// Reads a `varlong`; errors as in [`read_i32`].
#[inline(always)]
pub(crate) fn read_i64<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<i64, Option<E>> {
    let first = next().map_err(Some)?;
    if first < 0x80 {
        return Ok(unzigzag(u64::from(first)));
    }
    let value = read_rest(u64::from(first & 0x7f), VARINT64_BYTES_MAX, next)?;
    Ok(unzigzag(value))
}

#[inline(always)]
fn read_rest<E>(
    mut value: u64,
    bytes_max: usize,
    mut next: impl FnMut() -> Result<u8, E>,
) -> Result<u64, Option<E>> {
    for index in 1..bytes_max {
        let byte = next().map_err(Some)?;
        // The tenth byte has room for one bit only.
        if index == VARINT64_BYTES_MAX - 1 && byte > 1 {
            return Err(None);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(None)
}

#[inline(always)]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supplier(bytes: &[u8]) -> impl FnMut() -> Result<u8, &'static str> {
        let mut rest = bytes.iter();
        move || rest.next().copied().ok_or("end")
    }

    #[test]
    fn every_length_reads_back_and_is_foretold() {
        for shift in 0..64 {
            for value in [
                1i64 << shift,
                (1i64 << shift).wrapping_sub(1),
                i64::MIN >> shift,
            ] {
                let mut bytes = Vec::new();
                put_i64(&mut bytes, value);
                assert_eq!(bytes.len(), len_i64(value));
                assert_eq!(read_i64(supplier(&bytes)), Ok(value));
                if let Ok(value) = i32::try_from(value) {
                    assert_eq!(read_i32(supplier(&bytes)), Ok(value));
                }
            }
        }
    }

    #[test]
    fn bytes_are_those_of_the_protocol() {
        for (value, expected) in [
            (0, vec![0]),
            (-1, vec![1]),
            (63, vec![126]),
            (64, vec![128, 1]),
        ] {
            let mut bytes = Vec::new();
            put_i32(&mut bytes, value);
            assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn a_varint_that_does_not_fit_or_does_not_end_is_an_error() {
        assert_eq!(
            read_i32(supplier(&[0xff, 0xff, 0xff, 0xff, 0x1f])),
            Err(None)
        );
        assert_eq!(read_i32(supplier(&[0x80; 9])), Err(None));
        assert_eq!(read_i64(supplier(&[0xff; 10])), Err(None));
        assert_eq!(read_i64(supplier(&[0x80; 3])), Err(Some("end")));
    }
}
