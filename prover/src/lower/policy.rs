//! Whole policies, in each request environment that their scope admits.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::pst::{
    self, ActionConstraint, Clause, Effect, EntityOrSlot, EntityType, PrincipalConstraint, ResourceConstraint,
};
use cedar_policy::{EntityUid, Policy, Schema};

use super::Unsupported;
use super::cube::{Cond, Cube, cubes};
use super::expr::condition;
use super::term::Term;
use crate::solve::{Budget, Exhausted};

/// One way in which the schema lets a request look: its action. Principal and resource have one type each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Env {
    /// The action's id.
    pub(crate) action: String,
    /// The groups it is in.
    groups: BTreeSet<String>,
    /// Whether the context is an HTTP request's.
    pub(crate) http: bool,
}

impl Env {
    /// Whether the action is, or is in, `id`.
    pub(crate) fn is_in(&self, id: &str) -> bool {
        self.action == id || self.groups.contains(id)
    }
}

/// The request environments of `schema`, or the first that is of a kind unknown here.
pub(crate) fn environments(schema: &Schema) -> Result<Vec<Env>, Unsupported> {
    let hierarchy = schema.action_entities().map_err(|e| Unsupported(format!("the schema's actions: {e}")))?;
    let mut out: Vec<Env> = Vec::new();
    for env in schema.request_envs() {
        let (principal, resource) = (env.principal().to_string(), env.resource().to_string());
        let action: &str = env.action().id().unescaped();
        let http = match action {
            "connect" => false,
            "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" | "PATCH" | "DELETE" | "OTHER" => true,
            _ => return Err(Unsupported(format!("action {action:?}"))),
        };
        if principal != "Process" || resource != "Endpoint" {
            return Err(Unsupported(format!("{principal} asking {action:?} of {resource}")));
        }
        let groups = hierarchy.ancestors(env.action()).into_iter().flatten();
        let groups = groups.map(|uid: &EntityUid| uid.id().unescaped().to_owned()).collect();
        out.push(Env { action: action.to_owned(), groups, http });
    }
    out.sort_by_key(|env| order(&env.action));
    Ok(out)
}

/// Requests that a person recognises first, so that theirs is the counterexample.
fn order(action: &str) -> usize {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "OTHER", "connect"];
    known.iter().position(|a| *a == action).unwrap_or(known.len())
}

/// A policy's cubes in each environment; environments without any are left out.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) id: String,
    pub(crate) permit: bool,
    /// By index into the environments.
    pub(crate) by_env: Vec<(usize, Arc<[Cube]>)>,
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
pub(crate) fn lower(policy: &Policy, envs: &[Env], budget: &mut Budget) -> Result<Lowered, NotLowered> {
    let tree = policy.to_pst().map_err(|e| Unsupported(format!("syntax: {e}")))?;
    let pst::Policy::Static(tree) = &tree else {
        return Err(Unsupported("a template-linked policy".to_owned()).into());
    };
    let body = tree.body();
    let mut by_env: Vec<(usize, Arc<[Cube]>)> = Vec::new();
    for (at, env) in envs.iter().enumerate() {
        if !in_scope(&body.action, env) {
            continue;
        }
        budget.work(1024)?;
        let mut all = principal(&body.principal, env)?.and(resource(&body.resource, env)?);
        for clause in body.clauses() {
            if all == Cond::Const(false) {
                break;
            }
            budget.work(1024)?;
            all = all.and(match clause {
                Clause::When(expr) => condition(expr, env)?,
                Clause::Unless(expr) => condition(expr, env)?.negate(),
            });
        }
        let Some(found) = cubes(all, MOST_CUBES) else {
            return Err(Unsupported(format!("more than {MOST_CUBES} combinations of alternatives")).into());
        };
        budget.work(found.len().saturating_mul(64))?;
        if found.is_empty() {
            continue;
        }
        // Most policies mean the same for every method: keep one copy.
        match by_env.iter().find(|(_, earlier)| **earlier == *found) {
            Some((_, earlier)) => by_env.push((at, Arc::clone(earlier))),
            None => {
                budget.cubes(found.len())?;
                by_env.push((at, found.into()));
            }
        }
    }
    Ok(Lowered { id: policy.id().to_string(), permit: body.effect == Effect::Permit, by_env })
}

fn in_scope(action: &ActionConstraint, env: &Env) -> bool {
    match action {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => env.action == uid.eid.as_str(),
        ActionConstraint::In(uids) => uids.iter().any(|uid| env.is_in(&uid.eid)),
    }
}

fn principal(constraint: &PrincipalConstraint, env: &Env) -> Result<Cond, Unsupported> {
    match constraint {
        PrincipalConstraint::Any => Ok(Cond::Const(true)),
        PrincipalConstraint::Is(kind) => Ok(Cond::Const(is(kind, "Process"))),
        PrincipalConstraint::Eq(entity) => Term::Principal.equals(&constant(entity)?, env),
        PrincipalConstraint::In(entity) => within(&Term::Principal, entity, env),
        PrincipalConstraint::IsIn(kind, entity) => {
            Ok(Cond::Const(is(kind, "Process")).and(within(&Term::Principal, entity, env)?))
        }
    }
}

fn resource(constraint: &ResourceConstraint, env: &Env) -> Result<Cond, Unsupported> {
    match constraint {
        ResourceConstraint::Any => Ok(Cond::Const(true)),
        ResourceConstraint::Is(kind) => Ok(Cond::Const(is(kind, "Endpoint"))),
        ResourceConstraint::Eq(entity) => Term::Resource.equals(&constant(entity)?, env),
        ResourceConstraint::In(entity) => within(&Term::Resource, entity, env),
        ResourceConstraint::IsIn(kind, entity) => {
            Ok(Cond::Const(is(kind, "Endpoint")).and(within(&Term::Resource, entity, env)?))
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

fn within(term: &Term, entity: &EntityOrSlot, env: &Env) -> Result<Cond, Unsupported> {
    match entity {
        EntityOrSlot::Entity(uid) => term.is_in(uid, env),
        EntityOrSlot::Slot(_) => Err(Unsupported("a template slot".to_owned())),
    }
}
