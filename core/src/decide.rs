//! Deciding: which rule lets a request through, or why none does.
//!
//! A [`Snapshot`] is a policy in force. It is indexed by host and port at load, so that Cedar's authorizer sees only
//! the policies that could match; the slices it is asked with are kept, since the same few recur.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, RwLock};

use cedar_policy::{Authorizer, Decision as CedarDecision, PolicyId, PolicySet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::cedar;
use crate::compile::{Compiled, Globs};
use crate::digest::Digest;
use crate::policy::{Endpoint, Entry, Policy, Traffic};
use crate::request::{Host, Operation, PathOptions, Port, Process, Request};
use crate::schema::Schema;
use crate::vocabulary::{Meaning, PluginName};

/// A policy in force.
#[derive(Debug)]
pub struct Snapshot {
    policy: Policy,
    compiled: Compiled,
    version: u64,
    places: Vec<Place>,
    exact: HashMap<Host, Vec<usize>>,
    wildcard: Vec<usize>,
    slices: RwLock<HashMap<SliceKey, Arc<Slice>>>,
}

/// An endpoint of the policy, by entry key and index.
#[derive(Debug)]
struct Place {
    key: String,
    index: usize,
}

/// The policies that can match one action at some endpoints.
#[derive(Debug)]
struct Slice {
    policies: PolicySet,
    globs: Globs,
    schema: Arc<Schema>,
}

/// The endpoints that match, and the action.
type SliceKey = (Vec<usize>, SmolStr);

/// How many distinct slices are kept. Policies have a handful; the cap bounds a hostile one.
const MAX_SLICES: usize = 4096;

/// The answer to one request.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It may pass.
    Allow(Permit),
    /// It may not.
    Deny(Refusal),
}

/// What to do with a connection before any byte of it is read.
#[derive(Debug, Clone)]
pub enum Route {
    /// Relay it unread.
    Opaque(Permit),
    /// Read it, and decide each request.
    Inspect,
    /// Refuse it.
    Deny(Refusal),
}

/// Proof that a policy in force lets something through. Only a permit can open an upstream connection, and only
/// [`Snapshot::decide`] and [`Snapshot::route`] make one.
#[derive(Debug, Clone)]
pub struct Permit {
    host: Host,
    port: Port,
    layer: Layer,
    policy: String,
    rule: String,
    version: u64,
    policy_digest: Digest,
}

impl Permit {
    /// The destination that may be dialled.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The destination's port.
    pub fn port(&self) -> Port {
        self.port
    }

    /// L4 for opaque bytes, L7 for a request that was read.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// The key of the entry that allows it.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The id of the compiled policy that allows it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The version of the policy in force.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The digest of the policy in force.
    pub fn policy_digest(&self) -> Digest {
        self.policy_digest
    }
}

/// Why something may not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason's name.
    pub reason: Reason,
    /// The key of the entry that governs the endpoint, if any.
    pub policy: Option<String>,
    /// The id of the compiled policy that denies, if one does.
    pub rule: Option<String>,
}

impl Refusal {
    /// A refusal that no rule is behind.
    pub fn because(reason: Reason) -> Refusal {
        Refusal { reason, policy: None, rule: None }
    }
}

/// The layer that was decided at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// A connection.
    L4,
    /// A request.
    L7,
}

/// Why something was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No rule allows it.
    NoMatchingRule,
    /// A deny rule matches.
    DenyRule,
    /// The destination is never reachable, whatever policy says.
    DestinationBlocked,
    /// The name did not resolve.
    DnsFailed,
    /// The request has no single reading.
    RequestAmbiguous,
    /// A plugin failed or refused.
    PluginError,
    /// A rule allowed it until its time ran out.
    LeaseExpired,
    /// A reviewer said no.
    DeniedByReviewer,
    /// No reviewer answered in time.
    ReviewTimedOut,
    /// There is no policy in force that could decide.
    PolicyUnavailable,
}

