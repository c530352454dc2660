//! `narrowgate plugin new NAME`: a project that builds, to write over.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use narrowgate_core::vocabulary::PluginName;

use super::project::Language;
use super::{about, template};
use crate::exit::{Ended, Exit, Failure};
use crate::output;

/// Start a plugin: a project with a vocabulary, a reading of requests, cases and all that they need
#[derive(Debug, Args)]
pub(super) struct New {
    /// The plugin's name: the namespace of its actions, and the `protocol` of its endpoints
    #[arg(value_name = "NAME", value_parser = PluginName::parse)]
    name: PluginName,
    /// What to write it in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// Where to make it, if not in ./NAME
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Ended {
        let dir = self.dir.unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        let occupied = fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(about(&dir, "is there already, and is not empty; name another with --dir"));
        }
        for (path, content) in template::files(self.language, &self.name) {
            let path = dir.join(path);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
            made.map_err(|error| Failure::invalid(format!("could not write {}: {error}", path.display())))?;
        }
        let shown = dir.display();
        let first = match self.language {
            Language::Rust => String::new(),
            Language::Javascript => format!("  (cd {shown} && npm install)\n"),
        };
        output::line(format!(
            "made {shown}; next:\n{first}  narrowgate plugin build {shown}\n  narrowgate plugin test {shown}"
        ))?;
        Ok(Exit::Done)
    }
}
