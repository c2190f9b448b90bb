use std::collections::BTreeSet;

use crate::random::Random;
use crate::target::Outcome;

/// Inputs that are kept at most; then a new one takes an old one's place.
const KEPT_MAX: usize = 4096;

/// Inputs that behaved differently from all before them.
#[derive(Debug, Default)]
pub struct Corpus {
    inputs: Vec<Vec<u8>>,
    /// How many of them are seeds, which stay.
    seeds: usize,
    outcomes: BTreeSet<Outcome>,
}

impl Corpus {
    pub fn new(seeds: Vec<Vec<u8>>) -> Corpus {
        assert!(!seeds.is_empty(), "a target has seeds");
        Corpus {
            seeds: seeds.len(),
            inputs: seeds,
            outcomes: BTreeSet::new(),
        }
    }

    /// Notes what became of an input, and keeps it when that is new.
    pub fn learn(&mut self, input: &[u8], outcome: Outcome, random: &mut Random) {
        if !self.outcomes.insert(outcome) {
            return;
        }
        if self.inputs.len() < KEPT_MAX {
            self.inputs.push(input.to_vec());
        } else if self.seeds < KEPT_MAX {
            let place = self.seeds + random.below(KEPT_MAX - self.seeds);
            self.inputs[place] = input.to_vec();
        }
    }

    pub fn pick(&self, random: &mut Random) -> &[u8] {
        // Half of the time a seed: most of what is kept is broken in some way.
        let of = match random.one_in(2) {
            true => self.seeds,
            false => self.inputs.len(),
        };
        &self.inputs[random.below(of)]
    }

    pub fn behaviours(&self) -> usize {
        self.outcomes.len()
    }

    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    pub fn seeds(&self) -> Vec<Vec<u8>> {
        self.inputs[..self.seeds].to_vec()
    }
}
