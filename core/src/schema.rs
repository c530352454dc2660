//! What policies and ceilings can speak about: the Cedar schema, and what plugins add to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use cedar_policy::{Entity, EntityUid, Validator};
use smol_str::SmolStr;

use crate::digest::Digest;
use crate::request::KNOWN_METHODS;
use crate::vocabulary::{Action, Attribute, Group, Kind, PluginName, Vocabulary};

/// The text of the schema without plugins, `schemas/cedar/narrowgate.cedarschema`.
pub const TEXT: &str = include_str!("../../schemas/cedar/narrowgate.cedarschema");

/// Every action that a request is where no plugin speaks, as opposed to the groups that actions are in.
pub fn actions() -> impl Iterator<Item = &'static str> {
    ["connect"].into_iter().chain(KNOWN_METHODS).chain(["OTHER"])
}

/// The group of the operations that a method can carry, as Cedar names it.
pub fn carried_by(method: &str) -> String {
    format!("operation:{method}")
}

/// The group of a plugin's actions that do no more than `group` says, as Cedar names it.
pub fn group_of(plugin: &PluginName, group: Group) -> String {
    format!("{plugin}:{}", group.as_str())
}

/// A plugin as far as policies and proofs know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// What it may say.
    pub vocabulary: Vocabulary,
    /// Of its WebAssembly, vocabulary included.
    pub digest: Digest,
}

/// What policies and ceilings can speak about.
#[derive(Debug)]
pub struct Schema {
    text: String,
    /// Holds the schema as Cedar takes it.
    validator: Validator,
    digest: Digest,
    plugins: BTreeMap<PluginName, Plugin>,
    /// Each action that a request can be, with the groups that the schema puts it in.
    actions: HashMap<SmolStr, (Entity, BTreeSet<SmolStr>)>,
}

/// Why there is no schema of these plugins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two plugins of one name.
    #[error("two plugins are named {0}; leave one out")]
    Twice(PluginName),
    /// A defect here: what is generated is not a schema.
    #[error("the schema of these plugins does not parse: {0}")]
    Generated(String),
}

impl Schema {
    /// The schema without plugins.
    #[expect(clippy::expect_used, reason = "the text is part of the program and a test parses it")]
    pub fn standard() -> &'static Arc<Schema> {
        static STANDARD: LazyLock<Arc<Schema>> =
            LazyLock::new(|| Arc::new(Schema::parse(TEXT.to_owned(), BTreeMap::new()).expect("the schema parses")));
        &STANDARD
    }

    /// The schema with what these plugins may say.
    ///
    /// # Errors
    /// Two plugins of one name.
    pub fn with(plugins: impl IntoIterator<Item = Plugin>) -> Result<Arc<Schema>, SchemaError> {
        let mut by_name: BTreeMap<PluginName, Plugin> = BTreeMap::new();
        for plugin in plugins {
            let name = plugin.vocabulary.name().clone();
            if by_name.insert(name.clone(), plugin).is_some() {
                return Err(SchemaError::Twice(name));
            }
        }
        if by_name.is_empty() {
            return Ok(Arc::clone(Schema::standard()));
        }
        let text = extended(by_name.values().map(|plugin| &plugin.vocabulary));
        Ok(Arc::new(Schema::parse(text, by_name)?))
    }

    fn parse(text: String, plugins: BTreeMap<PluginName, Plugin>) -> Result<Schema, SchemaError> {
        let generated = |error: &dyn std::fmt::Display| SchemaError::Generated(error.to_string());
        let (cedar, _) = cedar_policy::Schema::from_cedarschema_str(&text).map_err(|error| generated(&error))?;
        let hierarchy = cedar.action_entities().map_err(|error| generated(&error))?;
        let id_of = |uid: &EntityUid| SmolStr::new(uid.id().unescaped());
        let with_groups = |uid: &EntityUid| {
            let groups = hierarchy.ancestors(uid)?.map(id_of).collect();
            Some((id_of(uid), (hierarchy.get(uid)?.clone(), groups)))
        };
        let actions = cedar.actions().filter_map(with_groups).collect();
        let validator = Validator::new(cedar);
        Ok(Schema { digest: Digest::of(text.as_bytes()), text, validator, plugins, actions })
    }

    /// The schema in Cedar's own syntax.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The schema as Cedar takes it.
    pub fn cedar(&self) -> &cedar_policy::Schema {
        self.validator.schema()
    }

    /// What holds policies against it. Making one copies the schema, which with hundreds of actions takes longer than to
    /// validate a policy.
    pub(crate) fn validator(&self) -> &Validator {
        &self.validator
    }

    /// The digest of [`Schema::text`], which certificates carry.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The plugins, by name.
    pub fn plugins(&self) -> &BTreeMap<PluginName, Plugin> {
        &self.plugins
    }

    /// The digests of the plugins that a proof over this schema assumes, by name.
    pub fn pins(&self) -> BTreeMap<String, Digest> {
        self.plugins.iter().map(|(name, plugin)| (name.to_string(), plugin.digest)).collect()
    }

    /// The vocabulary of this name.
    pub fn vocabulary(&self, name: &str) -> Option<&Vocabulary> {
        self.plugins.values().map(|plugin| &plugin.vocabulary).find(|vocabulary| vocabulary.name().as_str() == name)
    }

    /// The action of this id that a plugin declares, and its plugin.
    pub fn operation(&self, id: &str) -> Option<(&Vocabulary, &Action)> {
        let vocabulary = self.vocabulary(id.split_once("::")?.0)?;
        Some((vocabulary, vocabulary.action(id)?))
    }

    /// Every action that a request can be: without a plugin, and then each plugin's.
    pub fn requests(&self) -> impl Iterator<Item = &str> {
        let operations = self.plugins.values().flat_map(|plugin| plugin.vocabulary.actions().values());
        let standard: Vec<&str> = actions().collect();
        standard.into_iter().chain(operations.map(|action| action.id.as_str()))
    }

    /// Whether the action is `of` or in it.
    pub fn is_in(&self, action: &str, of: &str) -> bool {
        action == of || self.actions.get(action).is_some_and(|(_, groups)| groups.contains(of))
    }

    /// An action with its groups, as Cedar takes it.
    pub(crate) fn entity(&self, action: &str) -> Option<&Entity> {
        self.actions.get(action).map(|(entity, _)| entity)
    }
}

