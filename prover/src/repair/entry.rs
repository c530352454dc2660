//! One entry: its permissions kept, cut and put together, for each list of executables that may do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use narrowgate_core::compile::Compiled;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::pattern::{BinaryPattern, MethodPattern};
use narrowgate_core::policy::{Entry, Policy, Role, Rule};
use narrowgate_core::schema::Schema;

use super::hints::Hints;
use super::piece::{Hole, Piece, is_for, put_together, said_beside, take_apart};
use super::search::{Limits, Search};
use super::steps::steps;
use super::{Grounds, LONGEST, NoRepair, meet, read_back};
use crate::ceiling::Ceiling;
use crate::lower::{Cube, Env, Var};
use crate::prove::Options;
use crate::side::{Index, Side};
use crate::solve::{Budget, find_uncovered};

/// So many lists of executables are compared.
const BINARIES: usize = 6;

/// The largest part of the entry at `key` that fits in its place.
pub(super) fn one(
    policy: &Policy,
    key: &str,
    ceiling: &Ceiling,
    grounds: &Grounds<'_>,
    options: &Options,
    limits: &mut Limits,
) -> Result<Entry, NoRepair> {
    let entry = policy.entries.get(key).ok_or(NoRepair::Undecided)?;
    if !ceiling.side().unsupported_forbids.is_empty() {
        return Err(NoRepair::Undecided);
    }
    let task = Task {
        policy,
        key,
        entry,
        base: grounds.base.and_then(|base| base.entries.get(key)),
        ceiling,
        evidence: grounds.evidence,
        options,
        denies: policy
            .entries
            .iter()
            .filter_map(|(key, entry)| Some((key.clone(), said_beside(entry)?)))
            .collect::<BTreeMap<_, _>>(),
        named: Vec::new(),
        methods: Vec::new(),
    };
    let task = task.with_names();
    let mut found: Vec<(Vec<BinaryPattern>, Vec<Piece>, Entry)> = Vec::new();
    for binaries in task.binaries() {
        let Some((binaries, pieces)) = task.with(binaries, limits) else { continue };
        let tidied = tidy(&pieces);
        for pieces in [tidied, pieces] {
            if let Some(entry) = put_together(entry, &binaries, &pieces)
                && task.base != Some(&entry)
                && task.is_sound(&entry, limits)
            {
                found.push((binaries, pieces, entry));
                break;
            }
        }
    }
    if found.is_empty() {
        return Err(if limits.ran_out { NoRepair::NotFoundInTime } else { task.why_none() });
    }
    let score = |(binaries, pieces, _): &(Vec<BinaryPattern>, Vec<Piece>, Entry)| {
        let hits = |denied: &DenialRecord| {
            let own = usize::from(is_for(binaries, denied));
            let near = pieces.iter().map(|piece| piece.nearness(denied)).max().unwrap_or_default();
            (own * near.0, near.1 + own)
        };
        let (hits, near) = grounds.evidence.iter().map(hits).fold((0, 0), |(a, b), (hit, near)| (a + hit, b + near));
        (hits, near)
    };
    // Maximal ones first, then the nearest; the first of equals is the one that changes executables least.
    let mut maximal = Vec::new();
    for (at, (_, _, narrow)) in found.iter().enumerate() {
        let mut others = found.iter().enumerate().filter(|(other, _)| *other != at);
        maximal.push(!others.any(|(other, (_, _, wide))| {
            task.is_part(narrow, wide, limits) && (other < at || !task.is_part(wide, narrow, limits))
        }));
    }
    let best = found.into_iter().zip(maximal).filter(|(_, maximal)| *maximal).map(|(one, _)| one).rev();
    let best = best.max_by_key(score).map(|(_, _, entry)| entry).ok_or(NoRepair::NotExpressible)?;
    Ok(task.widened(best, limits))
}

