//! A lowered policy set: one side of the question, indexed so that a proposal meets only what can concern it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;

use cedar_policy::pst::{Effect, Policy};
use narrowgate_core::compile::Compiled;
use smol_str::SmolStr;

use crate::lower::{Con, Cube, Env, NotLowered, Unsupported, Var, Vocabulary, lower};
use crate::solve::{Bits, Budget};

/// What a policy set allows and forbids, by cube.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) vocabulary: Arc<Vocabulary>,
    /// Policy ids.
    pub(crate) ids: Vec<SmolStr>,
    pub(crate) permits: Index,
    pub(crate) forbids: Index,
    /// Policies outside the fragment, with what puts them there.
    pub(crate) unsupported_permits: Vec<(String, String)>,
    pub(crate) unsupported_forbids: Vec<(String, String)>,
}

impl Side {
    /// Lowers every policy. A policy outside the fragment is noted in the side; the error is the budget's.
    pub(crate) fn of(compiled: &Compiled, budget: &mut Budget) -> Result<Side, NotLowered> {
        Side::of_trees(compiled.trees(), &Vocabulary::of(compiled.schema())?, budget)
    }

    /// The request environments.
    pub(crate) fn envs(&self) -> &[Env] {
        self.vocabulary.envs()
    }

    /// The same for policies that are validated against a schema of their own.
    pub(crate) fn of_trees(
        trees: &[Policy],
        vocabulary: &Arc<Vocabulary>,
        budget: &mut Budget,
    ) -> Result<Side, NotLowered> {
        let mut side = Side {
            vocabulary: Arc::clone(vocabulary),
            ids: Vec::new(),
            permits: Index::default(),
            forbids: Index::default(),
            unsupported_permits: Vec::new(),
            unsupported_forbids: Vec::new(),
        };
        let mut shared = Shared::default();
        let mut trees: Vec<&Policy> = trees.iter().collect();
        // The same question gives the same answer, whatever order Cedar keeps its policies in.
        trees.sort_by_cached_key(|tree| natural(&tree.body().id.0));
        for tree in trees {
            match lower(tree, vocabulary.envs(), budget) {
                Ok(lowered) => {
                    let index = if lowered.permit { &mut side.permits } else { &mut side.forbids };
                    for (envs, cubes) in lowered.cubes {
                        let envs = shared.envs.get(envs);
                        for cube in cubes {
                            let cube = cube.shared(&mut |con| shared.cons.share(con));
                            index.add(Entry { policy: side.ids.len(), envs: Arc::clone(&envs), cube });
                        }
                    }
                    side.ids.push(lowered.id);
                }
                Err(NotLowered::Exhausted(what)) => return Err(what.into()),
                Err(NotLowered::Unsupported(Unsupported(what))) => {
                    let list = match tree.body().effect {
                        Effect::Permit => &mut side.unsupported_permits,
                        Effect::Forbid => &mut side.unsupported_forbids,
                    };
                    list.push((tree.body().id.0.to_string(), what));
                }
            }
        }
        Ok(side)
    }
}

impl Side {
    /// The ids of the policies that can match `host`, and of those outside the fragment, of which that is not known.
    pub(crate) fn ids_at(&self, host: &str) -> BTreeSet<&str> {
        let here = Cube::at_host(host);
        let near = [&self.permits, &self.forbids].into_iter().flat_map(|index| index.near(&here));
        let lowered = near.filter_map(|entry| self.ids.get(entry.policy)).map(SmolStr::as_str);
        let others = self.unsupported_permits.iter().chain(&self.unsupported_forbids).map(|(id, _)| id.as_str());
        lowered.chain(others).collect()
    }
}

/// Keeps one copy of what many rules say: the same host, the same port, the same depth.
#[derive(Default)]
struct Shared {
    envs: Pool<Bits>,
    cons: Pool<Con>,
}

struct Pool<T>(HashSet<Arc<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool(HashSet::new())
    }
}

