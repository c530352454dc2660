//! Whole policies, in each request environment that their scope admits.

use cedar_policy::pst::{
    self, ActionConstraint, Clause, Effect, EntityOrSlot, EntityType, PrincipalConstraint, ResourceConstraint, Template,
};
use smol_str::SmolStr;

use super::Unsupported;
use super::cube::{Cond, Cube, cubes};
use super::expr::condition;
use super::term::Term;
use super::vocabulary::{Env, View};
use crate::solve::{Bits, Budget, Exhausted};

/// A policy's cubes, with the environments in which it has these; environments without any are left out.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) id: SmolStr,
    pub(crate) permit: bool,
    pub(crate) cubes: Vec<(Bits, Vec<Cube>)>,
}

/// Why a policy was not lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotLowered {
    /// It is outside the fragment.
    Unsupported(Unsupported),
    /// The budget ran out.
    Exhausted(Exhausted),
}

impl From<Unsupported> for NotLowered {
    fn from(what: Unsupported) -> NotLowered {
        NotLowered::Unsupported(what)
    }
}

impl From<Exhausted> for NotLowered {
    fn from(what: Exhausted) -> NotLowered {
        NotLowered::Exhausted(what)
    }
}

/// More alternatives than this in one policy are not tried.
const MOST_CUBES: usize = 4096;

/// Lowers one policy for all `envs`.
pub(crate) fn lower(tree: &pst::Policy, envs: &[Env], budget: &mut Budget) -> Result<Lowered, NotLowered> {
    let pst::Policy::Static(tree) = tree else {
        return Err(Unsupported("a template-linked policy".to_owned()).into());
    };
    let body = tree.body();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (at, env) in envs.iter().enumerate() {
        if !in_scope(&body.action, env) {
            continue;
        }
        if let Some(group) = groups.iter_mut().find(|group| group.alike.iter().any(|other| other.is_like(env))) {
            group.envs.insert(at);
            continue;
        }
        let view = View::new(env);
        let cubes = body_cubes(body, &view, budget)?;
        let group = match groups.iter_mut().position(|group| group.cubes == cubes) {
            Some(same) => groups.get_mut(same),
            None => {
                budget.cubes(cubes.len())?;
                groups.push(Group { envs: Bits::none(envs.len()), alike: Vec::new(), cubes });
                groups.last_mut()
            }
        };
        if let Some(group) = group {
            group.envs.insert(at);
            if !view.depends_on_action() {
                group.alike.push(env);
            }
        }
    }
    let cubes = groups.into_iter().filter(|group| !group.cubes.is_empty()).map(|group| (group.envs, group.cubes));
    Ok(Lowered { id: body.id.0.clone(), permit: body.effect == Effect::Permit, cubes: cubes.collect() })
}

/// Environments in which a policy means the same.
struct Group<'a> {
    envs: Bits,
    /// Those of them whose action made no difference: what is like them means the same too.
    alike: Vec<&'a Env>,
    cubes: Vec<Cube>,
}

fn body_cubes(body: &Template, view: &View<'_>, budget: &mut Budget) -> Result<Vec<Cube>, NotLowered> {
    budget.work(1024)?;
    let mut all = principal(&body.principal, view)?.and(resource(&body.resource, view)?);
    for clause in body.clauses() {
        if all == Cond::Const(false) {
            break;
        }
        budget.work(1024)?;
        all = all.and(match clause {
            Clause::When(expr) => condition(expr, view)?,
            Clause::Unless(expr) => condition(expr, view)?.negate(),
        });
    }
    let Some(found) = cubes(all, MOST_CUBES) else {
        return Err(Unsupported(format!("more than {MOST_CUBES} combinations of alternatives")).into());
    };
    budget.work(found.len().saturating_mul(64))?;
    Ok(found)
}

fn in_scope(action: &ActionConstraint, env: &Env) -> bool {
    match action {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => env.action == uid.eid.as_str(),
        ActionConstraint::In(uids) => uids.iter().any(|uid| env.is_in(&uid.eid)),
    }
}

fn principal(constraint: &PrincipalConstraint, view: &View<'_>) -> Result<Cond, Unsupported> {
    match constraint {
        PrincipalConstraint::Any => Ok(Cond::Const(true)),
        PrincipalConstraint::Is(kind) => Ok(Cond::Const(is(kind, "Process"))),
        PrincipalConstraint::Eq(entity) => Term::Principal.equals(&constant(entity)?, view),
        PrincipalConstraint::In(entity) => within(&Term::Principal, entity, view),
        PrincipalConstraint::IsIn(kind, entity) => {
            Ok(Cond::Const(is(kind, "Process")).and(within(&Term::Principal, entity, view)?))
        }
    }
}

fn resource(constraint: &ResourceConstraint, view: &View<'_>) -> Result<Cond, Unsupported> {
    match constraint {
        ResourceConstraint::Any => Ok(Cond::Const(true)),
        ResourceConstraint::Is(kind) => Ok(Cond::Const(is(kind, "Endpoint"))),
        ResourceConstraint::Eq(entity) => Term::Resource.equals(&constant(entity)?, view),
        ResourceConstraint::In(entity) => within(&Term::Resource, entity, view),
        ResourceConstraint::IsIn(kind, entity) => {
            Ok(Cond::Const(is(kind, "Endpoint")).and(within(&Term::Resource, entity, view)?))
        }
    }
}

fn is(kind: &EntityType, name: &str) -> bool {
    kind.to_string() == name
}

fn constant(entity: &EntityOrSlot) -> Result<Term, Unsupported> {
    match entity {
        EntityOrSlot::Entity(uid) => Ok(Term::Entity(uid.clone())),
        EntityOrSlot::Slot(_) => Err(Unsupported("a template slot".to_owned())),
    }
}

fn within(term: &Term, entity: &EntityOrSlot, view: &View<'_>) -> Result<Cond, Unsupported> {
    match entity {
        EntityOrSlot::Entity(uid) => term.is_in(uid, view),
        EntityOrSlot::Slot(_) => Err(Unsupported("a template slot".to_owned())),
    }
}
