//! Plugins teach the system what a host's requests mean.
//!
//! A plugin is a WebAssembly component without imports: an untrusted labeller that turns a request into operations
//! such as `github::contents.write` on `{owner, repo, path}`. Its vocabulary is static data, from which the Cedar schema
//! is extended, so that the prover can quantify over everything a plugin may ever say without running it.

mod facts;
mod failure;
mod file;
mod host;
mod inflate;
mod pack;

use std::collections::BTreeMap;

use narrowgate_core::digest::Digest;

pub use facts::{Body, RequestFacts, Scheme};
pub use failure::{Cause, PluginFailure, RefusalKind};
pub use file::{FileError, MANIFEST_SECTION, MAX_COMPONENT, PluginFile, PluginRef, SUPPORTED_MAJORS};
pub use host::{CacheError, Classified, Compiled, ExampleRequest, Host, HostError, LoadError, Plugin, Suggestion};
pub use inflate::{InflateError, inflate};
pub use pack::{PackError, embed_manifest, pack};

/// The plugins that a proof assumes to label truthfully, by name, pinned by the digest of their WebAssembly.
pub type Pins = BTreeMap<String, Digest>;
