//! Runs are what their seed makes them, and nothing else.

use sillon_sim::run_seed;

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 17] {
        let (first, second) = (run_seed(seed, false), run_seed(seed, false));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.coverage, second.coverage, "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_traces() {
    assert_ne!(run_seed(1, false).hash, run_seed(2, false).hash);
}

#[test]
fn a_run_has_300_operations_and_a_crash_and_finds_nothing_wrong() {
    for seed in 0..20 {
        let report = run_seed(seed, false);
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.operations >= 300, "seed {seed}: {report:?}");
        assert!(report.lives >= 2, "seed {seed}: {report:?}");
    }
}
