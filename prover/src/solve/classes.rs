//! The ways in which a value of one variable can satisfy few obstacles.

use super::bits::Bits;
use super::budget::{Budget, Exhausted};
use super::free::free_words;
use super::guess::guesses;
use super::hash::KeySet;
use super::words::{Machine, Machines, START};
use crate::language::{Form, Universe};
use crate::lower::{Con, Ints, Value, Var};

/// A value, and the obstacles whose constraint on the variable it satisfies.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) value: Value,
    pub(crate) hits: Bits,
    /// Where it hits nothing: other values that do not, each for a reason of its own.
    pub(crate) others: Vec<Value>,
}

/// Values of `var` that `target` admits: one for each ⊆-minimal set of obstacles that a value can hit. Hitting fewer
/// is always better, so the others need no look. Empty where `target` admits nothing.
///
/// Where `is_last`, no other variable can escape an obstacle that this one hits, so only values that hit none are found.
pub(crate) fn classes(
    var: &Var,
    target: Option<&Con>,
    obstacles: &[Option<&Con>],
    is_last: bool,
    budget: &mut Budget,
) -> Result<Vec<Class>, Exhausted> {
    if is_last && obstacles.iter().any(Option::is_none) {
        return Ok(Vec::new());
    }
    let mut found = Minimal { target, obstacles, is_last, classes: Vec::new(), others: Vec::new() };
    match var.universe() {
        Some(universe) => found.words(universe, budget)?,
        None => found.try_candidates(candidates(var, target, obstacles), budget)?,
    }
    let mut classes: Vec<Class> = found.classes.into_iter().map(|(class, _)| class).collect();
    classes.sort_by_key(|class| class.hits.len());
    if let Some(free) = classes.first_mut().filter(|class| class.hits.is_empty()) {
        free.others = found.others;
    }
    Ok(classes)
}

/// What a variable is when nothing constrains it.
pub(crate) fn usual(var: &Var) -> Value {
    match var {
        Var::Port => Value::Number(443),
        // 2026-01-01, so that leases in examples are still running.
        Var::Now => Value::Number(1_767_225_600),
        Var::Long(_) => Value::Number(1),
        Var::Flag(_) | Var::Member(..) | Var::Ancestor(_) => Value::Is(false),
        Var::Has(_) => Value::Is(false),
        Var::Empty(_) | Var::Among(..) => Value::Is(true),
        _ => Value::Text(var.universe().and_then(|u| u.preferred().first()).copied().unwrap_or_default().to_owned()),
    }
}

/// The antichain under construction.
struct Minimal<'a> {
    target: Option<&'a Con>,
    obstacles: &'a [Option<&'a Con>],
    is_last: bool,
    /// With the cost of showing the value to a person.
    classes: Vec<(Class, usize)>,
    /// Words that hit nothing, but for the best.
    others: Vec<Value>,
}

impl<'a> Minimal<'a> {
    fn insert(&mut self, value: Value, hits: Bits, cost: usize) {
        if self.classes.iter().any(|(c, k)| c.hits.is_subset(&hits) && (c.hits != hits || *k <= cost)) {
            return;
        }
        self.classes.retain(|(c, _)| !hits.is_subset(&c.hits));
        self.classes.push((Class { value, hits, others: Vec::new() }, cost));
    }

    /// Whether words that hit at least `hits`, none cheaper than `cost`, have nothing to add.
    fn is_hopeless(&self, hits: &Bits, cost: usize) -> bool {
        self.classes.iter().any(|(c, k)| c.hits.is_subset(hits) && *k <= cost)
    }

    fn try_candidates(&mut self, values: Vec<Value>, budget: &mut Budget) -> Result<(), Exhausted> {
        for value in values {
            budget.work(1 + self.obstacles.len())?;
            if self.target.is_none_or(|con| con.holds(&value)) {
                let hit = |at: usize| self.obstacles.get(at).is_some_and(|o| o.is_none_or(|con| con.holds(&value)));
                let hits = Bits::of(self.obstacles.len(), (0..self.obstacles.len()).filter(|at| hit(*at)));
                self.insert(value, hits, 0);
            }
        }
        Ok(())
    }

