//! What a plugin is told of a request: canonical facts, and never a credential.

use bytes::Bytes;
use narrowgate_core::request::{Host, Method, Port, Target};
use narrowgate_core::vocabulary::Vocabulary;

use crate::failure::Cause;

/// A request as the proxy has it.
#[derive(Debug, Clone)]
pub struct RequestFacts<'a> {
    /// Its method.
    pub method: &'a Method,
    /// How it came.
    pub scheme: Scheme,
    /// The destination's host.
    pub host: &'a Host,
    /// The destination's port.
    pub port: Port,
    /// Its canonical path and query.
    pub target: &'a Target,
    /// All its headers, in order, repeated ones included. The plugin is shown those that its vocabulary names.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// Its body, without content encoding ([`crate::inflate`]).
    pub body: Body,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In clear.
    Http,
}

impl Scheme {
    /// `https` or `http`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Https => "https",
            Scheme::Http => "http",
        }
    }
}

/// What is known of a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    Absent,
    /// All of it.
    Complete(Bytes),
    /// The first bytes of it: there is more.
    Truncated(Bytes),
}

impl Body {
    /// The bytes that are known.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Absent => &[],
            Body::Complete(bytes) | Body::Truncated(bytes) => bytes,
        }
    }

    /// At most so many bytes of it.
    pub(crate) fn up_to(self, limit: usize) -> Body {
        match self {
            Body::Absent => Body::Absent,
            Body::Complete(bytes) if bytes.len() <= limit => Body::Complete(bytes),
            Body::Complete(bytes) | Body::Truncated(bytes) => Body::Truncated(bytes.slice(..bytes.len().min(limit))),
        }
    }
}

/// A request as one plugin is told of it; owned, so that it can be asked on another thread.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: Port,
    pub(crate) target: Target,
    pub(crate) segments: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Question {
    /// # Errors
    /// A segment or a header that the plugin would be told of and that is no UTF-8: servers differ on what it says.
    pub(crate) fn new(vocabulary: &Vocabulary, facts: &RequestFacts<'_>) -> Result<Question, Cause> {
        let RequestFacts { method, scheme, host, port, target, headers, body } = facts;
        let segments = target.path.decoded_segments().ok_or(Cause::NotUtf8("a segment of the path".to_owned()))?;
        let mut shown = Vec::new();
        for (name, value) in headers {
            if let Some(named) = vocabulary.manifest().headers.iter().find(|named| named.eq_ignore_ascii_case(name)) {
                let value = str::from_utf8(value).map_err(|_| Cause::NotUtf8(format!("the header {named}")))?;
                shown.push((named.clone(), value.to_owned()));
            }
        }
        Ok(Question {
            method: (*method).clone(),
            scheme: *scheme,
            host: (*host).clone(),
            port: *port,
            target: (*target).clone(),
            segments,
            headers: shown,
            // A body that it does not want is still told to be there.
            body: body.clone().up_to(vocabulary.body_limit(method).unwrap_or(0)),
        })
    }
}
