//! The exact engine, cvc5 and Cedar's authorizer agree on random pairs of policies.
//!
//! A few pairs in a test run; `NARROWGATE_PAIRS=5000`, `NARROWGATE_SEED=2` and `NARROWGATE_FIRST=100` for more and others,
//! `NARROWGATE_SHOW=1` to see those that the SMT engine has no answer to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use narrowgate_tests::oracles::engines::{Agreement, engines_agree, solver};
use narrowgate_tests::{generators, hard};

const PAIRS: usize = 48;

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number")))
}

/// The same bytes for the same pair, on every machine (splitmix64).
fn bytes(seed: u64, pair: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ pair.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let next = move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).to_le_bytes()
    };
    std::iter::repeat_with(next).take(512).flatten().collect()
}

#[test]
fn the_engines_agree() {
    let (pairs, seed) = (number("NARROWGATE_PAIRS").unwrap_or(PAIRS), number("NARROWGATE_SEED").unwrap_or(1));
    let first = number("NARROWGATE_FIRST").unwrap_or(0);
    let solver = solver();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for at in first..first + pairs {
        let drawn = bytes(seed as u64, at as u64);
        let mut u = Unstructured::new(&drawn);
        let (candidate, ceiling) = hard::pair(&mut u).unwrap();
        let samples: Vec<_> = (0..10).map(|_| generators::request(&mut u).unwrap()).collect();
        let agreement = engines_agree(&candidate, &ceiling, &samples, &solver);
        let outcome = match &agreement {
            Agreement::Within => "within".to_owned(),
            Agreement::Exceeds => "exceeds".to_owned(),
            Agreement::SmtSilent(why) => format!("SMT: {}", why.code),
            Agreement::ExactSilent(why) => format!("exact: {}", why.code),
        };
        if let Agreement::SmtSilent(why) | Agreement::ExactSilent(why) = &agreement {
            println!("pair {at}: {outcome}: {}", why.message);
            if std::env::var_os("NARROWGATE_SHOW").is_some() {
                println!("--- candidate\n{}\n--- ceiling\n{}", candidate.text(), ceiling.compiled().text());
            }
        }
        *counts.entry(outcome).or_default() += 1;
        if at % 100 == 99 {
            println!("up to {at} of seed {seed}: {counts:?}");
        }
    }
    println!("{pairs} pairs of seed {seed}: {counts:?}");
    let of = |word: &str| counts.get(word).copied().unwrap_or(0);
    // Both answers must be common, or this tests less than it says. No answer is rare on an idle machine, about one in
    // twenty; on a busy one the solver has less of its time.
    assert!(of("within") * 10 > pairs && of("exceeds") * 10 > pairs, "{counts:?}");
    assert!((of("within") + of("exceeds")) * 5 >= pairs * 4, "{counts:?}");
}
