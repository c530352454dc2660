//! From a permission that is too wide to the largest parts of it that are not.
//!
//! The search is led by what is in the way. The solver names an obstacle: a forbid that the piece reaches into, or an
//! environment in which the ceiling's permits do not cover it. A forbid is stepped out of (a deny, another port, an
//! earlier end, a narrower pattern); where nothing covers, the piece is cut to what each permit near by has of it. What
//! fits at last is grown again, one dimension after another, as far as the ceiling goes: a step that fails once fails
//! for every larger piece too, so one pass is enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use narrowgate_core::compile::Compiled;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::pattern::{BinaryPattern, HostPattern, PathPattern};
use narrowgate_core::policy::{Entry, Policy, RestRule, Role};
use narrowgate_core::request::Host;

use super::cut::{action_hole, cut, exceptions, exempt, forbidden, hole_breadth, with_ports};
use super::grow::Pool;
use super::hints::Hints;
use super::meet::widest;
use super::obstacle::{Obstacle, in_the_way, is_about};
use super::operation;
use super::piece::{Hole, Piece, What, put_together};
use crate::ceiling::Ceiling;
use crate::lower::{Cube, Value, Var};
use crate::prove::{Options, prove};
use crate::side::Side;
use crate::solve::Budget;
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
    /// Set once nobody waits for the answer.
    pub(super) cancel: Option<Arc<AtomicBool>>,
    /// Whether something was not looked at for lack of either.
    pub(super) ran_out: bool,
}

impl Limits {
    pub(super) fn take(&mut self) -> bool {
        let cancelled = self.cancel.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
        let left = self.questions > 0 && !cancelled && Instant::now() < self.deadline;
        self.questions = self.questions.saturating_sub(1);
        self.ran_out |= !left;
        left
    }

    /// Whether that is proven. No answer is none that anything may be built on, and something is left open by it.
    pub(super) fn is_within(&mut self, policy: &Compiled, bound: &Ceiling, options: &Options) -> bool {
        match prove(policy, bound, options).verdict {
            Verdict::Within(_) => true,
            Verdict::Exceeds(_) => false,
            Verdict::Unsupported(_) | Verdict::Inconclusive(_) | Verdict::Disagree(_) => {
                self.ran_out = true;
                false
            }
        }
    }
}

/// Everything that is the same for all pieces of an entry.
pub(super) struct Search<'a> {
    pub(super) ceiling: &'a Ceiling,
    pub(super) options: &'a Options,
    /// The entry that the pieces are of.
    pub(super) entry: &'a Entry,
    /// What has a say beside it: other entries' denies and protocols, and its own where they stand.
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
            if !maximal.iter().any(|other| self.is_part(from_ref(&piece), from_ref(other))) {
                maximal.retain(|other| !self.is_part(from_ref(other), from_ref(&piece)));
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
            self.compiled(entries)
        };
        let bound = compiled(wide).and_then(|wide| Ceiling::new(wide).ok());
        let (Some(narrow), Some(bound), true) = (compiled(narrow), bound, self.limits.take()) else { return false };
        self.limits.is_within(&narrow, &bound, self.options)
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
        if self.rules_only && piece.about(walk.whole.what.clone()) != *walk.whole {
            return;
        }
        let known = walk.seen.contains(&piece) || walk.found.iter().any(|found| found.covers(&piece));
        if known || depth > DEEPEST || walk.found.len() >= FOUND {
            return;
        }
        walk.seen.push(piece.clone());
        match self.obstacle(from_ref(&piece)) {
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
                let holes = exceptions(&part, action, &hints);
                if part != *piece {
                    out.push(part);
                } else if !holes.is_empty() {
                    let closed = self.close(&part, holes, |next| !matches!(next, Obstacle::Uncovered(..)));
                    out.extend(closed);
                }
            }
        }
        if let What::Preset(preset) = &piece.what {
            let smaller = preset.smaller(self.ceiling.compiled().schema());
            out.extend(smaller.into_iter().map(|preset| piece.about(What::Preset(preset))));
        }
        if let Some(hole) = action_hole(piece, action) {
            out.extend(self.close(piece, vec![vec![hole]], |next| !is_about(next, action)));
        }
        out.retain(|part| part != piece);
        let near = |part: &Piece| self.evidence.iter().map(|denied| part.nearness(denied)).max();
        let mut ranked: Vec<(_, Piece)> = out.into_iter().map(|part| ((near(&part), part.breadth()), part)).collect();
        ranked.sort_by_key(|(rank, _)| Reverse(*rank));
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
        if piece.what != What::Opaque {
            let holes = forbidden(piece, action, &hints);
            let same = |next: &Obstacle<'_>| match next {
                Obstacle::Forbid(about, again) => about == action && std::ptr::eq(*again, forbid),
                _ => false,
            };
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
            let mut ones = ones.collect::<Vec<_>>().into_iter();
            if let Some(one) = ones.find(|one| done(self.obstacle(from_ref(one)))) {
                return Some(one);
            }
        }
        let all = with(&groups);
        if all == *piece || !done(self.obstacle(from_ref(&all))) {
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
        let Some(compiled) = self.compiled(entries) else { return Obstacle::Unknown };
        let budget = || {
            Budget::new(self.options.max_states / 8, self.limits.deadline).cancelled_by(self.options.cancel.as_ref())
        };
        let Ok(side) = Side::of(&compiled, &mut budget()) else { return self.unknown() };
        match in_the_way(&side, self.ceiling.side(), budget()) {
            Ok(None) => Obstacle::Nothing,
            // The universe of the solver is a little larger than what can be sent. The prover knows what to put aside.
            Ok(Some((_, false))) if self.limits.is_within(&compiled, self.ceiling, self.options) => Obstacle::Nothing,
            Ok(Some((obstacle, _))) => obstacle,
            Err(()) => self.unknown(),
        }
    }

    /// No answer within the bounds of one question: what is left open by it may fit.
    fn unknown(&mut self) -> Obstacle<'a> {
        self.limits.ran_out = true;
        Obstacle::Unknown
    }

    fn compiled(&self, entries: BTreeMap<String, Entry>) -> Option<Compiled> {
        let policy = Policy { entries, ..Policy::default() };
        Compiled::policy_over(&policy, Role::Policy, self.ceiling.compiled().schema()).ok()
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

/// The part of `whole` that a denied request is, as far as its record tells; `None` where it is no part.
fn exactly(whole: &Piece, denied: &DenialRecord) -> Option<Piece> {
    let host = Host::parse(&denied.host).ok().filter(|host| whole.host.matches(host))?;
    let host = HostPattern::parse(host.as_str()).ok()?;
    let port = whole.ports.iter().copied().find(|port| port.get() == denied.port)?;
    let what = match (&whole.what, &denied.path) {
        (What::Rest(rule), Some(path)) => {
            let text = path.as_str();
            let path =
                PathPattern::parse(text).ok().filter(|_| rule.path.matches(text) && !text.contains(['*', '?']))?;
            What::Rest(RestRule { path, ..rule.clone() })
        }
        (What::Operation(rule), _) => What::Operation(operation::exactly(rule, denied)?),
        (what, _) => what.clone(),
    };
    Some(Piece { host, ports: vec![port], what, ..whole.clone() })
}
