//! What a sandbox costs a command: `true` by itself and in one, one after the other, in the same run.
//!
//! `cargo bench --workspace --bench start`

#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use narrowgate_sandbox::{Ended, Entry, Namespace, PlacedFile, Spec};

const ROUNDS: usize = 200;

fn main() -> ExitCode {
    if let Some(code) = narrowgate_sandbox::stage_main(std::env::args_os()) {
        return code;
    }
    let (mut bare, mut created, mut sandboxed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert!(Command::new("true").status().unwrap().success());
        bare.push(start.elapsed());

        let start = Instant::now();
        let (namespace, _doors) = Namespace::create(&Entry::default()).unwrap();
        created.push(start.elapsed());
        let placed = |path: &str| PlacedFile { path: path.into(), content: vec![b'x'; 4096] };
        let files = vec![placed("/etc/narrowgate/skills/policy_advisor.md"), placed("/etc/resolv.conf")];
        let mut running = namespace.launch(Spec { command: vec!["true".into()], files, ..Spec::default() }).unwrap();
        assert_eq!(running.wait().unwrap(), Ended::Code(0));
        sandboxed.push(start.elapsed());
    }
    let (bare, created, sandboxed) = (median(bare), median(created), median(sandboxed));
    println!("bare {bare:?}, in a sandbox {sandboxed:?} (of which the namespace {created:?}), median of {ROUNDS}");
    println!("over the bare command: {:?}, {:.1} times", sandboxed.saturating_sub(bare), ratio(sandboxed, bare));
    ExitCode::SUCCESS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}
