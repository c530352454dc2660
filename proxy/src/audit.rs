//! What happened, for those who ask later: OCSF 1.8, one JSON object a line.
//!
//! A line is one `write(2)` to a file opened for appending, before what it tells of happens. That is cheaper than waking
//! a thread, nothing is lost in a crash of the process, and several processes may share a file. An event that cannot be
//! written is an error, and the caller denies: what leaves no trace does not leave.
//!
//! Query strings, headers, bodies and credentials have no field here. See [`ocsf`] for the vocabulary.

mod ocsf;
mod short;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use narrowgate_core::decide::Reason;
use narrowgate_core::digest::Digest;
use narrowgate_core::request::Process;
use serde_json::Value;
use thiserror::Error;

use crate::held::Review;

pub use short::short;

/// The log cannot be opened or written.
#[derive(Debug, Error)]
#[error("audit log {}: {source}", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// Something that happened in a sandbox.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// The same on every line about one request.
    pub correlation: String,
    /// The sandbox's name.
    pub sandbox: String,
    /// What.
    pub what: What,
}

/// The kinds of events.
#[derive(Debug, Clone)]
pub enum What {
    /// A decision about a connection (4001).
    Network(Flow),
    /// A decision about an HTTP request (4002).
    Http {
        /// Who and where to.
        flow: Flow,
        /// The request's method.
        method: String,
        /// `http` or `https`.
        scheme: String,
        /// The canonical path. What follows a `?` is cut off, should a caller leave it.
        path: String,
    },
    /// Something that happened to the policy (5019).
    Config {
        /// What happened.
        change: Change,
        /// The policy's version.
        version: Option<u64>,
        /// The policy's digest.
        hash: Option<Digest>,
        /// What it is about, such as a proposal's id.
        subject: Option<String>,
        /// A sentence for a person.
        detail: String,
    },
    /// Something that should not happen (2004).
    Finding {
        /// A few words, always the same for the same finding.
        title: String,
        /// A sentence for a person.
        detail: String,
        /// How bad.
        severity: Severity,
        /// Who and where to, where that is known.
        flow: Option<Flow>,
    },
}

/// Who wanted to go where, and what was decided by which rule.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The client.
    pub process: Process,
    /// Its pid, as the proxy's machine numbers it.
    pub pid: Option<i32>,
    /// Its command line, without secrets.
    pub command: Option<String>,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: u16,
    /// The decision.
    pub outcome: Outcome,
    /// The policy's entry that decided, where one did.
    pub policy: Option<String>,
    /// The rule that decided, where one did.
    pub rule: Option<String>,
    /// The version of the policy in force.
    pub version: Option<u64>,
    /// The digest of the policy in force.
    pub hash: Option<Digest>,
    /// The plugin that said what the request means, where one did or should have.
    pub plugin: Option<String>,
    /// The actions that the plugin named, and of a denied request those that are not allowed. Never what it says of them.
    pub operations: Vec<String>,
    /// How it came to the decision, where the request waited for a person or would have.
    pub review: Option<Review>,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes.
    Allowed,
    /// It does not, and why.
    Denied(Reason),
    /// A person is asked.
    Waiting,
}

/// What happens to policies and proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A rule was proposed.
    Proposed,
    /// A proposal was approved.
    Approved,
    /// A proposal was rejected.
    Rejected,
    /// A newer proposal took a proposal's place.
    Superseded,
    /// A version came into force.
    Loaded,
    /// An earlier version came into force again.
    RolledBack,
    /// A version did not come into force: its certificate does not hold.
    Refused,
    /// The gateway no longer gives a policy, or its certificate came to its end: none is in force.
    Revoked,
    /// The gateway's signing key was replaced, as the key before it announced.
    KeysReplaced,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do.
    Informational = 1,
    /// To be looked at some day.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at now.
    High,
    /// To be acted on now.
    Critical,
}

impl Event {
    /// The event as one OCSF object.
    pub fn to_json(&self) -> Value {
        ocsf::event(self)
    }

    /// The event as one line for a person, `since` after whatever the reader calls the start.
    pub fn short(&self, since: Duration) -> String {
        short(&self.to_json(), since).unwrap_or_default()
    }
}

/// A file that events are appended to.
pub struct AuditLog {
    path: PathBuf,
    file: File,
    /// Whether the file may end in the middle of a line.
    torn: Mutex<bool>,
}

impl AuditLog {
    /// Opens or makes the file. A new one is for its owner's eyes only; the mode of an existing one is its operator's.
    ///
    /// # Errors
    /// It cannot be opened for appending.
    pub fn open(path: &Path) -> Result<AuditLog, AuditError> {
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = opened.map_err(|source| AuditError { path: path.to_owned(), source })?;
        Ok(AuditLog { path: path.to_owned(), file, torn: Mutex::new(false) })
    }

    /// Appends one event.
    ///
    /// # Errors
    /// It was not written, or not as a whole. Then what it tells of must not happen.
    pub fn write(&self, event: &Event) -> Result<(), AuditError> {
        let mut torn = self.torn.lock().unwrap_or_else(PoisonError::into_inner);
        // After a write that failed half-way, the next line begins on a line of its own.
        let mut line = if *torn { "\n".to_owned() } else { String::new() };
        line.push_str(&event.to_json().to_string());
        line.push('\n');
        let written = loop {
            match (&self.file).write(line.as_bytes()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                written => break written,
            }
        };
        let failed = |source| AuditError { path: self.path.clone(), source };
        match written {
            Ok(length) if length == line.len() => {
                *torn = false;
                Ok(())
            }
            Ok(length) => {
                *torn |= length > 0;
                Err(failed(io::Error::new(io::ErrorKind::WriteZero, "only a part of a line was written")))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests;
