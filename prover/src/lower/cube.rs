//! Conditions in a form the solver can search: constraints on one variable each, joined by and and or.

use std::collections::BTreeSet;
use std::sync::Arc;

use smol_str::SmolStr;

use super::ints::Ints;
use crate::language::{Form, REPEATED, Universe};

/// The path of the set of executables that a process descends from.
pub(crate) const ANCESTORS: &str = "principal.ancestors";
/// The path of the set of query keys that repeat.
pub(crate) const REPEATED_KEYS: &str = "context.query.repeated";

/// What a request is made of, as far as a policy can see. The values of any two are independent of each other, every
/// combination being a canonical request, but for those of a set: an empty one has no element ([`Cube::impossible`]).
/// What is said of something optional means nothing where it is absent, which strict validation sees to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Var {
    Port,
    Now,
    /// An integer that a plugin declares, by its path in the context.
    Long(SmolStr),
    /// A truth value that a plugin declares.
    Flag(SmolStr),
    /// Whether something optional that a plugin declares is there.
    Has(SmolStr),
    /// Whether a set, by its path, has no element.
    Empty(SmolStr),
    /// Whether a set that a plugin declares has this element.
    Member(SmolStr, SmolStr),
    /// Whether every element of a set that a plugin declares is one of these.
    Among(SmolStr, Arc<[SmolStr]>),
    /// Whether the process descends from this executable.
    Ancestor(SmolStr),
    Sandbox,
    Sha256,
    /// The executable's path.
    Process,
    Host,
    /// Of an `OTHER` request; for the other methods the action is the method.
    Method,
    /// Of a request that a plugin labelled.
    AnyMethod,
    /// A text that a plugin declares.
    Text(SmolStr),
    /// One of the fields that a plugin declares, by their path and its name.
    Field(SmolStr, SmolStr),
    /// One query key.
    Query(SmolStr),
    Path,
}

impl Var {
    /// The words of a string variable.
    pub(crate) fn universe(&self) -> Option<Universe> {
        match self {
            Var::Port | Var::Now | Var::Long(_) => None,
            Var::Flag(_) | Var::Has(_) | Var::Empty(_) | Var::Member(..) | Var::Among(..) | Var::Ancestor(_) => None,
            Var::Sandbox => Some(Universe::Sandbox),
            Var::Sha256 => Some(Universe::Sha256),
            Var::Process => Some(Universe::Process),
            Var::Host => Some(Universe::Host),
            Var::Method => Some(Universe::OtherMethod),
            Var::AnyMethod => Some(Universe::Method),
            Var::Text(_) => Some(Universe::Attribute),
            Var::Field(..) => Some(Universe::Field),
            Var::Query(_) => Some(Universe::Query),
            Var::Path => Some(Universe::Path),
        }
    }

    /// The numbers of an integer variable. Of time nothing is assumed, not even that it is after 1970.
    pub(crate) fn domain(&self) -> Ints {
        match self {
            Var::Port => Ints::range(1, 65535),
            _ => Ints::range(i64::MIN, i64::MAX),
        }
    }
}

/// A constraint on one variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Con {
    Text(Form),
    Number(Ints),
    Is(bool),
}

/// A value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Is(bool),
}

impl Con {
    pub(crate) fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Con::Text(form), Value::Text(word)) => form.matches(word),
            (Con::Number(ints), Value::Number(n)) => ints.contains(*n),
            (Con::Is(want), Value::Is(is)) => want == is,
            // Variables have one kind; a mix would be a defect here, and nothing is what it then covers.
            _ => false,
        }
    }
}

impl Con {
    /// Whether what `self` admits is visibly admitted by `other`; `false` says nothing.
    fn implies(&self, other: &Con) -> bool {
        match (self, other) {
            (Con::Text(a), Con::Text(b)) => a.implies(b),
            (Con::Number(a), Con::Number(b)) => a.and(b) == *a,
            (Con::Is(a), Con::Is(b)) => a == b,
            _ => false,
        }
    }
}

/// A condition. `All` and `Any` never hold two constraints on one variable side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cond {
    Const(bool),
    One(Var, Con),
    All(Vec<Cond>),
    Any(Vec<Cond>),
}

impl Cond {
    pub(crate) fn one(var: Var, con: Con) -> Cond {
        match &con {
            Con::Text(Form::Const(value)) => Cond::Const(*value),
            Con::Number(ints) if ints.is_empty() => Cond::Const(false),
            Con::Number(ints) if *ints == var.domain() => Cond::Const(true),
            _ => Cond::One(var, con),
        }
    }

    pub(crate) fn negate(self) -> Cond {
        match self {
            Cond::Const(value) => Cond::Const(!value),
            Cond::One(var, con) => {
                let con = match con {
                    Con::Text(form) => Con::Text(form.negate()),
                    Con::Number(ints) => Con::Number(ints.complement(&var.domain())),
                    Con::Is(value) => Con::Is(!value),
                };
                Cond::one(var, con)
            }
            Cond::All(parts) => Cond::any(parts.into_iter().map(Cond::negate)),
            Cond::Any(parts) => Cond::all(parts.into_iter().map(Cond::negate)),
        }
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Cond>) -> Cond {
        join(parts, true)
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Cond>) -> Cond {
        join(parts, false)
    }

