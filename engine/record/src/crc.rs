/// CRC-32C (Castagnoli) of `bytes`: the checksum of a record batch, from its attributes on.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_castagnoli_and_not_ieee() {
        // The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
    }
}
