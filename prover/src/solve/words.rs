//! Constraints on strings as automata that are determinised as far as the search walks.

use std::sync::Arc;

use super::hash::Map;
use crate::language::{Automaton, Blocks, Form, Kmp, Leaf, Nfa, Required, Set};

/// The automata of one search, each leaf and each form once.
#[derive(Debug)]
pub(crate) struct Machines<'a> {
    universe: Dfa<'a>,
    leaves: Vec<Dfa<'a>>,
    leaf_index: Vec<&'a Leaf>,
    /// What the states take, in machine words or so.
    weight: usize,
}

impl<'a> Machines<'a> {
    pub(crate) fn new(universe: &'a Nfa) -> Machines<'a> {
        let universe = Dfa::Subsets(Subsets::new(universe));
        Machines { universe, leaves: Vec::new(), leaf_index: Vec::new(), weight: 0 }
    }

    fn leaf(&mut self, leaf: &'a Arc<Leaf>) -> usize {
        // Few leaves are in one search, and comparing them is cheaper than hashing them.
        self.leaf_index.iter().position(|known| *known == leaf.as_ref()).unwrap_or_else(|| {
            self.leaf_index.push(leaf);
            self.leaves.push(match leaf.automaton() {
                Automaton::Glob(glob) => Dfa::Glob(glob),
                Automaton::Nfa(nfa) => Dfa::Subsets(Subsets::new(nfa)),
            });
            self.leaves.len() - 1
        })
    }

    /// How large all states of all automata are together.
    pub(crate) fn weight(&self) -> usize {
        let leaves: usize = self.leaves.iter().map(Dfa::weight).sum();
        self.weight + self.universe.weight() + leaves
    }

    fn dfa(&mut self, at: usize) -> &mut Dfa<'a> {
        // `UNIVERSE` is no leaf's index; an index that is none would be a defect, and the universe's own automaton
        // accepts no more than exists.
        self.leaves.get_mut(at).unwrap_or(&mut self.universe)
    }
}

const UNIVERSE: usize = usize::MAX;

/// A deterministic automaton.
#[derive(Debug)]
enum Dfa<'a> {
    Subsets(Subsets<'a>),
    Glob(&'a Kmp),
}

impl Dfa<'_> {
    fn step(&mut self, from: u32, c: char) -> u32 {
        match self {
            Dfa::Subsets(subsets) => subsets.step(from, c),
            Dfa::Glob(glob) => glob.step(from, c),
        }
    }

    /// Whether all continuations are accepted, or none.
    fn settled(&self, at: u32) -> Option<bool> {
        match self {
            Dfa::Subsets(subsets) => subsets.settled(at),
            Dfa::Glob(glob) => glob.settled(at),
        }
    }

    fn accepts(&self, at: u32) -> bool {
        match self {
            Dfa::Subsets(subsets) => subsets.accepts(at),
            Dfa::Glob(glob) => glob.accepts(at),
        }
    }

    /// Calls `each` with what this automaton tells apart next.
    fn sets(&self, at: u32, each: impl FnMut(Set)) {
        match self {
            Dfa::Subsets(subsets) => subsets.sets(at).for_each(each),
            Dfa::Glob(glob) => glob.sets(at).for_each(each),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Dfa::Subsets(subsets) => subsets.weight,
            Dfa::Glob(_) => 0,
        }
    }
}

/// A nondeterministic automaton, determinised as far as it was walked.
#[derive(Debug)]
struct Subsets<'a> {
    nfa: &'a Nfa,
    states: Vec<DfaState>,
    index: Map<Vec<u32>, u32>,
    weight: usize,
}

#[derive(Debug)]
struct DfaState {
    members: Vec<u32>,
    accept: bool,
    /// Whether all continuations are accepted, or none.
    settled: Option<bool>,
    next: Vec<(char, u32)>,
}

