//! Plugins teach the system what a host's requests mean.
//!
//! A plugin is a WebAssembly component without imports: an untrusted labeller that turns a request into operations
//! such as `github::contents.write` on `{owner, repo, path}`. Its vocabulary is static data, from which the Cedar schema
//! is extended, so that the prover can quantify over everything a plugin may ever say without running it.
//!
//! This crate will hold the wasmtime host, the bindings and the guest SDK. What stands here already is what the rest of
//! the system needs to name a plugin: which ones a policy and its certificate assume.

use std::collections::BTreeMap;

use narrowgate_core::digest::Digest;

/// The plugins that a proof assumes to label truthfully, by name, pinned by the digest of their WebAssembly.
pub type Pins = BTreeMap<String, Digest>;
