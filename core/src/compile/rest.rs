//! Rules about what is on the wire: methods, paths and queries.

use cedar_policy::pst::{Effect, Expr};

use super::{Meant, conditions};
use crate::pattern::MethodPattern;
use crate::policy::{Access, RestRule};
use crate::schema::carried_by;

/// A preset. `operations`: whether the requests may be operations.
pub(super) fn access(access: Access, operations: bool) -> Meant {
    methods(access.actions(), operations)
}

/// A rule. `operations`: whether the requests may be operations.
pub(super) fn rule(rule: &RestRule, effect: Effect, operations: bool) -> Meant {
    let mut meant = match &rule.method {
        MethodPattern::Any => methods(Access::Full.actions(), operations),
        MethodPattern::Exact(method) => match method.action() {
            "GET" => methods(&["GET", "HEAD"], operations),
            "OTHER" => Meant {
                actions: conditions::actions(&["OTHER"]),
                conditions: vec![conditions::method(method.as_str())],
            },
            action => methods(&[action], operations),
        },
    };
    meant.conditions.extend(conditions::path(&rule.path));
    for (name, globs) in &rule.query {
        meant.conditions.push(match effect {
            Effect::Permit => conditions::query_is(name, globs),
            // A deny that a repeated key could slip past would be no deny.
            Effect::Forbid => conditions::query_may_be(name, globs),
        });
    }
    meant
}

/// The actions, and the operations that a request with such a method can be.
fn methods(actions: &[&str], operations: bool) -> Meant {
    if !operations {
        return Meant { actions: conditions::actions(actions), conditions: Vec::new() };
    }
    let carried: Vec<String> =
        actions.iter().filter(|action| **action != "OTHER").map(|method| carried_by(method)).collect();
    let all: Vec<&str> = actions.iter().copied().chain(carried.iter().map(String::as_str)).collect();
    // An operation may be carried by several methods; the rule is about these.
    let every = actions.len() == Access::Full.actions().len();
    let conditions: Vec<Expr> = if every { Vec::new() } else { vec![conditions::methods(actions)] };
    Meant { actions: conditions::actions(&all), conditions }
}
