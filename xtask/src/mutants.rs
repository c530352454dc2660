//! Mutation testing of the exact engine: is there a test for every line that could be wrong?
//!
//! Twice, since most mutants die of the crate's own unit tests in a second, and only the survivors are worth the tests
//! that link everything. `--iterate` is what lets the second run leave out what the first has caught.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process;

/// What the verdict "within" hangs on.
const MODULES: [&str; 6] = [
    "prover/src/language/**",
    "prover/src/lower/**",
    "prover/src/solve/**",
    "prover/src/exact.rs",
    "prover/src/side.rs",
    "prover/src/replay.rs",
];
/// The package's tests, from the cheap to the dear.
const RUNS: [&[&str]; 2] = [&["--lib"], &["--lib", "--test", "random", "--test", "verdicts", "--test", "invalid"]];
/// `cargo mutants` found mutants that no test noticed, or of which a test did not end.
const NOT_ALL_CAUGHT: [i32; 2] = [2, 3];

/// Runs it over the given files, or over the engine. It is the report that counts: survivors are no failure here.
pub(crate) fn run(root: &Path, files: &[String]) -> Result<(), String> {
    if !process::succeeds("cargo", &["mutants", "--version"]) {
        println!("xtask: cargo-mutants is missing; installing it (once, about two minutes)");
        let mut command = process::cargo(root);
        command.args(["install", "--locked", "cargo-mutants"]);
        process::run(command)?;
    }
    let files: Vec<&str> = match files.is_empty() {
        true => MODULES.to_vec(),
        false => files.iter().map(String::as_str).collect(),
    };
    for tests in RUNS {
        let command = mutants(root, &files, tests);
        let code = ended(command)?;
        match code {
            Some(0) => break,
            Some(code) if NOT_ALL_CAUGHT.contains(&code) => {}
            code => return Err(format!("cargo mutants ended with {code:?}")),
        }
    }
    println!("xtask: survivors are in target/mutants.out/missed.txt; docs/mutation.md explains those that are known");
    Ok(())
}

fn mutants(root: &Path, files: &[&str], tests: &[&str]) -> Command {
    let mut command = process::cargo(root);
    command.args(["mutants", "--package", "narrowgate-prover", "--iterate", "--output", "target"]);
    for file in files {
        command.args(["--file", file]);
    }
    // What loops for ever is noticed by its time.
    command.args(["--baseline", "skip", "--timeout", "120", "--build-timeout", "600", "--test-tool", "cargo"]);
    // Each mutant is built once and run once: building is what takes the time.
    command.arg("--cargo-arg=--config=profile.dev.package.narrowgate-prover.opt-level=0");
    command.arg("--").args(tests);
    // A directory of its own: another feature selection would have everything built anew at the next ordinary run.
    command.env("CARGO_TARGET_DIR", root.join("target").join("mutants"));
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    if std::env::var_os("PROPTEST_CASES").is_none() {
        command.env("PROPTEST_CASES", "32");
    }
    command
}

fn ended(mut command: Command) -> Result<Option<i32>, String> {
    println!("xtask: cargo mutants …");
    let status = command.stdin(Stdio::null()).status();
    status.map(|status| status.code()).map_err(|error| format!("cargo mutants could not be started: {error}"))
}
