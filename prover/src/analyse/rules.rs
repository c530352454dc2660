//! The analyses, policy by policy and then environment by environment.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::schema;

use super::concern::name;
use super::cover::{Covered, blame};
use super::probe::{Probe, Replay, Sample, probe};
use super::view::{Part, Rule, View};
use super::{Analysis, Finding, FindingKind, NotAnalysed, exhausted};
use crate::lower::{Cube, Env};
use crate::prove::Options;
use crate::side::Side;
use crate::solve::{Budget, Exhausted};

pub(super) struct Analyst<'a> {
    compiled: &'a Compiled,
    side: &'a Side,
    view: View<'a>,
    replay: Option<Replay<'a>>,
    options: &'a Options,
    deadline: Instant,
    /// Permits that were found to be of no use: nothing is redundant because of them.
    useless: BTreeSet<usize>,
}

/// A question: the environment's class, what is asked of, and what stands in the way.
type Asked = (Option<usize>, *const Cube, Vec<*const Cube>);

/// What bounds the requests of an environment.
#[derive(Clone)]
enum Bound {
    /// Something.
    Some,
    /// Nothing: these policies allow all of them.
    Everything(BTreeSet<usize>, Box<Sample>),
    /// None is allowed, and none forbidden.
    Nothing(Box<Sample>),
}

/// Why there is no answer about a policy.
enum Unanswered {
    Exhausted(Exhausted),
    /// Cedar's authorizer does not confirm the witness, or no request could be made of a point.
    Spurious,
}

impl From<Exhausted> for Unanswered {
    fn from(what: Exhausted) -> Unanswered {
        Unanswered::Exhausted(what)
    }
}

