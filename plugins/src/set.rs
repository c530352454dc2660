//! The plugins of one process, and the schema that they make.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narrowgate_core::request::{Operation, Request};
use narrowgate_core::schema::{self, Schema, SchemaError};
use narrowgate_core::vocabulary::{Meaning, PluginName};

use crate::{Body, FileError, Host, HostError, LoadError, Plugin, PluginFile, PluginRef, RequestFacts};

/// Plugins that are ready to be asked, and what policies can say with them. Nothing else makes a schema of plugins: what is
/// proven and what is enforced speak of the very components that are loaded.
#[derive(Debug, Clone)]
pub struct Plugins {
    schema: Arc<Schema>,
    loaded: Arc<BTreeMap<PluginName, Plugin>>,
}

/// Why plugins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginsError {
    /// One of the files.
    #[error("{}: {problem}", path.display())]
    File {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        problem: FileError,
    },
    /// One of the components.
    #[error("{}: {problem}", path.display())]
    Load {
        /// As it was given.
        path: PathBuf,
        /// What is wrong with it.
        problem: LoadError,
    },
    /// No plugin can be run at all.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Plugins that cannot be together.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl Plugins {
    /// No plugins.
    pub fn none() -> Plugins {
        Plugins { schema: Arc::clone(Schema::standard()), loaded: Arc::default() }
    }

    /// Reads, checks and compiles plugins. What was compiled is kept in `cache`, if one is given.
    ///
    /// # Errors
    /// The first that is wrong, with its path.
    pub fn load(refs: &[PluginRef], cache: Option<&Path>) -> Result<Plugins, PluginsError> {
        if refs.is_empty() {
            return Ok(Plugins::none());
        }
        let host = match cache {
            Some(directory) => Host::with_cache(directory)?,
            None => Host::new()?,
        };
        let (mut loaded, mut known) = (BTreeMap::new(), Vec::new());
        for (path, file) in read_all(refs)? {
            let plugin = host.load(&file).map_err(|problem| PluginsError::Load { path, problem })?;
            known.push(described(&file));
            loaded.insert(plugin.name().clone(), plugin);
        }
        Ok(Plugins { schema: Schema::with(known)?, loaded: Arc::new(loaded) })
    }

    /// The schema that these plugins make, read from their files without running any.
    ///
    /// # Errors
    /// The first that is wrong, with its path.
    pub fn schema_of(refs: &[PluginRef]) -> Result<Arc<Schema>, PluginsError> {
        let files = read_all(refs)?;
        Ok(Schema::with(files.iter().map(|(_, file)| described(file)))?)
    }

    /// What policies can say with them.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The plugin of this name.
    pub fn get(&self, name: &PluginName) -> Option<&Plugin> {
        self.loaded.get(name)
    }

    /// A request that a person recognises, in place of one that only says what it means: the same operation of the same
    /// process at the same host, as the plugin would be asked for it, which it then reads so itself. `None` where the
    /// plugin knows none. Call it on a thread that may wait.
    pub fn illustrate(&self, request: &Request) -> Option<Illustration> {
        let meaning = request.operation.meaning()?;
        let (_, plugin) = self.loaded.iter().find(|(name, _)| name.as_str() == meaning.plugin())?;
        let example = plugin.example(&meaning.label())?;
        let facts = RequestFacts {
            method: &example.method,
            scheme: example.scheme,
            host: &request.host,
            port: request.port,
            target: &example.target,
            headers: example.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
            body: example.body.clone(),
        };
        // At this host, and nothing but this.
        let [read] = <[Meaning; 1]>::try_from(plugin.classify(&facts).ok()?).ok()?;
        let meaning = (read == *meaning).then(|| Arc::new(read))?;
        let operation = Operation::Http { method: example.method, target: example.target, meaning: Some(meaning) };
        let body = match example.body {
            Body::Absent => None,
            Body::Complete(bytes) => Some(bytes.to_vec()),
            Body::Truncated(_) => return None,
        };
        Some(Illustration { request: Request { operation, ..request.clone() }, headers: example.headers, body })
    }
}

/// A request as it would be sent.
#[derive(Debug, Clone)]
pub struct Illustration {
    /// What is decided on.
    pub request: Request,
    /// Headers that it needs.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<Vec<u8>>,
}

fn read_all(refs: &[PluginRef]) -> Result<Vec<(PathBuf, PluginFile)>, PluginsError> {
    let read = |given: &PluginRef| {
        let path = given.path.clone();
        match given.read() {
            Ok(file) => Ok((path, file)),
            Err(problem) => Err(PluginsError::File { path, problem }),
        }
    };
    refs.iter().map(read).collect()
}

fn described(file: &PluginFile) -> schema::Plugin {
    schema::Plugin { vocabulary: file.vocabulary().as_ref().clone(), digest: file.digest() }
}
