//! A short run of every fuzz target, or, without a nightly toolchain, of the corpus alone.

use std::fs;
use std::path::Path;

use crate::process;

const DEFAULT_SECONDS: u64 = 20;

/// Targets that are for a night: `cargo +nightly fuzz run --fuzz-dir . --features nightly prove_smt`, in `fuzz/`.
const FOR_A_NIGHT: &[&str] = &["prove_smt"];

/// Splits the seconds evenly over the targets.
pub(crate) fn smoke(root: &Path, rest: &[String]) -> Result<(), String> {
    let seconds = match rest {
        [] => DEFAULT_SECONDS,
        [text] => text.parse().map_err(|_| format!("`fuzz-smoke` takes a number of seconds, not {text:?}"))?,
        other => return Err(format!("`fuzz-smoke` takes a number of seconds, not {other:?}")),
    };
    if !process::succeeds("cargo", &["+nightly", "--version"]) {
        println!("xtask: there is no nightly toolchain (`rustup toolchain install nightly`), so nothing is fuzzed;");
        return replay(root);
    }
    if !process::succeeds("cargo", &["fuzz", "--version"]) && !install(root) {
        println!("xtask: cargo-fuzz could not be installed (`cargo install cargo-fuzz`), so nothing is fuzzed;");
        return replay(root);
    }
    let fuzz = root.join("fuzz");
    let targets = targets(&fuzz)?;
    let each = (seconds / targets.len().max(1) as u64).max(1);
    for target in &targets {
        run(&fuzz, target, each)?;
    }
    Ok(())
}

/// libFuzzer writes what it finds into its first directory: a scratch one, so that a smoke run changes no committed file.
fn run(fuzz: &Path, target: &str, seconds: u64) -> Result<(), String> {
    let scratch = fuzz.join("target").join("smoke").join(target);
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let mut command = process::cargo_of("nightly", fuzz);
    command.args(["fuzz", "run", "--fuzz-dir", "."]);
    // Whether bytes are decided rightly is what is asked here; no crate of the workspace has unsafe code to sanitise.
    command.args(["--sanitizer", "none", target]).arg(&scratch).arg(fuzz.join("corpus").join(target));
    command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-print_final_stats=1", "-verbosity=0"]);
    process::run(command)
}

/// The same oracles over the committed corpus, with this toolchain.
fn replay(root: &Path) -> Result<(), String> {
    println!("xtask: the same oracles run over the committed corpus instead");
    let mut command = process::cargo(root);
    command.args(["test", "--workspace", "--test", "corpus"]);
    process::run(command)
}

fn install(root: &Path) -> bool {
    println!("xtask: cargo-fuzz is missing; installing it (once, about a minute)");
    let mut command = process::cargo(root);
    command.args(["install", "--locked", "cargo-fuzz"]);
    process::run(command).is_ok()
}

fn targets(fuzz: &Path) -> Result<Vec<String>, String> {
    let dir = fuzz.join("fuzz_targets");
    let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .filter(|name| !FOR_A_NIGHT.contains(&name.as_str()))
        .collect();
    names.sort();
    Ok(names)
}
