use std::hash::{DefaultHasher, Hash, Hasher};

/// Something that reads bytes.
pub trait Target {
    /// As it is called.
    fn name(&self) -> String;

    /// Inputs that are as they should be.
    fn seeds(&self) -> Vec<Vec<u8>>;

    /// Mends what only a checksum would catch, so that the damage reaches what lies behind it.
    /// Left out for some inputs.
    fn seal(&self, _bytes: &mut Vec<u8>) {}

    /// Reads an input. Two inputs with different outcomes went different ways.
    ///
    /// # Panics
    /// When a rule is broken.
    fn run(&mut self, bytes: &[u8]) -> Outcome;

    /// Memory that reading so many bytes may take at its peak, in bytes.
    fn memory_max(&self, len: usize) -> usize;
}

/// What became of an input, in short.
pub type Outcome = u64;

/// An outcome that is told from others by `parts`.
pub fn outcome(parts: impl Hash) -> Outcome {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// An error's kind and not its numbers.
pub fn kind(error: &impl std::fmt::Debug) -> String {
    let mut text = format!("{error:?}");
    text.truncate(
        text.char_indices()
            .nth(200)
            .map_or(text.len(), |(at, _)| at),
    );
    text.retain(|character| !character.is_ascii_digit());
    text
}

/// A count, coarsely: 0, 1, 2, 3-4, 5-8 and so on.
pub fn about(count: usize) -> u32 {
    count.next_power_of_two().trailing_zeros() + u32::from(count > 0)
}
