//! The exact engine, an SMT solver and Cedar's authorizer agree on every pair of policies that can be drawn.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use narrowgate_tests::oracles::engines::{engines_agree, solver};
use narrowgate_tests::{generators, hard};

static SOLVER: LazyLock<narrowgate_tests::oracles::engines::Solver> = LazyLock::new(solver);

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    let Ok((candidate, ceiling)) = hard::pair(&mut u) else { return };
    let samples: Vec<_> = (0..10).map_while(|_| generators::request(&mut u).ok()).collect();
    engines_agree(&candidate, &ceiling, &samples, &SOLVER);
});
