//! Is there a point of the target cube that no obstacle covers?
//!
//! Variables are independent, so the search never builds a product automaton over all of them. For each variable it
//! finds the ways in which a value can satisfy few obstacles ([`classes`]), and combines these. It looks at few
//! obstacles at a time: an uncovered point of the target with respect to some of them either escapes the others too,
//! and is the answer, or names an obstacle worth considering ([`find_uncovered`]). A ceiling of a thousand rules costs
//! a thousand evaluations of one point, and a search among the handful of rules that matter.

mod bits;
mod budget;
mod classes;
mod free;
mod guess;
mod hash;
mod search;
mod words;

pub(crate) use bits::Bits;
pub(crate) use budget::{Budget, Exhausted, MOST_CUBES};
pub(crate) use search::{Point, find_uncovered};
