//! A refusal in words that an agent can act on: RFC 9457 problem details with the narrowest proposal, ready to post.
//!
//! INVARIANT: nothing here has seen a query string, a header or a body, but for what a plugin's vocabulary declares that
//! it says of them.

mod guidance;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::decide::{Layer, Reason, Refusal};
use crate::digest::Digest;
use crate::pattern::BinaryPattern;
use crate::request::Port;
use crate::vocabulary::Meaning;

use guidance::guidance;

/// The body of a 403. See the contract for each member's meaning.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Denial {
    /// `urn:narrowgate:problem:policy-denied`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub title: String,
    /// The HTTP status: 403.
    pub status: u16,
    /// `policy_denied`.
    pub error: String,
    /// What was refused and why, in a sentence.
    pub detail: String,
    /// Where it was decided.
    pub layer: Layer,
    /// `tcp`, or how the endpoint's requests are read.
    pub protocol: String,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: u16,
    /// The request's method, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The canonical path, at L7; never the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The calling executable; empty where it could not be identified.
    pub binary: String,
    /// The key of the entry that governs the endpoint, if any.
    pub policy: Option<String>,
    /// What was asked, as a rule would say it.
    pub rule: String,
    /// Why.
    pub reason: Reason,
    /// What was asked in a plugin's words, where one spoke: the first that is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<DeniedOperation>,
    /// All that is not allowed, where the request is several operations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<DeniedOperation>,
    /// What would have allowed it; absent where nothing could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_missing: Option<Value>,
    /// `d_…`
    pub denial_id: String,
    /// What became of it where it waited for a person, or where one had said never to it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldDenial>,
    /// What to do about it, in order.
    pub next_steps: Vec<Value>,
    /// The same for a reader of prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_guidance: Option<String>,
}

/// How a request was denied that waited for a person, or that one had said never to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldDenial {
    /// `h_…`; absent where nobody was asked this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_id: Option<String>,
    /// Until when it could wait, RFC 3339; absent where nobody was asked this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What a person said; absent where nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ReviewerNo>,
    /// Who said it; absent where nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a person said no, which decides what is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewerNo {
    /// To this request: the next one is asked about again.
    No,
    /// To all like it: nobody is asked about the next one.
    Never,
}

/// What was refused, as far as a denial may know it.
#[derive(Debug, Clone)]
pub struct DeniedRequest {
    /// Where it was decided.
    pub layer: Layer,
    /// `tcp`, `rest`, …
    pub protocol: String,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: Port,
    /// The method, at L7.
    pub method: Option<String>,
    /// The path without its query, at L7; canonical unless it is refused for having no canonical form.
    pub path: Option<String>,
    /// The calling executable; empty where unknown.
    pub binary: String,
    /// What is not allowed in a plugin's words, where one spoke.
    pub operations: Vec<DeniedOperation>,
    /// Why a plugin could not be asked, or what it refused; fit for the agent and for a log.
    pub cause: Option<String>,
    /// How a person said no to it, where one did.
    pub answer: Option<ReviewerNo>,
}

/// One operation of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeniedOperation {
    /// The plugin's name.
    pub plugin: String,
    /// The action's id, with the plugin's name in front.
    pub action: String,
    /// What the plugin says of it, by name: a text, a number, a truth value, a list of texts or texts by name.
    #[serde(default)]
    pub attributes: serde_json::Map<String, Value>,
}

impl DeniedOperation {
    /// The operation as it is told.
    pub fn of(meaning: &Meaning) -> DeniedOperation {
        DeniedOperation {
            plugin: meaning.plugin().to_owned(),
            action: meaning.action().to_owned(),
            attributes: meaning.attributes().iter().map(|(name, value)| (name.to_string(), value.to_json())).collect(),
        }
    }

    /// The narrowest rule that allows it, as in `rules: - allow: …`.
    fn rule(&self) -> Value {
        let mut rule = serde_json::Map::from_iter([("action".to_owned(), json!(self.action))]);
        let wanted: serde_json::Map<String, Value> =
            self.attributes.iter().filter_map(|(name, value)| Some((name.clone(), exactly(value)?))).collect();
        if !wanted.is_empty() {
            rule.insert("where".to_owned(), Value::Object(wanted));
        }
        Value::Object(rule)
    }
}

/// A value as a rule wants exactly it; `None` where a rule cannot say so.
fn exactly(value: &Value) -> Option<Value> {
    let text = |text: &str| match text.contains(['*', '?']) {
        true => json!({ "exact": text }),
        false => json!(text),
    };
    match value {
        Value::String(value) => Some(text(value)),
        Value::Array(values) => Some(json!({ "any": values.iter().filter_map(exactly).collect::<Vec<_>>() })),
        Value::Object(fields) if fields.is_empty() => None,
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                // Alone, `{exact: text}` would be a value and no field of this name.
                ("exact", value) => (name.clone(), json!({ "exact": value })),
                (_, value) => (name.clone(), exactly(value).unwrap_or_default()),
            };
            Some(fields.iter().map(field).collect())
        }
        plain => Some(plain.clone()),
    }
}