impl<'a> Subsets<'a> {
    fn new(nfa: &'a Nfa) -> Subsets<'a> {
        let mut dfa = Subsets { nfa, states: Vec::new(), index: Map::default(), weight: 0 };
        dfa.state(vec![0]);
        dfa
    }

    fn state(&mut self, members: Vec<u32>) -> u32 {
        if let Some(found) = self.index.get(&members) {
            return *found;
        }
        let at = self.states.len() as u32;
        let settled = match members.as_slice() {
            [] => Some(false),
            some if some.iter().any(|s| self.nfa.accepts_all(*s)) => Some(true),
            _ => None,
        };
        let accept = members.iter().any(|s| self.nfa.accepts(*s));
        self.weight += 16 + members.len();
        self.index.insert(members.clone(), at);
        self.states.push(DfaState { members, accept, settled, next: Vec::new() });
        at
    }

    fn step(&mut self, from: u32, c: char) -> u32 {
        let Some(state) = self.states.get(from as usize) else { return from };
        if let Some((_, to)) = state.next.iter().find(|(d, _)| *d == c) {
            return *to;
        }
        let members = self.nfa.step(&state.members, c);
        let to = self.state(members);
        if let Some(state) = self.states.get_mut(from as usize) {
            state.next.push((c, to));
        }
        to
    }

    fn settled(&self, at: u32) -> Option<bool> {
        self.states.get(at as usize).and_then(|s| s.settled)
    }

    fn accepts(&self, at: u32) -> bool {
        self.states.get(at as usize).is_some_and(|s| s.accept)
    }

    fn sets(&self, at: u32) -> impl Iterator<Item = Set> {
        let members = self.states.get(at as usize).map_or(&[][..], |s| &s.members);
        members.iter().flat_map(|s| self.nfa.edges(*s)).map(|(set, _)| *set)
    }
}

/// A form whose leaves are numbers into the machine's own list.
#[derive(Debug)]
enum Shape {
    Const(bool),
    Leaf(usize),
    Not(Box<Shape>),
    And(Vec<Shape>),
    Or(Vec<Shape>),
}

/// A constraint as an automaton: the synchronous product of its leaves, each as long as it matters.
#[derive(Debug)]
pub(crate) struct Machine {
    shape: Shape,
    leaves: Vec<usize>,
    states: Vec<MachineState>,
    index: Map<Vec<u32>, u32>,
    /// Leaves, by position in `leaves`, that every accepted word is in.
    required: Vec<usize>,
}

#[derive(Debug)]
struct MachineState {
    /// The leaves' states, or one of [`FALSE`], [`TRUE`] and [`IGNORED`].
    parts: Vec<u32>,
    settled: Option<bool>,
    accept: bool,
    next: Vec<(char, u32)>,
}

/// Every machine's start state.
pub(crate) const START: u32 = 0;

/// Of a leaf that accepts no continuation.
const FALSE: u32 = u32::MAX;
/// Of a leaf that accepts all.
const TRUE: u32 = u32::MAX - 1;
/// Of a leaf that makes no difference any more, since others decide what it is part of.
const IGNORED: u32 = u32::MAX - 2;

impl Machine {
    /// `form`, of whatever words.
    pub(crate) fn new<'a>(form: &'a Form, machines: &mut Machines<'a>) -> Machine {
        let mut leaves = Vec::new();
        let shape = shape(form, &mut leaves, machines);
        Machine::of(shape, leaves, machines)
    }

    /// Of the words that exist those in `target` and in no obstacle.
    pub(crate) fn outside<'a>(target: &'a Form, obstacles: &[&'a Form], machines: &mut Machines<'a>) -> Machine {
        let mut leaves = vec![UNIVERSE];
        let target = shape(target, &mut leaves, machines);
        let obstacles = obstacles.iter().map(|form| shape(form, &mut leaves, machines)).collect();
        let shape = Shape::And(vec![Shape::Leaf(0), target, Shape::Not(Box::new(Shape::Or(obstacles)))]);
        Machine::of(shape, leaves, machines)
    }

    fn of(shape: Shape, leaves: Vec<usize>, machines: &mut Machines<'_>) -> Machine {
        let mut required = Vec::new();
        require(&shape, &mut required);
        let parts = vec![0; leaves.len()];
        let mut machine = Machine { shape, leaves, states: Vec::new(), index: Map::default(), required };
        machine.state(parts, machines);
        machine
    }

    /// How many leaves there are: what a step costs.
    pub(crate) fn width(&self) -> usize {
        self.leaves.len()
    }

    /// The state of these leaves' states, in which what makes no difference is the same for all.
    fn state(&mut self, mut parts: Vec<u32>, machines: &mut Machines<'_>) -> u32 {
        let mut settled = Vec::with_capacity(parts.len());
        for (leaf, part) in self.leaves.iter().zip(&mut parts) {
            let value = match *part {
                FALSE => Some(false),
                TRUE => Some(true),
                IGNORED => None,
                at => machines.dfa(*leaf).settled(at),
            };
            if let Some(value) = value {
                *part = if value { TRUE } else { FALSE };
            }
            settled.push(value);
        }
        let mut matters = vec![false; parts.len()];
        let value = self.shape.mark(&settled, &mut matters);
        for ((part, matters), settled) in parts.iter_mut().zip(matters).zip(&settled) {
            // What is decided stays known: the rest of the shape is read with it.
            if !matters && settled.is_none() {
                *part = IGNORED;
            }
        }
        if value.is_some() {
            // One state for all that is decided alike.
            parts.fill(if value == Some(true) { TRUE } else { FALSE });
        }
        if let Some(found) = self.index.get(&parts) {
            return *found;
        }
        let ends = self.leaves.iter().zip(&parts).zip(settled).map(|((leaf, part), settled)| match *part {
            FALSE | TRUE | IGNORED => settled,
            at => Some(machines.dfa(*leaf).accepts(at)),
        });
        let ends: Vec<Option<bool>> = ends.collect();
        let at = self.states.len() as u32;
        machines.weight += 16 + parts.len();
        let (settled, accept) = (value, value.or_else(|| self.shape.value(&ends)) == Some(true));
        self.index.insert(parts.clone(), at);
        self.states.push(MachineState { parts, settled, accept, next: Vec::new() });
        at
    }

