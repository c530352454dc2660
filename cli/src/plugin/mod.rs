//! `narrowgate plugin`: for those who write plugins.
//!
//! A plugin's project is a directory with a `Cargo.toml` (Rust) or a `package.json` (JavaScript), and `cases/`. Building
//! leaves one file in it, `NAME.wasm`, with the vocabulary embedded: its digest pins both.

mod build;
mod inspect;
mod new;
mod project;
mod template;
mod test;
mod toolchain;

use clap::{Args, Subcommand};

use crate::exit::{Ended, Failure};

/// Write plugins: new, build, test, inspect
#[derive(Debug, Args)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    New(new::New),
    Build(build::Build),
    Test(test::Test),
    Inspect(inspect::Inspect),
}

impl Plugin {
    pub(crate) fn run(self) -> Ended {
        match self.verb {
            Verb::New(verb) => verb.run(),
            Verb::Build(verb) => verb.run(),
            Verb::Test(verb) => verb.run(),
            Verb::Inspect(verb) => verb.run(),
        }
    }
}

/// Where a plugin is compiled and run, without a cache: what an author tests was just built.
fn host() -> Result<narrowgate_plugins::Host, Failure> {
    narrowgate_plugins::Host::new().map_err(Failure::undecided)
}

/// A problem with a file, which the message names first.
fn about(path: &std::path::Path, problem: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("{}: {problem}", path.display()))
}
