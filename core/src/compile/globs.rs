//! The patterns with `?` that policies name.
//!
//! Cedar's `like` cannot say "exactly one character". Such a rule asks whether the path is in the pattern of that
//! name, `context.path_globs.contains("/a?c")`, and whoever builds a request answers for every pattern that occurs.

use std::collections::BTreeMap;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, Policy, Var};

use crate::pattern::{BinaryPattern, PathPattern};

/// Patterns by their text, over request paths and over executables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globs {
    paths: BTreeMap<String, PathPattern>,
    binaries: BTreeMap<String, BinaryPattern>,
    segments: bool,
}

impl Globs {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.binaries.is_empty()
    }

    /// What either names.
    pub fn union(&self, other: &Globs) -> Globs {
        let mut both = self.clone();
        both.paths.extend(other.paths.clone());
        both.binaries.extend(other.binaries.clone());
        both.segments |= other.segments;
        both
    }

    /// The patterns over request paths.
    pub fn paths(&self) -> impl Iterator<Item = &PathPattern> {
        self.paths.values()
    }

    /// The patterns over executables' paths.
    pub fn binaries(&self) -> impl Iterator<Item = &BinaryPattern> {
        self.binaries.values()
    }

    /// Whether a policy addresses segments by position.
    pub(crate) fn segments(&self) -> bool {
        self.segments
    }

    /// Finds them; an error is the policy's id and what is wrong with it.
    pub(super) fn of(trees: &[Policy]) -> Result<Globs, (String, String)> {
        let mut globs = Globs::default();
        for tree in trees {
            for clause in tree.body().clauses() {
                let (Clause::When(expr) | Clause::Unless(expr)) = clause;
                globs.collect(expr).map_err(|message| (tree.body().id.0.to_string(), message))?;
            }
        }
        Ok(globs)
    }

    fn collect(&mut self, expr: &Expr) -> Result<(), String> {
        if let Expr::BinaryOp { op: BinaryOp::Contains, left, right } = expr
            && let Some(owner) = globs_of(left)
        {
            let Expr::Literal(Literal::String(text)) = right.as_ref() else {
                return Err("path_globs.contains(…) takes a pattern in quotes".to_owned());
            };
            if owner == Var::Principal {
                let pattern = BinaryPattern::parse(text).map_err(|e| e.to_string())?;
                self.binaries.insert(text.to_string(), pattern);
            } else {
                let pattern = PathPattern::parse(text).map_err(|e| e.to_string())?;
                self.paths.insert(text.to_string(), pattern);
            }
            return Ok(());
        }
        if globs_of(expr).is_some() {
            return Err("path_globs can only be asked .contains(\"a pattern\")".to_owned());
        }
        self.segments |= match expr {
            Expr::GetAttr { attr, .. } => attr == "segments",
            Expr::HasAttr { attrs, .. } => attrs.iter().any(|attr| attr == "segments"),
            _ => false,
        };
        children(expr)?.into_iter().try_for_each(|child| self.collect(child))
    }
}

fn globs_of(expr: &Expr) -> Option<Var> {
    match expr {
        Expr::GetAttr { expr, attr } if attr == "path_globs" => match expr.as_ref() {
            Expr::Var(var @ (Var::Principal | Var::Context)) => Some(var.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn children(expr: &Expr) -> Result<Vec<&Expr>, String> {
    Ok(match expr {
        Expr::Literal(_) | Expr::Var(_) => Vec::new(),
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. }
        | Expr::Is { expr, in_expr: None, .. } => vec![expr],
        Expr::Is { expr, in_expr: Some(parent), .. } => vec![expr, parent],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(items) => items.iter().map(AsRef::as_ref).collect(),
        Expr::Record(fields) => fields.values().map(AsRef::as_ref).collect(),
        _ => return Err("uses a construct that this version does not know".to_owned()),
    })
}