    pub(crate) fn step(&mut self, from: u32, c: char, machines: &mut Machines<'_>) -> u32 {
        let Some(state) = self.states.get(from as usize) else { return from };
        if let Some((_, to)) = state.next.iter().find(|(d, _)| *d == c) {
            return *to;
        }
        let step = |(leaf, part): (&usize, &u32)| match *part {
            FALSE | TRUE | IGNORED => *part,
            at => machines.dfa(*leaf).step(at, c),
        };
        let parts = self.leaves.iter().zip(&state.parts).map(step).collect();
        let to = self.state(parts, machines);
        if let Some(state) = self.states.get_mut(from as usize) {
            state.next.push((c, to));
        }
        to
    }

    /// Whether every continuation is accepted, or none; `None` where that is open.
    pub(crate) fn settled(&self, at: u32) -> Option<bool> {
        self.states.get(at as usize).and_then(|s| s.settled)
    }

    pub(crate) fn accepts(&self, at: u32) -> bool {
        self.states.get(at as usize).is_some_and(|s| s.accept)
    }

    /// What this machine tells apart next.
    pub(crate) fn split(&self, at: u32, blocks: &mut Blocks, machines: &mut Machines<'_>) {
        for (leaf, part) in self.parts(at) {
            machines.dfa(leaf).sets(part, |set| blocks.split(set));
        }
    }

    /// What may come next at all: the universe's edges, and those of each leaf that must accept.
    pub(crate) fn blocks(&self, at: u32, machines: &mut Machines<'_>) -> Blocks {
        let mut blocks = Blocks::new();
        let parts = self.states.get(at as usize).map_or(&[][..], |s| &s.parts);
        for (_, part) in self.leaves.iter().zip(parts).filter(|(leaf, _)| **leaf == UNIVERSE) {
            match *part {
                FALSE | IGNORED => {}
                TRUE => blocks.allow(Set::ANY),
                at => machines.universe.sets(at, |set| blocks.allow(set)),
            }
        }
        for position in &self.required {
            let leaf = self.leaves.get(*position).zip(parts.get(*position));
            if let Some((leaf, part)) = leaf.filter(|(_, part)| ![FALSE, TRUE, IGNORED].contains(part)) {
                let mut required = Required::default();
                machines.dfa(*leaf).sets(*part, |set| required.add(set));
                blocks.require(&required);
            }
        }
        self.split(at, &mut blocks, machines);
        blocks
    }

    /// The leaves that are still open, with their states.
    fn parts(&self, at: u32) -> impl Iterator<Item = (usize, u32)> {
        let parts = self.states.get(at as usize).map_or(&[][..], |s| &s.parts);
        let open = |(_, part): &(usize, u32)| ![FALSE, TRUE, IGNORED].contains(part);
        self.leaves.iter().copied().zip(parts.iter().copied()).filter(open)
    }
}

fn shape<'a>(form: &'a Form, leaves: &mut Vec<usize>, machines: &mut Machines<'a>) -> Shape {
    match form {
        Form::Const(value) => Shape::Const(*value),
        Form::Leaf(leaf) => {
            let at = machines.leaf(leaf);
            Shape::Leaf(leaves.iter().position(|l| *l == at).unwrap_or_else(|| {
                leaves.push(at);
                leaves.len() - 1
            }))
        }
        Form::Not(inner) => Shape::Not(Box::new(shape(inner, leaves, machines))),
        Form::And(parts) => Shape::And(parts.iter().map(|p| shape(p, leaves, machines)).collect()),
        Form::Or(parts) => Shape::Or(parts.iter().map(|p| shape(p, leaves, machines)).collect()),
    }
}

fn require(shape: &Shape, out: &mut Vec<usize>) {
    match shape {
        Shape::Leaf(at) => out.push(*at),
        Shape::And(parts) => parts.iter().for_each(|part| require(part, out)),
        _ => {}
    }
}

impl Shape {
    /// The value in three values. Where it is open, marks the leaves that it hangs on.
    fn mark(&self, leaves: &[Option<bool>], matters: &mut [bool]) -> Option<bool> {
        let value = self.value(leaves);
        if value.is_none() {
            match self {
                Shape::Const(_) => {}
                Shape::Leaf(at) => matters.iter_mut().skip(*at).take(1).for_each(|leaf| *leaf = true),
                Shape::Not(inner) => {
                    inner.mark(leaves, matters);
                }
                Shape::And(parts) | Shape::Or(parts) => {
                    for part in parts {
                        part.mark(leaves, matters);
                    }
                }
            }
        }
        value
    }

    /// In three values.
    fn value(&self, leaves: &[Option<bool>]) -> Option<bool> {
        let decide = |parts: &[Shape], stop: bool| {
            let mut all = Some(!stop);
            for part in parts {
                match part.value(leaves) {
                    Some(value) if value == stop => return Some(stop),
                    Some(_) => {}
                    None => all = None,
                }
            }
            all
        };
        match self {
            Shape::Const(value) => Some(*value),
            Shape::Leaf(at) => leaves.get(*at).copied().flatten(),
            Shape::Not(inner) => inner.value(leaves).map(|value| !value),
            Shape::And(parts) => decide(parts, false),
            Shape::Or(parts) => decide(parts, true),
        }
    }
}
