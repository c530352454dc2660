//! Canonical requests: one reading of every input, or none.
//!
//! What is decided is what goes on the wire. Each parser here either returns the one form in which a request is
//! decided *and* forwarded, or an [`Ambiguity`] that says why two servers might read the input differently. Nothing
//! here looks at a policy.

mod authority;
mod path;
mod query;

pub use authority::{Authority, Host, Port};
pub use path::{CanonicalPath, PathOptions, may_stay_encoded, may_stay_literal};
pub use query::{Query, QueryValue};

use std::sync::Arc;

use smol_str::SmolStr;

use crate::vocabulary::Meaning;

/// Why an input has no single reading. The text never contains a query string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {input:?}: {problem}")]
pub struct Ambiguity {
    what: &'static str,
    input: String,
    problem: &'static str,
}

impl Ambiguity {
    pub(crate) fn new(what: &'static str, input: &str, problem: &'static str) -> Ambiguity {
        // A message is for a log line and a denial: long inputs are cut, not repeated.
        let input = match input.char_indices().nth(80) {
            Some((at, _)) => format!("{}…", input.get(..at).unwrap_or_default()),
            None => input.to_owned(),
        };
        Ambiguity { what, input, problem }
    }
}

/// Methods that are Cedar actions of their own; every other method is `OTHER`.
pub const KNOWN_METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// An HTTP method: an RFC 9110 token without lower-case letters, at most 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(SmolStr);

impl Method {
    /// Methods are case-sensitive; `get` is refused because servers differ on whether it is `GET`.
    ///
    /// # Errors
    /// An empty, overlong or lower-case method, one with a character outside RFC 9110's token, and `CONNECT` and
    /// `TRACE`, which no origin should see through a proxy.
    pub fn parse(text: &str) -> Result<Method, Ambiguity> {
        let refuse = |problem| Err(Ambiguity::new("method", text, problem));
        if text.is_empty() || text.len() > 32 {
            return refuse("a method has 1 to 32 characters");
        }
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return refuse("methods are upper case");
        }
        if !text.bytes().all(is_token_byte) {
            return refuse("a method is a token of letters, digits and !#$%&'*+-.^_`|~");
        }
        // A rule that names it is about every method.
        if text == "*" {
            return refuse("no origin knows the method '*'");
        }
        if text == "CONNECT" || text == "TRACE" {
            return refuse("not a method that is forwarded");
        }
        Ok(Method(SmolStr::new(text)))
    }

    /// The method as it is on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Cedar action: the method itself where the schema knows it, else `OTHER`.
    pub fn action(&self) -> &'static str {
        KNOWN_METHODS.into_iter().find(|known| *known == self.0).unwrap_or("OTHER")
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `byte` may occur in an RFC 9110 token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A request target in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The path, which always starts with `/`.
    pub path: CanonicalPath,
    /// The query, empty where there is none.
    pub query: Query,
}

impl Target {
    /// Reads an origin-form request target: a path and, after `?`, a query.
    ///
    /// # Errors
    /// See [`CanonicalPath::parse`] and [`Query::parse`]; a fragment is an error too.
    pub fn parse(raw: &str, options: &PathOptions) -> Result<Target, Ambiguity> {
        let (path, query) = match raw.split_once('?') {
            Some((path, query)) => (path, query),
            None => (raw, ""),
        };
        if query.contains('#') {
            return Err(Ambiguity::new("query", "", "a request target has no fragment"));
        }
        Ok(Target { path: CanonicalPath::parse(path, options)?, query: Query::parse(query)? })
    }

    /// The form that is forwarded: path, and `?query` unless the query is empty.
    pub fn to_uri_string(&self) -> String {
        match self.query.as_str() {
            "" => self.path.as_str().to_owned(),
            query => format!("{}?{query}", self.path.as_str()),
        }
    }
}

/// The calling program, as far as it could be identified.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Process {
    /// Absolute path of the executable; empty where it could not be identified, which matches only rules that name
    /// no binary.
    pub path: String,
    /// SHA-256 of the live executable, 64 hex digits; empty where unknown.
    pub sha256: String,
    /// Absolute paths of the executables it descends from, nearest first.
    pub ancestors: Vec<String>,
    /// The sandbox's name.
    pub sandbox: String,
}

/// What is asked of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opaque bytes, which the proxy relays without reading them.
    Connect,
    /// One HTTP request.
    Http {
        /// Its method.
        method: Method,
        /// Its canonical target.
        target: Target,
        /// What it means in a plugin's words, where one was asked. A request of several operations is decided as
        /// several, which differ in this alone.
        meaning: Option<Arc<Meaning>>,
    },
}

impl Operation {
    /// The Cedar action's id.
    pub fn action(&self) -> &str {
        match self {
            Operation::Connect => "connect",
            Operation::Http { meaning: Some(meaning), .. } => meaning.action(),
            Operation::Http { method, meaning: None, .. } => method.action(),
        }
    }

    /// A request that no plugin was asked about.
    pub fn http(method: Method, target: Target) -> Operation {
        Operation::Http { method, target, meaning: None }
    }

    /// What it means in a plugin's words.
    pub fn meaning(&self) -> Option<&Meaning> {
        match self {
            Operation::Http { meaning, .. } => meaning.as_deref(),
            Operation::Connect => None,
        }
    }
}

/// What a policy decides on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// Who asks.
    pub process: Process,
    /// The destination's host.
    pub host: Host,
    /// The destination's port.
    pub port: Port,
    /// What is asked.
    pub operation: Operation,
    /// When, in seconds since the Unix epoch; leases are compared with it.
    pub now: i64,
}
