//! `cargo xtask`: what a developer and the CI run.
//!
//! Every verb is a plain process around `cargo`; nothing here is needed to build or use Narrowgate.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod fuzz;
mod guests;
mod mutants;
mod process;
mod setup;
mod tools;

const USAGE: &str = "\
usage: cargo xtask VERB

  test [ARGS…]          check (and, where missing, install) what the tests need, then run every test;
                        ARGS go to `cargo test --workspace`
  setup                 only the check and the installation
  tools                 an SMT solver (cvc5) for the prover's second engine, where there is none: Debian's package,
                        or, where this user may not install packages, PyPI's into the user's data directory
  deny                  dependencies against deny.toml: bans, licences, sources
  fuzz-smoke [SECONDS]  a short run of every fuzz target (default 20 seconds in all); needs a nightly toolchain,
                        and replays the corpus on this one where there is none
  mutants [FILES…]      mutation testing of the exact engine, or of these files; hours, and about a gigabyte in target/
  guests [--check]      build the shipped plugins anew (and install a compiler for them, where there is none), or say
                        whether what is shipped is what their sources say
  schemas [--check]     rewrite schemas/ from the types, or say whether they differ
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let (verb, rest) = match args.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let root = root();
    let done = match verb {
        "test" => test(&root, rest),
        "setup" => setup::ensure(setup::TEST_TOOLS)
            .and_then(|()| tools::ensure())
            .and_then(|()| guests::ensure(&root).map(drop)),
        "tools" => tools::ensure(),
        "deny" => deny(&root),
        "fuzz-smoke" => fuzz::smoke(&root, rest),
        "mutants" => mutants::run(&root, rest),
        "guests" => guests::run(&root, rest),
        "schemas" => schemas(&root, rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("unknown verb `{other}`\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn test(root: &Path, rest: &[String]) -> Result<(), String> {
    setup::ensure(setup::TEST_TOOLS)?;
    tools::ensure()?;
    let toolchain = guests::ensure(root)?;
    let mut command = process::cargo(root);
    command.args(["test", "--workspace"]).args(rest).env("NARROWGATE_GUESTS_TOOLCHAIN", toolchain);
    process::run(command)?;
    match rest {
        [] => guests::test_natively(root),
        // Whatever was asked for is in the workspace.
        _ => Ok(()),
    }
}

fn deny(root: &Path) -> Result<(), String> {
    if process::succeeds("cargo", &["deny", "--version"]) {
        let mut command = process::cargo(root);
        command.args(["deny", "--all-features", "check", "bans", "licenses", "sources"]);
        return process::run(command);
    }
    println!("xtask: cargo-deny is not installed; checking deny.toml's bans, licences and sources directly");
    let report = xtask::deny::check(root).map_err(|error| error.to_string())?;
    for violation in &report.violations {
        eprintln!("{violation}");
    }
    if report.violations.is_empty() {
        println!("deny: {} packages, {} bans, nothing denied", report.packages, report.bans);
        Ok(())
    } else {
        Err(format!("{} violations of deny.toml", report.violations.len()))
    }
}

fn schemas(root: &Path, rest: &[String]) -> Result<(), String> {
    let mut command = process::cargo(root);
    // The whole workspace: its features are those of every other run, and so nothing is built twice.
    command.args(["test", "--quiet", "--workspace", "--test", "schemas"]);
    match rest {
        [] => {
            command.env("NARROWGATE_BLESS", "1");
        }
        [flag] if flag == "--check" => {}
        other => return Err(format!("`schemas` takes nothing or `--check`, not {other:?}")),
    }
    process::run(command)
}

/// The workspace's root: `cargo xtask` is run from anywhere inside it.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
