//! From a permission that is too wide to the largest parts of it that are not.
//!
//! The search is led by what is in the way. The solver names an obstacle: a forbid that the piece reaches into, or an
//! environment in which the ceiling's permits do not cover it. A forbid is stepped out of (a deny, another port, an
//! earlier end, a narrower pattern); where nothing covers, the piece is cut to what each permit near by has of it. What
//! fits at last is grown again, one dimension after another, as far as the ceiling goes: a step that fails once fails
//! for every larger piece too, so one pass is enough.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Instant;

use narrowgate_core::compile::Compiled;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::pattern::{BinaryPattern, Glob, HostForm, HostPattern, MethodPattern, PathPattern};
use narrowgate_core::policy::{Entry, OnMiss, Policy, RestRule};
use narrowgate_core::request::{Host, Port};

use super::grow::Pool;
use super::hints::Hints;
use super::meet::{glob_covers, globs, hosts, paths, widest};
use super::piece::{Hole, Piece, path_breadth, put_together};
use crate::ceiling::{Ceiling, Side};
use crate::lower::{Cube, Env, Value, Var};
use crate::prove::{Options, prove};
use crate::replay::witness;
use crate::solve::{Budget, find_uncovered};
use crate::verdict::Verdict;

/// So many permits are tried where a piece is not covered, and fewer once it was cut.
const PERMITS: usize = 24;
/// So many obstacles are stepped around one after another.
const DEEPEST: usize = 8;
/// So many fitting parts of one piece are compared.
const FOUND: usize = 12;

/// What a search may use up, all pieces together.
#[derive(Debug)]
pub(super) struct Limits {
    /// Questions to the solver.
    pub(super) questions: usize,
    pub(super) deadline: Instant,
    /// Whether something was not looked at for lack of either.
    pub(super) ran_out: bool,
}

impl Limits {
    pub(super) fn take(&mut self) -> bool {
        let left = self.questions > 0 && Instant::now() < self.deadline;
        self.questions = self.questions.saturating_sub(1);
        self.ran_out |= !left;
        left
    }
}

/// What is in the way of a piece.
enum Obstacle<'c> {
    Nothing,
    /// There is nothing left of it to be in the way of.
    Empty,
    /// In the environment of this action, it reaches into this.
    Forbid(String, &'c Cube),
    /// In the environment of this action, these do not cover it.
    Uncovered(String, Vec<&'c Cube>),
    /// No answer.
    Unknown,
}

/// Everything that is the same for all pieces of an entry.
pub(super) struct Search<'a> {
    pub(super) ceiling: &'a Ceiling,
    pub(super) options: &'a Options,
    /// The entry that the pieces are of.
    pub(super) entry: &'a Entry,
    /// What denies beside it: other entries' denies, and its own where they stand.
    pub(super) denies: &'a BTreeMap<String, Entry>,
    pub(super) binaries: Vec<BinaryPattern>,
    pub(super) evidence: &'a [DenialRecord],
    /// Whether only method, path and query of a rule may change: it is added to an endpoint that stays as it is.
    pub(super) rules_only: bool,
    /// By cube of the ceiling, which outlives the search.
    pub(super) hints: HashMap<*const Cube, Rc<Hints>>,
    pub(super) limits: &'a mut Limits,
}

impl<'a> Search<'a> {
    /// The largest part of `whole` that fits, or the one nearest the evidence where several are; `None` where there is
    /// none. What comes back was checked by the solver, not yet proven.
    pub(super) fn shrink(&mut self, whole: &Piece) -> Option<Piece> {
        let mut walk = Walk { whole, found: Vec::new(), seen: Vec::new(), pool: Pool::default() };
        for denied in self.evidence.iter().take(8) {
            if let Some(exact) = exactly(whole, denied) {
                walk.pool.note(&exact);
                self.refine(exact, 0, &mut walk);
            }
        }
        self.refine(whole.clone(), 0, &mut walk);
        let mut found = widest(walk.found, Piece::covers);
        // Of two that say the same, the one with fewer exceptions.
        found.sort_by_key(|piece| piece.holes.len());
        let mut maximal: Vec<Piece> = Vec::new();
        for piece in found {
            if !maximal.iter().any(|other| self.is_part(&[piece.clone()], &[other.clone()])) {
                maximal.retain(|other| !self.is_part(&[other.clone()], &[piece.clone()]));
                maximal.push(piece);
            }
        }
        self.best(maximal)
    }

