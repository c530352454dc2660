//! The questions: one for each permit of the candidate in each request environment, and, before, whether a forbid of
//! the ceiling may fail.

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::err::Error;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, SymEnv};
use narrowgate_core::compile::Compiled;

use super::admit::admit;
use super::facts::{Facts, Strength};
use super::model::witness;
use super::process::Session;
use super::slice::Slices;
use super::{Limits, Question, reason};
use crate::engine::Answer;
use crate::replay::Witness;
use crate::verdict::{Counterexample, Reason};

/// Works through the questions of one proof.
pub(super) struct Asker<'a> {
    question: &'a Question<'a>,
    limits: &'a Limits,
    environments_checked: usize,
}

/// What one question comes to.
enum Found {
    Nothing,
    Witness(Box<Witness>, String),
    /// The solver's models are no counterexamples.
    Spurious,
    Gap(Answer),
}

/// The policies of one side by what they do.
struct Parts<'a> {
    permits: Vec<&'a str>,
    forbids: Vec<&'a str>,
    /// Forbids that arithmetic may make fail.
    fallible: Vec<&'a Policy>,
    /// Why a policy was left out that only makes "within" harder to reach.
    left_out: Option<Answer>,
}

/// Whose policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Candidate,
    Ceiling,
}

impl<'a> Asker<'a> {
    pub(super) fn new(question: &'a Question<'a>, limits: &'a Limits) -> Asker<'a> {
        Asker { question, limits, environments_checked: 0 }
    }

    pub(super) fn environments_checked(&self) -> usize {
        self.environments_checked
    }

    pub(super) async fn run(&mut self, smt: &mut CedarSymCompiler<Session>) -> Answer {
        match self.all(smt).await {
            Ok(answer) | Err(answer) => answer,
        }
    }

    async fn all(&mut self, smt: &mut CedarSymCompiler<Session>) -> Result<Answer, Answer> {
        let Question { candidate, ceiling, side } = *self.question;
        let mine = parts(candidate, Whose::Candidate)?;
        let theirs = parts(ceiling.compiled(), Whose::Ceiling)?;
        let slices = Slices { candidate: side, ceiling: ceiling.side() };
        let facts = Facts::new(&candidate.globs().union(ceiling.compiled().globs()));
        let mut spurious = false;
        let schema = candidate.schema().cedar();
        for env in &environments(schema)? {
            self.environments_checked += 1;
            let action = env.action().id().unescaped().to_owned();
            smt.solver_mut().facts = facts.for_action(&action, candidate.schema());
            let symbolic = SymEnv::new(schema, env).map_err(|error| self.gap(&error))?;
            self.check_forbids(smt, &theirs.fallible, env, &symbolic).await?;
            for permit in slices.in_play(&action, &mine.permits) {
                self.check_limits()?;
                let (forbids, covers) =
                    slices.beside(permit, &action, &mine.forbids, &theirs.permits, self.limits.deadline);
                let inside = set(candidate, [permit].iter().chain(&forbids))?;
                let bound = set(ceiling.compiled(), covers.iter().chain(&theirs.forbids))?;
                let compile = |policies: &PolicySet| {
                    let symbolic = symbolic.clone();
                    CompiledPolicySet::compile_with_custom_symenv(policies, env, schema, symbolic)
                        .map_err(|error| self.gap(&error))
                };
                let (inside, bound) = (compile(&inside)?, compile(&bound)?);
                self.check_limits()?;
                match self.ask(smt, &inside, &bound, &action).await {
                    Found::Nothing => {}
                    Found::Spurious => spurious = true,
                    Found::Gap(answer) => return Err(answer),
                    Found::Witness(witness, policy_id) => {
                        let rule = candidate.origin(&policy_id).cloned();
                        let Witness { request, query } = *witness;
                        return Ok(Answer::Exceeds(Box::new(Counterexample {
                            request,
                            policy_id,
                            rule,
                            query,
                            content: None,
                        })));
                    }
                }
            }
        }
        if let (true, Some(left_out)) = (spurious, mine.left_out.or(theirs.left_out)) {
            return Err(left_out);
        }
        if spurious {
            let message = "every counterexample that the solver found is no request that can occur";
            return Err(Answer::Inconclusive(reason("spurious_counterexample", message)));
        }
        Ok(Answer::Within)
    }

    /// A forbid that fails does not apply: the ceiling would allow what it reads as forbidding.
    async fn check_forbids(
        &self,
        smt: &mut CedarSymCompiler<Session>,
        fallible: &[&Policy],
        env: &RequestEnv,
        symbolic: &SymEnv,
    ) -> Result<(), Answer> {
        for forbid in fallible {
            self.check_limits()?;
            let schema = self.question.candidate.schema().cedar();
            let compiled = CompiledPolicy::compile_with_custom_symenv(forbid, env, schema, symbolic.clone())
                .map_err(|error| self.gap(&error))?;
            (smt.solver_mut().strength, smt.solver_mut().patience) = (Strength::Related, 2);
            if !smt.check_never_errors_opt(&compiled).await.map_err(|error| self.gap(&error))? {
                let message = format!(
                    "the ceiling's forbid {:?} can fail to evaluate, for arithmetic overflows, and a forbid that \
                     fails forbids nothing; compare with constants instead",
                    forbid.id().to_string()
                );
                return Err(Answer::Unsupported(Reason { code: "forbid_can_fail", message }));
            }
        }
        Ok(())
    }

    /// Whether what `inside` allows, `bound` allows.
    async fn ask(
        &self,
        smt: &mut CedarSymCompiler<Session>,
        inside: &CompiledPolicySet,
        bound: &CompiledPolicySet,
        action: &str,
    ) -> Found {
        let Question { candidate, ceiling, .. } = *self.question;
        let mut gap = None;
        // Most questions end with the first; where its model is no request, a plain one is looked for before the rest
        // is said, which solvers are slow with.
        for (strength, patience) in [(Strength::Related, 3), (Strength::Plain, 3), (Strength::Canonical, 1)] {
            (smt.solver_mut().strength, smt.solver_mut().patience) = (strength, patience);
            match smt.check_implies_with_counterexample_opt(inside, bound).await {
                Ok(None) if strength == Strength::Plain => {}
                Ok(None) => return Found::Nothing,
                Ok(Some(model)) => {
                    if let Some((found, policy)) = witness(&model, action, candidate, ceiling) {
                        return Found::Witness(Box::new(found), policy);
                    }
                }
                // There is a model, but not one that can be read.
                Err(Error::DecodeModel(_) | Error::ConcretizeError(_) | Error::ModelInvalid { .. }) => {}
                // With more to go by, the solver may yet find an answer.
                Err(error @ Error::SolverUnknown) if self.limits.over().is_none() => gap = Some(self.gap(&error)),
                Err(error) => return Found::Gap(self.gap(&error)),
            }
        }
        gap.map_or(Found::Spurious, Found::Gap)
    }

    fn check_limits(&self) -> Result<(), Answer> {
        self.limits.over().map_or(Ok(()), |over| Err(Answer::Inconclusive(over)))
    }

    /// What an error means: never a yes.
    fn gap(&self, error: &Error) -> Answer {
        match error {
            Error::SolverUnknown => Answer::Inconclusive(
                self.limits.over().unwrap_or_else(|| reason("solver_unknown", "the solver answered \"unknown\"")),
            ),
            Error::SolverError(error) => {
                let failed = || reason("solver_failed", &error.to_string());
                Answer::Inconclusive(self.limits.over().unwrap_or_else(failed))
            }
            Error::DecodeModel(_) | Error::ConcretizeError(_) | Error::ModelInvalid { .. } => {
                Answer::Inconclusive(reason("spurious_counterexample", &format!("the solver's model: {error}")))
            }
            other => {
                let message = format!("the SMT engine does not model it: {other}");
                Answer::Unsupported(reason("unsupported_construct", &message))
            }
        }
    }
}

/// Every request environment, in the order of the actions' names. None at all is no proof.
fn environments(schema: &Schema) -> Result<Vec<RequestEnv>, Answer> {
    let mut all: Vec<RequestEnv> = schema.request_envs().collect();
    all.sort_by_key(|env| env.action().id().unescaped().to_owned());
    if all.is_empty() {
        let message = "the schema admits no request, so nothing was checked";
        return Err(Answer::Inconclusive(reason("no_environments", message)));
    }
    Ok(all)
}

/// The policies by id, in one order whatever order Cedar keeps them in.
fn parts(compiled: &Compiled, whose: Whose) -> Result<Parts<'_>, Answer> {
    let mut parts = Parts { permits: Vec::new(), forbids: Vec::new(), fallible: Vec::new(), left_out: None };
    let unsupported = |id: &str, what: &str| {
        let owner = if whose == Whose::Candidate { "the policy" } else { "the ceiling" };
        let message = format!("{owner}'s {id:?} uses a construct that the SMT engine does not model: {what}");
        Answer::Unsupported(reason("unsupported_construct", &message))
    };
    if let Some(template) = compiled.policies().templates().next() {
        return Err(unsupported(template.id().as_ref(), "a template"));
    }
    let mut policies: Vec<&Policy> = compiled.policies().policies().collect();
    policies.sort_by(|a, b| a.id().cmp(b.id()));
    for policy in policies {
        let id: &str = policy.id().as_ref();
        let permits = policy.effect() == Effect::Permit;
        match admit(policy) {
            Ok(may_fail) => {
                if permits { &mut parts.permits } else { &mut parts.forbids }.push(id);
                if may_fail && !permits {
                    parts.fallible.push(policy);
                }
            }
            Err(what) if permits == (whose == Whose::Candidate) => return Err(unsupported(id, &what)),
            // Without this permit the ceiling allows less, without this forbid the candidate allows more.
            Err(what) => parts.left_out = parts.left_out.or_else(|| Some(unsupported(id, &what))),
        }
    }
    Ok(parts)
}

