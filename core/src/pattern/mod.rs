//! Patterns: parsed once, matched by structure.
//!
//! Matching here is the *meaning* that the compiled Cedar must have; the runtime uses it only where Cedar's `like`
//! cannot say it (patterns with `?`), and tests compare the two everywhere else.

mod glob;
mod host;
mod path;
mod value;

pub use glob::Glob;
pub use host::{HostForm, HostPattern};
pub use path::{BinaryPattern, PathPattern, SEGMENTS_FROM_EITHER_END, Segment};
pub use value::{ValueForm, ValuePattern};

use crate::request::Method;

/// Why a pattern was not accepted, with the position of the first character that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}, character {position}: {problem}")]
pub struct PatternError {
    pattern: String,
    position: usize,
    problem: String,
}

impl PatternError {
    /// `at` is a byte offset into `pattern`; the message counts characters from 1.
    pub(crate) fn new(pattern: &str, at: usize, problem: impl Into<String>) -> PatternError {
        let position = pattern.get(..at).map_or(0, |before| before.chars().count()) + 1;
        PatternError { pattern: pattern.to_owned(), position, problem: problem.into() }
    }
}

/// Which methods a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MethodPattern {
    /// `*`
    Any,
    /// One method; `GET` stands for `HEAD` too.
    Exact(Method),
}

impl MethodPattern {
    /// Reads `*` or a method.
    ///
    /// # Errors
    /// See [`Method::parse`].
    pub fn parse(text: &str) -> Result<MethodPattern, PatternError> {
        if text == "*" {
            return Ok(MethodPattern::Any);
        }
        match Method::parse(text) {
            Ok(method) => Ok(MethodPattern::Exact(method)),
            Err(_) => Err(PatternError::new(text, 0, "a method is upper case (GET, PUT, …), or * for any")),
        }
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        match self {
            MethodPattern::Any => "*",
            MethodPattern::Exact(method) => method.as_str(),
        }
    }

    /// Whether `method` is meant.
    pub fn matches(&self, method: &Method) -> bool {
        match self {
            MethodPattern::Any => true,
            MethodPattern::Exact(exact) => exact == method || (exact.as_str() == "GET" && method.as_str() == "HEAD"),
        }
    }
}
