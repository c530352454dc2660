//! `--plugin FILE`, wherever policies are read.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use narrowgate_core::compile::Compiled;
use narrowgate_core::schema::Schema;
use narrowgate_plugins::{Illustration, PluginRef, Plugins};
use narrowgate_prover::{Ceiling, Content, Counterexample};

use crate::exit::Failure;

/// The plugins whose words policies and ceilings may use.
#[derive(Debug, Clone, Args)]
pub(crate) struct Given {
    /// A plugin (a WebAssembly component), as PATH, or PATH@sha256:HEX to pin it; repeatable
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<PluginRef>,
}

impl Given {
    /// What can be said with them. No WebAssembly is run for this.
    pub(crate) fn schema(&self) -> Result<Arc<Schema>, Failure> {
        Plugins::schema_of(&self.plugins).map_err(Failure::invalid)
    }

    /// The plugins, ready to be asked. What they compile to is kept in `cache`, if there is one.
    pub(crate) fn load(&self, cache: Option<&Path>) -> Result<Plugins, Failure> {
        Plugins::load(&self.plugins, cache).map_err(Failure::invalid)
    }

    /// A counterexample as a plugin would be asked for it, where it is about an operation that the plugin knows how to
    /// show, and Cedar confirms that request too.
    pub(crate) fn illustrated(
        &self,
        found: &Counterexample,
        candidate: &Compiled,
        ceiling: &Ceiling,
    ) -> Result<Option<Counterexample>, Failure> {
        if found.request.operation.meaning().is_none() {
            return Ok(None);
        }
        let shown = self.load(None)?.illustrate(&found.request);
        Ok(shown.and_then(|Illustration { request, headers, body }| {
            found.shown_as(request, Content { headers, body }, candidate, ceiling)
        }))
    }
}

/// The directory below `data` where compiled plugins are kept.
pub(crate) fn cache(data: &Path) -> std::path::PathBuf {
    data.join("plugin-cache")
}
