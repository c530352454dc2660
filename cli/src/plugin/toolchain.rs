//! Which compiler makes WebAssembly of a plugin in Rust.
//!
//! A plugin imports nothing, so its target is `wasm32-unknown-unknown`: the standard library for WASI would import WASI.
//! That target's library comes with rustup, or is built from Debian's packages of the compiler and its sources.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::exit::Failure;

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// `--toolchain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Choice {
    /// Whichever is there, rustup's first
    #[default]
    Auto,
    /// The Rust in use, with the target installed
    Rustup,
    /// Debian's rustc-web and rust-web-src
    Debian,
}

/// A way to build.
#[derive(Debug)]
pub(super) enum Toolchain {
    /// The compiler that `cargo` uses anyway has the target's library.
    Installed { version: String },
    /// Debian's compiler, which builds that library first.
    Debian { rustc: PathBuf, linker: PathBuf, version: String },
}

const HOW: &str = "\
install one of:
  rustup target add wasm32-unknown-unknown
  apt-get install rustc-web rust-web-src        (Debian and Ubuntu; beside a Rust of rustup's, for its rust-lld)";

impl Toolchain {
    /// Looks for one, as a build in `dir` would find it.
    pub(super) fn find(choice: Choice, dir: &Path) -> Result<Toolchain, Failure> {
        if !answers(Path::new("cargo"), dir, &["--version"]) {
            return Err(Failure::invalid("there is no cargo in the PATH; Rust is at https://rustup.rs"));
        }
        let (installed, debian) = match choice {
            Choice::Auto => (installed(dir), debian(dir)),
            Choice::Rustup => (installed(dir), Err("not asked for".to_owned())),
            Choice::Debian => (Err("not asked for".to_owned()), debian(dir)),
        };
        match (installed, debian) {
            (Ok(found), _) | (_, Ok(found)) => Ok(found),
            (Err(installed), Err(debian)) => Err(Failure::invalid(format!(
                "no compiler for {TARGET}: rustc: {installed}; Debian's: {debian}; {HOW}"
            ))),
        }
    }

    /// `cargo build` for the target; the caller adds the rest.
    pub(super) fn cargo(&self, dir: &Path) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(dir).args(["build", "--release", "--target", TARGET]);
        // A plugin that panics traps, and nobody sees where: no place in a source is worth its bytes, and none of this
        // machine's paths is in what others will pin. The flag is not a stable one, and needs the variable.
        command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", "-Zlocation-detail=none");
        command.env_remove("RUSTFLAGS");
        if let Toolchain::Debian { rustc, linker, .. } = self {
            command.arg("-Zbuild-std=std,panic_abort").env("RUSTC", rustc);
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        command
    }
}

/// What a rebuild must have for the same bytes.
impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Toolchain::Installed { version } => write!(f, "rustup: {version}"),
            Toolchain::Debian { version, .. } => write!(f, "debian: {version}"),
        }
    }
}

fn installed(dir: &Path) -> Result<Toolchain, String> {
    let rustc = PathBuf::from(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let library = ask(&rustc, dir, &["--print", "target-libdir", "--target", TARGET])?;
    if !Path::new(&library).is_dir() {
        return Err(format!("has no library for {TARGET}"));
    }
    Ok(Toolchain::Installed { version: ask(&rustc, dir, &["--version"])? })
}

fn debian(dir: &Path) -> Result<Toolchain, String> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let sysroot = PathBuf::from(ask(&rustc, dir, &["--print", "sysroot"])?);
    if !sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file() {
        return Err("no sources of the standard library (rust-web-src)".to_owned());
    }
    let compilers = [Path::new("rustc"), &rustc];
    let linker = compilers.iter().find_map(|rustc| linker(rustc, dir)).ok_or("no rust-lld, which comes with rustup")?;
    let version =
        format!("{}, {}", ask(&rustc, dir, &["--version"])?, ask(&linker, dir, &["-flavor", "wasm", "--version"])?);
    Ok(Toolchain::Debian { rustc, linker, version })
}

fn linker(rustc: &Path, dir: &Path) -> Option<PathBuf> {
    let sysroot = PathBuf::from(ask(rustc, dir, &["--print", "sysroot"]).ok()?);
    let host = ask(rustc, dir, &["--print", "host-tuple"]).ok()?;
    Some(sysroot.join("lib/rustlib").join(host).join("bin/rust-lld")).filter(|path| path.is_file())
}

/// The first line of what a program prints.
fn ask(program: &Path, dir: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()),
        false => Err(format!("{} {} failed ({})", program.display(), args.join(" "), output.status)),
    }
}

fn answers(program: &Path, dir: &Path, args: &[&str]) -> bool {
    ask(program, dir, args).is_ok()
}