    /// Whether the solver sees nothing in the way of these pieces together.
    pub(super) fn fits(&mut self, pieces: &[Piece]) -> bool {
        matches!(self.obstacle(pieces), Obstacle::Nothing | Obstacle::Empty)
    }

    /// Whether all that `narrow` allows, `wide` allows.
    pub(super) fn is_part(&mut self, narrow: &[Piece], wide: &[Piece]) -> bool {
        let compiled = |pieces| {
            let entry = put_together(self.entry, &self.binaries, pieces)?;
            let entries = BTreeMap::from([(KEY.to_owned(), entry)]);
            Compiled::policy(&Policy { on_miss: OnMiss::Deny, entries }).ok()
        };
        let bound = compiled(wide).and_then(|wide| Ceiling::new(wide).ok());
        let (Some(narrow), Some(bound), true) = (compiled(narrow), bound, self.limits.take()) else { return false };
        matches!(prove(&narrow, &bound, self.options).verdict, Verdict::Within(_))
    }

    fn best(&self, found: Vec<Piece>) -> Option<Piece> {
        let score = |piece: &Piece| {
            let near: Vec<(usize, usize)> = self.evidence.iter().map(|denied| piece.nearness(denied)).collect();
            let hits: usize = near.iter().map(|(hit, _)| hit).sum();
            let closeness: usize = near.iter().map(|(_, closeness)| closeness).sum();
            (hits, closeness, piece.breadth())
        };
        // The first of equals: the ceiling's order.
        found.into_iter().rev().max_by_key(score)
    }

    fn refine(&mut self, piece: Piece, depth: usize, walk: &mut Walk<'_>) {
        let same_endpoint =
            |piece: &Piece, whole: &Piece| Piece { rule: whole.rule.clone(), ..piece.clone() } == *whole;
        if self.rules_only && !same_endpoint(&piece, walk.whole) {
            return;
        }
        let known = walk.seen.contains(&piece) || walk.found.iter().any(|found| found.covers(&piece));
        if known || depth > DEEPEST || walk.found.len() >= FOUND {
            return;
        }
        walk.seen.push(piece.clone());
        match self.obstacle(std::slice::from_ref(&piece)) {
            Obstacle::Nothing => {
                let grown = self.grow(piece, walk.whole, &walk.pool);
                walk.found.push(grown);
            }
            Obstacle::Forbid(action, forbid) => {
                for next in self.around(&piece, &action, forbid, walk) {
                    self.refine(next, depth + 1, walk);
                }
            }
            Obstacle::Uncovered(action, permits) => {
                for next in self.cuts(&piece, &action, &permits, depth, walk) {
                    self.refine(next, depth + 1, walk);
                }
            }
            Obstacle::Empty | Obstacle::Unknown => {}
        }
    }

