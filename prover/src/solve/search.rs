//! Combining the variables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::bits::Bits;
use super::budget::{Budget, Exhausted};
use super::classes::{Class, classes, usual};
use crate::lower::{Con, Cube, Value, Var};

/// A value for each variable that matters; the others have their usual value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Point(BTreeMap<Var, Value>);

impl Point {
    /// The variable's value.
    pub(crate) fn get(&self, var: &Var) -> Value {
        self.0.get(var).cloned().unwrap_or_else(|| usual(var))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Var, &Value)> {
        self.0.iter()
    }

    /// How long its texts are together: what it costs to look at it.
    fn size(&self) -> usize {
        self.0.values().map(|value| if let Value::Text(text) = value { text.len() } else { 1 }).sum()
    }

    pub(crate) fn is_in(&self, cube: &Cube) -> bool {
        cube.iter().all(|(var, con)| match self.0.get(var) {
            Some(value) => con.holds(value),
            None => con.holds(&usual(var)),
        })
    }
}

/// A point in `target` and in none of `obstacles`.
///
/// Most rules that are inside a ceiling are visibly inside one rule of it, which takes no automaton to see.
pub(crate) fn find_uncovered(
    target: &Cube,
    obstacles: &[&Cube],
    budget: &mut Budget,
) -> Result<Option<Point>, Exhausted> {
    if !obstacles.iter().chain([&target]).any(|cube| cube.asks_for_whole_sets()) {
        return find_outside(target, obstacles, budget);
    }
    let all: Vec<&Cube> = obstacles.iter().copied().chain([target]).collect();
    let impossible = Cube::impossible(&all);
    let obstacles: Vec<&Cube> = obstacles.iter().copied().chain(&impossible).collect();
    find_outside(target, &obstacles, budget)
}

fn find_outside(target: &Cube, obstacles: &[&Cube], budget: &mut Budget) -> Result<Option<Point>, Exhausted> {
    /// So many obstacles that contain a point are each asked whether they cover the target alone.
    const ALONE: usize = 8;
    for obstacle in obstacles {
        budget.work(32)?;
        if target.implies(obstacle) {
            return Ok(None);
        }
    }
    let mut considered: Vec<&Cube> = Vec::new();
    // A point that is no worse an answer, only a worse sight: what there is to show when the budget ends.
    let mut spare: Option<Point> = None;
    loop {
        let points = match Search::new(target, &considered).run(budget) {
            Ok(None) => return Ok(None),
            Ok(Some(points)) => points,
            Err(exhausted) => return spare.map_or(Err(exhausted), |point| Ok(Some(point))),
        };
        let first_round = considered.is_empty();
        for (number, point) in points.into_iter().enumerate() {
            let mut hit: Vec<&Cube> = Vec::new();
            let size = point.size();
            for obstacle in obstacles {
                budget.work(16 + size)?;
                hit.extend(Some(*obstacle).filter(|obstacle| point.is_in(obstacle)));
            }
            if hit.is_empty() {
                if number == 0 {
                    return Ok(Some(point));
                }
                spare.get_or_insert(point);
                continue;
            }
            // The fewer constraints, the more it covers.
            hit.sort_by_key(|obstacle| obstacle.iter().count());
            if first_round {
                for obstacle in hit.iter().take(ALONE) {
                    if Search::new(target, &[obstacle]).run(budget)?.is_none() {
                        return Ok(None);
                    }
                }
            }
            // INVARIANT: this ends. The first point is in none of `considered`, so what it hits is new.
            let is_known = |obstacle: &&Cube| considered.iter().any(|known| std::ptr::eq(*known, *obstacle));
            if !hit.iter().any(is_known) {
                considered.extend(hit.first());
            }
        }
    }
}

/// One exact search: depth-first over the variables, each narrowing which obstacles are still alive.
struct Search<'a> {
    target: &'a Cube,
    obstacles: &'a [&'a Cube],
    vars: Vec<&'a Var>,
    classes: HashMap<(usize, Bits), Rc<Vec<Class>>>,
    /// By variable: sets of alive obstacles from which there is no way to kill them all.
    failed: Vec<Vec<Bits>>,
    /// Other values of the last variable that do.
    others: Vec<Value>,
}

