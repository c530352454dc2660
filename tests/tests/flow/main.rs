//! The whole system, a file per arrow: deny → propose → prove → approve → publish → reload → enforce.
//!
//! Everything is real: `curl` and a client of bytes in the sandbox, the proxy, the gateway with its database, the
//! prover, an HTTPS upstream that remembers what reached it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod approve;
mod auto;
mod crash;
mod deny;
mod drafts;
mod git;
mod github;
mod held;
mod held_doors;
mod identity;
mod input;
mod mcp;
mod propose;
mod reload;
mod restart;
mod rotate;
mod secrets;
mod tls;