    fn words(&mut self, universe: Universe, budget: &mut Budget) -> Result<(), Exhausted> {
        let target = self.target.map(|con| form(con, &Form::Const(true)));
        if let Some(words) = target.and_then(Form::words) {
            let exist = |word: &&str| universe.nfa().matches(word);
            let words = words.into_iter().filter(exist).map(|word| Value::Text(word.to_owned())).collect();
            return self.try_candidates(words, budget);
        }
        let preferred = universe.preferred().iter().map(|word| Value::Text((*word).to_owned())).collect();
        self.try_candidates(preferred, budget)?;
        if self.is_free() {
            return Ok(());
        }
        let target = target.unwrap_or(&Form::Const(true));
        // Where the shortest word is long, finding it costs more than a person gains by it.
        let exist = |word: &String| universe.nfa().matches(word);
        let guesses = guesses(target).into_iter().filter(exist).map(Value::Text).collect();
        self.try_candidates(guesses, budget)?;
        if self.is_free() {
            return Ok(());
        }
        let obstacles: Vec<&Form> =
            self.obstacles.iter().copied().flatten().map(|con| form(con, &Form::Const(false))).collect();
        if !self.is_last {
            return self.explore(universe, target, &obstacles, budget);
        }
        let mut words = free_words(universe, target, &obstacles, budget)?.into_iter().map(Value::Text);
        if let Some(best) = words.next() {
            self.insert(best, Bits::none(self.obstacles.len()), 0);
        }
        self.others = words.collect();
        Ok(())
    }

    /// Whether a value was found that hits nothing.
    fn is_free(&self) -> bool {
        self.classes.iter().any(|(class, _)| class.hits.is_empty())
    }

    /// Breadth-first, so that the shortest word of each class comes first.
    fn explore(
        &mut self,
        universe: Universe,
        target: &Form,
        obstacles: &[&Form],
        budget: &mut Budget,
    ) -> Result<(), Exhausted> {
        let named = obstacles.iter().fold(target.names(), |mask, form| mask | form.names());
        let mut machines = Machines::new(universe.nfa_for(named));
        let mut walk = Walk::new(target, self.obstacles, &mut machines);
        let mut depth = 0;
        let mut level: Vec<usize> = walk.start().into_iter().collect();
        while !level.is_empty() {
            let mut next = Vec::new();
            for node in level {
                if let Some(hits) = walk.accepted(node) {
                    let word = walk.word(node);
                    let cost = universe.cost(&word);
                    self.insert(Value::Text(word), hits, cost);
                }
                if !self.is_hopeless(walk.hits(node), depth + 1) {
                    next.extend(walk.expand(node, &mut machines, budget)?);
                }
            }
            level = next;
            depth += 1;
        }
        Ok(())
    }
}

/// A string variable has constraints of one kind; anything else would be a defect, and then `otherwise` is what proves
/// nothing: everything for a target, nothing for an obstacle.
fn form<'a>(con: &'a Con, otherwise: &'static Form) -> &'a Form {
    match con {
        Con::Text(form) => form,
        Con::Number(_) | Con::Is(_) => otherwise,
    }
}

/// All target words at once, with the obstacles that are still open.
struct Walk {
    target: Machine,
    machines: Vec<Machine>,
    /// Which machine each obstacle has, and which obstacles each machine decides.
    decides: Vec<Vec<usize>>,
    nodes: Vec<Node>,
    seen: KeySet<Vec<u64>>,
    /// Obstacles without a constraint on the variable.
    free: Bits,
}

struct Node {
    target: u32,
    /// Machines that are open, with their states.
    open: Vec<(u32, u32)>,
    /// Obstacles that every continuation hits.
    hits: Bits,
    from: Option<(usize, char)>,
}

impl Walk {
    fn new<'a>(target: &'a Form, obstacles: &[Option<&'a Con>], all: &mut Machines<'a>) -> Walk {
        let target = Machine::outside(target, &[], all);
        let mut machines = Vec::new();
        let mut decides: Vec<Vec<usize>> = Vec::new();
        let mut known: Vec<&Form> = Vec::new();
        let mut free = Bits::none(obstacles.len());
        for (at, obstacle) in obstacles.iter().enumerate() {
            let Some(con) = obstacle else {
                free.insert(at);
                continue;
            };
            let form = form(con, &Form::Const(false));
            let machine = known.iter().position(|other| *other == form).unwrap_or_else(|| {
                known.push(form);
                machines.push(Machine::new(form, all));
                decides.push(Vec::new());
                machines.len() - 1
            });
            if let Some(list) = decides.get_mut(machine) {
                list.push(at);
            }
        }
        Walk { target, machines, decides, nodes: Vec::new(), seen: KeySet::default(), free }
    }

    fn start(&mut self) -> Option<usize> {
        let open = (0..self.machines.len() as u32).map(|at| (at, START)).collect();
        self.node(START, open, self.free.clone(), None)
    }

