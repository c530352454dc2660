//! The request environments that a schema has, and what can be read of a request in each.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cedar_policy::EntityUid;
use narrowgate_core::pattern::{HostForm, HostPattern};
use narrowgate_core::schema::{Plugin, Schema};
use narrowgate_core::vocabulary::{PluginName, Vocabulary as Spoken};

use super::Unsupported;
use super::cube::{Con, Cond, Cube, Var, cubes};
use super::declared::{Attributes, Declared};
use crate::language::{Elem, Form, Lang};
use crate::solve::Bits;

/// What policies can be about.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    envs: Vec<Env>,
    /// The environments, in groups whose requests have the same methods and hosts.
    classes: Vec<Bits>,
}

impl Vocabulary {
    /// The vocabulary of a schema. The error is the first environment of a kind unknown here.
    ///
    /// Of a schema that is in use it is read once: with hundreds of actions that takes longer than most proofs.
    pub(crate) fn of(schema: &Arc<Schema>) -> Result<Arc<Vocabulary>, Unsupported> {
        type Known = Vec<(Weak<Schema>, Arc<Vocabulary>)>;
        static KNOWN: Mutex<Known> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _)| of.strong_count() > 0);
        // INVARIANT: a schema that is in use is where it was, so that no other is taken for it.
        if let Some((_, vocabulary)) = known.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(schema))) {
            return Ok(Arc::clone(vocabulary));
        }
        let vocabulary = Arc::new(Vocabulary::read(schema.cedar(), schema.text(), schema.plugins())?);
        known.push((Arc::downgrade(schema), Arc::clone(&vocabulary)));
        Ok(vocabulary)
    }

    /// Reads a schema, given with its text.
    pub(crate) fn read(
        schema: &cedar_policy::Schema,
        text: &str,
        plugins: &BTreeMap<PluginName, Plugin>,
    ) -> Result<Vocabulary, Unsupported> {
        let declared = Arc::new(Declared::of(text));
        let hierarchy = schema.action_entities().map_err(|e| Unsupported(format!("the schema's actions: {e}")))?;
        let mut speakers: BTreeMap<&str, Arc<Spoken>> = BTreeMap::new();
        for (name, plugin) in plugins {
            speakers.insert(name.as_str(), Arc::new(plugin.vocabulary.clone()));
        }
        let mut envs: Vec<Env> = Vec::new();
        for env in schema.request_envs() {
            let (principal, resource) = (env.principal().to_string(), env.resource().to_string());
            let action: &str = env.action().id().unescaped();
            if principal != "Process" || resource != "Endpoint" || env.action().type_name().to_string() != "Action" {
                return Err(Unsupported(format!("{principal} asking {} of {resource}", env.action())));
            }
            let groups = hierarchy.ancestors(env.action()).into_iter().flatten();
            let groups = groups.map(|uid: &EntityUid| uid.id().unescaped().to_owned()).collect();
            let context = declared.context(action);
            let method = match action {
                "connect" => None,
                "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" | "PATCH" | "DELETE" => Some(Method::Action),
                "OTHER" => Some(Method::Other),
                _ if context.get("method").is_some() => Some(Method::Any),
                _ => return Err(Unsupported(format!("action {action:?}, whose context is not a request's"))),
            };
            let speaker = action.split_once("::").and_then(|(name, _)| speakers.get(name)).cloned();
            let bound = speaker.as_ref().and_then(|speaker| bound(speaker, action));
            let (action, declared) = (action.to_owned(), Arc::clone(&declared));
            envs.push(Env { action, groups, method, context, declared, speaker, bound });
        }
        envs.sort_by_cached_key(|env| (order(&env.action), env.action.clone()));
        let mut classes: Vec<(&Option<Cube>, Bits)> = Vec::new();
        for (at, env) in envs.iter().enumerate() {
            match classes.iter_mut().find(|(bound, _)| **bound == env.bound) {
                Some((_, class)) => class.insert(at),
                None => {
                    let mut class = Bits::none(envs.len());
                    class.insert(at);
                    classes.push((&env.bound, class));
                }
            }
        }
        let classes = classes.into_iter().map(|(_, class)| class).collect();
        Ok(Vocabulary { envs, classes })
    }

    /// The environments, in groups whose requests have the same methods and hosts.
    pub(crate) fn classes(&self) -> &[Bits] {
        &self.classes
    }

    pub(crate) fn envs(&self) -> &[Env] {
        &self.envs
    }
}

