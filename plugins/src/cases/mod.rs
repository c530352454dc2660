//! An author's cases: requests in files, and beside each what the plugin is expected to say of it.
//!
//! `cases/NAME.http` is a request as it would be typed: `PUT https://HOST/PATH HTTP/1.1`, headers, an empty line, the
//! body's bytes as they are. `cases/NAME.golden.json` has the operations or the refusal, the fuel, and the same for
//! variants of the request ([`Golden`]). Every request is asked twice, and must be answered alike.

mod golden;
mod read;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

pub use golden::{Golden, Said, Variants};
pub use read::CaseRequest;

use crate::host::Plugin;

/// Why cases cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// A file or the directory cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A `.http` file is no request.
    #[error("{}:{line}: {problem}", path.display())]
    Request {
        /// Which.
        path: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There are no cases.
    #[error("{}: has no .http files", .0.display())]
    None(PathBuf),
}

/// How a plugin did.
#[derive(Debug)]
pub struct Report {
    /// By name, in order.
    pub cases: Vec<CaseReport>,
    /// Declared actions, with the plugin's name in front, that no case has.
    pub never_seen: Vec<String>,
}

/// How a plugin did in one case.
#[derive(Debug)]
pub struct CaseReport {
    /// The file's name, without `.http`.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
}

/// How one case went.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Same,
    /// Otherwise: the expected lines that are not there with `-`, those that are there instead with `+`.
    Differs(String),
    /// There is no golden file, or it is no JSON; the text is what it would be.
    NoGolden(String),
    /// Two answers to the same request were not the same.
    NotDeterministic(String),
}

impl Report {
    /// Whether every case went as expected. What was never seen is not a failure.
    pub fn is_ok(&self) -> bool {
        self.cases.iter().all(|case| case.verdict == Verdict::Same)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CaseReport { name, verdict } in &self.cases {
            match verdict {
                Verdict::Same => writeln!(f, "ok    {name}")?,
                Verdict::Differs(diff) => writeln!(f, "FAIL  {name}: not as in its golden file\n{diff}")?,
                Verdict::NoGolden(text) => writeln!(f, "FAIL  {name}: no golden file; it would be\n{text}")?,
                Verdict::NotDeterministic(diff) => writeln!(f, "FAIL  {name}: two answers to one request\n{diff}")?,
            }
        }
        let failed = self.cases.iter().filter(|case| case.verdict != Verdict::Same).count();
        write!(f, "{} cases, {failed} failed", self.cases.len())?;
        match self.never_seen.is_empty() {
            true => writeln!(f, "; every declared action occurs"),
            false => writeln!(f, "; no case has {}", self.never_seen.join(", ")),
        }
    }
}

/// Runs the cases in a directory.
///
/// # Errors
/// See [`CasesError`]. That a case fails is in the report.
pub fn run(plugin: &Plugin, directory: &Path) -> Result<Report, CasesError> {
    each(plugin, directory, |path, now| {
        let golden = golden_path(path);
        let expected = match fs::read(&golden) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::NoGolden(now.to_text())),
            Err(error) => return Err(CasesError::Io { path: golden, error }),
        };
        let text = now.to_text();
        Ok(match serde_json::from_slice::<serde_json::Value>(&expected) {
            Ok(expected) if serde_json::to_value(now).is_ok_and(|now| now == expected) => Verdict::Same,
            Ok(expected) => Verdict::Differs(golden::diff(&golden::pretty(&expected), &text)),
            Err(error) => Verdict::NoGolden(format!("(the present one is no JSON: {error})\n{text}")),
        })
    })
}

/// Writes the golden files anew, of all cases that are deterministic.
///
/// # Errors
/// See [`CasesError`].
pub fn bless(plugin: &Plugin, directory: &Path) -> Result<Report, CasesError> {
    each(plugin, directory, |path, now| {
        let golden = golden_path(path);
        fs::write(&golden, now.to_text()).map_err(|error| CasesError::Io { path: golden, error })?;
        Ok(Verdict::Same)
    })
}

fn each(
    plugin: &Plugin,
    directory: &Path,
    mut judge: impl FnMut(&Path, &Golden) -> Result<Verdict, CasesError>,
) -> Result<Report, CasesError> {
    let mut cases = Vec::new();
    let mut never_seen: BTreeSet<String> =
        plugin.vocabulary().actions().values().map(|action| action.id.to_string()).collect();
    for path in requests(directory)? {
        let bytes = fs::read(&path).map_err(|error| CasesError::Io { path: path.clone(), error })?;
        let request = CaseRequest::parse(&bytes).map_err(|(line, problem)| CasesError::Request {
            path: path.clone(),
            line,
            problem,
        })?;
        let (now, again) = (Golden::of(plugin, &request), Golden::of(plugin, &request));
        for action in now.said.actions() {
            never_seen.remove(action);
        }
        let verdict = match now == again {
            true => judge(&path, &now)?,
            false => Verdict::NotDeterministic(golden::diff(&now.to_text(), &again.to_text())),
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cases.push(CaseReport { name, verdict });
    }
    Ok(Report { cases, never_seen: never_seen.into_iter().collect() })
}

fn requests(directory: &Path) -> Result<Vec<PathBuf>, CasesError> {
    let io = |error| CasesError::Io { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "http") {
            paths.push(path);
        }
    }
    paths.sort();
    match paths.is_empty() {
        true => Err(CasesError::None(directory.to_owned())),
        false => Ok(paths),
    }
}

fn golden_path(request: &Path) -> PathBuf {
    request.with_extension("golden.json")
}