/// A denial as it is listed and as evidence for a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DenialRecord {
    /// `d_…`
    pub denial_id: String,
    /// RFC 3339.
    pub time: String,
    /// Where it was decided.
    pub layer: Layer,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: u16,
    /// The method, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without its query, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The calling executable.
    pub binary: String,
    /// Why.
    pub reason: Reason,
    /// What was not allowed in a plugin's words, where one spoke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<DeniedOperation>,
}

impl Denial {
    /// Says `refusal` of `request`. `proposals` is false where the operator has switched them off.
    pub fn new(id: String, request: DeniedRequest, refusal: &Refusal, proposals: bool) -> Denial {
        let rule = match (&request.method, &request.path) {
            _ if !request.operations.is_empty() => {
                request.operations.iter().map(|operation| operation.action.as_str()).collect::<Vec<_>>().join(", ")
            }
            (Some(method), Some(path)) => format!("{method} {path}"),
            (Some(method), None) => format!("{method} {}:{}", request.host, request.port),
            _ => format!("CONNECT {}:{}", request.host, request.port),
        };
        let grantable = match refusal.reason {
            Reason::NoMatchingRule | Reason::LeaseExpired => true,
            // Not as it was asked, but perhaps with the reasons that a proposal has room for.
            Reason::DeniedByReviewer => request.answer == Some(ReviewerNo::No),
            _ => false,
        };
        let offer = proposals && grantable && names_one_program(&request.binary);
        Denial {
            kind: "urn:narrowgate:problem:policy-denied".to_owned(),
            title: "Policy denied".to_owned(),
            status: 403,
            error: "policy_denied".to_owned(),
            detail: detail(&request, refusal),
            layer: request.layer,
            rule_missing: grantable.then(|| rule_missing(&request)),
            next_steps: if proposals { next_steps(&id, &request, offer) } else { Vec::new() },
            agent_guidance: proposals.then(|| guidance(refusal.reason, request.answer).to_owned()),
            protocol: request.protocol,
            host: request.host,
            port: request.port.get(),
            method: request.method,
            path: request.path,
            binary: request.binary,
            policy: refusal.policy.clone(),
            rule,
            reason: refusal.reason,
            operation: request.operations.first().cloned(),
            operations: if request.operations.len() > 1 { request.operations } else { Vec::new() },
            held: None,
            denial_id: id,
        }
    }

    /// Says that a person was asked, now or before, and how that ended.
    pub fn after_waiting(mut self, held: HeldDenial) -> Denial {
        let by = held.decided_by.as_deref().map(|by| format!(" ({by})")).unwrap_or_default();
        match &held.message {
            Some(message) => self.detail.push_str(&format!("{by}: {message}")),
            None => self.detail.push_str(&by),
        }
        self.held = Some(held);
        self
    }

    /// The record of this denial at `time`, in RFC 3339.
    pub fn record(&self, time: String) -> DenialRecord {
        DenialRecord {
            denial_id: self.denial_id.clone(),
            time,
            layer: self.layer,
            host: self.host.clone(),
            port: self.port,
            method: self.method.clone(),
            path: self.path.clone(),
            binary: self.binary.clone(),
            reason: self.reason,
            operations: match &self.operation {
                Some(only) if self.operations.is_empty() => vec![only.clone()],
                _ => self.operations.clone(),
            },
        }
    }
}

fn detail(request: &DeniedRequest, refusal: &Refusal) -> String {
    let DeniedRequest { host, port, method, path, binary, .. } = request;
    let what = match (method, path) {
        (Some(method), Some(path)) => format!("{method} {host}:{port}{path}"),
        _ => format!("a connection to {host}:{port}"),
    };
    let what = match request.operations.as_slice() {
        [] => what,
        operations => {
            let actions: Vec<&str> = operations.iter().map(|operation| operation.action.as_str()).collect();
            format!("{what} ({})", actions.join(", "))
        }
    };
    if let Some(cause) = &request.cause {
        return format!("{what} is refused: {cause}");
    }
    let who = if binary.is_empty() { "an unidentified program" } else { binary };
    match refusal.reason {
        Reason::NoMatchingRule => format!("no rule allows {what} for {who}"),
        Reason::DenyRule => format!("the policy denies {what} for {who}"),
        Reason::DestinationBlocked => format!("{what} is refused: this destination is never reachable"),
        Reason::DnsFailed => format!("{what} is refused: the name does not resolve"),
        Reason::RequestAmbiguous => format!("{what} is refused: servers could read this request in more than one way"),
        Reason::PluginError => format!("{what} is refused: the plugin for this host could not read it"),
        Reason::LeaseExpired => format!("the rule that allowed {what} for {who} has expired"),
        Reason::DeniedByReviewer => format!("a reviewer denied {what} for {who}"),
        Reason::ReviewTimedOut => format!("no reviewer answered in time about {what} for {who}"),
        Reason::PolicyUnavailable => format!("{what} is refused: no proven policy is in force"),
    }
}