/// What the proxy lets a plugin say an action of: some methods, and the hosts that it speaks for.
fn bound(speaker: &Spoken, action: &str) -> Option<Cube> {
    let declared = speaker.action(action)?;
    let methods = declared.methods.iter().map(|method| Form::eq(method)).reduce(Form::or);
    let hosts = speaker.hosts().iter().map(host).reduce(Form::or);
    let methods = methods.map(|form| Cond::one(Var::AnyMethod, Con::Text(form)));
    let hosts = hosts.map(|form| Cond::one(Var::Host, Con::Text(form)));
    cubes(Cond::all(methods.into_iter().chain(hosts)), 1)?.pop()
}

/// The hosts that a pattern is about.
fn host(pattern: &HostPattern) -> Form {
    let glob = |text: &str| {
        let elements = text.chars().map(|c| if c == '*' { Elem::Star } else { Elem::Char(c) });
        Form::leaf(Lang::Like(elements.collect()))
    };
    match pattern.form() {
        HostForm::Exact(exact) => Form::eq(exact.as_str()),
        HostForm::AnyLabels { suffix } => glob(&format!("*.{suffix}")),
        HostForm::OneLabel { glob: label, suffix } => {
            let labels = 2 + suffix.matches('.').count();
            // No dot more than the pattern has, so the first label's glob spans none.
            glob(&format!("{label}.{suffix}")).and(glob(&format!("{}*", "*.".repeat(labels))).negate())
        }
    }
}

/// Requests that a person recognises first, so that theirs is the counterexample; what plugins name comes last.
fn order(action: &str) -> usize {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "OTHER", "connect"];
    known.iter().position(|a| *a == action).unwrap_or(known.len())
}

/// What an HTTP request's method is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The action's name.
    Action,
    /// One that is no action.
    Other,
    /// Any.
    Any,
}

/// One way in which the schema lets a request look: its action. Principal and resource have one type each.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    /// The action's id.
    pub(crate) action: String,
    /// The groups it is in.
    groups: BTreeSet<String>,
    /// `None` where the context is not an HTTP request's.
    method: Option<Method>,
    context: Arc<Attributes>,
    declared: Arc<Declared>,
    /// The plugin whose action it is.
    speaker: Option<Arc<Spoken>>,
    /// What every request of a plugin's action is in.
    bound: Option<Cube>,
}

impl Env {
    /// The plugin whose action it is.
    pub(crate) fn speaker(&self) -> Option<&Spoken> {
        self.speaker.as_deref()
    }

    /// What every request of a plugin's action is in.
    pub(crate) fn bound(&self) -> Option<&Cube> {
        self.bound.as_ref()
    }

    /// Whether the context is an HTTP request's.
    pub(crate) fn is_http(&self) -> bool {
        self.method.is_some()
    }

    /// Whether the action is, or is in, `id`.
    pub(crate) fn is_in(&self, id: &str) -> bool {
        self.action == id || self.groups.contains(id)
    }

    /// Whether all but the action and its method reads alike in both.
    pub(super) fn is_like(&self, other: &Env) -> bool {
        Arc::ptr_eq(&self.context, &other.context) && self.is_http() == other.is_http()
    }
}

/// An environment as one policy reads it, which remembers whether the action made a difference. Most policies leave
/// that to their scope, and then one reading is good for every method.
pub(super) struct View<'a> {
    env: &'a Env,
    asked: Cell<bool>,
}

impl<'a> View<'a> {
    pub(super) fn new(env: &'a Env) -> View<'a> {
        View { env, asked: Cell::new(false) }
    }

    /// Whether what was read depends on the action.
    pub(super) fn depends_on_action(&self) -> bool {
        self.asked.get()
    }

    pub(super) fn action(&self) -> &'a str {
        self.asked.set(true);
        &self.env.action
    }

    pub(super) fn is_in(&self, id: &str) -> bool {
        self.asked.set(true);
        self.env.is_in(id)
    }

    pub(super) fn method(&self) -> Option<Method> {
        self.asked.set(true);
        self.env.method
    }

    pub(super) fn is_http(&self) -> bool {
        self.env.is_http()
    }

    pub(super) fn context(&self) -> &'a Attributes {
        &self.env.context
    }

    pub(super) fn declared(&self) -> &'a Declared {
        &self.env.declared
    }
}