    /// What each permit has of `piece`, the most promising first.
    fn cuts(
        &mut self,
        piece: &Piece,
        action: &str,
        permits: &[&Cube],
        depth: usize,
        walk: &mut Walk<'_>,
    ) -> Vec<Piece> {
        let mut out: Vec<Piece> = Vec::new();
        for cube in self.nearest(permits) {
            let hints = self.hints(cube);
            let cut = cut(piece, &hints);
            cut.iter().for_each(|piece| walk.pool.note(piece));
            for part in cut {
                // What the permit has but for its own exceptions is denied; without need for it, that goes again.
                let holes = exceptions(&part, &hints);
                if part != *piece {
                    out.push(part);
                } else if !holes.is_empty() {
                    let closed = self.close(&part, holes, |next| !matches!(next, Obstacle::Uncovered(..)));
                    out.extend(closed);
                }
            }
        }
        if let Some(rule) = &piece.rule
            && let Some(hole) = method_hole(rule, action)
        {
            out.extend(self.close(piece, vec![vec![hole]], |next| !is_about(next, action)));
        }
        out.retain(|part| part != piece);
        let near = |part: &Piece| self.evidence.iter().map(|denied| part.nearness(denied)).max();
        let mut ranked: Vec<(_, Piece)> = out.into_iter().map(|part| ((near(&part), part.breadth()), part)).collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0));
        let mut out: Vec<Piece> = ranked.into_iter().map(|(_, part)| part).collect();
        out.dedup();
        out.truncate(if depth == 0 { PERMITS } else { 8 });
        out
    }

    /// Those that hold what was denied, then the others in the ceiling's order; no more than can be looked at.
    fn nearest<'c>(&self, permits: &[&'c Cube]) -> Vec<&'c Cube> {
        const MOST: usize = 64;
        let holds = |cube: &Cube, var: &Var, word: &str| {
            cube.get(var).is_none_or(|con| con.holds(&Value::Text(word.to_owned())))
        };
        let asked = |cube: &Cube| {
            self.evidence.iter().any(|denied| {
                let path = denied.path.as_deref();
                holds(cube, &Var::Host, &denied.host) && path.is_none_or(|path| holds(cube, &Var::Path, path))
            })
        };
        let (mut first, rest): (Vec<&Cube>, Vec<&Cube>) = permits.iter().copied().partition(|cube| asked(cube));
        first.extend(rest);
        first.truncate(MOST);
        first
    }

    fn hints(&mut self, cube: &Cube) -> Rc<Hints> {
        let known = self.hints.entry(std::ptr::from_ref(cube)).or_insert_with(|| Rc::new(Hints::of(cube)));
        Rc::clone(known)
    }

    /// Ways out of a forbid, the one that keeps most first.
    fn around(&mut self, piece: &Piece, action: &str, forbid: &Cube, walk: &mut Walk<'_>) -> Vec<Piece> {
        let hints = self.hints(forbid);
        let mut out = Vec::new();
        if let Some(ports) = &hints.ports {
            let ports = piece.ports.iter().copied().filter(|port| !ports.contains(i64::from(port.get()))).collect();
            out.extend(with_ports(piece, ports));
        }
        if let Some(from) = hints.from.filter(|from| *from > 0 && piece.expires_at.is_none_or(|end| end > *from)) {
            out.push(Piece { expires_at: Some(from), ..piece.clone() });
        }
        if let Some(rule) = &piece.rule {
            let holes = forbidden(piece, rule, action, &hints);
            let same = |next: &Obstacle<'_>| matches!(next, Obstacle::Forbid(_, again) if std::ptr::eq(*again, forbid));
            out.extend(self.close(piece, vec![holes], |next| !same(next)));
        }
        // A forbid of everything but something: that is where to go.
        let exempt = exempt(&hints);
        out.extend(cut(piece, &exempt));
        out.retain(|part| part != piece);
        out.iter().for_each(|part| walk.pool.note(part));
        out
    }

    /// The piece without `holes`, of each group as few and as small ones as do; `None` where all of them do not.
    fn close(&mut self, piece: &Piece, groups: Vec<Vec<Hole>>, done: impl Fn(&Obstacle<'_>) -> bool) -> Option<Piece> {
        let with = |groups: &[Vec<Hole>]| {
            let mut next = piece.clone();
            next.holes.extend(groups.iter().flatten().filter(|hole| !piece.holes.contains(hole)).cloned());
            next
        };
        let done = |found: Obstacle<'_>| !matches!(found, Obstacle::Empty | Obstacle::Unknown) && done(&found);
        let mut groups = groups;
        if let [only] = groups.as_mut_slice() {
            only.sort_by_key(hole_breadth);
            let ones = only.iter().map(|hole| with(&[vec![hole.clone()]])).filter(|one| one != piece);
            if let Some(one) = ones.collect::<Vec<_>>().into_iter().find(|one| done(self.obstacle(&[one.clone()]))) {
                return Some(one);
            }
        }
        let all = with(&groups);
        if all == *piece || !done(self.obstacle(std::slice::from_ref(&all))) {
            return None;
        }
        for at in 0..groups.len() {
            let Some(mut group) = groups.get(at).cloned().filter(|group| group.len() > 1) else { continue };
            group.sort_by_key(hole_breadth);
            let mut one = None;
            for hole in &group {
                let mut trial = groups.clone();
                if let Some(slot) = trial.get_mut(at) {
                    *slot = vec![hole.clone()];
                }
                if done(self.obstacle(&[with(&trial)])) {
                    one = Some(trial);
                    break;
                }
            }
            match one {
                Some(trial) => groups = trial,
                None => {
                    // Narrow ones first: what a wider one covers need not be said.
                    for hole in group {
                        let mut trial = groups.clone();
                        if let Some(slot) = trial.get_mut(at) {
                            slot.retain(|other| *other != hole);
                        }
                        if done(self.obstacle(&[with(&trial)])) {
                            groups = trial;
                        }
                    }
                }
            }
        }
        Some(with(&groups))
    }

    /// What is in the way of these pieces of the entry, with every deny that there is beside them.
    fn obstacle(&mut self, pieces: &[Piece]) -> Obstacle<'a> {
        if !self.limits.take() {
            return Obstacle::Unknown;
        }
        let Some(entry) = put_together(self.entry, &self.binaries, pieces) else { return Obstacle::Nothing };
        let mut entries = self.denies.clone();
        entries.insert(KEY.to_owned(), entry);
        let Ok(compiled) = Compiled::policy(&Policy { on_miss: OnMiss::Deny, entries }) else {
            return Obstacle::Unknown;
        };
        let budget = || {
            Budget::new(self.options.max_states / 8, self.limits.deadline).cancelled_by(self.options.cancel.as_ref())
        };
        let Ok(side) = Side::of(&compiled, &mut budget()) else { return Obstacle::Unknown };
        match in_the_way(&side, self.ceiling.side(), budget()) {
            Ok(None) => Obstacle::Nothing,
            // The universe of the solver is a little larger than what can be sent. The prover knows what to put aside.
            Ok(Some((_, false))) if self.is_within(&compiled) => Obstacle::Nothing,
            Ok(Some((obstacle, _))) => obstacle,
            Err(()) => Obstacle::Unknown,
        }
    }

    fn is_within(&self, policy: &Compiled) -> bool {
        matches!(prove(policy, self.ceiling, self.options).verdict, Verdict::Within(_))
    }
}

