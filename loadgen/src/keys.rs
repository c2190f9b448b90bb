//! Records' keys: which of them is next, and what it looks like.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Uniform, Zipf};

use crate::scenario::Keys;

/// Draws keys from a distribution; the same seed, the same keys.
#[derive(Debug)]
pub struct KeySource {
    random: StdRng,
    draw: Draw,
}

#[derive(Debug)]
enum Draw {
    Uniform(Uniform<u64>),
    Zipf(Zipf<f64>),
}

impl KeySource {
    /// `None` when records have no keys. Expects a distribution that
    /// [`crate::Scenario::check`] has let through.
    pub fn of(keys: &Keys, seed: u64) -> Option<KeySource> {
        let draw = match *keys {
            Keys::None => return None,
            Keys::Uniform { count } => {
                Draw::Uniform(Uniform::new(0, count).expect("there is at least one key"))
            }
            Keys::Zipf { count, exponent } => {
                Draw::Zipf(Zipf::new(count as f64, exponent).expect("count and exponent are > 0"))
            }
        };
        let random = StdRng::seed_from_u64(seed);
        Some(KeySource { random, draw })
    }

    /// The rank of the next key, counted from 0: under zipf the smaller, the more frequent.
    pub fn next_rank(&mut self) -> u64 {
        match &self.draw {
            Draw::Uniform(uniform) => uniform.sample(&mut self.random),
            Draw::Zipf(zipf) => zipf.sample(&mut self.random) as u64 - 1,
        }
    }
}

/// What the key of a rank looks like.
pub fn key_of_rank(rank: u64) -> Vec<u8> {
    format!("key-{rank:08}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: Keys, draws: usize) -> Vec<u64> {
        let mut source = KeySource::of(&keys, 7).unwrap();
        let mut counts = vec![0; 100];
        for _ in 0..draws {
            counts[source.next_rank() as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_keys_come_equally_often() {
        let counts = counts(Keys::Uniform { count: 100 }, 100_000);
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*min > 850 && *max < 1150, "{min} to {max} of 1000");
    }

    #[test]
    fn the_second_key_of_a_zipf_comes_half_as_often_as_the_first() {
        let keys = Keys::Zipf {
            count: 100,
            exponent: 1.0,
        };
        let counts = counts(keys, 100_000);
        // The harmonic number of 100 is 5.187.
        let first = 100_000.0 / 5.187;
        for (rank, count) in counts.iter().enumerate().take(10) {
            let expected = first / (rank + 1) as f64;
            let ratio = *count as f64 / expected;
            assert!(
                (0.9..1.1).contains(&ratio),
                "rank {rank}: {count}, expected {expected}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_keys() {
        let keys = Keys::Uniform { count: 1 << 40 };
        let draw = |seed| {
            let mut source = KeySource::of(&keys, seed).unwrap();
            (0..10).map(|_| source.next_rank()).collect::<Vec<u64>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
