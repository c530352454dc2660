//! The request environments that a schema has, and what can be read of a request in each.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cedar_policy::{EntityUid, Schema};
use narrowgate_core::schema;

use super::Unsupported;
use super::declared::{Attributes, Declared};

/// What policies can be about.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    envs: Vec<Env>,
}

impl Vocabulary {
    /// The vocabulary without any plugin.
    pub(crate) fn standard() -> Result<&'static Vocabulary, Unsupported> {
        static STANDARD: LazyLock<Result<Vocabulary, Unsupported>> =
            LazyLock::new(|| Vocabulary::of(schema::cedar(), schema::TEXT));
        STANDARD.as_ref().map_err(Clone::clone)
    }

    /// Reads a schema, given with its text. The error is the first environment of a kind unknown here.
    pub(crate) fn of(schema: &Schema, text: &str) -> Result<Vocabulary, Unsupported> {
        let declared = Arc::new(Declared::of(text));
        let hierarchy = schema.action_entities().map_err(|e| Unsupported(format!("the schema's actions: {e}")))?;
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
            envs.push(Env { action: action.to_owned(), groups, method, context, declared: Arc::clone(&declared) });
        }
        envs.sort_by_cached_key(|env| (order(&env.action), env.action.clone()));
        Ok(Vocabulary { envs })
    }

    pub(crate) fn envs(&self) -> &[Env] {
        &self.envs
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
}

impl Env {
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