fn rule_missing(request: &DeniedRequest) -> Value {
    let DeniedRequest { host, port, method, path, binary, .. } = request;
    match (method, path) {
        _ if !request.operations.is_empty() => json!({
            "type": "operation_allow", "layer": "l7", "host": host, "port": port, "binary": binary,
            "operations": request.operations.iter().map(DeniedOperation::rule).collect::<Vec<_>>(),
        }),
        (Some(method), Some(path)) => json!({
            "type": "rest_allow", "layer": "l7", "host": host, "port": port, "method": method, "path": path,
            "binary": binary,
        }),
        _ => json!({ "type": "l4_allow", "layer": "l4", "host": host, "port": port, "binary": binary }),
    }
}

fn next_steps(id: &str, request: &DeniedRequest, offer: bool) -> Vec<Value> {
    let mut steps = vec![
        json!({ "action": "read_skill", "path": "/etc/narrowgate/skills/policy_advisor.md",
                "url": "http://policy.local/v1/skill" }),
        json!({ "action": "inspect_policy", "method": "GET", "url": "http://policy.local/v1/policy/current" }),
        json!({ "action": "inspect_recent_denials", "method": "GET",
                "url": "http://policy.local/v1/denials?last=5" }),
    ];
    if offer {
        steps.push(json!({ "action": "submit_proposal", "method": "POST",
            "url": "http://policy.local/v1/proposals", "body_type": "PolicyMergeOperation",
            "body": narrowest_proposal(id, request) }));
    }
    steps
}

/// The narrowest rule that would have let the request through, as a proposal.
///
/// For a refused connection nothing is known of what would be asked over it. Where the port says HTTP, an inspected
/// read-only endpoint is narrower than opaque bytes, and the next denial is then exact.
fn narrowest_proposal(id: &str, request: &DeniedRequest) -> Value {
    let DeniedRequest { host, port, method, path, binary, .. } = request;
    let (need, summary) = match (method, path) {
        _ if !request.operations.is_empty() => {
            let actions: BTreeSet<&str> =
                request.operations.iter().map(|operation| operation.action.as_str()).collect();
            let actions = Vec::from_iter(actions).join(", ");
            (Need::operations(&request.operations), format!("{actions} on {host}:{port}"))
        }
        (Some(method), Some(path)) => (
            Need::Requests(BTreeSet::from([(method.as_str(), path.as_str())])),
            format!("{method} {path} on {host}:{port}"),
        ),
        _ if is_http(port.get()) => (Need::Read, format!("read from {host}:{port}")),
        _ => (Need::Connect, format!("connect to {host}:{port}")),
    };
    let endpoint = need.endpoint(host, port.get());
    let verb = request.operations.first().map(|operation| operation.action.as_str()).or(method.as_deref());
    let name = rule_name(verb, host, &format!("{endpoint} {binary}"));
    let mut rule = json!({ "name": name, "endpoints": [endpoint] });
    if let (Some(rule), false) = (rule.as_object_mut(), binary.is_empty()) {
        rule.insert("binaries".to_owned(), json!([{ "path": binary }]));
    }
    json!({
        "intent_summary": format!("Allow {summary}"),
        "denial_ids": [id],
        "operations": [{ "addRule": { "ruleName": name, "rule": rule } }],
    })
}

/// The same need gets the same name, so that asking twice is recognised; different needs get different ones.
fn rule_name(method: Option<&str>, host: &str, need: &str) -> String {
    let verb = method.unwrap_or("connect").to_ascii_lowercase();
    let readable: String =
        format!("{verb}_{host}").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(60).collect();
    let digest = Digest::of(need.as_bytes()).hex();
    format!("{readable}_{}", digest.get(..8).unwrap_or_default())
}

/// What is known to be needed at a host and port.
enum Need<'a> {
    /// Opaque bytes.
    Connect,
    /// Any read.
    Read,
    /// These methods and paths.
    Requests(BTreeSet<(&'a str, &'a str)>),
    /// These rules, in the words of this plugin.
    Operations(&'a str, Vec<Value>),
}

