//! A word in one constraint and in none of others: all that matters of the last variable.

use super::budget::{Budget, Exhausted};
use super::words::{Machine, Machines, START};
use crate::language::{Form, Universe};

/// The best word that is in `target` and in no obstacle, and after it others that are neither, at most one for each
/// obstacle. Empty where there is none.
///
/// Breadth-first, so that the shortest word comes first. The others are what a look around finds once there is one:
/// they tell the caller more of what it has not considered yet.
pub(super) fn free_words(
    universe: Universe,
    target: &Form,
    obstacles: &[&Form],
    budget: &mut Budget,
) -> Result<Vec<String>, Exhausted> {
    let named = obstacles.iter().fold(target.names(), |mask, form| mask | form.names());
    let mut machines = Machines::new(universe.nfa_for(named));
    let mut walk = Walk { machine: Machine::outside(target, obstacles, &mut machines), from: vec![None], reached: 1 };
    let mut best: Option<(usize, String)> = None;
    let mut others = Vec::new();
    // So many states more, once the best is known.
    let mut around: Option<usize> = None;
    let mut level = vec![START];
    let mut depth = 0;
    while !level.is_empty() {
        let mut next = Vec::new();
        for state in level {
            if walk.machine.accepts(state) {
                let word = walk.word(state);
                let cost = universe.cost(&word);
                match &best {
                    Some((least, _)) if *least <= cost => others.push(word),
                    _ => others.extend(best.replace((cost, word)).map(|(_, word)| word)),
                }
            }
            if around.is_none() && best.as_ref().is_some_and(|(cost, _)| *cost <= depth + 1) {
                around = Some(walk.reached);
            }
            match &mut around {
                Some(left) if *left == 0 || others.len() >= obstacles.len() => return Ok(joined(best, others)),
                Some(left) => *left -= 1,
                None => {}
            }
            walk.expand(state, &mut machines, &mut next, budget)?;
        }
        level = next;
        depth += 1;
    }
    Ok(joined(best, others))
}

fn joined(best: Option<(usize, String)>, others: Vec<String>) -> Vec<String> {
    best.map(|(_, word)| word).into_iter().chain(others).collect()
}

/// The states that were reached, each with how.
struct Walk {
    machine: Machine,
    /// By state.
    from: Vec<Option<(u32, char)>>,
    reached: usize,
}

impl Walk {
    fn expand(
        &mut self,
        state: u32,
        machines: &mut Machines<'_>,
        next: &mut Vec<u32>,
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let weight = machines.weight();
        for c in self.machine.blocks(state, machines).representatives() {
            budget.work(4 + self.machine.width())?;
            let to = self.machine.step(state, c, machines);
            if self.machine.settled(to) == Some(false) {
                continue;
            }
            let at = to as usize;
            if self.from.len() <= at {
                self.from.resize(at + 1, None);
            }
            if let Some(from @ None) = self.from.get_mut(at)
                && to != START
            {
                *from = Some((state, c));
                self.reached += 1;
                next.push(to);
            }
        }
        let grown = machines.weight().saturating_sub(weight);
        if grown > 0 {
            budget.state(grown)?;
        }
        Ok(())
    }

    fn word(&self, state: u32) -> String {
        let mut chars = Vec::new();
        let mut at = state;
        while let Some(Some((before, c))) = self.from.get(at as usize) {
            chars.push(*c);
            at = *before;
        }
        chars.into_iter().rev().collect()
    }
}
