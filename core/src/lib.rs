//! The language of Narrowgate: what a request is, what a rule says, and which rule decides.
//!
//! Everything here is a pure function of its arguments: no clock, no socket, no file. The gateway, the prover and the
//! proxy share this crate so that there is one reading of every request and one artefact, a Cedar policy set, that is
//! both proven and enforced.
//!
//! The way through, in the order of a request's life:
//! - [`request`]: bytes become a canonical [`request::Request`], or an [`request::Ambiguity`];
//! - [`policy`]: YAML or JSON becomes a [`policy::Policy`], or errors with line and field;
//! - [`compile`]: a policy becomes Cedar, over the one schema in [`schema`];
//! - [`decide`]: a [`decide::Snapshot`] answers with a [`decide::Permit`] or a [`decide::Refusal`];
//! - [`denial`] says a refusal in words an agent can act on, [`proposal`] is the agent's answer to it;
//! - [`finding`] is what is noted about a rule that fits, for whoever decides on it: broader than its evidence, or a
//!   risk to a host with [`credentials`];
//! - [`certificate`] is what the proxy demands to see before it enforces anything, a [`dsse`] envelope by one of the
//!   gateway's [`keys`].
//!
//! The rejected alternative was to let the YAML be matched by hand-written code and to translate it to Cedar only for
//! the proof: two artefacts that agree until they do not. The price is an evaluation of Cedar per request, which the
//! index in [`decide`] keeps to the handful of policies that could match.

pub mod blocked;
pub mod cedar;
pub mod certificate;
pub mod compile;
pub mod credentials;
pub mod decide;
pub mod denial;
pub mod digest;
pub mod dsse;
pub mod events;
pub mod finding;
pub mod held;
pub mod keys;
pub mod locate;
pub mod pattern;
pub mod policy;
pub mod proposal;
pub mod request;
pub mod schema;
mod tree;
pub mod vocabulary;
pub mod wire;
