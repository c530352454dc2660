//! Regular languages over one string variable.
//!
//! Every condition that a policy can put on a string (a host, a path, a query value) is a boolean combination, a
//! [`Form`], of the [`Lang`]uages here. A `Form` is evaluated on a word directly, without an automaton; automata are
//! built only where the solver has to *find* a word.

mod chars;
mod kmp;
mod lang;
mod net;
mod nfa;
#[cfg(test)]
mod tests;
mod universe;

pub(crate) use chars::{Blocks, Required, Set};
pub(crate) use kmp::Kmp;
pub(crate) use lang::{Automaton, Elem, Form, Lang, Leaf, Segment};
pub(crate) use net::Net;
pub(crate) use nfa::Nfa;
pub(crate) use universe::{ABSENT, REPEATED, Universe};
