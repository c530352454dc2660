//! The WebAssembly host: loads plugins and asks them what requests mean.

mod advice;
mod cache;
mod engine;
mod load;
mod plugin;
mod run;
mod v1;
mod workers;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use wasmtime::Engine;

pub use advice::{ExampleRequest, Suggestion};
pub use cache::CacheError;
pub use load::{Compiled, LoadError};
pub use plugin::{Classified, Plugin};

use cache::Cache;
use workers::Workers;

/// Where plugins are compiled and run. Cheap to clone; its threads end with the last clone and the last plugin.
#[derive(Clone)]
pub struct Host {
    engine: Engine,
    cache: Option<Arc<Cache>>,
    workers: Arc<Workers>,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The machine lacks what the engine needs; addresses, most likely.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The cache's directory is not as it must be.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A thread cannot be started.
    #[error("no thread can be started: {0}")]
    Threads(#[from] std::io::Error),
}

impl Host {
    /// A host that compiles every plugin anew.
    ///
    /// # Errors
    /// What the machine refuses: 256 GiB of addresses, or threads.
    pub fn new() -> Result<Host, HostError> {
        Host::start(None)
    }

    /// A host that keeps what it compiled in `directory`, which it makes if it is not there.
    ///
    /// # Errors
    /// As [`Host::new`]; a directory that is a symbolic link, another user's, or open to others.
    pub fn with_cache(directory: &Path) -> Result<Host, HostError> {
        Host::start(Some(Arc::new(Cache::open(directory)?)))
    }

    fn start(cache: Option<Arc<Cache>>) -> Result<Host, HostError> {
        let store = cache.clone().map(|cache| cache as Arc<dyn wasmtime::CacheStore>);
        let engine = engine::engine(store).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        Ok(Host { engine, cache, workers: Arc::new(Workers::start()?) })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}
