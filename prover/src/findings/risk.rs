//! What a change newly makes possible where it hurts: link-local addresses, and hosts with credentials.
//!
//! Each is a question about requests: does a rule let one through, of this kind and at this place, that nothing let
//! through before? So a wildcard counts for every host it covers, a rule that a deny voids counts for nothing, and a
//! lifted deny puts every rule in question.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

use narrowgate_core::blocked::{self, METADATA_NAMES, always_blocked_host};
use narrowgate_core::compile::{Compiled, Region};
use narrowgate_core::credentials::{Credential, Credentials};
use narrowgate_core::finding::{Finding, FindingName, FindingWitness};
use narrowgate_core::pattern::{HostForm, HostPattern};
use narrowgate_core::policy::{Access, Policy, Role};
use narrowgate_core::schema::Schema;

use super::change::{Change, Grant, What, grants};
use super::reached::{methods, reached};
use crate::ceiling::Ceiling;
use crate::prove::{Options, prove};
use crate::verdict::{Counterexample, Verdict};

/// Requests that are not opaque bytes. Opaque bytes may be any of them, so that asking for these asks for both.
const HTTP: &[&str] = Access::Full.actions();
/// HTTP that may change something.
const CHANGES: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "OTHER"];

/// The findings, by rule.
pub(super) fn findings(change: &Change<'_>, credentials: &Credentials, options: &Options) -> Vec<Finding> {
    let deadline = Instant::now() + options.timeout;
    let questions = Questions { change, options, deadline, before: OnceCell::new() };
    // Where a deny goes, rules that were there before may allow more.
    let mut asked: Vec<Grant<'_>> = if change.lifts_a_deny() { grants(change.after).collect() } else { change.added() };
    let near = |credential: &Credential, grant: &Grant<'_>| {
        grant.endpoint.host.overlaps(&credential.host)
            && (credential.ports.is_empty() || grant.endpoint.ports.iter().any(|port| credential.ports.contains(port)))
    };
    let mut out = Vec::new();
    for grant in &asked {
        out.extend(questions.link_local(grant));
    }
    asked.retain(|grant| credentials.declared().iter().any(|credential| near(credential, grant)));
    if asked.is_empty() {
        return out;
    }
    let schema = change.before_compiled.schema();
    let (reached, methods) = (bound(&reached(&questions), schema), bound(&methods(&questions), schema));
    for grant in &asked {
        for credential in credentials.declared().iter().filter(|credential| near(credential, grant)) {
            out.extend(questions.bypass(grant, credential));
            let reach = questions.reach(grant, credential, &reached);
            // Who newly reaches a host newly has every method there: one finding says it.
            let capability = if reach.is_some() { None } else { questions.capability(grant, credential, &methods) };
            out.extend(reach.into_iter().chain(capability));
        }
    }
    out
}

/// What questions share.
pub(super) struct Questions<'a> {
    pub(super) change: &'a Change<'a>,
    options: &'a Options,
    deadline: Instant,
    /// The policy before as a bound, once it is asked for.
    before: OnceCell<Bound>,
}

/// Whether there is such a request.
pub(super) enum Answer {
    Never,
    Such(Box<Counterexample>),
    /// The prover's reason. It is noted like a yes.
    Unknown(String),
}

/// A bound to prove against; an error is a reason like the prover's.
type Bound = Result<Ceiling, String>;

