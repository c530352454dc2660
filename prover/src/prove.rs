//! The question, asked of one engine or both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use narrowgate_core::certificate::{Containment, Statement};
use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::dsse::Envelope;

use crate::ceiling::Ceiling;
use crate::engine::{Answer, Engine, Joint, Solver, join};
use crate::exact::{Attempt, Found};
use crate::lower::{NotLowered, Unsupported, Vocabulary};
use crate::replay::{Witness, confirms};
use crate::side::Side;
use crate::sign::{Approval, SigningKey};
use crate::smt;
use crate::solve::{Budget, Exhausted, MOST_CUBES};
use crate::verdict::{Counterexample, Digests, Disagreement, Outcome, Reason, Verdict};

/// What a proof may cost.
#[derive(Debug, Clone)]
pub struct Options {
    /// After this long, lowering the candidate included, the verdict is `Inconclusive("timeout")`.
    pub timeout: Duration,
    /// After about this many automaton states it is `Inconclusive("resource_limit")`. A state takes some 500 bytes.
    pub max_states: usize,
    /// Once this is set the verdict is `Inconclusive("cancelled")`: for callers whose own caller may go away.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Which engine decides. `None`: the exact engine, and the SMT engine where that does not model the policies or ran
    /// into its limit, if there is a solver.
    pub engine: Option<Engine>,
    /// The SMT engine's solver. Without one, that engine's answer is `Inconclusive("solver_missing")`.
    pub solver: Option<Solver>,
}

/// Two options are equal where they set the same limits and have the same flag, not one of the same value.
impl PartialEq for Options {
    fn eq(&self, other: &Options) -> bool {
        let same_flag = match (&self.cancel, &other.cancel) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let same_engine = self.engine == other.engine && self.solver == other.solver;
        self.timeout == other.timeout && self.max_states == other.max_states && same_flag && same_engine
    }
}

impl Eq for Options {}

impl Default for Options {
    fn default() -> Options {
        Options { timeout: Duration::from_secs(10), max_states: 500_000, cancel: None, engine: None, solver: None }
    }
}

/// The proof that a policy is inside a ceiling. [`prove`] is its only maker.
#[derive(Debug, Clone)]
pub struct Proven {
    digests: Digests,
    environments_checked: usize,
    engines: Vec<String>,
}

/// The exact engine's name and version, as certificates carry it.
const EXACT: &str = concat!("exact/", env!("CARGO_PKG_VERSION"));

impl Proven {
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

    /// The digests of the plugins that are assumed to label truthfully, by name.
    pub fn plugins(&self) -> &BTreeMap<String, Digest> {
        &self.digests.plugins
    }

    /// How many request environments were checked: every one that the schema has.
    pub fn environments_checked(&self) -> usize {
        self.environments_checked
    }

    /// The engines that proved it, with their versions, as certificates carry them: `exact/0.1.0`,
    /// `cvc5/1.3.1 via cedar-policy-symcc/0.8.1`.
    pub fn engines(&self) -> &[String] {
        &self.engines
    }

    /// The proof and an approval of it, for another process to check.
    pub fn certify(&self, key: &SigningKey, approval: &Approval) -> Envelope {
        let predicate = Containment {
            verdict: "within".to_owned(),
            ceiling: self.digests.ceiling,
            schema: self.digests.schema,
            plugins: self.digests.plugins.clone(),
            engines: self.engines.clone(),
            environments_checked: self.environments_checked,
            sandbox: approval.sandbox.clone(),
            version: approval.version,
            approver: approval.approver.clone(),
            approved_at: approval.time,
            expires_at: approval.expires,
            held: approval.held.clone(),
        };
        key.sign(&Statement::new(self.digests.policy, predicate))
    }
}

/// Whether every canonical request that `candidate` allows is allowed by `ceiling`.
pub fn prove(candidate: &Compiled, ceiling: &Ceiling, options: &Options) -> Outcome {
    let (mine, theirs) = (candidate.schema(), ceiling.compiled().schema());
    // The schema does not say for which hosts a plugin speaks; its digest pins that too.
    let vocabulary = match mine.digest() == theirs.digest() && mine.pins() == theirs.pins() {
        true => Ok(&ceiling.side().vocabulary),
        false => Err(Unsupported("the policy and the ceiling are about different plugins".to_owned())),
    };
    prove_over(vocabulary, candidate, ceiling, options)
}

