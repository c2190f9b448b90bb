use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::MEMORY;
use crate::corpus::Corpus;
use crate::damage::damage;
use crate::random::Random;
use crate::target::{Outcome, Target};

/// Where inputs lie that once broke a rule: a folder for each target.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");

/// How often shortening an input is tried.
const SHORTENINGS: usize = 2000;

/// When a target has had enough.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    pub inputs: u64,
}

/// A target that broke no rule.
#[derive(Debug)]
pub struct Done {
    pub inputs: u64,
    pub behaviours: usize,
    pub kept: usize,
    pub peak_bytes: usize,
}

/// A target that did.
#[derive(Debug)]
pub struct Failure {
    pub inputs: u64,
    pub input: Vec<u8>,
    pub fault: Fault,
}

/// Which rule.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    #[error("it panics: {0}")]
    Panic(String),
    #[error("reading {len} bytes takes {taken} bytes of memory, {max} are allowed")]
    Memory {
        len: usize,
        taken: usize,
        max: usize,
    },
}

/// What the last panic said.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// Panics are told with their input, not on their own.
pub fn keep_panics_silent() {
    set_hook(Box::new(|panic| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = panic.to_string();
        }
    }));
}

/// Feeds one input.
pub fn try_one(target: &mut dyn Target, bytes: &[u8]) -> Result<Outcome, Fault> {
    measured(target, bytes).map(|(outcome, _)| outcome)
}

/// Also gives the memory taken, in bytes.
fn measured(target: &mut dyn Target, bytes: &[u8]) -> Result<(Outcome, usize), Fault> {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = catch_unwind(AssertUnwindSafe(|| target.run(bytes)));
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let Ok(outcome) = result else {
        let said = LAST_PANIC.lock().map(|said| said.clone());
        return Err(Fault::Panic(said.unwrap_or_default()));
    };
    let max = target.memory_max(bytes.len());
    match taken <= max {
        true => Ok((outcome, taken)),
        false => Err(Fault::Memory {
            len: bytes.len(),
            taken,
            max,
        }),
    }
}

pub struct Runner {
    target: Box<dyn Target>,
    random: Random,
    inputs: u64,
    peak_bytes: usize,
}

impl Runner {
    pub fn new(target: Box<dyn Target>, seed: u64) -> Runner {
        let salt = crc32fast::hash(target.name().as_bytes());
        Runner {
            target,
            random: Random::new(seed ^ u64::from(salt) << 32),
            inputs: 0,
            peak_bytes: 0,
        }
    }

    pub fn run(mut self, limits: Limits) -> Result<Done, Failure> {
        let started = Instant::now();
        let mut corpus = Corpus::new(self.target.seeds());
        let mut first = regressions(&self.target.name());
        first.extend(corpus.seeds());
        for input in first {
            let outcome = self.feed(&input)?;
            corpus.learn(&input, outcome, &mut self.random);
        }
        let mut input = Vec::new();
        while self.inputs < limits.inputs && started.elapsed() < limits.time {
            input.clear();
            input.extend_from_slice(corpus.pick(&mut self.random));
            let other = corpus.pick(&mut self.random);
            damage(&mut input, other, &mut self.random);
            if !self.random.one_in(8) {
                self.target.seal(&mut input);
            }
            let outcome = self.feed(&input)?;
            corpus.learn(&input, outcome, &mut self.random);
        }
        Ok(Done {
            inputs: self.inputs,
            behaviours: corpus.behaviours(),
            kept: corpus.len(),
            peak_bytes: self.peak_bytes,
        })
    }

    fn feed(&mut self, input: &[u8]) -> Result<Outcome, Failure> {
        self.inputs += 1;
        match measured(&mut *self.target, input) {
            Ok((outcome, taken)) => {
                self.peak_bytes = self.peak_bytes.max(taken);
                Ok(outcome)
            }
            Err(fault) => Err(self.shortened(input.to_vec(), fault)),
        }
    }

    /// The shortest input found that breaks a rule as well.
    fn shortened(&mut self, mut input: Vec<u8>, mut fault: Fault) -> Failure {
        for _ in 0..SHORTENINGS {
            let begin = self.random.below(input.len() + 1);
            let len = 1 + self.random.below(input.len().max(1));
            let end = (begin + len).min(input.len());
            let mut shorter = input.clone();
            shorter.drain(begin..end);
            if shorter.len() < input.len()
                && let Err(found) = measured(&mut *self.target, &shorter)
                && std::mem::discriminant(&found) == std::mem::discriminant(&fault)
            {
                (input, fault) = (shorter, found);
            }
        }
        Failure {
            inputs: self.inputs,
            input,
            fault,
        }
    }
}

fn regressions(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(REGRESSIONS).join(name.replace('/', "-"));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().flat_map(std::fs::read).collect()
}