/// The schema and, in the same syntax, what plugins declare.
fn extended<'a>(vocabularies: impl Iterator<Item = &'a Vocabulary>) -> String {
    let mut out = TEXT.to_owned();
    out.push_str(
        "\n// What plugins say of requests.\n\n// Texts by names of the request's own.\nentity Fields tags String;\n\n",
    );
    let groups: Vec<String> = KNOWN_METHODS.iter().map(|method| format!("{:?}", carried_by(method))).collect();
    out.push_str("// What a method carries: a rule about the method is a rule about these too.\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "action {};", groups.join(", "));
    for vocabulary in vocabularies {
        let name = vocabulary.name();
        let groups = [Group::Read, Group::Write, Group::Delete, Group::Admin].map(|group| group_of(name, group));
        let _ = writeln!(out, "\n// {name}: {}", vocabulary.manifest().doc);
        let _ = writeln!(out, "action {};", groups.map(|group| format!("{group:?}")).join(", "));
        for action in vocabulary.actions().values() {
            declare(&mut out, name, action);
        }
    }
    out
}

fn declare(out: &mut String, plugin: &PluginName, action: &Action) {
    let mut groups = vec![action.group.as_str().to_owned(), group_of(plugin, action.group)];
    groups.extend(action.methods.iter().map(|method| carried_by(method)));
    let groups: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
    let attributes: Vec<String> = action.attributes.iter().map(|(name, is)| attribute(name, *is)).collect();
    let _ = write!(
        out,
        "action {:?} in [{}] appliesTo {{\n  principal: [Process],\n  resource: [Endpoint],\n  context: {{\n    now: Long, \
         method: String, path: String, segments: Segments, path_globs: Set<String>, query: Query,\n    {plugin}: {{ {} }},\n  \
         }},\n}};\n",
        action.id,
        groups.join(", "),
        attributes.join(", "),
    );
}

fn attribute(name: &str, Attribute { kind, optional }: Attribute) -> String {
    let kind = match kind {
        Kind::Text => "String",
        Kind::Integer => "Long",
        Kind::Flag => "Bool",
        Kind::Texts => "Set<String>",
        Kind::Fields => "Fields",
    };
    format!("{name}{}: {kind}", if optional { "?" } else { "" })
}