/// The same over what a vocabulary has requests for.
fn prove_over(
    vocabulary: Result<&Arc<Vocabulary>, Unsupported>,
    candidate: &Compiled,
    ceiling: &Ceiling,
    options: &Options,
) -> Outcome {
    let deadline = Instant::now() + options.timeout;
    let digests = Digests {
        policy: candidate.digest(),
        ceiling: ceiling.digest(),
        schema: candidate.schema().digest(),
        plugins: candidate.schema().pins(),
    };
    let mut budget = Budget::new(options.max_states, deadline).cancelled_by(options.cancel.as_ref());
    let side = vocabulary.map_err(Into::into).and_then(|v| Side::of_trees(candidate.trees(), v, &mut budget));
    let solve = |side: Option<&Side>| {
        let limits = smt::Limits { deadline, timeout: options.timeout, cancel: options.cancel.clone() };
        let attempt = smt::decide(&smt::Question { candidate, ceiling, side }, options.solver.as_ref(), &limits);
        let smt::Attempt { answer, time, startup, environments_checked, label } = attempt;
        Decided { answer, engine: Engine::Smt, time, startup, environments_checked, labels: vec![label] }
    };
    let exact = |budget: Budget| match &side {
        Ok(side) => exact(side, candidate, ceiling, budget, options),
        Err(reason) => Decided::at_once(unread(reason, options)),
    };
    let decided = match options.engine {
        Some(Engine::Exact) => exact(budget),
        Some(Engine::Smt) => solve(side.as_ref().ok()),
        Some(Engine::Both) => {
            let first = exact(budget);
            let (decided, disagreement) = together(first, solve(side.as_ref().ok()));
            if let Some(disagreement) = disagreement {
                return decided.outcome(Verdict::Disagree(Box::new(disagreement)), digests);
            }
            decided
        }
        None => {
            let first = exact(budget);
            if options.solver.is_some() && is_for_the_other(&first.answer) {
                second(first, solve(side.as_ref().ok()))
            } else {
                first
            }
        }
    };
    let verdict = match &decided.answer {
        Answer::Within => Verdict::Within(Proven {
            digests: digests.clone(),
            environments_checked: decided.environments_checked,
            engines: decided.labels.clone(),
        }),
        Answer::Exceeds(found) => Verdict::Exceeds(found.clone()),
        Answer::Unsupported(reason) => Verdict::Unsupported(reason.clone()),
        Answer::Inconclusive(reason) => Verdict::Inconclusive(reason.clone()),
    };
    decided.outcome(verdict, digests)
}

/// What an engine came to, and what it took.
struct Decided {
    answer: Answer,
    engine: Engine,
    time: Duration,
    startup: Duration,
    environments_checked: usize,
    /// The engines by name and version.
    labels: Vec<String>,
}

impl Decided {
    /// The exact engine's answer before it began.
    fn at_once(answer: Answer) -> Decided {
        Decided {
            answer,
            engine: Engine::Exact,
            time: Duration::ZERO,
            startup: Duration::ZERO,
            environments_checked: 0,
            labels: vec![EXACT.to_owned()],
        }
    }

    fn outcome(self, verdict: Verdict, digests: Digests) -> Outcome {
        Outcome {
            verdict,
            engine: self.engine,
            engine_time: self.time,
            solver_start: self.startup,
            environments_checked: self.environments_checked,
            digests,
        }
    }
}

/// Whether the SMT engine may know better: the exact engine does not model the policies, or they are too much for it.
fn is_for_the_other(answer: &Answer) -> bool {
    match answer {
        Answer::Unsupported(_) => true,
        Answer::Inconclusive(reason) => reason.code == "resource_limit",
        Answer::Within | Answer::Exceeds(_) => false,
    }
}