/// The same denies for each method of an endpoint as one deny for all methods. That may take away what other entries
/// allow, so it is only offered where it is proven not to.
fn tidy(pieces: &[Piece]) -> Vec<Piece> {
    let mut tidied = pieces.to_vec();
    let holes: Vec<Hole> = tidied.iter().flat_map(|piece| piece.holes.clone()).collect();
    for hole in tidied.iter_mut().flat_map(|piece| &mut piece.holes) {
        let Rule::Rest(rule) = &mut hole.rule else { continue };
        let alike =
            |other: &&Hole| other.host == hole.host && other.rule.rest().is_some_and(|other| other.path == rule.path);
        if holes.iter().filter(alike).count() > 1 {
            rule.method = MethodPattern::Any;
        }
    }
    tidied
}

/// One entry to repair, and everything that it is judged by.
pub(super) struct Task<'a> {
    policy: &'a Policy,
    key: &'a str,
    entry: &'a Entry,
    /// The entry as it is in force, where it is.
    base: Option<&'a Entry>,
    ceiling: &'a Ceiling,
    pub(super) evidence: &'a [DenialRecord],
    options: &'a Options,
    /// What entries deny, and which protocols they speak.
    denies: BTreeMap<String, Entry>,
    /// Executables and methods that the ceiling names near by.
    named: Vec<BinaryPattern>,
    pub(super) methods: Vec<String>,
}