fn set<'a>(compiled: &Compiled, ids: impl Iterator<Item = &'a &'a str>) -> Result<PolicySet, Answer> {
    let mut out = PolicySet::new();
    for id in ids {
        let policy = compiled.policies().policy(&PolicyId::new(*id));
        if policy.is_none_or(|policy| out.add(policy.clone()).is_err()) {
            return Err(Answer::Inconclusive(reason("solver_failed", &format!("a defect: no policy {id:?}"))));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::collections::HashMap;

    use cedar_policy::SlotId;

    use super::*;

    #[test]
    fn no_environment_is_no_proof() {
        let (schema, _) = Schema::from_cedarschema_str("entity A; action \"group\";").unwrap();
        let Err(Answer::Inconclusive(reason)) = environments(&schema) else { panic!("nothing to check") };
        assert_eq!(reason.code, "no_environments");
        assert_eq!(environments(narrowgate_core::schema::Schema::standard().cedar()).unwrap().len(), 9);
    }

    #[test]
    fn linked_templates_are_refused() {
        let mut set: PolicySet = "permit(principal in ?principal, action, resource);".parse().unwrap();
        let to = HashMap::from([(SlotId::principal(), "Sandbox::\"dev\"".parse().unwrap())]);
        set.link(PolicyId::new("policy0"), PolicyId::new("linked"), to).unwrap();
        assert!(admit(set.policy(&PolicyId::new("linked")).unwrap()).unwrap_err().contains("template"));
    }
}
