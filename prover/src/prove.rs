//! The question, asked of the exact engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use narrowgate_core::certificate::{Containment, Statement};
use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::dsse::Envelope;
use narrowgate_core::schema;

use crate::ceiling::Ceiling;
use crate::exact::{Attempt, Found};
use crate::lower::{NotLowered, Unsupported, Vocabulary};
use crate::replay::{Witness, confirms};
use crate::side::Side;
use crate::sign::{Approval, SigningKey};
use crate::solve::{Budget, Exhausted, MOST_CUBES};
use crate::verdict::{Counterexample, Digests, Outcome, Reason, Verdict};

/// What a proof may cost.
#[derive(Debug, Clone)]
pub struct Options {
    /// After this long, lowering the candidate included, the verdict is `Inconclusive("timeout")`.
    pub timeout: Duration,
    /// After about this many automaton states it is `Inconclusive("resource_limit")`. A state takes some 500 bytes.
    pub max_states: usize,
    /// Once this is set the verdict is `Inconclusive("cancelled")`: for callers whose own caller may go away.
    pub cancel: Option<Arc<AtomicBool>>,
}

/// Two options are equal where they set the same limits and have the same flag, not one of the same value.
impl PartialEq for Options {
    fn eq(&self, other: &Options) -> bool {
        let same_flag = match (&self.cancel, &other.cancel) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.timeout == other.timeout && self.max_states == other.max_states && same_flag
    }
}

impl Eq for Options {}

impl Default for Options {
    fn default() -> Options {
        Options { timeout: Duration::from_secs(10), max_states: 500_000, cancel: None }
    }
}

/// The proof that a policy is inside a ceiling. [`prove`] is its only maker.
#[derive(Debug, Clone)]
pub struct Proven {
    digests: Digests,
    environments_checked: usize,
}

impl Proven {
    /// The name and version of the engine, as certificates carry it.
    pub const ENGINE: &'static str = concat!("exact/", env!("CARGO_PKG_VERSION"));

    /// The digest of the policy that was proven.
    pub fn policy(&self) -> Digest {
        self.digests.policy
    }

    /// The digest of the ceiling.
    pub fn ceiling(&self) -> Digest {
        self.digests.ceiling
    }

    /// The digest of the Cedar schema.
    pub fn schema(&self) -> Digest {
        self.digests.schema
    }

    /// How many request environments were checked: every one that the schema has.
    pub fn environments_checked(&self) -> usize {
        self.environments_checked
    }

    /// The proof and an approval of it, for another process to check.
    pub fn certify(&self, key: &SigningKey, approval: &Approval) -> Envelope {
        let predicate = Containment {
            verdict: "within".to_owned(),
            ceiling: self.digests.ceiling,
            schema: self.digests.schema,
            plugins: self.digests.plugins.clone(),
            engines: vec![Proven::ENGINE.to_owned()],
            environments_checked: self.environments_checked,
            sandbox: approval.sandbox.clone(),
            version: approval.version,
            approver: approval.approver.clone(),
            approved_at: approval.time,
            expires_at: approval.expires,
        };
        key.sign(&Statement::new(self.digests.policy, predicate))
    }
}

/// Whether every canonical request that `candidate` allows is allowed by `ceiling`.
pub fn prove(candidate: &Compiled, ceiling: &Ceiling, options: &Options) -> Outcome {
    prove_over(Vocabulary::standard(), candidate, ceiling, options)
}

/// The same over what a vocabulary has requests for.
fn prove_over(
    vocabulary: Result<&Vocabulary, Unsupported>,
    candidate: &Compiled,
    ceiling: &Ceiling,
    options: &Options,
) -> Outcome {
    let deadline = Instant::now() + options.timeout;
    let digests = Digests {
        policy: candidate.digest(),
        ceiling: ceiling.digest(),
        schema: schema::digest(),
        plugins: BTreeMap::new(),
    };
    let mut budget = Budget::new(options.max_states, deadline).cancelled_by(options.cancel.as_ref());
    let side = match vocabulary.map_err(Into::into).and_then(|v| Side::of_trees(candidate.trees(), v, &mut budget)) {
        Ok(side) => side,
        Err(reason) => {
            let verdict = match reason {
                NotLowered::Unsupported(Unsupported(what)) => Verdict::Unsupported(Reason {
                    code: "unsupported_construct",
                    message: format!("the schema: {what}"),
                }),
                NotLowered::Exhausted(what) => Verdict::Inconclusive(exhausted(what, options)),
            };
            return Outcome { verdict, engine_time: Duration::ZERO, environments_checked: 0, digests };
        }
    };
    let start = Instant::now();
    let mut attempt = Attempt::new(&side, ceiling.side(), budget);
    let found = attempt.run();
    let engine_time = start.elapsed();
    let environments_checked = attempt.environments_checked();
    let verdict = match found {
        Found::Nothing => match gap(&side, ceiling.side()) {
            _ if environments_checked == 0 => Verdict::Inconclusive(Reason {
                code: "no_environments",
                message: "the schema admits no request, so nothing was checked".to_owned(),
            }),
            Some(reason) => Verdict::Unsupported(reason),
            None => Verdict::Within(Proven { digests: digests.clone(), environments_checked }),
        },
        Found::Witness { witness, policy }
            if confirms(&witness.request, candidate, ceiling.compiled(), ceiling.side()) =>
        {
            let rule = candidate.origin(&policy).cloned();
            let Witness { request, query } = *witness;
            Verdict::Exceeds(Box::new(Counterexample { request, policy_id: policy, rule, query }))
        }
        Found::Witness { .. } | Found::NotCanonical => match doubt(&side, ceiling.side()) {
            Some(reason) => Verdict::Unsupported(reason),
            None => Verdict::Inconclusive(Reason {
                code: "spurious_counterexample",
                message: "every counterexample that was found is no request that can occur".to_owned(),
            }),
        },
        Found::Exhausted(what) => Verdict::Inconclusive(exhausted(what, options)),
    };
    Outcome { verdict, engine_time, environments_checked, digests }
}

