/// The partition of `__consumer_offsets`, of `partitions` (> 0), that a group's records are in:
/// the low 31 bits of Java's hash of the group id, modulo the number of partitions.
pub fn partition_of(group_id: &str, partitions: i32) -> i32 {
    let units = group_id.encode_utf16();
    let hash = units.fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    (hash & i32::MAX) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_goes_where_kafka_puts_it() {
        // "polygenelubricants" has the hash i32::MIN, whose magnitude is no i32.
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("", 50), 0);
        assert_eq!(partition_of("a", 50), 97 % 50);
        assert_eq!(partition_of("ab", 50), (97 * 31 + 98) % 50);
        assert_eq!(partition_of("\u{1F980}", 50), (0xD83E * 31 + 0xDD80) % 50);
    }
}
