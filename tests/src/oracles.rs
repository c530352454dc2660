//! What must hold, whatever comes in.
//!
//! [`reads`] is the rule language's meaning, written once more from its description and as plainly as possible. The
//! other functions take hostile input and panic where an invariant breaks.

#[cfg(feature = "prover")]
pub mod engines;
mod input;
mod reading;

pub use input::{authority, canonical, method, policy_text, proposal_json};
pub use reading::{
    binary_matches, host_matches, method_matches, path_matches, permits_opaque, query_matches, reads, reads_model,
};
