//! Plugins teach the system what a host's requests mean.
//!
//! A plugin is a WebAssembly component without imports: an untrusted labeller that turns a request into operations
//! such as `github::contents.write` on `{owner, repo, path}`. Its vocabulary is static data, from which the Cedar schema
//! is extended, so that the prover can quantify over everything a plugin may ever say without running it.
//!
//! The way of a plugin, from its author to a decision:
//! - [`pack`] makes a compiled module a component, [`embed_manifest`] puts what `describe` says into it, and [`cases`]
//!   runs its author's tests;
//! - [`PluginFile`] is a component read without running it. One file and one SHA-256 pin code and vocabulary, and this is
//!   all that proofs need;
//! - [`Host::load`] compiles it and refuses it where `describe` says something else than the manifest;
//! - [`Plugin::classify`] asks what a request means. Whatever is not one answer that the vocabulary admits
//!   ([`narrowgate_core::vocabulary::Vocabulary::admit`]) is a [`PluginFailure`], and that is a denial. A plugin can label,
//!   never allow.
//!
//! # What holds a plugin
//!
//! - **A fresh instance for every request.** Nothing that one request leaves behind, in memory or in globals, meets the
//!   next one: an answer is a function of the request, which is why a case can be compared, and why an answer that was
//!   given up on may be asked for again elsewhere. The rejected alternative, instances that are reused or reset by the
//!   guest, would save little (a pooled instance costs a few microseconds) and would have to trust the guest to forget.
//! - **Fuel decides.** Five million units, and 500 for each byte of body: counted by the compiled code, so that a request is
//!   denied on every machine or on none. The **epoch** (10 ms ticks, 200 ms) is only the backstop where the units allowed
//!   for a large body would take too long; a timer alone would make a decision depend on the machine's load.
//! - **Memory** is 16 MiB, or 64 MiB where a component starts with more than 8 MiB: it carries an interpreter then.
//! - **What is copied out** is 256 KiB. None of the other limits holds here: a list of a hundred thousand strings that all
//!   point to the same megabyte costs the guest nothing and the host everything.
//! - **No import, no clock, no randomness**: threads and relaxed SIMD are off, and NaNs are canonical. The component's own
//!   imports are read from the file, and the linker that instances are made with is empty.
//! - **The compiler is code that an author's bytes reach**, too: it runs on a thread whose panic, stack and patience end
//!   there, after the size of functions has been looked at. How much memory it takes is not bounded otherwise.
//!
//! # Who waits
//!
//! A call takes some 10 µs, so [`Plugin::classify_async`] makes it on the caller's thread, with the fuel for some tens of
//! microseconds. What needs more, or has a large body, is asked by a few threads of lower priority: plugins take turns
//! there, none gets all of them, and what has waited for 200 ms is denied. A plugin that often is too slow is no longer
//! asked on the caller's thread. Giving every call to such threads would be simpler and would double what a call costs;
//! suspending instances (wasmtime's async support) needs a stack for each.
//!
//! ```
//! use narrowgate_plugins::PluginRef;
//!
//! let named: PluginRef = "plugins/github.wasm".parse()?;
//! assert!(named.pin.is_none());
//! assert!("plugins/github.wasm@sha256:12".parse::<PluginRef>().is_err());
//! # Ok::<(), String>(())
//! ```

pub mod cases;
mod facts;
mod failure;
mod file;
mod host;
mod inflate;
mod pack;
mod set;

use std::collections::BTreeMap;

use narrowgate_core::digest::Digest;

pub use facts::{Body, RequestFacts, Scheme};
pub use failure::{Cause, PluginFailure, RefusalKind};
pub use file::{FileError, MANIFEST_SECTION, MAX_COMPONENT, PluginFile, PluginRef, SUPPORTED_MAJORS};
pub use host::{CacheError, Classified, Compiled, ExampleRequest, Host, HostError, LoadError, Plugin, Suggestion};
pub use inflate::{InflateError, inflate};
pub use pack::{PackError, embed_manifest, enclose, pack};
pub use set::{Illustration, Plugins, PluginsError};

/// The plugins that a proof assumes to label truthfully, by name, pinned by the digest of their WebAssembly.
pub type Pins = BTreeMap<String, Digest>;
