//! `sillon-sim`: runs seeds, campaigns and mutants.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use sillon_buffer::planted::Bug;
use sillon_sim::{Campaign, run_mutant, run_seed};

/// Simulates a node, its disk and its clients, from a seed.
#[derive(Debug, Parser)]
struct Options {
    /// Run this seed alone and print what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this many seeds and print what they went through.
    #[arg(long, value_name = "SEEDS")]
    campaign: Option<u64>,
    /// First seed of a campaign, or of the search for mutants.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plant each bug in turn, or the one of this name, and run seeds until one shows it.
    #[arg(long, value_name = "BUG", num_args = 0..=1, default_missing_value = "all")]
    mutants: Option<String>,
    /// Give a mutant up after this many seeds.
    #[arg(long, default_value_t = 20_000)]
    mutant_seeds: u64,
    /// Go on after the first violation of a campaign, up to this many.
    #[arg(long, default_value_t = 1)]
    violations: usize,
    /// With --seed: plant this bug.
    #[arg(long)]
    bug: Option<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Panics of the node are reported as violations.
    std::panic::set_hook(Box::new(|_| {}));
    let is_good = if let Some(seed) = options.seed {
        one(seed, options.bug.as_deref())
    } else if let Some(name) = &options.mutants {
        mutants(&options, name)
    } else {
        campaign(&options, options.campaign.unwrap_or(1000))
    };
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn one(seed: u64, bug: Option<&str>) -> bool {
    let bug = bug.and_then(|name| Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name));
    sillon_buffer::planted::plant(bug);
    let report = run_seed(seed, true);
    println!(
        "seed {seed}: {} operations, {} batches, {} lives, trace hash {:016x}",
        report.operations, report.batches, report.lives, report.hash
    );
    match report.violation {
        None => true,
        Some(violation) => {
            println!("VIOLATION {violation}");
            false
        }
    }
}

fn campaign(options: &Options, seeds: u64) -> bool {
    let mut campaign = Campaign::default();
    for seed in options.from..options.from + seeds {
        campaign.add(seed, run_seed(seed, false));
        if campaign.violations.len() >= options.violations {
            break;
        }
    }
    let all = campaign.coverage.all();
    for (what, count) in &all {
        println!("{count:>12}  {what}");
    }
    println!(
        "{} operations, {} batches, {} lives",
        campaign.operations, campaign.batches, campaign.lives
    );
    for (seed, violation) in &campaign.violations {
        println!("VIOLATION seed {seed}: {violation}");
    }
    let unseen: Vec<&str> = all
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(what, _)| what.as_str())
        .collect();
    if campaign.violations.is_empty() && !unseen.is_empty() {
        println!("NEVER SEEN: {}", unseen.join("; "));
    }
    campaign.violations.is_empty() && unseen.is_empty()
}

/// A reused incarnation shows only when a round of an earlier life continues the chain of this one.
/// The chain's checksum and the leader epoch, which every start raises and every entry carries,
/// each keep that out as well, so that no run of the whole node tells the difference. What the
/// incarnation keeps out on its own is shown in `engine/journal/tests`
/// (`a_round_of_an_earlier_life_does_not_continue_the_chain`).
const HIDDEN_BY_OTHER_RULES: Bug = Bug::IncarnationReused;

fn mutants(options: &Options, name: &str) -> bool {
    let mut all_caught = true;
    for bug in Bug::ALL {
        if name == "all" && bug == HIDDEN_BY_OTHER_RULES {
            println!("{bug:?}: left to the journal's own tests (see engine/sim/src/main.rs)");
            continue;
        }
        if name != "all" && name != format!("{bug:?}") {
            continue;
        }
        let range = options.from..options.from + options.mutant_seeds;
        let caught = range
            // A seed that fails without the bug proves nothing about it.
            .filter(|seed| run_seed(*seed, false).violation.is_none())
            .map(|seed| (seed, run_mutant(bug, seed).violation))
            .find_map(|(seed, violation)| Some((seed, violation?)));
        match caught {
            Some((seed, violation)) => println!("{bug:?}: caught by seed {seed}: {violation}"),
            None => {
                all_caught = false;
                println!("{bug:?}: NOT CAUGHT by {} seeds", options.mutant_seeds);
            }
        }
    }
    all_caught
}
