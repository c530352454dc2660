//! `narrowgate man DIR`: one manual page for the command and one for each verb.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};

use crate::args::Cli;
use crate::exit::{Ended, Exit, Failure};
use crate::files::{self, Readers};
use crate::output;

/// Write the manual pages into a directory
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where to write them; it must exist
    dir: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Ended {
        if !self.dir.is_dir() {
            return Err(Failure::invalid(format!("{}: not a directory", self.dir.display())));
        }
        let mut command = Cli::command();
        command.build();
        let written = page(&command, "narrowgate", &self.dir)?;
        output::line(format!("{written} manual pages in {}", self.dir.display()))?;
        Ok(Exit::Done)
    }
}

fn page(command: &Command, name: &str, dir: &Path) -> Result<usize, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name)
        .render(&mut text)
        .map_err(|error| Failure::undecided(format!("could not render the page of `{name}`: {error}")))?;
    files::write(&dir.join(format!("{name}.1")), &text, Readers::Anyone)?;
    let mut written = 1;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        written += page(verb, &format!("{name}-{}", verb.get_name()), dir)?;
    }
    Ok(written)
}
