//! Nondeterministic automata without ε-edges, built from patterns; the solver determinises them as it goes.

use super::chars::Set;
use super::lang::Elem;

/// An automaton. State 0 is the only start state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nfa {
    states: Vec<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    edges: Vec<(Set, u32)>,
    accept: bool,
}

impl Nfa {
    /// Whether the automaton accepts in `state`.
    pub(crate) fn accepts(&self, state: u32) -> bool {
        self.states.get(state as usize).is_some_and(|s| s.accept)
    }

    /// Whether every continuation is accepted from `state`.
    pub(crate) fn accepts_all(&self, state: u32) -> bool {
        self.states
            .get(state as usize)
            .is_some_and(|s| s.accept && s.edges.iter().any(|(set, to)| *to == state && *set == Set::ANY))
    }

    /// The edges that leave `state`.
    pub(crate) fn edges(&self, state: u32) -> &[(Set, u32)] {
        self.states.get(state as usize).map_or(&[], |s| &s.edges)
    }

    /// The states after `c` from any of `from`, sorted.
    pub(crate) fn step(&self, from: &[u32], c: char) -> Vec<u32> {
        let mut next: Vec<u32> =
            from.iter().flat_map(|s| self.edges(*s)).filter(|(set, _)| set.contains(c)).map(|(_, to)| *to).collect();
        next.sort_unstable();
        next.dedup();
        next
    }

    /// Whether the whole of `word` is accepted.
    pub(crate) fn matches(&self, word: &str) -> bool {
        let mut states = vec![0];
        for c in word.chars() {
            states = self.step(&states, c);
            if states.is_empty() {
                return false;
            }
        }
        states.iter().any(|s| self.accepts(*s))
    }

    /// What either accepts.
    pub(crate) fn or(mut self, other: &Nfa) -> Nfa {
        let shift = self.states.len() as u32;
        for state in &other.states {
            let edges = state.edges.iter().map(|(set, to)| (*set, to + shift)).collect();
            self.states.push(State { edges, accept: state.accept });
        }
        // A fresh start, so that neither automaton's loops through its own start reach the other.
        let starts: Vec<State> = [0, shift].iter().filter_map(|s| self.states.get(*s as usize).cloned()).collect();
        let start = State {
            accept: starts.iter().any(|s| s.accept),
            edges: starts.into_iter().flat_map(|s| s.edges).map(|(set, to)| (set, to + 1)).collect(),
        };
        for state in &mut self.states {
            for (_, to) in &mut state.edges {
                *to += 1;
            }
        }
        self.states.insert(0, start);
        self
    }

    /// The automaton of a deterministic step function over a finite state type. The sets of `alphabet` are disjoint.
    pub(crate) fn from_steps<S: Clone + PartialEq>(
        start: S,
        alphabet: &[Set],
        step: impl Fn(&S, Set) -> Option<S>,
        accept: impl Fn(&S) -> bool,
    ) -> Nfa {
        let mut found = vec![start];
        let mut nfa = Nfa::default();
        let mut at = 0;
        while let Some(state) = found.get(at).cloned() {
            // Masks by target: one edge for each, so that the solver meets few distinct sets.
            let mut edges: Vec<(Set, u32)> = Vec::new();
            for set in alphabet {
                let Some(next) = step(&state, *set) else { continue };
                let to = found.iter().position(|s| *s == next).unwrap_or_else(|| {
                    found.push(next);
                    found.len() - 1
                });
                match (set, edges.iter_mut().find(|(s, t)| matches!(s, Set::In(_)) && *t == to as u32)) {
                    (Set::In(more), Some((Set::In(mask), _))) => *mask |= more,
                    _ => edges.push((*set, to as u32)),
                }
            }
            nfa.states.push(State { edges, accept: accept(&state) });
            at += 1;
        }
        nfa
    }
}

/// Builds an automaton from left to right. The frontier is the set of states in which what was read so far is complete.
#[derive(Debug)]
pub(crate) struct Builder {
    nfa: Nfa,
    frontier: Vec<u32>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { nfa: Nfa { states: vec![State::default()] }, frontier: vec![0] }
    }

    /// One character of `set`.
    pub(crate) fn one(&mut self, set: Set) -> &mut Builder {
        let to = self.state();
        for from in std::mem::take(&mut self.frontier) {
            self.edge(from, set, to);
        }
        self.frontier = vec![to];
        self
    }

    /// Any number of characters of `set`.
    pub(crate) fn many(&mut self, set: Set) -> &mut Builder {
        if let [only] = self.frontier.as_slice()
            && self.nfa.edges(*only).is_empty()
        {
            let only = *only;
            self.edge(only, set, only);
            return self;
        }
        // A fresh state, so that the loop does not lend itself to what a frontier state was otherwise part of.
        let to = self.state();
        self.edge(to, set, to);
        for from in self.frontier.clone() {
            self.edge(from, set, to);
        }
        self.frontier.push(to);
        self
    }

    /// `/` and what follows it, or nothing: the tail of a path after a segment, and what `**` stands for.
    pub(crate) fn subtree(&mut self) -> &mut Builder {
        let to = self.state();
        self.edge(to, Set::ANY, to);
        for from in self.frontier.clone() {
            self.edge(from, Set::One('/'), to);
        }
        self.frontier.push(to);
        self
    }

    /// A glob, whose `*` stands for any number of characters of `star`. A literal outside `star` never matches.
    pub(crate) fn glob(&mut self, glob: &[Elem], star: Set) -> &mut Builder {
        for elem in glob {
            match elem {
                Elem::Char(c) if star.contains(*c) => self.one(Set::One(*c)),
                Elem::Char(_) => self.one(Set::In(0)),
                Elem::AnyOne => self.one(star),
                Elem::Star => self.many(star),
            };
        }
        self
    }

    /// One of these sequences.
    pub(crate) fn one_of(&mut self, alternatives: &[Vec<Set>]) -> &mut Builder {
        let start = std::mem::take(&mut self.frontier);
        for alternative in alternatives {
            let mut last = start.clone();
            for set in alternative {
                let to = self.state();
                for from in last {
                    self.edge(from, *set, to);
                }
                last = vec![to];
            }
            self.frontier.extend(last);
        }
        self
    }

    /// Accepts in the frontier.
    pub(crate) fn finish(mut self) -> Nfa {
        for at in &self.frontier {
            if let Some(state) = self.nfa.states.get_mut(*at as usize) {
                state.accept = true;
            }
        }
        self.nfa
    }

    fn state(&mut self) -> u32 {
        self.nfa.states.push(State::default());
        self.nfa.states.len() as u32 - 1
    }

    fn edge(&mut self, from: u32, set: Set, to: u32) {
        if let Some(state) = self.nfa.states.get_mut(from as usize) {
            state.edges.push((set, to));
        }
    }
}
