//! Why a plugin has no answer. Every one of these is a denial.

use std::fmt;

use narrowgate_core::digest::Digest;
use narrowgate_core::vocabulary::{MAX_OPERATIONS, NotAdmitted, PluginName};

use crate::inflate::InflateError;

/// What went wrong, in which plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PluginFailure {
    /// The plugin's name.
    pub plugin: PluginName,
    /// Its SHA-256.
    pub digest: Digest,
    /// What went wrong.
    pub cause: Cause,
}

impl PluginFailure {
    /// Whether it is the request that has no single reading (`request_ambiguous`), and not the plugin that failed
    /// (`plugin_error`).
    pub fn is_ambiguous(&self) -> bool {
        matches!(self.cause, Cause::Refused { kind: RefusalKind::Ambiguous, .. } | Cause::NotUtf8(_))
    }
}

impl fmt::Display for PluginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PluginFailure { plugin, digest, cause } = self;
        let hex = digest.hex();
        write!(f, "plugin {plugin}@sha256:{}…: {cause}", hex.get(..12).unwrap_or(&hex))
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// It trapped; the text is the trap's.
    #[error("trapped: {0}")]
    Trap(String),
    /// It used up its fuel.
    #[error("used up its {0} units of fuel")]
    Fuel(u64),
    /// It ran into the deadline.
    #[error("ran for more than {0} ms")]
    Deadline(u64),
    /// It asked for more memory than it may have, and did not get over it.
    #[error("needs more than the {0} bytes of memory that it may have")]
    Memory(usize),
    /// It answered with more than the host copies.
    #[error("answered with more than {0} bytes")]
    Output(usize),
    /// It refused the request.
    #[error("{kind}: {detail}")]
    Refused {
        /// In what way.
        kind: RefusalKind,
        /// Its own words: one line, at most 200 characters.
        detail: String,
    },
    /// It said that the request asks for nothing.
    #[error("named no operation")]
    NoOperation,
    /// It said that the request asks for too much at once.
    #[error("named {0} operations; at most {MAX_OPERATIONS}")]
    TooManyOperations(usize),
    /// It said something that its vocabulary does not admit.
    #[error("{0}")]
    NotAdmitted(NotAdmitted),
    /// Part of the request is no UTF-8, so that the plugin cannot be told of it.
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    /// The body cannot be shown to it.
    #[error(transparent)]
    Body(InflateError),
    /// Too much is waiting for it.
    #[error("is busy")]
    Busy,
    /// It could not be started.
    #[error("could not be started: {0}")]
    Instantiate(String),
}

/// In what way a plugin refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// It does not know what the request means.
    NotUnderstood,
    /// Two servers could read it two ways.
    Ambiguous,
    /// What decides is in a body that is missing or too long.
    NeedsBody,
    /// It is not well formed.
    Malformed,
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RefusalKind::NotUnderstood => "does not understand the request",
            RefusalKind::Ambiguous => "reads the request in two ways",
            RefusalKind::NeedsBody => "needs the whole body",
            RefusalKind::Malformed => "finds the request malformed",
        })
    }
}

/// What a plugin wrote, as one short line.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = characters.by_ref().take(MOST - 1).collect();
    if let Some(last) = characters.next() {
        line.push(if characters.next().is_some() { '…' } else { last });
    }
    line.trim().to_owned()
}
