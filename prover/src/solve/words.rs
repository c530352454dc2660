//! Constraints on strings as automata that are determinised as far as the search walks.

use std::sync::Arc;

use super::hash::Map;
use crate::language::{Blocks, Form, Leaf, Nfa, Set};

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
        Machines { universe: Dfa::new(universe), leaves: Vec::new(), leaf_index: Vec::new(), weight: 0 }
    }

    fn leaf(&mut self, leaf: &'a Arc<Leaf>) -> usize {
        // Few leaves are in one search, and comparing them is cheaper than hashing them.
        self.leaf_index.iter().position(|known| *known == leaf.as_ref()).unwrap_or_else(|| {
            self.leaf_index.push(leaf);
            self.leaves.push(Dfa::new(leaf.nfa()));
            self.leaves.len() - 1
        })
    }

    /// How large all states of all automata are together.
    pub(crate) fn weight(&self) -> usize {
        let leaves: usize = self.leaves.iter().map(|dfa| dfa.weight).sum();
        self.weight + self.universe.weight + leaves
    }

    fn dfa(&mut self, at: usize) -> &mut Dfa<'a> {
        // `UNIVERSE` is no leaf's index; an index that is none would be a defect, and the universe's own automaton
        // accepts no more than exists.
        self.leaves.get_mut(at).unwrap_or(&mut self.universe)
    }
}

const UNIVERSE: usize = usize::MAX;

/// A determinised automaton, as far as it was walked.
#[derive(Debug)]
struct Dfa<'a> {
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

impl<'a> Dfa<'a> {
    fn new(nfa: &'a Nfa) -> Dfa<'a> {
        let mut dfa = Dfa { nfa, states: Vec::new(), index: Map::default(), weight: 0 };
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

/// A constraint as an automaton: the synchronous product of its leaves.
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
    parts: Vec<u32>,
    settled: Option<bool>,
    accept: bool,
    next: Vec<(char, u32)>,
}

/// Every machine's start state.
pub(crate) const START: u32 = 0;

impl Machine {
    /// `form`, of words that exist where `in_universe`.
    pub(crate) fn new<'a>(form: &'a Form, in_universe: bool, machines: &mut Machines<'a>) -> Machine {
        let mut leaves = Vec::new();
        let mut shape = shape(form, &mut leaves, machines);
        if in_universe {
            leaves.push(UNIVERSE);
            shape = Shape::And(vec![Shape::Leaf(leaves.len() - 1), shape]);
        }
        let mut required = Vec::new();
        require(&shape, &mut required);
        let parts = vec![0; leaves.len()];
        let mut machine = Machine { shape, leaves, states: Vec::new(), index: Map::default(), required };
        machine.state(parts, machines);
        machine
    }

    fn state(&mut self, parts: Vec<u32>, machines: &mut Machines<'_>) -> u32 {
        if let Some(found) = self.index.get(&parts) {
            return *found;
        }
        let (mut settled, mut accept) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
        for (leaf, part) in self.leaves.iter().zip(&parts) {
            let dfa = machines.dfa(*leaf);
            settled.push(dfa.settled(*part));
            accept.push(Some(dfa.accepts(*part)));
        }
        let at = self.states.len() as u32;
        machines.weight += 16 + parts.len();
        let (settled, accept) = (self.shape.value(&settled), self.shape.value(&accept) == Some(true));
        self.index.insert(parts.clone(), at);
        self.states.push(MachineState { parts, settled, accept, next: Vec::new() });
        at
    }

    pub(crate) fn step(&mut self, from: u32, c: char, machines: &mut Machines<'_>) -> u32 {
        let Some(state) = self.states.get(from as usize) else { return from };
        if let Some((_, to)) = state.next.iter().find(|(d, _)| *d == c) {
            return *to;
        }
        let parts =
            self.leaves.iter().zip(&state.parts).map(|(leaf, part)| machines.dfa(*leaf).step(*part, c)).collect();
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
            machines.dfa(leaf).sets(part).for_each(|set| blocks.split(set));
        }
    }

    /// What may come next at all: the universe's edges, and those of each leaf that must accept.
    pub(crate) fn blocks(&self, at: u32, machines: &mut Machines<'_>) -> Blocks {
        let universe = self.parts(at).find(|(leaf, _)| *leaf == UNIVERSE).map_or(0, |(_, part)| part);
        let mut blocks = Blocks::new(machines.universe.sets(universe));
        let parts: Vec<(usize, u32)> = self.parts(at).collect();
        for position in &self.required {
            if let Some((leaf, part)) = parts.get(*position) {
                blocks.require(machines.dfa(*leaf).sets(*part));
            }
        }
        self.split(at, &mut blocks, machines);
        blocks
    }

    fn parts(&self, at: u32) -> impl Iterator<Item = (usize, u32)> {
        let parts = self.states.get(at as usize).map_or(&[][..], |s| &s.parts);
        self.leaves.iter().copied().zip(parts.iter().copied())
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
