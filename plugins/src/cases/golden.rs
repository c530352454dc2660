//! What a plugin says of a case, as it is written down and compared.

use bytes::Bytes;
use narrowgate_core::request::{PathOptions, Target};
use narrowgate_core::vocabulary::Meaning;
use serde::Serialize;
use serde_json::{Map, Value};

use super::CaseRequest;
use crate::facts::{Body, RequestFacts};
use crate::failure::{Cause, RefusalKind};
use crate::host::Plugin;

/// What a plugin says of a request and of its variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Golden {
    /// Of the request as it is.
    #[serde(flatten)]
    pub said: Said,
    /// Of what a careless or hostile client might make of it.
    #[serde(skip_serializing_if = "Variants::is_empty")]
    pub variants: Variants,
}

/// What a plugin says of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Said {
    /// What the request means.
    Operations {
        /// Every one of them.
        operations: Vec<Operation>,
        /// What the answer cost.
        fuel: u64,
    },
    /// That the plugin refuses it.
    Refusal {
        /// How.
        refusal: Refusal,
        /// What the answer cost.
        fuel: u64,
    },
    /// Nothing that counts: the plugin failed, or said what its vocabulary does not admit.
    Failure {
        /// What is wrong.
        failure: String,
        /// What it cost.
        fuel: u64,
    },
    /// Nothing: the request does not reach a plugin.
    Unasked {
        /// Why.
        unasked: String,
    },
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// With the plugin's name in front.
    pub action: String,
    /// By name.
    pub attributes: Map<String, Value>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// In what way.
    pub kind: RefusalKind,
    /// In the plugin's words.
    pub detail: String,
}

/// What is said of variants; `None` where the request has nothing to vary.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Variants {
    /// With only the first half of its body, and told so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Said>,
    /// With each header that the vocabulary names given once more, with another value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_header: Option<Said>,
    /// With the last `/` between two segments percent-encoded, at an endpoint that allows that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoded_slash: Option<Said>,
}

impl Variants {
    fn is_empty(&self) -> bool {
        *self == Variants::default()
    }
}

impl Golden {
    pub(super) fn of(plugin: &Plugin, request: &CaseRequest) -> Golden {
        let body = match body(plugin, request) {
            Ok(body) => body,
            Err(unasked) => return Golden { said: Said::Unasked { unasked }, variants: Variants::default() },
        };
        let said = ask(plugin, request, body.clone());
        let half = body.bytes().len() / 2;
        let half = Body::Truncated(Bytes::copy_from_slice(body.bytes().get(..half).unwrap_or_default()));
        let truncated = (!body.bytes().is_empty()).then(|| ask(plugin, request, half));
        let duplicate_header = with_duplicates(plugin, request).map(|request| ask(plugin, &request, body.clone()));
        let encoded_slash = with_encoded_slash(request).map(|request| ask(plugin, &request, body));
        Golden { said, variants: Variants { truncated, duplicate_header, encoded_slash } }
    }

    /// As it is in a file.
    pub fn to_text(&self) -> String {
        pretty(self)
    }
}

impl Said {
    pub(super) fn actions(&self) -> impl Iterator<Item = &str> {
        let operations = match self {
            Said::Operations { operations, .. } => operations.as_slice(),
            _ => &[],
        };
        operations.iter().map(|operation| operation.action.as_str())
    }
}

fn ask(plugin: &Plugin, request: &CaseRequest, body: Body) -> Said {
    // An endpoint may allow it; whether the plugin can live with it is what a case is to show.
    let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    let target = match Target::parse(&request.target, &options) {
        Ok(target) => target,
        Err(error) => return Said::Unasked { unasked: error.to_string() },
    };
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let asked = plugin.measure(&RequestFacts {
        method: &request.method,
        scheme: request.scheme,
        host: &request.authority.host,
        port: request.authority.port,
        target: &target,
        headers,
        body,
    });
    let fuel = asked.fuel;
    match asked.operations.map_err(|failure| failure.cause) {
        Ok(operations) => Said::Operations { operations: operations.iter().map(operation).collect(), fuel },
        Err(Cause::Refused { kind, detail }) => Said::Refusal { refusal: Refusal { kind, detail }, fuel },
        Err(cause) => Said::Failure { failure: cause.to_string(), fuel },
    }
}

fn operation(meaning: &Meaning) -> Operation {
    let attributes = meaning.attributes().iter().map(|(name, value)| (name.to_string(), value.to_json()));
    Operation { action: meaning.action().to_owned(), attributes: attributes.collect() }
}

/// What the plugin is shown of the body.
fn body(plugin: &Plugin, request: &CaseRequest) -> Result<Body, String> {
    let encodings = request.headers.iter().filter(|(name, _)| name == "content-encoding");
    let encodings: Vec<&str> = encodings.map(|(_, value)| value.as_str()).collect();
    let wire = request.body.clone().map_or(Body::Absent, Body::Complete);
    plugin.read_body(&request.method, &encodings, wire).map_err(|failure| failure.cause.to_string())
}

fn with_duplicates(plugin: &Plugin, request: &CaseRequest) -> Option<CaseRequest> {
    let named = &plugin.vocabulary().manifest().headers;
    let again = request.headers.iter().filter(|(name, _)| named.contains(name));
    let again: Vec<_> = again.map(|(name, value)| (name.clone(), format!("{value}x"))).collect();
    let mut request = (!again.is_empty()).then(|| request.clone())?;
    request.headers.extend(again);
    Some(request)
}

fn with_encoded_slash(request: &CaseRequest) -> Option<CaseRequest> {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target.as_str(), None),
    };
    // Neither the first, which is the root's, nor one at the end.
    let at = path.trim_end_matches('/').rfind('/').filter(|at| *at > 0)?;
    let (before, after) = (path.get(..at)?, path.get(at + 1..)?);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(CaseRequest { target: format!("{before}%2F{after}{query}"), ..request.clone() })
}

pub(super) fn pretty(value: &impl Serialize) -> String {
    // Texts, numbers and lists of them: nothing that JSON cannot say.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Lines that only one of the texts has, with some that both have around them.
pub(super) fn diff(expected: &str, now: &str) -> String {
    similar::TextDiff::from_lines(expected, now).unified_diff().context_radius(2).to_string()
}
