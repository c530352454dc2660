//! What a plugin would have said, from a solver's model, and what the proxy lets it say.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::EvalResult;
use cedar_policy_symcc::Env as Model;
use narrowgate_core::pattern::HostForm;
use narrowgate_core::request::{Host, Method};
use narrowgate_core::schema::Schema;
use narrowgate_core::vocabulary::{Action, Kind, Label, LabelValue, Meaning, Vocabulary};
use smol_str::SmolStr;

use super::model::{number, text, texts};
use super::regex;

/// A plugin's action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken<'a> {
    vocabulary: &'a Vocabulary,
    action: &'a Action,
}

/// What is said of it, by attribute.
pub(super) type Labels = BTreeMap<SmolStr, LabelValue>;

impl<'a> Spoken<'a> {
    /// `None` where the action is no plugin's.
    pub(super) fn of(schema: &'a Schema, action: &str) -> Option<Spoken<'a>> {
        let (vocabulary, action) = schema.operation(action)?;
        Some(Spoken { vocabulary, action })
    }

    /// The methods that carry it.
    pub(super) fn methods(&self) -> &'a [&'static str] {
        &self.action.methods
    }

    /// The hosts that the plugin speaks for, as a regular expression; `None` for all.
    pub(super) fn hosts(&self) -> Option<String> {
        let hosts = self.vocabulary.hosts();
        (!hosts.is_empty()).then(|| regex::hosts(hosts))
    }

    /// The model's attributes; those that it has no value for are as plain as they can be.
    pub(super) fn read(&self, model: &Model) -> Labels {
        let context = model.request.context().and_then(|context| context.get(self.vocabulary.name().as_str()));
        let said = |name: &str| match &context {
            Some(EvalResult::Record(record)) => record.get(name).cloned(),
            _ => None,
        };
        let mut out = Labels::new();
        for (name, attribute) in &self.action.attributes {
            let value = match (said(name), attribute.kind) {
                (None, _) if attribute.optional => continue,
                (None, kind) => plain(kind),
                (value, Kind::Text) => LabelValue::Text(text(value).unwrap_or_default()),
                (value, Kind::Integer) => LabelValue::Integer(number(value).unwrap_or_default().to_string()),
                (value, Kind::Flag) => LabelValue::Flag(matches!(value, Some(EvalResult::Bool(true)))),
                (value, Kind::Texts) => LabelValue::Texts(texts(value).into_iter().collect()),
                (Some(EvalResult::EntityUid(uid)), Kind::Fields) => {
                    let entity = model.entities.get(&uid);
                    let tags = entity.into_iter().flat_map(|entity| entity.tags());
                    let field =
                        |(name, value): (&str, Result<EvalResult, _>)| Some((name.to_owned(), text(value.ok())?));
                    LabelValue::Fields(tags.filter_map(field).collect())
                }
                (Some(_), Kind::Fields) => plain(Kind::Fields),
            };
            out.insert(name.clone(), value);
        }
        out
    }

    /// The same without what no plugin may say.
    pub(super) fn mended(&self, mut labels: Labels, filler: char) -> Labels {
        let mend = |text: &mut String| {
            *text = text.chars().map(|c| if c.is_control() { filler } else { c }).collect();
        };
        for value in labels.values_mut() {
            match value {
                LabelValue::Text(text) => mend(text),
                LabelValue::Texts(texts) => texts.iter_mut().for_each(mend),
                LabelValue::Fields(fields) => {
                    fields.retain(|(name, _)| !name.chars().any(char::is_control));
                    fields.iter_mut().for_each(|(_, text)| mend(text));
                }
                LabelValue::Integer(_) | LabelValue::Flag(_) => {}
            }
        }
        labels
    }

    /// The same with one attribute simpler, the simplest last.
    pub(super) fn simpler(&self, labels: &Labels, name: &SmolStr) -> Vec<Labels> {
        let Some(attribute) = self.action.attributes.get(name) else { return Vec::new() };
        let mut plainer = labels.clone();
        plainer.insert(name.clone(), plain(attribute.kind));
        let mut without = labels.clone();
        without.remove(name);
        [Some(plainer), attribute.optional.then_some(without)].into_iter().flatten().collect()
    }

    /// A host that the plugin speaks for.
    pub(super) fn host(&self) -> Option<String> {
        self.vocabulary.hosts().first().map(|pattern| match pattern.form() {
            HostForm::Exact(host) => host.to_string(),
            HostForm::OneLabel { glob, suffix } => format!("{}.{suffix}", glob.replace('*', "x")),
            HostForm::AnyLabels { suffix } => format!("x.{suffix}"),
        })
    }

    /// Whether the plugin speaks for a host.
    pub(super) fn is_for(&self, host: &str) -> bool {
        Host::parse(host).is_ok_and(|host| self.vocabulary.is_for(&host))
    }

    /// What the plugin would say; `None` where the vocabulary does not admit it.
    pub(super) fn meaning(&self, host: &Host, method: &Method, labels: &Labels) -> Option<Arc<Meaning>> {
        let name = self.action.id.strip_prefix(self.vocabulary.name().as_str())?.strip_prefix("::")?;
        let attributes = labels.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let label = Label { action: name.to_owned(), attributes };
        self.vocabulary.admit(host, method, label).ok().map(Arc::new)
    }
}

/// A value that a reader passes over.
fn plain(kind: Kind) -> LabelValue {
    match kind {
        Kind::Text => LabelValue::Text("x".to_owned()),
        Kind::Integer => LabelValue::Integer("0".to_owned()),
        Kind::Flag => LabelValue::Flag(false),
        Kind::Texts => LabelValue::Texts(Vec::new()),
        Kind::Fields => LabelValue::Fields(Vec::new()),
    }
}