/// No entry's key: keys have no space.
const KEY: &str = " ";

/// One search for parts of a piece.
struct Walk<'w> {
    whole: &'w Piece,
    found: Vec<Piece>,
    seen: Vec<Piece>,
    pool: Pool,
}

/// The first obstacle, and whether a request that can be sent shows it. Environments in which few permits are near come
/// first: what fails there need not be tried elsewhere.
fn in_the_way<'c>(mine: &Side, ceiling: &'c Side, mut budget: Budget) -> Result<Option<(Obstacle<'c>, bool)>, ()> {
    let mut parts: Vec<(&Env, &Cube, Vec<&Cube>, Vec<&'c Cube>, Vec<&'c Cube>)> = Vec::new();
    for (at, env) in mine.envs.iter().enumerate() {
        let (Some(permits), Some(denies)) = (mine.permits.get(at), mine.forbids.get(at)) else { continue };
        let (Some(bounds), Some(forbids)) = (ceiling.permits.get(at), ceiling.forbids.get(at)) else { continue };
        let cubes = permits.entries().iter().filter_map(|entry| entry.cube());
        parts.extend(cubes.map(|cube| (env, cube, denies.near(cube), bounds.near(cube), forbids.near(cube))));
    }
    parts.sort_by_key(|(_, _, _, near, _)| near.len());
    let (mut doubtful, mut alive) = (None, false);
    for (env, cube, denied, near, forbids) in parts {
        alive = alive || find_uncovered(cube, &denied, &mut budget).map_err(drop)?.is_some();
        for forbid in forbids {
            let Some(part) = cube.and(forbid) else { continue };
            if let Some(point) = find_uncovered(&part, &denied, &mut budget).map_err(drop)? {
                let found = Obstacle::Forbid(env.action.clone(), forbid);
                match witness(&point, env) {
                    Ok(_) => return Ok(Some((found, true))),
                    Err(_) => doubtful = doubtful.or(Some((found, false))),
                }
            }
        }
        let cover: Vec<&Cube> = denied.iter().copied().chain(near.iter().copied()).collect();
        if let Some(point) = find_uncovered(cube, &cover, &mut budget).map_err(drop)? {
            let found = Obstacle::Uncovered(env.action.clone(), near);
            match witness(&point, env) {
                Ok(_) => return Ok(Some((found, true))),
                Err(_) => doubtful = doubtful.or(Some((found, false))),
            }
        }
    }
    Ok(if alive { doubtful } else { Some((Obstacle::Empty, true)) })
}

fn is_about(obstacle: &Obstacle<'_>, action: &str) -> bool {
    matches!(obstacle, Obstacle::Uncovered(about, _) | Obstacle::Forbid(about, _) if about == action)
}