impl<T: Eq + Hash> Pool<T> {
    fn get(&mut self, item: T) -> Arc<T> {
        self.share(Arc::new(item))
    }

    fn share(&mut self, item: Arc<T>) -> Arc<T> {
        if let Some(known) = self.0.get(&item) {
            return Arc::clone(known);
        }
        self.0.insert(Arc::clone(&item));
        item
    }
}

/// Text and numbers in the order a person expects: `rules/2` before `rules/10`.
fn natural(id: &str) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    let mut rest = id;
    while !rest.is_empty() {
        let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_end);
        let digits_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_end);
        out.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    out
}

/// One cube of one policy.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Index into the side's ids.
    pub(crate) policy: usize,
    /// The request environments in which the policy means this.
    pub(crate) envs: Arc<Bits>,
    pub(crate) cube: Cube,
}

/// Cubes by the hosts that they can match.
#[derive(Debug, Default)]
pub(crate) struct Index {
    all: Vec<Entry>,
    /// Entries that can only match this host, by the host read backwards, so that a common ending is a range.
    by_host: BTreeMap<SmolStr, Vec<u32>>,
    /// Entries that can only match hosts with this ending, which begins with a dot.
    by_ending: HashMap<SmolStr, Vec<u32>>,
    /// The others.
    anywhere: Vec<u32>,
}

impl Index {
    fn add(&mut self, entry: Entry) {
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        match reach(&entry.cube) {
            Reach::Hosts(hosts) => {
                for host in hosts {
                    self.by_host.entry(backwards(host)).or_default().push(number);
                }
            }
            Reach::Ending(ending) => self.by_ending.entry(SmolStr::new(ending)).or_default().push(number),
            Reach::Anywhere => self.anywhere.push(number),
        }
        self.all.push(entry);
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.all
    }

    /// What the policies mean in an environment.
    pub(crate) fn cubes(&self, env: usize) -> impl Iterator<Item = &Cube> {
        self.all.iter().filter(move |entry| entry.envs.contains(env)).map(|entry| &entry.cube)
    }

    /// The cubes of an environment that can have a point in common with `target`, as far as the host tells, in order.
    pub(crate) fn near_in(&self, env: usize, target: &Cube) -> Vec<&Cube> {
        self.near(target).into_iter().filter(|entry| entry.envs.contains(env)).map(|entry| &entry.cube).collect()
    }

    /// The entries that can have a point in common with `target`, as far as the host tells, in order.
    pub(crate) fn near(&self, target: &Cube) -> Vec<&Entry> {
        let mut numbers: Vec<u32> = self.anywhere.clone();
        match reach(target) {
            Reach::Anywhere => return self.all.iter().collect(),
            Reach::Hosts(hosts) => {
                for host in hosts {
                    numbers.extend(self.by_host.get(&backwards(host)).into_iter().flatten());
                    numbers.extend(endings(host).filter_map(|ending| self.by_ending.get(ending)).flatten());
                }
            }
            Reach::Ending(ending) => {
                let start = backwards(&ending);
                let from = (Bound::Included(start.clone()), Bound::Unbounded);
                let same = self.by_host.range(from).take_while(|(host, _)| host.starts_with(start.as_str()));
                numbers.extend(same.flat_map(|(_, entries)| entries));
                // Two endings have hosts in common where one ends in the other.
                let related = |other: &str| other.ends_with(ending.as_str()) || ending.ends_with(other);
                numbers.extend(self.by_ending.iter().filter(|(other, _)| related(other)).flat_map(|(_, e)| e));
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.all.get(number as usize)).collect()
    }
}

/// Which hosts a cube can match at most.
enum Reach<'a> {
    Hosts(Vec<&'a str>),
    /// Those that end like this, from a dot on.
    Ending(String),
    Anywhere,
}

fn reach(cube: &Cube) -> Reach<'_> {
    let Some(Con::Text(form)) = cube.get(&Var::Host) else { return Reach::Anywhere };
    if let Some(hosts) = form.words() {
        return Reach::Hosts(hosts);
    }
    match form.ending() {
        Some(ending) => {
            ending.find('.').map_or(Reach::Anywhere, |dot| Reach::Ending(ending.split_at(dot).1.to_owned()))
        }
        None => Reach::Anywhere,
    }
}

