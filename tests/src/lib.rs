//! What the tests of the whole system share, and what fuzz targets use too.
//!
//! - [`model`]: a policy as plain strings, for generating and for reading;
//! - [`generators`]: random policies, ceilings and requests from a vocabulary small enough that they meet;
//! - `hard`: pairs of policies that are hard to prove, among them hand-written Cedar;
//! - [`oracles`]: what must hold for every input, and a direct reading of the rules to hold the real one against;
//! - [`sweep`]: the same question for millions of pairs, as bits;
//! - [`universe`]: every request that a pair of policies could tell apart, within that vocabulary;
//! - `system`: a real gateway, proxy and upstream on loopback.
//!
//! The oracles know the rule language from its description alone. They share no matcher, no parser and no compiler
//! with the crates they judge; where both are wrong in the same way, it is the description that is wrong.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "an oracle speaks by panicking"
)]

pub mod generators;
#[cfg(feature = "prover")]
pub mod hard;
pub mod model;
pub mod oracles;
pub mod sweep;
#[cfg(feature = "system")]
pub mod system;
pub mod universe;