/// `piece` cut to what `hints` say, in every way that they can be read; `piece` itself where they say nothing new.
fn cut(piece: &Piece, hints: &Hints) -> Vec<Piece> {
    let mut base = piece.clone();
    if let Some(ports) = &hints.ports {
        base.ports.retain(|port| ports.contains(i64::from(port.get())));
    }
    if let Some(before) = hints.before {
        base.expires_at = Some(base.expires_at.map_or(before, |end| end.min(before)));
    }
    if base.ports.is_empty() || base.expires_at.is_some_and(|end| end <= 0) {
        return Vec::new();
    }
    let mut shared: Vec<HostPattern> = hints.hosts.yes.iter().flat_map(|host| hosts(&piece.host, host)).collect();
    if let HostForm::AnyLabels { suffix } = piece.host.form()
        && hints.hosts.is_bound
    {
        shared.extend(HostPattern::parse(&format!("*.{suffix}")).ok());
    }
    let shared =
        if shared.is_empty() && hints.hosts.yes.is_empty() { vec![piece.host.clone()] } else { unique(shared) };
    let mut out = Vec::new();
    for host in shared.into_iter().take(6) {
        let part = Piece { host, ..base.clone() };
        match &base.rule {
            None => out.push(part),
            Some(rule) => {
                out.extend(cut_rule(rule, hints).into_iter().map(|rule| Piece { rule: Some(rule), ..part.clone() }))
            }
        }
    }
    out
}

fn cut_rule(rule: &RestRule, hints: &Hints) -> Vec<RestRule> {
    let mut query = rule.query.clone();
    for (key, side) in &hints.query {
        if side.yes.is_empty() {
            continue;
        }
        let met: Vec<String> = match query.get(key) {
            None => side.yes.clone(),
            Some(mine) => mine.iter().flat_map(|a| side.yes.iter().flat_map(|b| globs(a.as_str(), b, false))).collect(),
        };
        let met = widest(met, |wide, narrow| glob_covers(wide, narrow, false));
        if met.is_empty() {
            return Vec::new();
        }
        query.insert(key.clone(), met.iter().map(|glob| Glob::parse(glob)).collect());
    }
    let own = rule.path.as_str();
    let mut shared: Vec<String> = hints.paths.yes.iter().flat_map(|hint| paths(own, hint)).collect();
    if hints.paths.yes.is_empty() {
        shared.push(own.to_owned());
    }
    let mut shared = unique(shared);
    shared.sort_by_key(|path| std::cmp::Reverse(path_breadth(path)));
    let rule = |path: String| {
        let path = PathPattern::parse(&path).ok()?;
        Some(RestRule { path, query: query.clone(), ..rule.clone() })
    };
    shared.into_iter().take(12).filter_map(rule).collect()
}

fn unique<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    widest(all, |_, _| false)
}

/// What a permit takes out of itself, by condition.
fn exceptions(piece: &Piece, hints: &Hints) -> Vec<Vec<Hole>> {
    let Some(rule) = &piece.rule else { return Vec::new() };
    let mut out: Vec<Vec<Hole>> = Vec::new();
    for patterns in &hints.paths.no {
        let hole = |path: &String| Some(Hole { host: None, rule: with_path(rule, path)? });
        out.push(patterns.iter().filter(|path| !paths(rule.path.as_str(), path).is_empty()).filter_map(hole).collect());
    }
    for patterns in &hints.hosts.no {
        let met = patterns.iter().flat_map(|host| hosts(&piece.host, host));
        let hole = |host| Hole { host: Some(host), rule: without_query(rule) };
        out.push(unique(met.map(hole).collect()));
    }
    for (key, side) in &hints.query {
        for values in &side.no {
            let globs = values.iter().map(|value| Glob::parse(value)).collect();
            let query = BTreeMap::from([(key.clone(), globs)]);
            out.push(vec![Hole { host: None, rule: RestRule { query, ..rule.clone() } }]);
        }
    }
    out.retain(|group| !group.is_empty());
    out
}