impl<'a> Search<'a> {
    fn new(target: &'a Cube, obstacles: &'a [&'a Cube]) -> Search<'a> {
        // The order of `Var` has cheap variables first; what they leave alive is all that the costly ones look at.
        let all: BTreeSet<&Var> = target
            .iter()
            .map(|(var, _)| var)
            .chain(obstacles.iter().flat_map(|o| o.iter().map(|(var, _)| var)))
            .collect();
        let vars: Vec<&Var> = all.into_iter().collect();
        let failed = vec![Vec::new(); vars.len() + 1];
        Search { target, obstacles, vars, classes: HashMap::new(), failed, others: Vec::new() }
    }

    /// A point, and others that differ in the last variable only.
    fn run(mut self, budget: &mut Budget) -> Result<Option<Vec<Point>>, Exhausted> {
        let mut point = Point::default();
        let alive = Bits::of(self.obstacles.len(), 0..self.obstacles.len());
        if !self.descend(0, &alive, &mut point, budget)? {
            return Ok(None);
        }
        let last = self.vars.last().copied();
        let others: Vec<Point> = std::mem::take(&mut self.others)
            .into_iter()
            .filter_map(|value| {
                let mut other = point.clone();
                other.0.insert(last?.clone(), value);
                Some(other)
            })
            .collect();
        Ok(Some([point].into_iter().chain(others).collect()))
    }

    fn descend(&mut self, at: usize, alive: &Bits, point: &mut Point, budget: &mut Budget) -> Result<bool, Exhausted> {
        let Some(var) = self.vars.get(at).copied() else { return Ok(alive.is_empty()) };
        if self.failed.get(at).is_some_and(|sets| sets.iter().any(|failed| failed.is_subset(alive))) {
            return Ok(false);
        }
        for class in self.classes(at, var, alive, budget)?.iter() {
            budget.work(4)?;
            let left: Vec<usize> =
                alive.iter().enumerate().filter(|(n, _)| class.hits.contains(*n)).map(|(_, o)| o).collect();
            let left = Bits::of(self.obstacles.len(), left);
            point.0.insert(var.clone(), class.value.clone());
            if self.descend(at + 1, &left, point, budget)? {
                if at + 1 == self.vars.len() {
                    self.others.clone_from(&class.others);
                }
                return Ok(true);
            }
        }
        if let Some(sets) = self.failed.get_mut(at) {
            budget.state(alive.words().len())?;
            sets.push(alive.clone());
        }
        Ok(false)
    }

    /// The classes of `var` with respect to the obstacles that are alive; hits are positions among those.
    fn classes(
        &mut self,
        at: usize,
        var: &Var,
        alive: &Bits,
        budget: &mut Budget,
    ) -> Result<Rc<Vec<Class>>, Exhausted> {
        if let Some(known) = self.classes.get(&(at, alive.clone())) {
            return Ok(Rc::clone(known));
        }
        let obstacles: Vec<Option<&Con>> =
            alive.iter().filter_map(|n| self.obstacles.get(n)).map(|obstacle| obstacle.get(var)).collect();
        let found = Rc::new(classes(var, self.target.get(var), &obstacles, at + 1 == self.vars.len(), budget)?);
        self.classes.insert((at, alive.clone()), Rc::clone(&found));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::language::{ABSENT, Elem, Form, Lang, REPEATED};
    use crate::lower::{Cond, Ints, cubes};

    fn glob(text: &str) -> Vec<Elem> {
        text.chars().map(|c| if c == '*' { Elem::Star } else { Elem::Char(c) }).collect()
    }

    fn text(name: &str, form: Form) -> Cond {
        Cond::one(Var::Query(name.into()), Con::Text(form))
    }

    fn budget() -> Budget {
        Budget::new(200_000, Instant::now() + Duration::from_secs(20))
    }

    fn one_cube(cond: Cond) -> Option<Cube> {
        cubes(cond, 100).unwrap().into_iter().next()
    }

    fn form() -> impl Strategy<Value = Form> {
        let leaf = prop_oneof![
            "[ab*]{0,4}".prop_map(|p| if p.contains('*') { Form::leaf(Lang::Like(glob(&p))) } else { Form::eq(&p) }),
            Just(Form::eq(ABSENT)),
            Just(Form::eq(REPEATED)),
        ];
        leaf.prop_recursive(2, 5, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(Form::negate),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
                (inner.clone(), inner).prop_map(|(a, b)| a.or(b)),
            ]
        })
    }

    fn cube() -> impl Strategy<Value = Option<Cube>> {
        let number = (0..4i64, 0..4i64).prop_map(|(a, b)| Cond::one(Var::Port, Con::Number(Ints::range(a + 1, b + 1))));
        let one = prop_oneof![
            4 => form().prop_map(|f| text("k", f)),
            3 => form().prop_map(|f| text("l", f)),
            2 => number.clone(),
            1 => number.prop_map(Cond::negate),
            1 => any::<bool>().prop_map(|b| Cond::one(Var::Ancestor("/x".into()), Con::Is(b))),
        ];
        proptest::collection::vec(one, 1..4).prop_map(|parts| one_cube(Cond::all(parts)))
    }

    fn words() -> Vec<String> {
        let mut out = vec![String::new()];
        let mut level = out.clone();
        for _ in 0..4 {
            level = level.iter().flat_map(|w| ['a', 'b', 'c'].map(|c| format!("{w}{c}"))).collect();
            out.extend(level.clone());
        }
        out.extend([ABSENT.to_owned(), REPEATED.to_owned()]);
        out
    }

    /// Whether some point over short words is in `target` and in no obstacle.
    fn exists(target: &Cube, obstacles: &[&Cube]) -> bool {
        let words = words();
        let holds = |cube: &Cube, var: &Var, value: Value| cube.get(var).is_none_or(|con| con.holds(&value));
        let (k, l) = (Var::Query("k".into()), Var::Query("l".into()));
        for port in 1..6 {
            for ancestor in [false, true] {
                let fits = |cube: &Cube| {
                    holds(cube, &Var::Port, Value::Number(port))
                        && holds(cube, &Var::Ancestor("/x".into()), Value::Is(ancestor))
                };
                if !fits(target) {
                    continue;
                }
                let near: Vec<&Cube> = obstacles.iter().copied().filter(|o| fits(o)).collect();
                for first in words.iter().filter(|w| holds(target, &k, Value::Text((*w).clone()))) {
                    let near: Vec<&Cube> =
                        near.iter().copied().filter(|o| holds(o, &k, Value::Text(first.clone()))).collect();
                    let free = |w: &&String| {
                        holds(target, &l, Value::Text((*w).clone()))
                            && !near.iter().any(|o| holds(o, &l, Value::Text((*w).clone())))
                    };
                    if words.iter().any(|w| free(&w)) {
                        return true;
                    }
                }
            }
        }
        false
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn finds_a_point_exactly_where_there_is_one(target in cube(), obstacles in proptest::collection::vec(cube(), 0..6)) {
            let Some(target) = target else { return Ok(()) };
            let obstacles: Vec<&Cube> = obstacles.iter().flatten().collect();
            match find_uncovered(&target, &obstacles, &mut budget()).unwrap() {
                Some(point) => {
                    prop_assert!(point.is_in(&target), "{:?}", point);
                    prop_assert!(!obstacles.iter().any(|o| point.is_in(o)), "{:?}", point);
                }
                None => prop_assert!(!exists(&target, &obstacles)),
            }
        }
    }

    #[test]
    fn a_union_of_many_overlapping_obstacles_is_decided() {
        // Two dimensions of "contains", none of which covers alone; together with their complements they do.
        let contains = |name: &str, n: usize| text(name, Form::leaf(Lang::Like(glob(&format!("*{n:02}*")))));
        let has = |name: &str| text(name, Form::leaf(Lang::Like(glob("*"))));
        let target = one_cube(has("k").and(has("l")).and(contains("k", 0))).unwrap();
        let stripes: Vec<Cube> = (0..16).filter_map(|n| one_cube(contains("k", n % 4).and(contains("l", n)))).collect();
        let obstacles: Vec<&Cube> = stripes.iter().collect();
        let point = find_uncovered(&target, &obstacles, &mut budget()).unwrap().unwrap();
        assert!(point.is_in(&target) && !obstacles.iter().any(|o| point.is_in(o)));
        let rest = one_cube(text("k", Form::eq("").negate())).unwrap();
        assert_eq!(find_uncovered(&target, &[obstacles.clone(), vec![&rest]].concat(), &mut budget()), Ok(None));
    }

    #[test]
    fn a_spent_budget_is_no_answer() {
        let target = one_cube(text("k", Form::leaf(Lang::Like(glob("*a*b*a*"))))).unwrap();
        let obstacle = one_cube(text("k", Form::leaf(Lang::Like(glob("*b*a*b*"))))).unwrap();
        let mut none = Budget::new(3, Instant::now() + Duration::from_secs(20));
        assert_eq!(find_uncovered(&target, &[&obstacle], &mut none), Err(Exhausted::States));
    }
}