impl<'a> Analyst<'a> {
    pub(super) fn new(compiled: &'a Compiled, side: &'a Side, options: &'a Options, start: Instant) -> Analyst<'a> {
        let deadline = start + options.timeout;
        let (view, replay) = (View::of(compiled, side), Replay::new(compiled));
        Analyst { compiled, side, view, replay, options, deadline, useless: BTreeSet::new() }
    }

    /// Everything; `bounds` also says what is unbounded and what is not covered.
    pub(super) fn run(mut self, bounds: bool, start: Instant) -> Analysis {
        let unsupported = self.side.unsupported_permits.iter().chain(&self.side.unsupported_forbids);
        let mut not_analysed: Vec<NotAnalysed> = unsupported
            .map(|(policy, what)| NotAnalysed {
                policy: policy.clone(),
                code: "unsupported_construct",
                message: format!("uses a construct that the exact engine does not model: {what}"),
            })
            .collect();
        let mut findings = Vec::new();
        // From the end, so that of two that mean the same the first is kept.
        for number in (0..self.view.rules.len()).rev() {
            let id = self.view.rules.get(number).map(|rule| rule.id).unwrap_or_default();
            match self.rule(number) {
                Ok(finding) => findings.extend(finding),
                Err(why) => not_analysed.push(self.unanswered(id, &why)),
            }
        }
        findings.reverse();
        if bounds {
            match self.bounds() {
                Ok(more) => findings.extend(more),
                Err(why) => not_analysed.push(self.unanswered("", &why)),
            }
        }
        let policies = self.compiled.policies().policies().count();
        Analysis { findings, not_analysed, policies, time: start.elapsed() }
    }

    fn unanswered(&self, policy: &str, why: &Unanswered) -> NotAnalysed {
        let (code, message) = match why {
            Unanswered::Exhausted(what) => exhausted(*what, self.options),
            Unanswered::Spurious => {
                ("spurious_witness", "no request that shows the finding could be confirmed".to_owned())
            }
        };
        NotAnalysed { policy: policy.to_owned(), code, message }
    }

    /// Each policy has states of its own, so that a hard one costs the others time at most.
    fn budget(&self) -> Budget {
        Budget::new(self.options.max_states, self.deadline).cancelled_by(self.options.cancel.as_ref())
    }

    fn rule(&mut self, number: usize) -> Result<Option<Finding>, Unanswered> {
        let mut budget = self.budget();
        let Some(rule) = self.view.rules.get(number) else { return Ok(None) };
        let permit = rule.permit;
        let finding = |kind, by: BTreeSet<usize>, witness| Finding {
            kind,
            policy: Some(rule.id.to_owned()),
            by: self.names(&by),
            actions: Vec::new(),
            impossible: Vec::new(),
            witness,
        };
        let Some(sample) = self.first(rule, |_| Vec::new(), &mut budget)? else {
            let kind = if permit { FindingKind::PermitNeverApplies } else { FindingKind::ForbidNeverApplies };
            let found =
                Finding { impossible: self.impossible(rule, &mut budget)?, ..finding(kind, BTreeSet::new(), None) };
            self.useless.insert(number);
            return Ok(Some(found));
        };
        if !permit {
            return Ok(None);
        }
        let forbids = |part| self.view.forbids_near(part).into_iter().map(|(_, cube)| cube).collect();
        let Some(live) = self.first(rule, forbids, &mut budget)? else {
            let parts = rule.parts.iter().filter_map(|part| {
                Some(Covered {
                    target: self.bounded(*part)?,
                    anyway: Vec::new(),
                    candidates: self.view.forbids_near(*part),
                })
            });
            let by = blame(&parts.collect::<Vec<_>>(), &mut budget)?;
            self.confirm(rule, &by, &sample, false)?;
            let found = finding(FindingKind::ShadowedByForbid, by, Some(sample));
            self.useless.insert(number);
            return Ok(Some(found));
        };
        let others = |part| {
            let forbids = self.view.forbids_near(part).into_iter().map(|(_, cube)| cube);
            forbids.chain(self.others(number, rule, part).into_iter().map(|(_, cube)| cube)).collect()
        };
        if self.first(rule, others, &mut budget)?.is_some() {
            return Ok(None);
        }
        let parts = rule.parts.iter().filter_map(|part| {
            Some(Covered {
                target: self.bounded(*part)?,
                anyway: self.view.forbids_near(*part).into_iter().map(|(_, cube)| cube).collect(),
                candidates: self.others(number, rule, *part),
            })
        });
        let by = blame(&parts.collect::<Vec<_>>(), &mut budget)?;
        self.confirm(rule, &by, &live, true)?;
        let found = finding(FindingKind::Redundant, by, Some(live));
        self.useless.insert(number);
        Ok(Some(found))
    }

    /// The part, within what the proxy enforces of its environment; `None` where no request is in both.
    fn bounded(&self, part: Part<'a>) -> Option<Cow<'a, Cube>> {
        match self.view.envs().get(part.env)?.bound() {
            Some(bound) => part.cube.and(bound).map(Cow::Owned),
            None => Some(Cow::Borrowed(part.cube)),
        }
    }

    /// A request in the policy and in none of a part's obstacles.
    fn first(
        &self,
        rule: &Rule<'a>,
        obstacles: impl Fn(Part<'a>) -> Vec<&'a Cube>,
        budget: &mut Budget,
    ) -> Result<Option<Box<Sample>>, Unanswered> {
        // Most policies mean the same for every method: equal questions are asked once. `OTHER` has a method of its
        // own, which only matters to a request that is found; what carries a plugin's action matters to whether there is
        // one.
        let mut asked: HashSet<Asked> = HashSet::new();
        let mut doubt = false;
        for part in &rule.parts {
            let Some(env) = self.view.envs().get(part.env) else { continue };
            let obstacles = obstacles(*part);
            budget.work(8 + 4 * obstacles.len())?;
            let question = (
                self.view.class(part.env),
                std::ptr::from_ref(part.cube),
                obstacles.iter().map(|cube| std::ptr::from_ref::<Cube>(cube)).collect(),
            );
            if !asked.insert(question) {
                continue;
            }
            match probe(part.cube, &obstacles, env, budget)? {
                Probe::None => {}
                Probe::Some(sample) => return Ok(Some(sample)),
                Probe::Doubt => doubt = true,
            }
        }
        if doubt { Err(Unanswered::Spurious) } else { Ok(None) }
    }

    /// What of a request a policy that never applies asks for in vain. Variables are independent of each other, so in
    /// every alternative that was not seen to contradict itself there is one that is to blame alone.
    fn impossible(&self, rule: &Rule<'a>, budget: &mut Budget) -> Result<Vec<String>, Unanswered> {
        let mut names = BTreeSet::new();
        let mut asked = HashSet::new();
        for part in &rule.parts {
            let Some(env) = self.view.envs().get(part.env) else { continue };
            if !asked.insert((self.view.class(part.env), std::ptr::from_ref(part.cube))) {
                continue;
            }
            for (var, _) in part.cube.iter() {
                if let Probe::None = probe(&part.cube.only(var), &[], env, budget)? {
                    names.insert(name(var));
                    break;
                }
            }
        }
        Ok(names.into_iter().collect())
    }

    /// The permits that can make this one redundant.
    fn others(&self, number: usize, rule: &Rule<'a>, part: Part<'a>) -> Vec<(usize, &'a Cube)> {
        let mut others = self.view.permits_near(part);
        others.retain(|(other, _)| {
            // A permit for automatic review says something that others do not.
            let counts = !rule.auto || self.view.rules.get(*other).is_some_and(|other| other.auto);
            *other != number && counts && !self.useless.contains(other)
        });
        others
    }

    /// Has Cedar say that the policy and one of those to blame match the request, and what the set then decides.
    fn confirm(&self, rule: &Rule<'a>, by: &BTreeSet<usize>, sample: &Sample, allowed: bool) -> Result<(), Unanswered> {
        let others: Vec<&str> = by.iter().filter_map(|n| self.view.rules.get(*n)).map(|rule| rule.id).collect();
        let permits: Vec<&str> = [rule.id].into_iter().chain(others.iter().copied().filter(|_| allowed)).collect();
        let replay = self.replay.as_ref().ok_or(Unanswered::Spurious)?;
        let said = replay.of(&permits, &sample.request).ok_or(Unanswered::Spurious)?;
        let matched = said.permits.iter().any(|id| id == rule.id);
        let explained = if allowed {
            said.permits.len() > 1 && said.forbids.is_empty()
        } else {
            said.forbids.iter().any(|id| others.contains(&id.as_str()))
        };
        if matched && explained { Ok(()) } else { Err(Unanswered::Spurious) }
    }

    /// What is said about actions as a whole.
    fn bounds(&self) -> Result<Vec<Finding>, Unanswered> {
        let mut everything: BTreeMap<BTreeSet<usize>, Finding> = BTreeMap::new();
        let mut nothing: Option<Finding> = None;
        // Requests that a person can type come first.
        let mut envs: Vec<(usize, &Env)> = self.view.envs().iter().enumerate().collect();
        let place = |env: &Env| schema::actions().position(|action| action == env.action);
        envs.sort_by_key(|(_, env)| (env.speaker().is_some(), !env.is_http(), place(env)));
        // Of a plugin's actions, many are not told apart by any policy.
        let mut known: HashMap<Asked, Bound> = HashMap::new();
        for (env, about) in envs {
            let question = (self.view.class(env), std::ptr::null(), self.policies(env));
            let bound = match known.get(&question).filter(|_| about.speaker().is_some()) {
                Some(bound) => bound.clone(),
                None => self.bound(env, about)?,
            };
            let found = |kind, by: &BTreeSet<usize>, witness: &Sample| Finding {
                kind,
                policy: None,
                by: self.names(by),
                actions: Vec::new(),
                impossible: Vec::new(),
                witness: Some(Box::new(witness.clone())),
            };
            match &bound {
                Bound::Some => {}
                Bound::Everything(by, witness) => {
                    let new = || found(FindingKind::AllowsEverything, by, witness);
                    everything.entry(by.clone()).or_insert_with(new).actions.push(about.action.clone());
                }
                Bound::Nothing(witness) => {
                    let new = || found(FindingKind::ActionNotCovered, &BTreeSet::new(), witness);
                    nothing.get_or_insert_with(new).actions.push(about.action.clone());
                }
            }
            known.insert(question, bound);
        }
        Ok(everything.into_values().chain(nothing).collect())
    }

    /// What bounds the requests of one environment.
    fn bound(&self, env: usize, about: &Env) -> Result<Bound, Unanswered> {
        let mut budget = self.budget();
        let any = Cube::default();
        let whole = about.bound().map_or(Cow::Borrowed(&any), Cow::Borrowed);
        let forbids: Vec<&Cube> = self.view.forbids(env).into_iter().map(|(_, cube)| cube).collect();
        let permits = self.view.permits(env);
        let open: Vec<&Cube> = forbids.iter().copied().chain(permits.iter().map(|(_, cube)| *cube)).collect();
        // A request that is neither forbidden nor permitted.
        let missed = probe(&any, &open, about, &mut budget)?;
        if let Probe::None = missed {
            let bounded = self.is_met(&forbids, env, &mut budget)? || !self.side.unsupported_forbids.is_empty();
            if bounded || permits.is_empty() {
                return Ok(Bound::Some);
            }
            let by = blame(&[Covered { target: whole, anyway: Vec::new(), candidates: permits }], &mut budget)?;
            let witness = self.witness(&any, &[], env, true, &mut budget)?;
            return Ok(Bound::Everything(by, witness));
        }
        let live = permits.iter().map(|(_, cube)| *cube).collect::<Vec<_>>();
        if !self.side.unsupported_permits.is_empty() || self.is_live(&live, &forbids, env, &mut budget)? {
            return Ok(Bound::Some);
        }
        Ok(Bound::Nothing(self.witness(&any, &forbids, env, false, &mut budget)?))
    }

    /// Everything that is said of an environment.
    fn policies(&self, env: usize) -> Vec<*const Cube> {
        let all = [self.view.permits(env), self.view.forbids(env)].concat();
        all.into_iter().map(|(_, cube)| std::ptr::from_ref(cube)).collect()
    }

    /// Whether some request is in one of the cubes.
    fn is_met(&self, cubes: &[&Cube], env: usize, budget: &mut Budget) -> Result<bool, Unanswered> {
        self.is_live(cubes, &[], env, budget)
    }

    /// Whether some request is in one of the cubes and in no forbid. In doubt, one is.
    fn is_live(&self, cubes: &[&Cube], forbids: &[&Cube], env: usize, budget: &mut Budget) -> Result<bool, Unanswered> {
        let Some(about) = self.view.envs().get(env) else { return Ok(false) };
        for cube in cubes {
            if !matches!(probe(cube, forbids, about, budget)?, Probe::None) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A request in `target` and in no obstacle, about which Cedar says the same.
    fn witness(
        &self,
        target: &Cube,
        obstacles: &[&Cube],
        env: usize,
        allowed: bool,
        budget: &mut Budget,
    ) -> Result<Box<Sample>, Unanswered> {
        let about = self.view.envs().get(env).ok_or(Unanswered::Spurious)?;
        match probe(target, obstacles, about, budget)? {
            Probe::Some(sample) if is_allowed(self.compiled, &sample.request, self.compiled.globs()) == allowed => {
                Ok(sample)
            }
            _ => Err(Unanswered::Spurious),
        }
    }

    fn names(&self, numbers: &BTreeSet<usize>) -> Vec<String> {
        numbers.iter().filter_map(|number| self.view.rules.get(*number)).map(|rule| rule.id.to_owned()).collect()
    }
}