/// The denies that a forbid may be.
fn forbidden(piece: &Piece, rule: &RestRule, action: &str, hints: &Hints) -> Vec<Hole> {
    let there: Vec<Option<HostPattern>> = if hints.hosts.yes.is_empty() {
        vec![None]
    } else {
        let met = hints.hosts.yes.iter().flat_map(|host| hosts(&piece.host, host));
        unique(met.map(|host| Some(host).filter(|host| *host != piece.host)).collect())
    };
    let patterns: Vec<String> = if hints.paths.yes.is_empty() {
        vec![rule.path.as_str().to_owned()]
    } else {
        hints.paths.yes.iter().filter(|path| !paths(rule.path.as_str(), path).is_empty()).cloned().collect()
    };
    let query: BTreeMap<String, Vec<Glob>> = hints
        .query
        .iter()
        .filter(|(_, side)| !side.yes.is_empty())
        .map(|(key, side)| (key.clone(), side.yes.iter().map(|value| Glob::parse(value)).collect()))
        .collect();
    let methods: Vec<String> = match (&rule.method, action) {
        (MethodPattern::Any, "OTHER") if hints.methods.is_empty() => vec!["*".to_owned()],
        (MethodPattern::Any, "OTHER") => hints.methods.clone(),
        // The whole of a rule's methods, or the one that is forbidden: the smaller is tried first.
        (MethodPattern::Any, action) => vec![action.to_owned(), "*".to_owned()],
        (MethodPattern::Exact(method), action) => unique(vec![action.to_owned(), method.as_str().to_owned()]),
    };
    let mut out = Vec::new();
    for host in &there {
        for path in &patterns {
            for method in methods.iter().filter(|method| *method != "OTHER") {
                let (Ok(path), Ok(method)) = (PathPattern::parse(path), MethodPattern::parse(method)) else { continue };
                out.push(Hole { host: host.clone(), rule: RestRule { method, path, query: query.clone() } });
            }
        }
    }
    out.truncate(48);
    out
}

/// A forbid's exceptions, as what to keep to.
fn exempt(forbid: &Hints) -> Hints {
    let mut out = Hints::default();
    out.hosts.yes = forbid.hosts.no.concat();
    out.hosts.is_bound = !out.hosts.yes.is_empty();
    out.paths.yes = forbid.paths.no.concat();
    out.paths.is_bound = !out.paths.yes.is_empty();
    for (key, side) in &forbid.query {
        let own = out.query.entry(key.clone()).or_default();
        own.yes = side.no.concat();
    }
    out
}

/// A rule for several methods without the one of `action`.
fn method_hole(rule: &RestRule, action: &str) -> Option<Hole> {
    let several = match &rule.method {
        MethodPattern::Any => action != "OTHER",
        MethodPattern::Exact(method) => method.as_str() == "GET" && action == "HEAD",
    };
    let method = MethodPattern::parse(action).ok().filter(|_| several)?;
    Some(Hole { host: None, rule: RestRule { method, path: rule.path.clone(), query: BTreeMap::new() } })
}

fn with_path(rule: &RestRule, path: &str) -> Option<RestRule> {
    Some(RestRule { path: PathPattern::parse(path).ok()?, ..without_query(rule) })
}

fn without_query(rule: &RestRule) -> RestRule {
    RestRule { query: BTreeMap::new(), ..rule.clone() }
}

fn with_ports(piece: &Piece, ports: Vec<Port>) -> Option<Piece> {
    (!ports.is_empty()).then(|| Piece { ports, ..piece.clone() })
}

fn hole_breadth(hole: &Hole) -> (usize, usize, usize, String) {
    let host = match hole.host.as_ref().map(HostPattern::form) {
        None => 3,
        Some(HostForm::AnyLabels { .. }) => 2,
        Some(HostForm::OneLabel { .. }) => 1,
        Some(HostForm::Exact(_)) => 0,
    };
    let path = hole.rule.path.as_str();
    (host, usize::from(hole.rule.method == MethodPattern::Any), path_breadth(path), path.to_owned())
}

/// The part of `whole` that a denied request is, as far as its record tells; `None` where it is no part.
fn exactly(whole: &Piece, denied: &DenialRecord) -> Option<Piece> {
    let host = Host::parse(&denied.host).ok().filter(|host| whole.host.matches(host))?;
    let host = HostPattern::parse(host.as_str()).ok()?;
    let port = whole.ports.iter().copied().find(|port| port.get() == denied.port)?;
    let rule = match (&whole.rule, &denied.path) {
        (Some(rule), Some(path)) => {
            let text = path.as_str();
            let path =
                PathPattern::parse(text).ok().filter(|_| rule.path.matches(text) && !text.contains(['*', '?']))?;
            Some(RestRule { path, ..rule.clone() })
        }
        (rule, _) => rule.clone(),
    };
    Some(Piece { host, ports: vec![port], rule, ..whole.clone() })
}
