//! The gateway: proposals in, certificates out.
//!
//! A sandbox's proxy posts what its agent proposes. The gateway composes it with the policy in force, has the prover
//! decide whether the result is inside the organisation's ceiling, and refuses at once what is not. What is waits for
//! a person. An approval proves again, signs, and stores policy and certificate as the sandbox's next version, which
//! the proxy is waiting for on a long poll.
//!
//! The way through: `api` (who may call what) → `submit` or `review` (the states of a proposal) → `judge` (compose,
//! compile, prove) → `service` (sign) → `store` (SQLite) → `api` again, where `bundle` waits for versions.
//!
//! What must stay true:
//! - A version is made from a [`narrowgate_prover::Proven`] and from nothing else; a row holds policy and certificate
//!   together and never changes. The active policy is the highest version.
//! - An approval applies to exactly what the reviewer saw: the review token is a digest over the candidate, the policy
//!   it builds on, the ceiling and the schema.
//! - What comes into force after a new key is signed by it. The old secret is gone; its public half is trusted for the
//!   overlap, and no longer.
//! - Tokens are stored as hashes, no body is logged, and a sandbox learns nothing of the ceiling but counterexamples.
//! - After a change of the ceiling, nothing that it does not contain is served: the gateway does not start.
//!
//! The rejected alternative for an approval was to prove inside the database transaction: it is not safer than to
//! prove first and commit only if the version proven against is still in force, and it would hold the write lock for
//! as long as the prover takes.

mod api;
mod automatic;
mod clock;
mod config;
mod crowd;
mod data_dir;
mod drafts;
mod events;
mod failure;
mod gateway;
mod held;
mod judge;
mod key_ring;
mod openapi;
mod review;
mod room;
mod rotate;
mod serve;
mod service;
mod store;
mod submit;
mod token;
mod turns;
mod view;

pub use config::{Config, Mode};
pub use data_dir::DataDirError;
pub use gateway::{Gateway, GatewayError, StartError};
pub use openapi::openapi;
pub use store::StoreError;