    pub(crate) fn and(self, other: Cond) -> Cond {
        Cond::all([self, other])
    }

    pub(crate) fn or(self, other: Cond) -> Cond {
        Cond::any([self, other])
    }
}

/// Conjunction where `all`, else disjunction: flattens, and merges the constraints on each variable.
fn join(parts: impl IntoIterator<Item = Cond>, all: bool) -> Cond {
    let mut out: Vec<Cond> = Vec::new();
    let mut queue: Vec<Cond> = parts.into_iter().collect();
    queue.reverse();
    while let Some(part) = queue.pop() {
        match part {
            Cond::Const(value) if value == all => {}
            Cond::Const(value) => return Cond::Const(value),
            Cond::All(inner) if all => queue.extend(inner.into_iter().rev()),
            Cond::Any(inner) if !all => queue.extend(inner.into_iter().rev()),
            Cond::One(var, con) => {
                let same = out.iter().position(|c| matches!(c, Cond::One(v, _) if *v == var));
                let Some(at) = same else {
                    out.push(Cond::One(var, con));
                    continue;
                };
                if let Cond::One(_, before) = out.swap_remove(at) {
                    queue.push(merge(var, before, con, all));
                }
            }
            other => out.push(other),
        }
    }
    match out.len() {
        0 => Cond::Const(all),
        1 => out.remove(0),
        _ if all => Cond::All(out),
        _ => Cond::Any(out),
    }
}

fn merge(var: Var, a: Con, b: Con, all: bool) -> Cond {
    match (a, b) {
        (Con::Text(a), Con::Text(b)) => Cond::one(var, Con::Text(if all { a.and(b) } else { a.or(b) })),
        (Con::Number(a), Con::Number(b)) => Cond::one(var, Con::Number(if all { a.and(&b) } else { a.or(&b) })),
        (Con::Is(a), Con::Is(b)) if a == b => Cond::One(var, Con::Is(a)),
        // One variable has one kind of constraint, so this is a boolean and its opposite.
        _ => Cond::Const(!all),
    }
}

/// A conjunction of constraints, at most one on each variable, sorted by variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Cube(Box<[(Var, Arc<Con>)]>);

impl Cube {
    pub(crate) fn get(&self, var: &Var) -> Option<&Con> {
        self.0.iter().find(|(v, _)| v == var).map(|(_, con)| con.as_ref())
    }

    /// All that concerns one host.
    pub(crate) fn at_host(host: &str) -> Cube {
        Cube([(Var::Host, Arc::new(Con::Text(Form::eq(host))))].into())
    }

    /// The same, with each constraint exchanged for an equal one.
    pub(crate) fn shared(mut self, share: &mut impl FnMut(Arc<Con>) -> Arc<Con>) -> Cube {
        for (_, con) in &mut self.0 {
            *con = share(Arc::clone(con));
        }
        self
    }

    /// Whether every point of `self` is visibly in `other`; `false` says nothing.
    pub(crate) fn implies(&self, other: &Cube) -> bool {
        // From the back: paths differ more often than ports do.
        other
            .0
            .iter()
            .rev()
            .all(|(var, con)| self.get(var).is_some_and(|mine| std::ptr::eq(mine, con.as_ref()) || mine.implies(con)))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Var, &Con)> {
        self.0.iter().map(|(var, con)| (var, con.as_ref()))
    }

    /// Only the constraint on one variable.
    pub(crate) fn only(&self, var: &Var) -> Cube {
        Cube(self.0.iter().filter(|(v, _)| v == var).cloned().collect())
    }

    /// What both allow; `None` where that is visibly nothing.
    pub(crate) fn and(&self, other: &Cube) -> Option<Cube> {
        Cube::of(Cond::all(self.conditions().chain(other.conditions())))
    }

    /// The same, with one word excluded from a variable. `None` where nothing is left.
    pub(crate) fn without(&self, var: &Var, word: &str) -> Option<Cube> {
        let excluded = Cond::One(var.clone(), Con::Text(Form::eq(word).negate()));
        Cube::of(Cond::all(self.conditions().chain([excluded])))
    }

    /// Whether something is asked of a set as a whole.
    pub(crate) fn asks_for_whole_sets(&self) -> bool {
        self.0.iter().any(|(var, _)| matches!(var, Var::Empty(_) | Var::Among(..)))
    }