/// The second engine's answer in place of the first's; where it has none either, both reasons.
fn second(first: Decided, mut second: Decided) -> Decided {
    let (Answer::Unsupported(before) | Answer::Inconclusive(before)) = first.answer else { return second };
    if let Answer::Unsupported(reason) | Answer::Inconclusive(reason) = &mut second.answer {
        reason.message = format!("{}; the SMT engine was asked too: {}", before.message, reason.message);
    }
    second
}

/// Both engines' answers as one, or their disagreement.
fn together(exact: Decided, smt: Decided) -> (Decided, Option<Disagreement>) {
    let nothing = Reason { code: "engines_disagree", message: String::new() };
    let mut both = Decided {
        answer: Answer::Inconclusive(nothing),
        engine: Engine::Both,
        time: exact.time + smt.time,
        startup: smt.startup,
        environments_checked: exact.environments_checked.min(smt.environments_checked),
        labels: [exact.labels, smt.labels].concat(),
    };
    match join(exact.answer, smt.answer) {
        Joint::Agreed(answer, engine) => {
            (both.answer, both.engine) = (answer, engine);
            (both, None)
        }
        Joint::Disagree { exact, smt } => {
            let reason = Reason {
                code: "engines_disagree",
                message: format!("the engines disagree, which is a defect in one: exact: {exact}; SMT: {smt}"),
            };
            both.answer = Answer::Inconclusive(reason.clone());
            (both, Some(Disagreement { exact, smt, reason }))
        }
    }
}

/// Why the exact engine could not begin.
fn unread(reason: &NotLowered, options: &Options) -> Answer {
    match reason {
        NotLowered::Unsupported(Unsupported(what)) => {
            Answer::Unsupported(Reason { code: "unsupported_construct", message: format!("the schema: {what}") })
        }
        NotLowered::Exhausted(what) => Answer::Inconclusive(exhausted(*what, options)),
    }
}

fn exact(side: &Side, candidate: &Compiled, ceiling: &Ceiling, budget: Budget, options: &Options) -> Decided {
    let start = Instant::now();
    let mut attempt = Attempt::new(side, ceiling.side(), budget);
    let found = attempt.run();
    let time = start.elapsed();
    let environments_checked = attempt.environments_checked();
    let answer = match found {
        Found::Nothing => match gap(side, ceiling.side()) {
            _ if environments_checked == 0 => Answer::Inconclusive(Reason {
                code: "no_environments",
                message: "the schema admits no request, so nothing was checked".to_owned(),
            }),
            Some(reason) => Answer::Unsupported(reason),
            None => Answer::Within,
        },
        Found::Witness { witness, policy }
            if confirms(&witness.request, candidate, ceiling.compiled(), ceiling.side()) =>
        {
            let rule = candidate.origin(&policy).cloned();
            let Witness { request, query } = *witness;
            Answer::Exceeds(Box::new(Counterexample { request, policy_id: policy, rule, query, content: None }))
        }
        Found::Witness { .. } | Found::NotCanonical => match doubt(side, ceiling.side()) {
            Some(reason) => Answer::Unsupported(reason),
            None => Answer::Inconclusive(Reason {
                code: "spurious_counterexample",
                message: "every counterexample that was found is no request that can occur".to_owned(),
            }),
        },
        Found::Exhausted(what) => Answer::Inconclusive(exhausted(what, options)),
    };
    Decided { time, environments_checked, ..Decided::at_once(answer) }
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
        let vocabulary = Arc::new(Vocabulary::read(&schema, text, &BTreeMap::new()).unwrap());
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
        let Err(unknown) = Vocabulary::read(&schema, text, &BTreeMap::new()) else { panic!("no such request exists") };
        let everything = Compiled::cedar("permit(principal, action, resource);", "c.cedar").unwrap();
        let outcome = prove_over(Err(unknown), &everything, &Ceiling::open(), &Options::default());
        let Verdict::Unsupported(reason) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
        assert!(reason.message.contains("User") && reason.message.contains("view"), "{}", reason.message);
    }
}