impl Task<'_> {
    fn with_names(mut self) -> Self {
        let (mut named, mut methods) = (Vec::new(), Vec::new());
        let about_binaries = |cube: &&Cube| cube.iter().any(|(var, _)| matches!(var, Var::Process | Var::Ancestor(_)));
        let (permits, forbids) = (self.near(|side| &side.permits), self.near(|side| &side.forbids));
        for cube in permits.iter().filter(|cube| about_binaries(cube) || cube.get(&Var::Method).is_some()) {
            let hints = Hints::of(cube);
            named.extend(hints.binaries.iter().flat_map(|binary| self.in_common(binary)));
            methods.extend(hints.methods);
        }
        // Some of the entry's own, where it is a list.
        if self.entry.binaries.len() > 1 && permits.iter().chain(&forbids).any(about_binaries) {
            named.extend(self.entry.binaries.iter().cloned());
        }
        self.named = meet::widest(named, |_, _| false);
        self.methods = meet::widest(methods, |_, _| false);
        self
    }

    /// What of `binary` the entry is for.
    fn in_common(&self, binary: &BinaryPattern) -> Vec<BinaryPattern> {
        if self.is_for(binary) {
            return vec![binary.clone()];
        }
        let shared = self.entry.binaries.iter().flat_map(|own| meet::paths(own.as_str(), binary.as_str()));
        let shared = shared.filter_map(|text| BinaryPattern::parse(&text).ok());
        shared.filter(|binary| self.is_for(binary)).collect()
    }

    /// Lists of executables to try: the entry's own, then those that the ceiling names.
    fn binaries(&self) -> Vec<Vec<BinaryPattern>> {
        let mut out = vec![self.entry.binaries.clone()];
        if self.base.is_some() {
            return out;
        }
        let mut named = self.named.clone();
        let asked =
            |binary: &BinaryPattern| self.evidence.iter().any(|denied| is_for(std::slice::from_ref(binary), denied));
        named.sort_by_key(|binary| !asked(binary));
        out.extend(named.into_iter().map(|binary| vec![binary]).filter(|alone| *alone != self.entry.binaries));
        out.truncate(1 + BINARIES);
        out
    }

    /// Whether every process that `binary` is for is one of the entry's. A path is for descendants too, a glob is not.
    fn is_for(&self, binary: &BinaryPattern) -> bool {
        let own = &self.entry.binaries;
        own.is_empty()
            || own.iter().any(|one| match (one.literal(), binary.literal()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => meet::path_covers(one.as_str(), binary.as_str()),
                _ => false,
            })
    }

    /// The ceiling's permits, or its forbids, that have to do with the entry.
    fn near(&self, of: impl Fn(&Side) -> &Index) -> Vec<&Cube> {
        let Some(side) = self.side(self.entry) else { return Vec::new() };
        let mut out: Vec<&Cube> = Vec::new();
        let bounds = of(self.ceiling.side());
        for env in 0..side.envs().len() {
            for cube in side.permits.cubes(env) {
                out.extend(bounds.near_in(env, cube).into_iter().filter(|bound| cube.and(bound).is_some()));
            }
        }
        let mut seen = std::collections::HashSet::new();
        out.retain(|cube| seen.insert(std::ptr::from_ref(*cube)));
        out
    }

    fn side(&self, entry: &Entry) -> Option<Side> {
        Side::of(&self.alone(entry)?, &mut self.budget()).ok()
    }

    fn budget(&self) -> Budget {
        Budget::new(self.options.max_states, Instant::now() + self.options.timeout.min(LONGEST))
            .cancelled_by(self.options.cancel.as_ref())
    }

    fn alone(&self, entry: &Entry) -> Option<Compiled> {
        let entries = BTreeMap::from([(self.key.to_owned(), entry.clone())]);
        self.compiled(entries)
    }

    fn compiled(&self, entries: BTreeMap<String, Entry>) -> Option<Compiled> {
        let policy = Policy { entries, ..Policy::default() };
        Compiled::policy_over(&policy, Role::Policy, self.schema()).ok()
    }

    fn schema(&self) -> &'_ Arc<Schema> {
        self.ceiling.compiled().schema()
    }

    /// The entry's largest parts for these executables, and then for as many of the others as those allow.
    fn with(&self, binaries: Vec<BinaryPattern>, limits: &mut Limits) -> Option<(Vec<BinaryPattern>, Vec<Piece>)> {
        let mut search = Search {
            ceiling: self.ceiling,
            options: self.options,
            entry: self.entry,
            denies: &self.denies,
            binaries,
            evidence: self.evidence,
            rules_only: self.base.is_some(),
            hints: HashMap::new(),
            limits,
        };
        let all = take_apart(self.entry, self.schema());
        let kept: Vec<Piece> = self.base.map(|base| take_apart(base, self.schema())).unwrap_or_default();
        let mut out = Vec::new();
        self.parts(&all, &kept, &mut search, &mut out);
        if self.base.is_none() {
            out = meet::widest(out, Piece::covers);
        }
        if out.is_empty() {
            return None;
        }
        if self.base.is_none() && search.binaries != self.entry.binaries {
            for more in self.binaries().into_iter().skip(1).flatten() {
                if !search.binaries.contains(&more) {
                    search.binaries.push(more);
                    if !search.fits(&out) {
                        search.binaries.pop();
                    }
                }
            }
            search.binaries.sort_by_key(|binary| self.entry.binaries.iter().position(|own| own == binary));
        }
        Some((search.binaries, out))
    }

    /// What fits is kept whole; what does not is halved until it is one permission, and that is shrunk.
    fn parts(&self, pieces: &[Piece], kept: &[Piece], search: &mut Search<'_>, out: &mut Vec<Piece>) {
        if pieces.is_empty() {
            return;
        }
        if search.fits(pieces) {
            out.extend_from_slice(pieces);
            return;
        }
        if let [piece] = pieces {
            match kept.contains(piece) {
                true => out.push(piece.clone()),
                false => out.extend(self.shrunk(piece, search)),
            }
            return;
        }
        let (first, second) = pieces.split_at(pieces.len() / 2);
        self.parts(first, kept, search, out);
        self.parts(second, kept, search, out);
    }

    /// Whether `entry` may be offered: it allows something, is proven within in its place, proven a part of what was
    /// asked for, and takes nothing away that is allowed beside it.
    fn is_sound(&self, entry: &Entry, limits: &mut Limits) -> bool {
        let within = |entries: BTreeMap<String, Entry>, bound: &Ceiling, limits: &mut Limits| {
            self.compiled(entries).is_some_and(|policy| limits.is_within(&policy, bound, self.options))
        };
        let others = || self.policy.entries.iter().filter(|(key, _)| *key != self.key);
        let mut beside = self.denies.clone();
        beside.insert(self.key.to_owned(), entry.clone());
        let mut replaced = self.policy.entries.clone();
        replaced.insert(self.key.to_owned(), entry.clone());
        let mut before: BTreeMap<String, Entry> = others().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let before_allowed = !before.is_empty();
        before.extend(self.denies.get(self.key).map(|entry| (self.key.to_owned(), entry.clone())));
        let after = self.compiled(replaced).and_then(|policy| Ceiling::new(policy).ok());
        let nothing = Ceiling::parse_over("forbid(principal, action, resource);", "nothing.cedar", self.schema());
        let is_empty = nothing.is_ok_and(|nothing| within(beside.clone(), &nothing, limits));
        !is_empty
            && within(beside, self.ceiling, limits)
            && self.is_part(entry, self.entry, limits)
            && (!before_allowed || after.is_some_and(|after| within(before, &after, limits)))
    }

    /// The same, with everything put back that can be, one thing at a time: what the search took away for the sake of
    /// something that it took away later too. Where the limits let this end, no single step is left.
    fn widened(&self, mut entry: Entry, limits: &mut Limits) -> Entry {
        while let Some(wider) = self.wider(&entry, limits) {
            entry = wider;
        }
        entry
    }

    fn wider(&self, entry: &Entry, limits: &mut Limits) -> Option<Entry> {
        steps(entry, self.entry).into_iter().find(|wider| {
            let is_wider = limits.take() && self.is_part(entry, wider, limits) && !self.is_part(wider, entry, limits);
            is_wider && self.is_sound(wider, limits) && self.can_be_posted(wider)
        })
    }

    fn can_be_posted(&self, entry: &Entry) -> bool {
        let mut policy = self.policy.clone();
        policy.entries.insert(self.key.to_owned(), entry.clone());
        read_back(&policy, self.schema()).is_some()
    }

    /// Whether `narrow` is proven to allow nothing that `wide` does not.
    fn is_part(&self, narrow: &Entry, wide: &Entry, limits: &mut Limits) -> bool {
        let bound = self.alone(wide).and_then(|wide| Ceiling::new(wide).ok());
        let (Some(narrow), Some(bound)) = (self.alone(narrow), bound) else { return false };
        limits.is_within(&narrow, &bound, self.options)
    }

    /// Decided by the solver on the entry as it was: does the ceiling have anything of it?
    fn why_none(&self) -> NoRepair {
        let kept: Vec<Piece> = self.base.map(|base| take_apart(base, self.schema())).unwrap_or_default();
        let asked: Vec<Piece> =
            take_apart(self.entry, self.schema()).into_iter().filter(|piece| !kept.contains(piece)).collect();
        let asked = put_together(self.entry, &self.entry.binaries, &asked);
        let Some(side) = asked.and_then(|asked| self.side(&asked)) else { return NoRepair::Undecided };
        let bounds = self.ceiling.side();
        let (mut permitted, mut budget) = (false, self.budget());
        for env in 0..side.envs().len() {
            for cube in side.permits.cubes(env) {
                let denied = side.forbids.near_in(env, cube);
                let forbidden = [denied.clone(), bounds.forbids.near_in(env, cube)].concat();
                let bounded = |part: Cube| match side.envs().get(env).and_then(Env::bound) {
                    Some(bound) => part.and(bound),
                    None => Some(part),
                };
                let parts = bounds.permits.near_in(env, cube).into_iter().filter_map(|permit| cube.and(permit));
                for part in parts.filter_map(bounded) {
                    match find_uncovered(&part, &denied, &mut budget) {
                        Ok(None) => continue,
                        Ok(Some(_)) => permitted = true,
                        Err(_) => return NoRepair::NotFoundInTime,
                    }
                    match find_uncovered(&part, &forbidden, &mut budget) {
                        Ok(None) => {}
                        Ok(Some(_)) => return NoRepair::NotExpressible,
                        Err(_) => return NoRepair::NotFoundInTime,
                    }
                }
            }
        }
        if permitted { NoRepair::DeniedByCeiling } else { NoRepair::NothingInCommon }
    }
}