impl Questions<'_> {
    /// A request of `part` that `bound` does not have.
    pub(super) fn ask(&self, part: &Compiled, bound: &Bound) -> Answer {
        let bound = match bound {
            Ok(bound) => bound,
            Err(reason) => return Answer::Unknown(reason.clone()),
        };
        let timeout = self.deadline.saturating_duration_since(Instant::now());
        let options = Options { timeout, ..self.options.clone() };
        match prove(part, bound, &options).verdict {
            Verdict::Within(_) => Answer::Never,
            Verdict::Exceeds(found) => Answer::Such(found),
            Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => Answer::Unknown(reason.code.to_owned()),
            Verdict::Disagree(disagreement) => Answer::Unknown(disagreement.reason.code.to_owned()),
        }
    }

    fn before(&self) -> &Bound {
        self.before.get_or_init(|| bound_of(self.change.before_compiled))
    }

    /// A request that `grant` lets through in `region` after the change, and that `bound` does not have.
    fn newly(&self, grant: &Grant<'_>, region: &Region, bound: &Bound) -> Answer {
        let id = grant.id();
        match self.change.after_compiled.part(|policy| policy.id().to_string() == id, Some(region)) {
            Ok(part) => self.ask(&part, bound),
            Err(error) => Answer::Unknown(error.to_string()),
        }
    }

    fn link_local(&self, grant: &Grant<'_>) -> Vec<Finding> {
        let places = places(&grant.endpoint.host);
        let found = places.into_iter().filter_map(|(host, class)| {
            let region = Region { host: host.clone(), ports: Vec::new(), actions: Vec::new() };
            let detail = format!(
                "{} {}: nothing but the proxy's own guard would stand before it.",
                host.as_str(),
                if class == blocked::METADATA { "is a cloud's metadata service" } else { "is a link-local address" }
            );
            let answer = self.newly(grant, &region, self.before());
            note(FindingName::LinkLocalReach, grant, None, detail, answer)
        });
        found.collect()
    }

    fn bypass(&self, grant: &Grant<'_>, credential: &Credential) -> Option<Finding> {
        if grant.what != What::Opaque {
            return None;
        }
        let answer = self.newly(grant, &at(credential, &["connect"]), self.before());
        let detail = format!(
            "The credential {} is declared for {}: opaque bytes go there uninspected, and so would its use.",
            credential.name,
            credential.host.as_str()
        );
        note(FindingName::L7BypassCredentialed, grant, Some(credential), detail, answer)
    }

    fn reach(&self, grant: &Grant<'_>, credential: &Credential, reached: &Bound) -> Option<Finding> {
        let answer = self.newly(grant, &at(credential, HTTP), reached);
        let who = match &answer {
            Answer::Such(found) if found.request.process.path.is_empty() => "A program without a name".to_owned(),
            Answer::Such(found) => found.request.process.path.clone(),
            Answer::Never | Answer::Unknown(_) => "A program".to_owned(),
        };
        let detail = format!(
            "{who} would reach {}, for which the credential {} is declared; it did not before.",
            credential.host.as_str(),
            credential.name
        );
        note(FindingName::CredentialReachExpansion, grant, Some(credential), detail, answer)
    }

    fn capability(&self, grant: &Grant<'_>, credential: &Credential, methods: &Bound) -> Option<Finding> {
        let scope = credential.scope.actions();
        let changes: Vec<&'static str> = CHANGES.into_iter().filter(|action| scope.contains(action)).collect();
        if changes.is_empty() {
            return None;
        }
        let answer = self.newly(grant, &at(credential, &changes), methods);
        let method = match &answer {
            Answer::Such(found) => found.request.operation.action().to_owned(),
            Answer::Never | Answer::Unknown(_) => "A method that changes things".to_owned(),
        };
        let detail = format!(
            "{method} would be new at {}, which is reached with the credential {} already.",
            credential.host.as_str(),
            credential.name
        );
        note(FindingName::CapabilityExpansion, grant, Some(credential), detail, answer)
    }
}

fn at(credential: &Credential, actions: &[&'static str]) -> Region {
    Region { host: credential.host.clone(), ports: credential.ports.clone(), actions: actions.to_vec() }
}

fn note(
    name: FindingName,
    grant: &Grant<'_>,
    credential: Option<&Credential>,
    mut detail: String,
    answer: Answer,
) -> Option<Finding> {
    let witness = match answer {
        Answer::Never => return None,
        Answer::Such(found) => Some(FindingWitness { binary: found.request.process.path.clone(), curl: found.curl() }),
        Answer::Unknown(reason) => {
            detail.push_str(&format!(" It could not be decided whether it would ({reason}), so it counts."));
            None
        }
    };
    let credential = credential.map(|credential| credential.name.clone());
    Some(Finding { name, at: grant.pointer(), segment: grant.text(), detail, tightest: None, credential, witness })
}

/// Which link-local and metadata destinations a pattern covers, each as a pattern of its own, and what it is.
fn places(pattern: &HostPattern) -> Vec<(HostPattern, &'static str)> {
    if let HostForm::Exact(host) = pattern.form() {
        let found = always_blocked_host(host).filter(|b| [blocked::METADATA, blocked::LINK_LOCAL].contains(&b.class));
        return found.map(|b| (pattern.clone(), b.class)).into_iter().collect();
    }
    let names = METADATA_NAMES.into_iter().flat_map(|name| [name.to_owned(), format!("**.{name}")]);
    // A name of one label has no pattern for what is under it; nor has a rule.
    let patterns = names.filter_map(|name| HostPattern::parse(&name).ok());
    patterns.filter(|name| name.overlaps(pattern)).map(|name| (name, blocked::METADATA)).collect()
}

/// As a bound a rule about methods is one about every operation that they carry.
fn bound(policy: &Result<Policy, String>, schema: &Arc<Schema>) -> Bound {
    let policy = policy.as_ref().map_err(Clone::clone)?;
    bound_of(&Compiled::policy_over(policy, Role::Ceiling, schema).map_err(|e| e.to_string())?)
}

/// A policy as a bound. One without any rule allows nothing.
pub(super) fn bound_of(compiled: &Compiled) -> Bound {
    if compiled.policies().is_empty() {
        return nothing(compiled.schema());
    }
    Ceiling::new(compiled.clone()).map_err(|e| e.to_string())
}

/// The bound that nothing is inside of but nothing.
pub(super) fn nothing(schema: &Arc<Schema>) -> Bound {
    let text = "forbid(principal, action, resource);\n";
    Ceiling::parse_over(text, "nothing.cedar", schema).map_err(|e| e.to_string())
}
