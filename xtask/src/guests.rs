//! The shipped plugins: what compiles them, and building them anew.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::{process, setup};

const TARGET: &str = "wasm32-unknown-unknown";

/// Rebuilds `plugins/guests/dist` and the golden files of the plugins' cases, or says whether they differ.
pub(crate) fn run(root: &Path, rest: &[String]) -> Result<(), String> {
    let toolchain = ensure(root)?;
    let mut command = process::cargo(root);
    // The whole workspace: its features are those of every other run, and so nothing is built twice.
    command.args(["test", "--workspace", "--test", "guests"]).env("NARROWGATE_GUESTS_TOOLCHAIN", toolchain);
    match rest {
        [] => {
            command.env("NARROWGATE_BLESS", "1");
        }
        [flag] if flag == "--check" => {}
        other => return Err(format!("`guests` takes nothing or `--check`, not {other:?}")),
    }
    process::run(command)
}

/// The SDK's and the plugins' own tests, on this machine's own architecture.
pub(crate) fn test_natively(root: &Path) -> Result<(), String> {
    let mut command = process::cargo(root);
    command.args(["test", "--quiet", "--manifest-path", "plugins/guests/Cargo.toml"]);
    command.arg("--target-dir").arg(root.join("target/guests-native"));
    process::run(command)
}

/// Finds, or installs, a compiler for the plugins; the one that the shipped ones were built with if that can be had.
/// What it is called on the command line of `narrowgate plugin build` is the answer.
pub(crate) fn ensure(root: &Path) -> Result<&'static str, String> {
    let digests = std::fs::read_to_string(root.join("plugins/guests/dist/digests.json")).unwrap_or_default();
    let [first, second] = match digests.contains("\"toolchain\": \"rustup: ") {
        true => [&RUSTUP, &DEBIAN],
        false => [&DEBIAN, &RUSTUP],
    };
    if let Some(found) = [first, second].into_iter().find(|way| (way.is_there)()) {
        println!("xtask: compiler for plugins: {}", found.name);
        return Ok(found.name);
    }
    println!("xtask: no compiler for {TARGET}, which plugins are built for");
    let first_try = (first.install)().map(|()| first.name);
    first_try.or_else(|why| {
        let second_try = (second.install)().map(|()| second.name);
        second_try.map_err(|also| format!("no compiler for {TARGET}: {}: {why}; {}: {also}", first.name, second.name))
    })
}

/// A way to have a compiler.
struct Way {
    name: &'static str,
    is_there: fn() -> bool,
    install: fn() -> Result<(), String>,
}

const RUSTUP: Way = Way { name: "rustup", is_there: has_target, install: add_target };
const DEBIAN: Way = Way { name: "debian", is_there: has_debian, install: install_debian };

fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

fn add_target() -> Result<(), String> {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    process::run(command)?;
    if has_target() { Ok(()) } else { Err(format!("rustup added {TARGET}, and its library is not there")) }
}

fn has_debian() -> bool {
    process::succeeds("/usr/bin/rustc", &["--version"])
        && Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml").is_file()
}

fn install_debian() -> Result<(), String> {
    if !process::succeeds("apt-get", &["--version"]) {
        return Err("there is no apt-get here".to_owned());
    }
    let prefix = setup::privilege().ok_or("installing packages needs root")?;
    setup::apt(prefix, &["update"])?;
    setup::apt(prefix, &["install", "--yes", "--no-install-recommends", "rustc-web", "rust-web-src"])?;
    if has_debian() {
        Ok(())
    } else {
        Err("the packages are installed, and hold no compiler with its sources".to_owned())
    }
}