fn exhausted(what: Exhausted, options: &Options) -> Reason {
    let (code, message) = match what {
        Exhausted::Time => ("timeout", format!("no answer within {:?}", options.timeout)),
        Exhausted::States => ("resource_limit", format!("no answer within {} automaton states", options.max_states)),
        Exhausted::Cubes => {
            let message = format!("the policy has more than {MOST_CUBES} combinations of binaries and rules");
            ("resource_limit", message)
        }
        Exhausted::Cancelled => ("cancelled", "the caller gave up".to_owned()),
    };
    Reason { code, message }
}

/// What stands in the way of "within": permits of the candidate and forbids of the ceiling that were not modelled.
/// Leaving out a permit of the ceiling or a forbid of the candidate only makes "within" harder.
fn gap(candidate: &Side, ceiling: &Side) -> Option<Reason> {
    let mine = candidate.unsupported_permits.first().map(|p| ("the policy", p));
    let theirs = ceiling.unsupported_forbids.first().map(|p| ("the ceiling", p));
    mine.or(theirs).map(|(whose, (id, what))| unsupported(whose, id, what))
}

/// What may have made a counterexample that Cedar does not confirm: anything that was not modelled.
fn doubt(candidate: &Side, ceiling: &Side) -> Option<Reason> {
    let mine = candidate.unsupported_forbids.first().map(|p| ("the policy", p));
    let theirs = ceiling.unsupported_permits.first().map(|p| ("the ceiling", p));
    let reason = mine.or(theirs).map(|(whose, (id, what))| unsupported(whose, id, what));
    reason.or_else(|| gap(candidate, ceiling))
}

fn unsupported(whose: &str, id: &str, what: &str) -> Reason {
    let message = format!("{whose}'s {id:?} uses a construct that the exact engine does not model: {what}");
    Reason { code: "unsupported_construct", message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use cedar_policy::Schema;

    use super::*;

    /// "Every request is inside" is true of no request at all, and would be the worst of all yeses.
    #[test]
    fn a_schema_without_requests_is_no_yes() {
        let text = "entity Process; entity Endpoint; action \"read\", \"GET\";";
        let schema = Schema::from_cedarschema_str(text).unwrap().0;
        let vocabulary = Vocabulary::of(&schema, text).unwrap();
        let everything = Compiled::cedar("permit(principal, action, resource);", "c.cedar").unwrap();
        for ceiling in [Ceiling::open(), Ceiling::parse("forbid(principal, action, resource);", "c.cedar").unwrap()] {
            let outcome = prove_over(Ok(&vocabulary), &everything, &ceiling, &Options::default());
            let Verdict::Inconclusive(reason) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
            assert_eq!((reason.code, outcome.environments_checked), ("no_environments", 0));
        }
    }

    #[test]
    fn a_schema_of_other_requests_is_named() {
        let text = "entity User; entity Photo; action \"view\" appliesTo { principal: [User], resource: [Photo] };";
        let schema = Schema::from_cedarschema_str(text).unwrap().0;
        let Err(unknown) = Vocabulary::of(&schema, text) else { panic!("no such request exists") };
        let everything = Compiled::cedar("permit(principal, action, resource);", "c.cedar").unwrap();
        let outcome = prove_over(Err(unknown), &everything, &Ceiling::open(), &Options::default());
        let Verdict::Unsupported(reason) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
        assert!(reason.message.contains("User") && reason.message.contains("view"), "{}", reason.message);
    }
}