    /// A node, unless it is dead or was seen.
    fn node(
        &mut self,
        target: u32,
        all: Vec<(u32, u32)>,
        mut hits: Bits,
        from: Option<(usize, char)>,
    ) -> Option<usize> {
        if self.target.settled(target) == Some(false) {
            return None;
        }
        let mut open = Vec::with_capacity(all.len());
        for (machine, state) in all {
            match self.machines.get(machine as usize).and_then(|m| m.settled(state)) {
                None => open.push((machine, state)),
                Some(false) => {}
                Some(true) => {
                    self.decides.get(machine as usize).into_iter().flatten().for_each(|at| hits.insert(*at));
                }
            }
        }
        let mut key = Vec::with_capacity(1 + open.len() + hits.words().len());
        key.push(u64::from(target));
        key.extend(open.iter().map(|(machine, state)| (u64::from(*machine) << 32) | u64::from(*state)));
        key.extend(hits.words());
        if !self.seen.insert(key) {
            return None;
        }
        self.nodes.push(Node { target, open, hits, from });
        Some(self.nodes.len() - 1)
    }

    fn expand(&mut self, node: usize, all: &mut Machines<'_>, budget: &mut Budget) -> Result<Vec<usize>, Exhausted> {
        let Some(Node { target, open, hits, .. }) = self.nodes.get(node) else { return Ok(Vec::new()) };
        let (target, open, hits) = (*target, open.clone(), hits.clone());
        let mut blocks = self.target.blocks(target, all);
        for (machine, state) in &open {
            if let Some(machine) = self.machines.get(*machine as usize) {
                machine.split(*state, &mut blocks, all);
            }
        }
        let mut out = Vec::new();
        let weight = all.weight();
        for c in blocks.representatives() {
            budget.work(4 + 4 * open.len())?;
            let next_target = self.target.step(target, c, all);
            if self.target.settled(next_target) == Some(false) {
                continue;
            }
            let stepped = open
                .iter()
                .map(|(at, state)| match self.machines.get_mut(*at as usize) {
                    Some(machine) => (*at, machine.step(*state, c, all)),
                    None => (*at, *state),
                })
                .collect();
            if let Some(new) = self.node(next_target, stepped, hits.clone(), Some((node, c))) {
                budget.state(2 * open.len() + hits.words().len())?;
                out.push(new);
            }
        }
        // Steps that lead nowhere leave their automata's states behind too.
        let grown = all.weight().saturating_sub(weight);
        if grown > 0 {
            budget.state(grown)?;
        }
        Ok(out)
    }

    fn hits(&self, node: usize) -> &Bits {
        self.nodes.get(node).map_or(&self.free, |n| &n.hits)
    }

    /// What the word that leads to `node` hits, where the target accepts it.
    fn accepted(&self, node: usize) -> Option<Bits> {
        let node = self.nodes.get(node).filter(|n| self.target.accepts(n.target))?;
        let mut hits = node.hits.clone();
        for (machine, state) in &node.open {
            if self.machines.get(*machine as usize).is_some_and(|m| m.accepts(*state)) {
                self.decides.get(*machine as usize).into_iter().flatten().for_each(|at| hits.insert(*at));
            }
        }
        Some(hits)
    }

    fn word(&self, node: usize) -> String {
        let mut chars = Vec::new();
        let mut at = self.nodes.get(node);
        while let Some((before, c)) = at.and_then(|n| n.from) {
            chars.push(c);
            at = self.nodes.get(before);
        }
        chars.into_iter().rev().collect()
    }
}

/// A number from each region that the constraints tell apart, what a person expects first; both truth values.
fn candidates(var: &Var, target: Option<&Con>, obstacles: &[Option<&Con>]) -> Vec<Value> {
    if let Value::Is(is) = usual(var) {
        return vec![Value::Is(is), Value::Is(!is)];
    }
    let domain = var.domain();
    let sets = target.into_iter().chain(obstacles.iter().copied().flatten()).filter_map(|con| match con {
        Con::Number(ints) => Some(ints),
        _ => None,
    });
    let mut starts: Vec<i64> = Vec::new();
    for (low, high) in sets.chain([&domain]).flat_map(Ints::ranges) {
        starts.push(*low);
        starts.extend(high.checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    // The end of a region is as good as its start, and the earliest time of all reads badly.
    let mut out: Vec<i64> = match usual(var) {
        Value::Number(n) => vec![n, 80, 8443, 8080],
        _ => Vec::new(),
    };
    out.extend(starts.iter().copied().filter(|n| *n != i64::MIN));
    out.extend(starts.iter().filter_map(|n| n.checked_sub(1)));
    out.push(i64::MAX);
    out.into_iter().filter(|n| domain.contains(*n)).map(Value::Number).collect()
}
