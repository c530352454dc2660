//! A plugin's project: a directory, and what is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::about;
use crate::exit::Failure;
use crate::files;

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Rust,
    Javascript,
}

/// A project's directory.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) dir: PathBuf,
    pub(super) language: Language,
}

impl Project {
    pub(super) fn open(dir: &Path) -> Result<Project, Failure> {
        let has = |name: &str| dir.join(name).is_file();
        let language = match (has("Cargo.toml"), has("package.json")) {
            (true, _) => Language::Rust,
            (false, true) => Language::Javascript,
            (false, false) => {
                let problem = "is no plugin's project: it has neither a Cargo.toml nor a package.json; \
                               `narrowgate plugin new NAME` makes one";
                return Err(about(dir, problem));
            }
        };
        Ok(Project { dir: dir.to_owned(), language })
    }

    /// The plugin that was built in it.
    pub(super) fn built(&self) -> Result<PathBuf, Failure> {
        let entries = fs::read_dir(&self.dir).map_err(|error| about(&self.dir, error))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut built: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "wasm")).collect();
        built.sort();
        match built.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(about(&self.dir, "nothing is built; `narrowgate plugin build` does that")),
            [first, second, ..] => {
                let (first, second) = (first.display(), second.display());
                Err(about(&self.dir, format!("has {first} and {second}; name the one that is meant")))
            }
        }
    }

    /// A source that was written after the plugin was built.
    pub(super) fn newer_than(&self, built: &Path) -> Option<PathBuf> {
        let written = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let built = written(built)?;
        let is_newer = |path: &PathBuf| written(path).is_some_and(|at: SystemTime| at > built);
        let (manifest, folder, extension) = match self.language {
            Language::Rust => ("Cargo.toml", self.dir.join("src"), "rs"),
            Language::Javascript => ("package.json", self.dir.clone(), "js"),
        };
        let sources = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let sources = sources.filter(|path| path.extension().is_some_and(|e| e == extension));
        sources.chain([self.dir.join(manifest)]).find(is_newer)
    }

    /// The module that a JavaScript project's package.json names as its `main`.
    pub(super) fn main_module(&self) -> Result<PathBuf, Failure> {
        let path = self.dir.join("package.json");
        let package: serde_json::Value =
            serde_json::from_str(&files::read(&path)?).map_err(|error| about(&path, error))?;
        match package.get("main").and_then(serde_json::Value::as_str) {
            Some(main) => Ok(self.dir.join(main)),
            None => Err(about(&path, "has no \"main\"; expected the plugin's module, such as \"plugin.js\"")),
        }
    }
}