/// The endings of a name that begin with a dot.
fn endings(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.').map(|(dot, _)| host.split_at(dot).1)
}

fn backwards(host: &str) -> SmolStr {
    host.chars().rev().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use std::time::{Duration, Instant};

    use super::*;

    fn side(hosts: &[&str]) -> Side {
        let mut text = String::new();
        for host in hosts {
            let op = if host.contains('*') { "like" } else { "==" };
            text.push_str(&format!("permit(principal, action, resource) when {{ resource.host {op} \"{host}\" }};\n"));
        }
        let compiled = Compiled::cedar(&text, "t.cedar").unwrap();
        let mut budget = Budget::new(1000, Instant::now() + Duration::from_secs(20));
        Side::of(&compiled, &mut budget).unwrap()
    }

    #[test]
    fn near_leaves_out_only_what_cannot_meet() {
        let hosts =
            ["a.x.com", "b.x.com", "x.com", "*.x.com", "*-y.x.com", "*.com", "*", "*com", "b*", "x.org", "*.a.x.com"];
        let all = side(&hosts);
        let check = |target: &str, expect: &[&str]| {
            let one = side(&[target]);
            let near = all.permits.near(&one.permits.entries()[0].cube);
            let found: Vec<&str> = near.iter().map(|entry| hosts[entry.policy]).collect();
            assert_eq!(found, expect, "{target}");
        };
        check("a.x.com", &["a.x.com", "*.x.com", "*-y.x.com", "*.com", "*", "*com", "b*"]);
        check("x.com", &["x.com", "*.com", "*", "*com", "b*"]);
        check("x.org", &["*", "*com", "b*", "x.org"]);
        check("*.x.com", &["a.x.com", "b.x.com", "*.x.com", "*-y.x.com", "*.com", "*", "*com", "b*", "*.a.x.com"]);
        check("*", &hosts);
    }

    /// What a counterexample is replayed against: all policies that could matter at its host, those not modelled too.
    #[test]
    fn ids_at_a_host_are_all_that_could_matter_there() {
        let text = "permit(principal, action, resource) when { resource.host == \"a.x.com\" };
                    permit(principal, action, resource) when { resource.host == \"b.x.com\" };
                    forbid(principal, action, resource) when { resource.host like \"*.x.com\" };
                    permit(principal, action, resource) when { resource.port + 1 == 444 };
                    forbid(principal, action, resource) when { resource.host == \"b.x.com\" && resource.port + 1 == 444 };
                    permit(principal, action, resource);";
        let compiled = Compiled::cedar(text, "t.cedar").unwrap();
        let mut budget = Budget::new(1000, Instant::now() + Duration::from_secs(20));
        let side = Side::of(&compiled, &mut budget).unwrap();
        for (host, expect) in [
            ("a.x.com", vec!["policy0", "policy2", "policy3", "policy4", "policy5"]),
            ("b.x.com", vec!["policy1", "policy2", "policy3", "policy4", "policy5"]),
            ("x.com", vec!["policy3", "policy4", "policy5"]),
            ("192.0.2.1", vec!["policy3", "policy4", "policy5"]),
        ] {
            assert_eq!(side.ids_at(host).into_iter().collect::<Vec<_>>(), expect, "{host}");
        }
    }

    #[test]
    fn ids_sort_as_people_count() {
        let mut ids = ["p/rules/10", "p/rules/2", "policy1", "policy0"];
        ids.sort_by_cached_key(|id| natural(id));
        assert_eq!(ids, ["p/rules/2", "p/rules/10", "policy0", "policy1"]);
    }
}
