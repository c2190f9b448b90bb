/// What happened, in order: always as a hash, as text when somebody reads it.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    is_printed: bool,
    now_us: u64,
}

impl Trace {
    /// A trace that prints each line as it happens, or only hashes.
    pub fn new(is_printed: bool) -> Trace {
        Trace {
            hash: 0xcbf2_9ce4_8422_2325,
            is_printed,
            now_us: 0,
        }
    }

    /// The time that lines carry, in us of simulated time.
    pub fn set_time(&mut self, now_ns: u64) {
        self.now_us = now_ns / 1000;
    }

    /// Notes an event: what kind, its numbers, and how to tell it to a reader.
    pub fn note(&mut self, kind: &'static str, numbers: &[u64], text: impl FnOnce() -> String) {
        self.mix(self.now_us);
        for byte in kind.bytes() {
            self.mix(u64::from(byte));
        }
        for number in numbers {
            self.mix(*number);
        }
        if self.is_printed {
            println!(
                "{:>10.3} ms  {kind:<9} {}",
                self.now_us as f64 / 1000.0,
                text()
            );
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    /// The hash of everything so far. Equal seeds have equal hashes.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
