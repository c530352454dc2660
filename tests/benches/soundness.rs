//! `cargo bench -p narrowgate-tests --bench soundness -- --pairs 1000000 --seed 1`: random policies and ceilings, each
//! verdict against brute force over a vocabulary of some 130 million requests. Ends with the counts, or at the first
//! wrong verdict.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a run that cannot go on should stop")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::Role;
use narrowgate_prover::{Ceiling, Options, Verdict, prove};
use narrowgate_tests::generators;
use narrowgate_tests::model::Model;
use narrowgate_tests::oracles::reads_model;
use narrowgate_tests::sweep::Sweep;

static WITHIN: AtomicU64 = AtomicU64::new(0);
static EXCEEDS: AtomicU64 = AtomicU64::new(0);
static NO_ANSWER: AtomicU64 = AtomicU64::new(0);

fn main() {
    let (pairs, seed) = (argument("--pairs", 2_000), argument("--seed", 1));
    let threads = argument("--threads", 2);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share = pairs / threads + u64::from(thread < pairs % threads);
            scope.spawn(move || run(share, seed.wrapping_mul(1000).wrapping_add(thread)));
        }
        scope.spawn(|| progress(pairs, started));
    });
    let [within, exceeds, no_answer] = counts();
    println!(
        "seed {seed}: {} pairs in {:.0?}: {within} within, {exceeds} exceed, {no_answer} without an answer, no wrong verdict",
        within + exceeds + no_answer,
        started.elapsed()
    );
}

fn run(pairs: u64, seed: u64) {
    let mut random = Random(seed);
    let mut sweep = Sweep::default();
    let mut done = 0;
    while done < pairs {
        let bytes: Vec<u8> = (0..128).flat_map(|_| random.next().to_le_bytes()).collect();
        let Ok((candidate, ceiling)) = generators::pair(&mut Unstructured::new(&bytes)) else { continue };
        judge(&candidate, &ceiling, &mut sweep);
        done += 1;
    }
}

fn judge(candidate: &Model, ceiling: &Model, sweep: &mut Sweep) {
    let compiled = |model: &Model, role| Compiled::policy(&model.parse(role).expect("a policy")).expect("Cedar");
    let prepared = Ceiling::new(compiled(ceiling, Role::Ceiling)).expect("a ceiling");
    let outcome = prove(&compiled(candidate, Role::Policy), &prepared, &Options::default());
    let wrong = |what: &str| -> ! {
        eprintln!("{what}\ncandidate {:#}\nceiling {:#}", candidate.to_json(), ceiling.to_json());
        std::process::exit(1);
    };
    let count = match outcome.verdict {
        Verdict::Within(_) => {
            if let Some(excess) = sweep.excess(candidate, ceiling) {
                wrong(&format!("within, but for {excess:?}"));
            }
            &WITHIN
        }
        Verdict::Exceeds(found) => {
            if !reads_model(candidate, &found.request) || reads_model(ceiling, &found.request) {
                wrong(&format!("no counterexample: {:?}", found.request));
            }
            &EXCEEDS
        }
        Verdict::Unsupported(_) | Verdict::Inconclusive(_) | Verdict::Disagree(_) => &NO_ANSWER,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

fn counts() -> [u64; 3] {
    [&WITHIN, &EXCEEDS, &NO_ANSWER].map(|count| count.load(Ordering::Relaxed))
}

fn progress(pairs: u64, started: Instant) {
    let mut said = 0;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let done: u64 = counts().iter().sum();
        if done >= pairs {
            return;
        }
        if done >= said + pairs / 20 {
            said = done;
            eprintln!("{done} of {pairs} after {:.0?}", started.elapsed());
        }
    }
}

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |value| value.parse().expect("a number"))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
