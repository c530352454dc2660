//! From Cedar's syntax tree to constraints. The only way into the prover: policies and ceilings, compiled and
//! hand-written, are read here and nowhere else.
//!
//! INVARIANT: no policy that gets here can fail to evaluate, so "does not hold" is the only other outcome. Policies
//! are strictly validated (optional attributes and tags are read behind `has` and `hasTag`), arithmetic, which could
//! overflow, is outside the fragment, and so are extension functions.

mod cube;
mod declared;
mod expr;
mod ints;
mod policy;
mod term;
#[cfg(test)]
mod tests;
mod vocabulary;

pub(crate) use cube::{ANCESTORS, Con, Cube, REPEATED_KEYS, Value, Var};
pub(crate) use ints::Ints;
pub(crate) use policy::{NotLowered, lower};
pub(crate) use vocabulary::{Env, Vocabulary};

/// What the exact engine does not model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported(pub(crate) String);

#[cfg(test)]
pub(crate) use cube::{Cond, cubes};
