//! The sandbox's only way out: accepts, identifies, canonicalises, decides, forwards and audits.
//!
//! [`Proxy::start`] binds a listener, loads a proven policy from the gateway and answers three kinds of client requests:
//! `CONNECT`, SOCKS5, and plain HTTP in absolute form. What a policy treats as opaque is relayed; everything else is
//! terminated (TLS with the sandbox's own authority) and decided request by request. `http://policy.local` is answered
//! here and never forwarded: it is where an agent reads why it was denied and proposes a rule.
//!
//! [`Proxy::start_within`] does the same behind [`Doors`], listeners that were opened inside a sandbox's own network
//! namespace: there, connections that never heard of a proxy are captured, and names are answered too.
//!
//! What must stay true:
//! - An upstream is dialled only with a [`Permit`](narrowgate_core::decide::Permit), and only after the audit line that
//!   says so is written. A log that cannot be written denies.
//! - What is forwarded is the canonical form that was decided, never the client's bytes.
//! - Only a policy with a certificate of a pinned gateway key, for this sandbox, newer than the last, is enforced. With
//!   none, everything is denied.
//! - A grant is needed for as long as it is used: tunnels and streams are re-decided when the policy changes, and end
//!   when it no longer allows them.
//! - No query string, header, body or token reaches a log, an error or a denial.
//!
//! The rejected alternative was a proxy that asks the gateway for each decision: it would have one policy less to keep
//! in step, and would stop the sandbox, or open it, whenever the gateway is away.

mod active;
pub mod audit;
mod body;
mod bundle;
pub mod ca;
mod classify;
mod config;
mod connect;
mod denials;
mod dial;
mod doors;
mod exchange;
mod files;
mod forward;
mod gateway_client;
mod gateway_events;
mod grant;
pub mod held;
mod identity;
mod policy_local;
mod proxy;
mod reading;
mod resolve;
mod respond;
mod server;
mod shared;
mod stream;
mod strict;
mod tls;
mod trust;
mod tunnel;
mod upload;

#[cfg(test)]
mod tests;

pub use bundle::BundleError;
pub use config::Config;
pub use dial::{ResolveEntry, ResolveEntryError};
pub use doors::Doors;
pub use gateway_client::{ClientError, GatewayClient};
pub use gateway_events::{EventStream, GatewayEvent};
pub use proxy::{Proxy, StartError};
pub use trust::KeysError;
