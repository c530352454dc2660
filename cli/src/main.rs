//! The `narrowgate` command: one file per verb.
//!
//! A verb parses its flags, calls the crate that does the work and renders the answer. Nothing here decides
//! anything about a request: deciding is `narrowgate-core`, proving `narrowgate-prover`, enforcing `narrowgate-proxy`.

mod args;
mod candidate;
mod check;
mod client;
mod compile;
mod completions;
mod demo;
mod environment;
mod exit;
mod explain;
mod files;
mod gateway;
mod held;
mod key;
mod man;
mod output;
mod plugin;
mod plugins;
mod prove;
mod proxy;
mod rule;
mod run;
mod runtime;
mod sandbox;
mod sarif;
mod snippet;
mod solver;
mod source;
mod stack;
mod up;
mod verdict;
mod verify;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started again by itself, to confine a command: before there is a second thread.
    if let Some(code) = narrowgate_sandbox::stage_main(std::env::args_os()) {
        return code;
    }
    let exit = args::Cli::read().run().unwrap_or_else(|failure| {
        output::complain(&failure);
        failure.exit()
    });
    ExitCode::from(exit.code())
}
