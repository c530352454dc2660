//! What plugins may say: their vocabularies, as static data.
//!
//! A [`Manifest`] is a vocabulary as it is written down; a [`Vocabulary`] is one that makes sense. From it the Cedar
//! schema is extended ([`crate::schema`]), so that a proof speaks of everything a plugin may ever say; and against it is
//! held what a plugin did say ([`Vocabulary::admit`]), so that nothing else is ever decided on. Nothing here runs one.

mod check;
mod manifest;
mod operation;

use std::collections::BTreeMap;
use std::fmt;

use smol_str::SmolStr;

pub use manifest::{
    ActionDeclaration, AttributeDeclaration, BodyNeed, DenialForm, Group, Kind, Manifest, ManifestError,
};
pub use operation::{
    Label, LabelValue, MAX_ATTRIBUTES, MAX_ELEMENTS, MAX_OPERATIONS, MAX_TEXT, Meaning, NotAdmitted, Value,
};

use crate::pattern::HostPattern;
use crate::request::{Host, Method};

/// A plugin's name: a lower-case identifier, which is the namespace of its actions and attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(SmolStr);

impl PluginName {
    /// Reads a name: `[a-z][a-z0-9_]*`, at most 32 characters, and none that the host or Cedar uses itself.
    ///
    /// # Errors
    /// What is wrong with the name, quoting it.
    pub fn parse(text: &str) -> Result<PluginName, String> {
        if !check::is_identifier(text) || text.len() > 32 {
            return Err(format!("the name {text:?} is not 1 to 32 of a-z, 0-9 and '_', with a letter first"));
        }
        if check::RESERVED_NAMES.contains(&text) || check::CEDAR_WORDS.contains(&text) {
            return Err(format!("the name {text:?} is taken: it means something else in policies"));
        }
        Ok(PluginName(SmolStr::new(text)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a plugin may say, and of which requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    name: PluginName,
    manifest: Manifest,
    hosts: Vec<HostPattern>,
    actions: BTreeMap<SmolStr, Action>,
}

/// An action that a plugin may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// With the plugin's name in front: `github::contents.write`.
    pub id: SmolStr,
    /// What it does, at the coarsest.
    pub group: Group,
    /// The methods that can carry it; `HEAD` wherever `GET` is.
    pub methods: Vec<&'static str>,
    /// By name: what each holds, and whether it is always there.
    pub attributes: BTreeMap<SmolStr, Attribute>,
}

/// An attribute of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// What it holds.
    pub kind: Kind,
    /// Whether an operation may come without it.
    pub optional: bool,
}

impl Vocabulary {
    /// Its name.
    pub fn name(&self) -> &PluginName {
        &self.name
    }

    /// As it is written down.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The hosts it speaks for; empty for every host that a policy gives its protocol.
    pub fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    /// Whether it speaks for this host.
    pub fn is_for(&self, host: &Host) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host))
    }

    /// How many bytes of a body it wants to see of a request with this method; `None` for no body at all. `GET` stands
    /// for `HEAD` too.
    pub fn body_limit(&self, method: &Method) -> Option<usize> {
        let need = self.manifest.body.as_ref()?;
        let method = method.as_str();
        let wanted = |wanted: &String| wanted == method || (method == "HEAD" && wanted == "GET");
        need.methods.iter().any(wanted).then_some(need.limit as usize)
    }

    /// Its actions, by their names without the plugin's.
    pub fn actions(&self) -> &BTreeMap<SmolStr, Action> {
        &self.actions
    }

    /// The action of this id, which has the plugin's name in front.
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.get(id.strip_prefix(self.name.as_str())?.strip_prefix("::")?)
    }
}

impl TryFrom<Manifest> for Vocabulary {
    type Error = ManifestError;

    fn try_from(manifest: Manifest) -> Result<Vocabulary, ManifestError> {
        check::vocabulary(manifest)
    }
}
