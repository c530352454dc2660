//! The plugins of one proxy.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use narrowgate_core::schema::{self, Schema, SchemaError};
use narrowgate_core::vocabulary::PluginName;
use narrowgate_plugins::Plugin;

/// Loaded plugins by name, and what policies can say with them.
///
/// INVARIANT: the schema is made of these plugins and no others, so that a bundle whose certificate names other digests
/// is refused, and every plugin that a policy in force names is here.
#[derive(Clone)]
pub struct Plugins {
    loaded: BTreeMap<PluginName, Plugin>,
    schema: Arc<Schema>,
}

impl Plugins {
    /// None: requests are what their methods and paths say.
    pub fn none() -> Plugins {
        Plugins { loaded: BTreeMap::new(), schema: Arc::clone(Schema::standard()) }
    }

    /// These.
    ///
    /// # Errors
    /// Two plugins of one name.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Result<Plugins, SchemaError> {
        let plugins: Vec<Plugin> = plugins.into_iter().collect();
        let known = plugins
            .iter()
            .map(|plugin| schema::Plugin { vocabulary: plugin.vocabulary().as_ref().clone(), digest: plugin.digest() });
        let schema = Schema::with(known)?;
        Ok(Plugins { loaded: plugins.into_iter().map(|plugin| (plugin.name().clone(), plugin)).collect(), schema })
    }

    /// What policies can speak about here.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The plugin of this name.
    pub fn get(&self, name: &PluginName) -> Option<&Plugin> {
        self.loaded.get(name)
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.loaded.iter().map(|(name, plugin)| (name.as_str(), plugin.digest()))).finish()
    }
}
