//! `narrowgate completions SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Ended, Exit};
use crate::output;

/// Completions for your shell, on standard output
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that will read them
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Ended {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "narrowgate", &mut text);
        output::raw(&text)?;
        Ok(Exit::Done)
    }
}