    /// The combinations among `cubes` that no request has: a set that is empty and has an element, or that has one which
    /// is not among those that all are.
    pub(crate) fn impossible(cubes: &[&Cube]) -> Vec<Cube> {
        let vars: BTreeSet<&Var> = cubes.iter().flat_map(|cube| cube.0.iter().map(|(var, _)| var)).collect();
        let mut out = Vec::new();
        for (var, set) in vars.iter().filter_map(|var| if let Var::Empty(set) = var { Some((*var, set)) } else { None })
        {
            let empty = || Cond::One(var.clone(), Con::Is(true));
            let elements = vars.iter().filter_map(|element| {
                match element {
                    Var::Member(of, _) if of == set => Some(Con::Is(true)),
                    Var::Ancestor(_) if set == ANCESTORS => Some(Con::Is(true)),
                    Var::Query(_) if set == REPEATED_KEYS => Some(Con::Text(Form::eq(REPEATED))),
                    _ => None,
                }
                .map(|con| Cond::One((*element).clone(), con))
            });
            out.extend(elements.filter_map(|element| Cube::of(Cond::all([empty(), element]))));
        }
        let among =
            |var: &&Var| if let Var::Among(set, list) = var { Some((set.clone(), Arc::clone(list))) } else { None };
        for (set, list) in vars.iter().filter_map(among) {
            out.extend(impossible_among(&set, &list, &vars));
        }
        out
    }

    fn conditions(&self) -> impl Iterator<Item = Cond> {
        self.0.iter().map(|(var, con)| Cond::One(var.clone(), con.as_ref().clone()))
    }

    fn of(cond: Cond) -> Option<Cube> {
        let mut constraints = match cond {
            Cond::Const(true) => Vec::new(),
            Cond::One(var, con) => vec![(var, con)],
            Cond::All(parts) => parts
                .into_iter()
                .filter_map(|part| match part {
                    Cond::One(var, con) => Some((var, con)),
                    _ => None,
                })
                .collect(),
            Cond::Const(false) | Cond::Any(_) => return None,
        };
        constraints.sort_by(|a, b| a.0.cmp(&b.0));
        Some(Cube(constraints.into_iter().map(|(var, con)| (var, Arc::new(con))).collect()))
    }
}

/// What cannot be, of a set whose elements are all among some, or are not. INVARIANT: whatever is left, a set has: its
/// elements are those that it is said to have and, where it is in no list, one that nobody names.
fn impossible_among(set: &SmolStr, list: &Arc<[SmolStr]>, vars: &BTreeSet<&Var>) -> Vec<Cube> {
    let is = |var: Var, value: bool| Cond::One(var, Con::Is(value));
    let among = |list: &Arc<[SmolStr]>, value| is(Var::Among(set.clone(), Arc::clone(list)), value);
    let none_of = |elements: &mut dyn Iterator<Item = &SmolStr>| {
        Cond::all(elements.map(|element| is(Var::Member(set.clone(), element.clone()), false)))
    };
    let empty = |value| is(Var::Empty(set.clone()), value);
    let mut out = vec![
        Cond::all([empty(true), among(list, false)]),
        Cond::all([empty(false), among(list, true), none_of(&mut list.iter())]),
    ];
    // What any list names counts, whether or not a rule asks for it alone: it is what tells two lists apart.
    let named: BTreeSet<&SmolStr> = vars
        .iter()
        .flat_map(|var| match var {
            Var::Member(of, element) if of == set => std::slice::from_ref(element),
            Var::Among(of, others) if of == set => others.as_ref(),
            _ => &[],
        })
        .collect();
    for element in named.into_iter().filter(|element| !list.contains(element)) {
        out.push(Cond::all([among(list, true), is(Var::Member(set.clone(), element.clone()), true)]));
    }
    for var in vars {
        if let Var::Among(of, other) = var
            && of == set
            && other != list
        {
            let mut beyond = list.iter().filter(|element| !other.contains(*element));
            out.push(Cond::all([among(list, true), among(other, false), none_of(&mut beyond)]));
        }
    }
    // An element that only these name may be in an empty set as little as any.
    out.extend(
        list.iter().map(|element| Cond::all([empty(true), is(Var::Member(set.clone(), element.clone()), true)])),
    );
    out.into_iter().filter_map(Cube::of).collect()
}

/// The condition as a union of cubes; `None` where there would be more than `most`.
pub(crate) fn cubes(cond: Cond, most: usize) -> Option<Vec<Cube>> {
    match cond {
        Cond::Const(false) => Some(Vec::new()),
        Cond::Any(parts) => {
            let mut out = Vec::new();
            for part in parts {
                out.extend(cubes(part, most)?);
                if out.len() > most {
                    return None;
                }
            }
            Some(out)
        }
        Cond::All(parts) => {
            let (single, nested): (Vec<Cond>, Vec<Cond>) =
                parts.into_iter().partition(|part| matches!(part, Cond::One(..)));
            let mut out: Vec<Cube> = Cube::of(Cond::all(single)).into_iter().collect();
            for part in nested {
                let alternatives = cubes(part, most)?;
                if out.len().saturating_mul(alternatives.len()) > most {
                    return None;
                }
                out = out.iter().flat_map(|cube| alternatives.iter().filter_map(|other| cube.and(other))).collect();
            }
            Some(out)
        }
        other => Some(Cube::of(other).into_iter().collect()),
    }
}
