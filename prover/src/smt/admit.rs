//! What the SMT engine is not asked about, because its question would not be the one that Cedar's evaluator answers.

use cedar_policy::Policy;
use cedar_policy::pst::ResourceConstraint;
use cedar_policy::pst::{
    BinaryOp, Clause, EntityOrSlot, Expr, Literal, PatternElem, PrincipalConstraint, UnaryOp, Var,
};

/// The last character that SMT-LIB's strings have.
const LAST_CHARACTER: char = '\u{2ffff}';

/// Reads a policy; the answer is whether evaluating it may fail, as arithmetic does where it overflows.
///
/// # Errors
/// The construct, for a person.
pub(super) fn admit(policy: &Policy) -> Result<bool, String> {
    // `cedar-policy-symcc` passes over templates in silence.
    if !policy.is_static() {
        return Err("a template-linked policy".to_owned());
    }
    let tree = policy.to_pst().map_err(|e| format!("syntax: {e}"))?;
    let body = tree.body();
    match &body.principal {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => {}
        PrincipalConstraint::Eq(entity) | PrincipalConstraint::In(entity) | PrincipalConstraint::IsIn(_, entity) => {
            scope(entity)?;
        }
    }
    match &body.resource {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
        ResourceConstraint::Eq(entity) | ResourceConstraint::In(entity) | ResourceConstraint::IsIn(_, entity) => {
            scope(entity)?;
        }
    }
    let mut may_fail = false;
    for clause in body.clauses() {
        let (Clause::When(expr) | Clause::Unless(expr)) = clause;
        may_fail |= walk(expr)?;
    }
    Ok(may_fail)
}

fn scope(entity: &EntityOrSlot) -> Result<(), String> {
    match entity {
        EntityOrSlot::Entity(uid) => characters(&uid.eid),
        EntityOrSlot::Slot(_) => Err("a template slot".to_owned()),
    }
}

fn walk(expr: &Expr) -> Result<bool, String> {
    Ok(match expr {
        Expr::Literal(Literal::String(text)) => {
            characters(text)?;
            false
        }
        Expr::Literal(Literal::EntityUID(uid)) => {
            characters(&uid.eid)?;
            false
        }
        Expr::Literal(_) | Expr::Var(_) => false,
        Expr::UnaryOp { op, expr } => walk(expr)? | !matches!(op, UnaryOp::Not | UnaryOp::IsEmpty),
        Expr::BinaryOp { op, left, right } => {
            match op {
                BinaryOp::In => of_the_request(left, "in")?,
                BinaryOp::GetTag | BinaryOp::HasTag => of_the_request(left, "a tag")?,
                _ => {}
            }
            walk(left)? | walk(right)? | !cannot_fail(*op)
        }
        Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } => {
            of_the_request(expr, "an attribute")?;
            walk(expr)?
        }
        Expr::Like { expr, pattern } => {
            for element in pattern {
                if let PatternElem::Char(c) = element {
                    character(*c)?;
                }
            }
            walk(expr)?
        }
        Expr::Is { expr, in_expr, .. } => {
            if in_expr.is_some() {
                of_the_request(expr, "in")?;
            }
            walk(expr)? | in_expr.as_ref().map_or(Ok(false), |parent| walk(parent))?
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => walk(cond)? | walk(then_expr)? | walk(else_expr)?,
        Expr::Set(items) => any(items.iter().map(AsRef::as_ref))?,
        Expr::Record(fields) => any(fields.values().map(AsRef::as_ref))?,
        _ => return Err("an expression of a kind that the SMT engine does not know".to_owned()),
    })
}

fn any<'a>(parts: impl Iterator<Item = &'a Expr>) -> Result<bool, String> {
    // All of them, for each may be refused.
    parts.map(walk).try_fold(false, |any, one| Ok(any | one?))
}

/// On a policy that is strictly valid; tags are read behind `hasTag` there.
fn cannot_fail(op: BinaryOp) -> bool {
    use BinaryOp::*;
    matches!(
        op,
        Eq | NotEq
            | Less
            | LessEq
            | Greater
            | GreaterEq
            | And
            | Or
            | In
            | Contains
            | ContainsAll
            | ContainsAny
            | GetTag
            | HasTag
    )
}

/// The SMT engine supposes that every entity exists, with attributes and ancestors of some kind. When a request is
/// decided only its own do: of any other, an attribute fails and `in` is false.
fn of_the_request(expr: &Expr, what: &str) -> Result<(), String> {
    match expr {
        Expr::Var(Var::Principal | Var::Action | Var::Resource | Var::Context) => Ok(()),
        Expr::GetAttr { expr, .. } => of_the_request(expr, what),
        _ => Err(format!("{what} of something other than the request's principal, action, resource and context")),
    }
}

fn characters(text: &str) -> Result<(), String> {
    text.chars().try_for_each(character)
}

fn character(c: char) -> Result<(), String> {
    if c <= LAST_CHARACTER {
        return Ok(());
    }
    Err(format!("the character U+{:X}, which is beyond the last of SMT-LIB's strings, U+2FFFF", u32::from(c)))
}