impl<'a> Need<'a> {
    fn operations(operations: impl IntoIterator<Item = &'a DeniedOperation>) -> Need<'a> {
        let (mut plugin, mut rules) = ("", Vec::new());
        for operation in operations {
            plugin = operation.plugin.as_str();
            let rule = operation.rule();
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        Need::Operations(plugin, rules)
    }

    fn endpoint(&self, host: &str, port: u16) -> Value {
        match self {
            Need::Connect => json!({ "host": host, "port": port }),
            Need::Read => json!({ "host": host, "port": port, "protocol": "rest", "access": "read-only" }),
            Need::Requests(requests) => {
                let rules =
                    requests.iter().map(|(method, path)| json!({ "allow": { "method": method, "path": path } }));
                json!({ "host": host, "port": port, "protocol": "rest", "rules": Vec::from_iter(rules) })
            }
            Need::Operations(plugin, rules) => {
                let rules: Vec<Value> = rules.iter().map(|rule| json!({ "allow": rule })).collect();
                json!({ "host": host, "port": port, "protocol": plugin, "rules": rules })
            }
        }
    }
}

/// Whether a port says that HTTP is spoken, so that a connection to it can be inspected.
pub fn is_http(port: u16) -> bool {
    [Port::HTTP, Port::HTTPS].iter().any(|http| http.get() == port)
}

/// Whether a rule can name exactly the program at this path; nobody (`""`) is left out of rules. A file can be called `*`,
/// and a rule that says so is about many.
pub fn names_one_program(path: &str) -> bool {
    path.is_empty() || BinaryPattern::parse(path).is_ok_and(|pattern| pattern.literal() == Some(path))
}

/// The narrowest entry, in the rule language, that lets all of these through; `None` for no record, and where no rule
/// can name one of the programs alone. Its `name` is fit
/// to be the `ruleName` it is proposed under.
///
/// Of a refused connection it is not known what would be asked over it. Where `inspected` says that requests can be
/// read there, reading is the narrowest that does; else the port decides. Opaque bytes are never put beside rules for
/// the same host and port, which they would void.
pub fn narrowest_rule<'a>(records: impl IntoIterator<Item = &'a DenialRecord>, inspected: bool) -> Option<Value> {
    type Place<'a> = (&'a str, u16);
    let mut requests: BTreeMap<Place<'a>, BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut operations: BTreeMap<Place<'a>, Vec<&DeniedOperation>> = BTreeMap::new();
    let mut connections: BTreeSet<Place<'a>> = BTreeSet::new();
    let mut binaries: BTreeSet<&str> = BTreeSet::new();
    for record in records {
        let place = (record.host.as_str(), record.port);
        match (&record.method, &record.path) {
            _ if !record.operations.is_empty() => operations.entry(place).or_default().extend(&record.operations),
            (Some(method), Some(path)) => drop(requests.entry(place).or_default().insert((method, path))),
            _ => drop(connections.insert(place)),
        }
        binaries.insert(&record.binary);
    }
    if !binaries.iter().all(|binary| names_one_program(binary)) {
        return None;
    }
    let mut endpoints = Vec::new();
    for (host, port) in &connections {
        let read = inspected || is_http(*port) || requests.contains_key(&(*host, *port));
        endpoints.push(if read { Need::Read } else { Need::Connect }.endpoint(host, *port));
    }
    let verb = match (requests.first_key_value(), operations.first_key_value()) {
        (Some((_, all)), None) if requests.len() == 1 => all.first().map(|(method, _)| *method),
        (None, Some((_, all))) if operations.len() == 1 => all.first().map(|operation| operation.action.as_str()),
        _ => None,
    };
    let verb = verb.filter(|_| connections.is_empty());
    let (host, _) = requests.keys().chain(operations.keys()).chain(&connections).next()?;
    let host = (*host).to_owned();
    // A plugin says what all requests to a host and port are; rules beside its own would be for older denials.
    requests.retain(|place, _| !operations.contains_key(place));
    endpoints.extend(requests.into_iter().map(|((host, port), all)| Need::Requests(all).endpoint(host, port)));
    endpoints.extend(operations.into_iter().map(|((host, port), all)| Need::operations(all).endpoint(host, port)));
    // For one record, the name that its own denial offers.
    let need = endpoints.iter().map(Value::to_string).chain(binaries.iter().map(|binary| (*binary).to_owned()));
    let name = rule_name(verb, &host, &Vec::from_iter(need).join(" "));
    let mut rule = json!({ "name": name, "endpoints": endpoints });
    // A process that could not be identified matches no rule that names binaries.
    if let (Some(rule), false) = (rule.as_object_mut(), binaries.contains("")) {
        let paths = binaries.iter().map(|path| json!({ "path": path }));
        rule.insert("binaries".to_owned(), Value::Array(paths.collect()));
    }
    Some(rule)
}