impl Reason {
    /// As it is written in denials and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NoMatchingRule => "no_matching_rule",
            Reason::DenyRule => "deny_rule",
            Reason::DestinationBlocked => "destination_blocked",
            Reason::DnsFailed => "dns_failed",
            Reason::RequestAmbiguous => "request_ambiguous",
            Reason::PluginError => "plugin_error",
            Reason::LeaseExpired => "lease_expired",
            Reason::DeniedByReviewer => "denied_by_reviewer",
            Reason::ReviewTimedOut => "review_timed_out",
            Reason::PolicyUnavailable => "policy_unavailable",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Snapshot {
    /// Indexes a policy. `compiled` must be what [`Compiled::policy`] made of it.
    pub fn new(policy: Policy, compiled: Compiled, version: u64) -> Snapshot {
        let mut places = Vec::new();
        let mut exact: HashMap<Host, Vec<usize>> = HashMap::new();
        let mut wildcard = Vec::new();
        for (key, entry) in &policy.entries {
            for (index, endpoint) in entry.endpoints.iter().enumerate() {
                match endpoint.host.form() {
                    crate::pattern::HostForm::Exact(host) => exact.entry(host.clone()).or_default().push(places.len()),
                    _ => wildcard.push(places.len()),
                }
                places.push(Place { key: key.clone(), index });
            }
        }
        Snapshot { policy, compiled, version, places, exact, wildcard, slices: RwLock::default() }
    }

    /// The policy it was made of.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The Cedar that is enforced.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Its version, from the gateway.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The digest of the Cedar that is enforced.
    pub fn digest(&self) -> Digest {
        self.compiled.digest()
    }

    /// Decides one request.
    pub fn decide(&self, request: &Request) -> Decision {
        let places = self.places_at(&request.host, request.port);
        // INVARIANT: where a plugin speaks nothing is decided unread, and elsewhere nothing by what a plugin said.
        let speaks = self.speaking(&places).map(PluginName::as_str);
        if let Operation::Http { meaning, .. } = &request.operation
            && meaning.as_deref().map(Meaning::plugin) != speaks
        {
            return Decision::Deny(Refusal::because(Reason::PluginError));
        }
        let slice = self.slice(&places, request.operation.action());
        match evaluate(&slice, request) {
            Answer::Allow(rule) => Decision::Allow(self.permit(request, rule)),
            Answer::Forbid(rule) => Decision::Deny(Refusal {
                reason: Reason::DenyRule,
                policy: self.compiled.origin(&rule).map(|origin| origin.policy.clone()),
                rule: Some(rule),
            }),
            Answer::Nothing => Decision::Deny(Refusal {
                reason: self.why_nothing(&places, &slice, request),
                policy: self.governing(&places, &request.process),
                rule: None,
            }),
            Answer::Broken => Decision::Deny(Refusal::because(Reason::PolicyUnavailable)),
        }
    }

    /// What to do with a connection before any byte of it is read. A destination that has inspected endpoints is
    /// inspected whoever connects, so that the denial can say what was asked.
    pub fn route(&self, process: &Process, host: &Host, port: Port, now: i64) -> Route {
        let operation = Operation::Connect;
        let request = Request { process: process.clone(), host: host.clone(), port, operation, now };
        match self.decide(&request) {
            Decision::Allow(permit) => Route::Opaque(permit),
            Decision::Deny(refusal) => {
                let inspected = self.places_at(host, port).into_iter().filter_map(|place| self.endpoint(place));
                match inspected.into_iter().any(|(_, endpoint)| endpoint.traffic != Traffic::Opaque) {
                    true => Route::Inspect,
                    false => Route::Deny(refusal),
                }
            }
        }
    }

    /// Whether any endpoint, at whatever port and for whomever, has this host.
    pub fn names(&self, host: &Host) -> bool {
        let matches = |place: &usize| self.endpoint(*place).is_some_and(|(_, endpoint)| endpoint.host.matches(host));
        self.exact.contains_key(host) || self.wildcard.iter().any(matches)
    }

    /// The key of the entry that governs a destination for a process, if any: what a denial names that no rule gave.
    pub fn governs(&self, process: &Process, host: &Host, port: Port) -> Option<String> {
        self.governing(&self.places_at(host, port), process)
    }

    /// How paths at this destination are read: the strictest of the endpoints there.
    pub fn path_options(&self, host: &Host, port: Port) -> PathOptions {
        let options = self.places_at(host, port).into_iter().filter_map(|place| match self.endpoint(place) {
            Some((_, Endpoint { traffic: Traffic::Rest(rest), .. })) => Some(rest.paths),
            _ => None,
        });
        options.reduce(PathOptions::strictest).unwrap_or_default()
    }

    /// The plugin that says what requests to this destination mean, if one does: there all requests are operations.
    pub fn plugin(&self, host: &Host, port: Port) -> Option<&PluginName> {
        self.speaking(&self.places_at(host, port))
    }

    fn speaking(&self, places: &[usize]) -> Option<&PluginName> {
        places.iter().find_map(|place| self.endpoint(*place)?.1.plugin())
    }

    /// Decides one request that is several operations: each must be allowed. The first that is not decides, and else the
    /// first that is.
    pub fn decide_all(&self, operations: &[Request]) -> Decision {
        let mut allowed = None;
        for request in operations {
            match self.decide(request) {
                Decision::Allow(permit) => drop(allowed.get_or_insert(permit)),
                Decision::Deny(refusal) => return Decision::Deny(refusal),
            }
        }
        // INVARIANT: nothing asked is nothing allowed.
        allowed.map_or_else(|| Decision::Deny(Refusal::because(Reason::PluginError)), Decision::Allow)
    }

    fn endpoint(&self, place: usize) -> Option<(&Entry, &Endpoint)> {
        let place = self.places.get(place)?;
        let entry = self.policy.entries.get(&place.key)?;
        Some((entry, entry.endpoints.get(place.index)?))
    }

    /// The endpoints that match, whoever asks, ascending.
    fn places_at(&self, host: &Host, port: Port) -> Vec<usize> {
        let exact = self.exact.get(host).into_iter().flatten();
        let mut places: Vec<usize> = exact
            .chain(&self.wildcard)
            .copied()
            .filter(|place| self.endpoint(*place).is_some_and(|(_, e)| e.ports.contains(&port) && e.host.matches(host)))
            .collect();
        places.sort_unstable();
        places
    }

    fn slice(&self, places: &[usize], action: &str) -> Arc<Slice> {
        let key = (places.to_vec(), SmolStr::new(action));
        if let Some(slice) = self.slices.read().ok().and_then(|slices| slices.get(&key).cloned()) {
            return slice;
        }
        let wanted: BTreeSet<(&str, usize)> = places
            .iter()
            .filter_map(|at| self.places.get(*at))
            .map(|place| (place.key.as_str(), place.index))
            .collect();
        let ids = self.compiled.origins().iter().filter(|(_, o)| wanted.contains(&(o.policy.as_str(), o.endpoint)));
        let mut policies = PolicySet::new();
        for (id, _) in ids {
            if let Some(policy) = self.compiled.policies().policy(&PolicyId::new(id))
                && applies_to(policy, action, self.compiled.schema())
            {
                // Ids are unique in the set they come from.
                let _ = policies.add(policy.clone());
            }
        }
        let (globs, schema) = (self.compiled.globs().clone(), Arc::clone(self.compiled.schema()));
        let slice = Arc::new(Slice { policies, globs, schema });
        if let Ok(mut slices) = self.slices.write()
            && slices.len() < MAX_SLICES
        {
            slices.insert(key, Arc::clone(&slice));
        }
        slice
    }

    fn permit(&self, request: &Request, rule: String) -> Permit {
        let layer = match request.operation {
            Operation::Connect => Layer::L4,
            Operation::Http { .. } => Layer::L7,
        };
        Permit {
            host: request.host.clone(),
            port: request.port,
            layer,
            policy: self.compiled.origin(&rule).map(|origin| origin.policy.clone()).unwrap_or_default(),
            rule,
            version: self.version,
            policy_digest: self.compiled.digest(),
        }
    }

    /// Whether it would have been allowed just before a lease ended.
    fn why_nothing(&self, places: &[usize], slice: &Slice, request: &Request) -> Reason {
        let ends = places.iter().filter_map(|place| self.endpoint(*place)?.1.expires_at);
        let lapsed = ends
            .filter(|end| *end <= request.now)
            .any(|end| matches!(evaluate(slice, &Request { now: end - 1, ..request.clone() }), Answer::Allow(_)));
        if lapsed { Reason::LeaseExpired } else { Reason::NoMatchingRule }
    }

    /// The entry that governs the endpoint: the first for this process, else the first.
    fn governing(&self, places: &[usize], process: &Process) -> Option<String> {
        let ours = places.iter().find(|place| {
            self.endpoint(**place).is_some_and(|(entry, _)| {
                entry.binaries.is_empty() || entry.binaries.iter().any(|b| b.matches(process))
            })
        });
        self.places.get(*ours.or(places.first())?).map(|place| place.key.clone())
    }
}

enum Answer {
    Allow(String),
    Forbid(String),
    Nothing,
    Broken,
}

fn evaluate(slice: &Slice, request: &Request) -> Answer {
    if slice.policies.is_empty() {
        return Answer::Nothing;
    }
    let Ok((asked, entities)) = cedar::request(request, &slice.schema, &slice.globs) else { return Answer::Broken };
    let response = Authorizer::new().is_authorized(&asked, &slice.policies, &entities);
    if response.diagnostics().errors().next().is_some() {
        return Answer::Broken;
    }
    // The least id, so that the same request always names the same rule.
    let rule = response.diagnostics().reason().map(ToString::to_string).min();
    match (response.decision(), rule) {
        (CedarDecision::Allow, Some(rule)) => Answer::Allow(rule),
        (CedarDecision::Deny, Some(rule)) => Answer::Forbid(rule),
        (CedarDecision::Deny, None) => Answer::Nothing,
        (CedarDecision::Allow, None) => Answer::Broken,
    }
}

/// Whether a policy's scope leaves the action in: named itself, or by a group that it is in.
fn applies_to(policy: &cedar_policy::Policy, action: &str, schema: &Schema) -> bool {
    use cedar_policy::ActionConstraint::{Any, Eq, In};
    match policy.action_constraint() {
        Any => true,
        Eq(uid) => uid.id().unescaped() == action,
        In(uids) => uids.iter().any(|uid| schema.is_in(action, uid.id().unescaped())),
    }
}
