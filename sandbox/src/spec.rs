//! What a command may see and do.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a command may see and do, besides the network. The default is nothing special: the caller's environment and
/// files, and no command.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The program and its arguments; at least the program, which is searched for in the `PATH` of the *resulting*
    /// environment unless it contains a slash.
    pub command: Vec<OsString>,
    /// Set over the inherited environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Taken out of the inherited environment, before [`Spec::environment`] is set.
    pub without: Vec<OsString>,
    /// Files that exist inside only.
    pub files: Vec<PlacedFile>,
    /// Directories and files that are covered by an empty one. Each must exist: what is not there cannot be covered.
    pub hidden: Vec<PathBuf>,
    /// Which files the command reaches at all. `None` is whatever its user may.
    pub filesystem: Option<Filesystem>,
}

/// A file that exists inside only, and cannot be written there.
///
/// Where its directory exists outside, the directory is replaced inside by one that shows the same entries and is
/// read-only itself. Directories in which the command creates files are therefore no place for one; `/etc`, and `/run`
/// with what is below it, are.
#[derive(Clone, Debug)]
pub struct PlacedFile {
    /// Absolute.
    pub path: PathBuf,
    /// All of it.
    pub content: Vec<u8>,
}

/// The files that a command reaches, enforced by Landlock, and which of them can be changed, by read-only mounts as well. What is not named is not reached, devices and `/proc`
/// included; only the placed files are always readable. Names that do not exist grant nothing, and one that leads through
/// a link which lies in what can be written is refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Filesystem {
    /// Read and executed, with everything below.
    pub read_only: Vec<PathBuf>,
    /// Read, executed, written, created and deleted, with everything below.
    pub read_write: Vec<PathBuf>,
    /// The working directory too is for reading and writing.
    pub include_workdir: bool,
}

/// How this program is started again as a stage of the sandbox.
#[derive(Clone, Debug)]
pub struct Entry {
    /// A program that calls [`stage_main`](crate::stage_main) first in its `main`.
    pub program: PathBuf,
    /// Its first argument.
    pub argument: OsString,
}

impl Default for Entry {
    fn default() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), argument: OsString::from(STAGE) }
    }
}

/// The first argument of a stage, by default.
pub(crate) const STAGE: &str = "sandbox-stage";
