//! From rules to Cedar: the artefact that is proven is the artefact that is enforced.
//!
//! Policies are built as syntax trees, never as text, so nothing an agent writes can become syntax. Every rule becomes
//! one policy, named after its place (`docs_writer/endpoints/0/rules/1`).
//!
//! INVARIANT: no compiled or accepted policy can fail to evaluate. All are strictly validated against the schema, and
//! optional attributes and tags are read only behind `has` and `hasTag`.

mod conditions;
mod depth;
mod globs;
mod operation;
mod part;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, Clause, Effect, Expr, Policy as PstPolicy, PolicyID, PrincipalConstraint, ResourceConstraint,
    StaticPolicy, Template,
};
use cedar_policy::{PolicySet, ValidationMode};
use smol_str::SmolStr;

pub use globs::Globs;
pub use part::Region;

use crate::digest::Digest;
use crate::pattern::{HostForm, HostPattern};
use crate::policy::{Allow, Endpoint, Entry, OnMiss, Policy, Role, Rule, Traffic};
use crate::schema::Schema;
use crate::vocabulary::{PluginName, Vocabulary};

/// A Cedar policy set over the one schema: strictly validated, without templates.
#[derive(Debug, Clone)]
pub struct Compiled {
    policies: Arc<PolicySet>,
    /// The same as syntax trees, which Cedar would parse anew each time it is asked for one.
    trees: Arc<[PstPolicy]>,
    text: Arc<str>,
    digest: Digest,
    origins: Arc<BTreeMap<String, Origin>>,
    globs: Globs,
    schema: Arc<Schema>,
}

/// Which part of a policy file a Cedar policy came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The entry's key.
    pub policy: String,
    /// The endpoint's index in it.
    pub endpoint: usize,
    /// The index in `rules` or, for a deny, in `deny_rules`; `None` for a preset and for L4.
    pub rule: Option<usize>,
    /// Whether it denies.
    pub deny: bool,
}

/// Why there is no Cedar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The text is not Cedar, or more of it in one policy than can be read.
    #[error("{file}{}: not Cedar that can be read: {message}", position(.at))]
    Syntax {
        /// As the caller named it.
        file: String,
        /// Line and column, from 1, where known.
        at: Option<(usize, usize)>,
        /// Cedar's.
        message: String,
    },
    /// The policy is outside the schema, a template, or uses a construct that cannot be decided.
    #[error("{file}: policy {policy}: {message}")]
    Invalid {
        /// As the caller named it.
        file: String,
        /// The policy's id.
        policy: String,
        /// What is wrong.
        message: String,
    },
}

impl Compiled {
    /// Compiles the rule language, where there are no plugins. See [`Compiled::policy_over`].
    ///
    /// # Errors
    /// A plugin that the policy names.
    pub fn policy(policy: &Policy) -> Result<Compiled, CompileError> {
        Compiled::policy_over(policy, Role::Policy, Schema::standard())
    }

    /// Compiles the rule language. A rule about methods and paths is a rule about every operation that such a request can
    /// be: in a policy at hosts that plugins speak for, in a ceiling wherever it applies.
    ///
    /// # Errors
    /// A plugin, an action or an attribute that the schema does not have, and values of another kind than the attribute's.
    pub fn policy_over(policy: &Policy, role: Role, schema: &Arc<Schema>) -> Result<Compiled, CompileError> {
        let scope = Scope { role, schema, spoken: spoken(policy, schema) };
        let mut made = Vec::new();
        for (key, entry) in &policy.entries {
            for (at, endpoint) in entry.endpoints.iter().enumerate() {
                compile_endpoint(&scope, key, entry, at, endpoint, &mut made)?;
            }
        }
        let mut origins = BTreeMap::new();
        let mut policies = PolicySet::new();
        let mut text = match role {
            Role::Policy => preamble(policy),
            Role::Ceiling => String::new(),
        };
        for (origin, template) in made {
            let id = template.id.0.to_string();
            let invalid =
                |message: String| CompileError::Invalid { file: COMPILED.to_owned(), policy: id.clone(), message };
            let policy = printable(template).map_err(invalid)?;
            text.push_str(&format!("// {id}\n{}\n\n", policy.to_cedar().unwrap_or_default()));
            policies.add(policy).map_err(|e| invalid(e.to_string()))?;
            origins.insert(id, origin);
        }
        Compiled::validated(policies, text, origins, COMPILED, schema)
    }

    /// Reads hand-written Cedar, a ceiling, where there are no plugins. See [`Compiled::cedar_over`].
    ///
    /// # Errors
    /// See there.
    pub fn cedar(text: &str, file: &str) -> Result<Compiled, CompileError> {
        Compiled::cedar_over(text, file, Schema::standard())
    }

    /// Reads hand-written Cedar: a ceiling.
    ///
    /// # Errors
    /// Text that is not Cedar, templates, policies that the schema does not admit, an empty set.
    pub fn cedar_over(text: &str, file: &str, schema: &Arc<Schema>) -> Result<Compiled, CompileError> {
        if let Some((line, message)) = depth::too_deep(text) {
            return Err(CompileError::Syntax { file: file.to_owned(), at: Some((line, 1)), message });
        }
        let policies = PolicySet::from_str(text).map_err(|errors| CompileError::Syntax {
            file: file.to_owned(),
            at: position_of(&errors, text),
            message: errors.to_string(),
        })?;
        let invalid = |policy: &str, message: &str| CompileError::Invalid {
            file: file.to_owned(),
            policy: policy.to_owned(),
            message: message.to_owned(),
        };
        if let Some(template) = policies.templates().next() {
            let id = template.id().to_string();
            return Err(invalid(&id, "templates (?principal, ?resource) are not accepted; write the policy out"));
        }
        if policies.is_empty() {
            return Err(invalid(
                "-",
                "there is no policy; to allow nothing, write `forbid(principal, action, resource);`",
            ));
        }
        Compiled::validated(policies, text.to_owned(), BTreeMap::new(), file, schema)
    }

    fn validated(
        policies: PolicySet,
        text: String,
        origins: BTreeMap<String, Origin>,
        file: &str,
        schema: &Arc<Schema>,
    ) -> Result<Compiled, CompileError> {
        let result = schema.validator().validate(&policies, ValidationMode::Strict);
        if let Some(error) = result.validation_errors().next() {
            return Err(CompileError::Invalid {
                file: file.to_owned(),
                policy: error.policy_id().to_string(),
                message: error.to_string(),
            });
        }
        let tree = |policy: &cedar_policy::Policy| {
            policy.to_pst().map_err(|error| CompileError::Invalid {
                file: file.to_owned(),
                policy: policy.id().to_string(),
                message: error.to_string(),
            })
        };
        let trees: Vec<PstPolicy> = policies.policies().map(tree).collect::<Result<_, _>>()?;
        let globs = Globs::of(&trees).map_err(|(policy, message)| CompileError::Invalid {
            file: file.to_owned(),
            policy,
            message,
        })?;
        let digest = Digest::of(text.as_bytes());
        Ok(Compiled {
            policies: Arc::new(policies),
            trees: trees.into(),
            text: text.into(),
            digest,
            origins: Arc::new(origins),
            globs,
            schema: Arc::clone(schema),
        })
    }

    /// The policies.
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// The policies as syntax trees, in no particular order.
    pub fn trees(&self) -> &[PstPolicy] {
        &self.trees
    }

    /// The Cedar text that the digest is of.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest of [`Compiled::text`]: a certificate's subject.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where a compiled policy came from; `None` for hand-written ones.
    pub fn origin(&self, id: &str) -> Option<&Origin> {
        self.origins.get(id)
    }

    /// All origins, by policy id.
    pub fn origins(&self) -> &BTreeMap<String, Origin> {
        &self.origins
    }

    /// What the policies could speak about.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The patterns with `?` that the policies name.
    pub fn globs(&self) -> &Globs {
        &self.globs
    }
}

/// A syntax tree as a policy.
fn printable(template: Template) -> Result<cedar_policy::Policy, String> {
    let policy = StaticPolicy::try_from(template).map_err(|e| e.to_string())?;
    cedar_policy::Policy::from_pst(PstPolicy::Static(policy)).map_err(|e| e.to_string())
}

/// What errors about compiled rules name as their file: whoever compiles knows the real one.
const COMPILED: &str = "compiled policy";

/// What a policy is compiled for.
struct Scope<'a> {
    role: Role,
    schema: &'a Schema,
    /// The hosts at which a plugin may speak.
    spoken: BTreeSet<&'a HostPattern>,
}

/// The hosts that plugins speak for and those that the policy gives a plugin's protocol, once for all its rules.
fn spoken<'a>(policy: &'a Policy, schema: &'a Schema) -> BTreeSet<&'a HostPattern> {
    let plugins = schema.plugins();
    let own = plugins.values().flat_map(|plugin| plugin.vocabulary.hosts());
    let given = policy.entries.values().flat_map(|entry| &entry.endpoints);
    let given = given.filter(|endpoint| endpoint.plugin().is_some_and(|name| plugins.contains_key(name)));
    own.chain(given.map(|endpoint| &endpoint.host)).collect()
}

/// What is enforced beside the rules, as comments: it is no question for the prover, and a certificate covers it all the same.
fn preamble(policy: &Policy) -> String {
    let mut text = String::new();
    if let OnMiss::Ask { timeout } = policy.on_miss {
        text.push_str(&format!("// on_miss: ask, ask_timeout: {timeout}s\n\n"));
    }
    if let Some(filesystem) = &policy.filesystem {
        text.push_str(&format!("// filesystem_policy: {}\n\n", filesystem.to_json()));
    }
    text
}

fn compile_endpoint(
    scope: &Scope<'_>,
    key: &str,
    entry: &Entry,
    at: usize,
    endpoint: &Endpoint,
    out: &mut Vec<(Origin, Template)>,
) -> Result<(), CompileError> {
    let place = Place { scope, key, at, entry, endpoint };
    let Traffic::Rest(rest) = &endpoint.traffic else {
        out.push(place.policy(Effect::Permit, None, ActionConstraint::Any, Vec::new()));
        return Ok(());
    };
    let vocabulary = rest.plugin().map(|name| place.vocabulary(name)).transpose()?;
    match (&rest.allow, rest.protocol.as_ref().and(vocabulary)) {
        (Allow::Access(access), Some(vocabulary)) => {
            let actions = operation::access(vocabulary.name(), *access);
            out.push(place.policy(Effect::Permit, None, actions, Vec::new()));
        }
        (Allow::Access(access), None) => {
            let meant = rest::access(*access, place.carries_operations(Effect::Permit));
            out.push(place.policy(Effect::Permit, None, meant.actions, meant.conditions));
        }
        (Allow::Rules(rules), _) => {
            for (number, rule) in rules.iter().enumerate() {
                out.push(place.rule(Effect::Permit, number, rule)?);
            }
        }
    }
    for (number, rule) in rest.deny.iter().enumerate() {
        out.push(place.rule(Effect::Forbid, number, rule)?);
    }
    Ok(())
}

/// Actions, and what else must hold of a request.
struct Meant {
    actions: ActionConstraint,
    conditions: Vec<Expr>,
}

/// An endpoint in its policy.
struct Place<'a> {
    scope: &'a Scope<'a>,
    key: &'a str,
    at: usize,
    entry: &'a Entry,
    endpoint: &'a Endpoint,
}

impl Place<'_> {
    fn rule(&self, effect: Effect, number: usize, rule: &Rule) -> Result<(Origin, Template), CompileError> {
        let meant = match rule {
            Rule::Rest(rule) => rest::rule(rule, effect, self.carries_operations(effect)),
            Rule::Operation(rule) => {
                let id = self.origin(effect, Some(number)).id();
                let invalid = |message| CompileError::Invalid { file: COMPILED.to_owned(), policy: id, message };
                operation::rule(rule, effect, self.scope.schema).map_err(invalid)?
            }
        };
        Ok(self.policy(effect, Some(number), meant.actions, meant.conditions))
    }

    /// The vocabulary of a plugin that may speak for this endpoint.
    fn vocabulary(&self, name: &PluginName) -> Result<&Vocabulary, CompileError> {
        let invalid = |message| CompileError::Invalid {
            file: COMPILED.to_owned(),
            policy: format!("{}/endpoints/{}", self.key, self.at),
            message,
        };
        let plugins = self.scope.schema.plugins();
        let Some(plugin) = plugins.get(name) else {
            let known: Vec<&str> = plugins.keys().map(PluginName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(invalid(format!(
                "there is no plugin named {name} (those given: {known}); give it with --plugin FILE"
            )));
        };
        let vocabulary = &plugin.vocabulary;
        let host = &self.endpoint.host;
        let speaks = match host.form() {
            _ if vocabulary.hosts().is_empty() || vocabulary.hosts().contains(host) => true,
            HostForm::Exact(exact) => vocabulary.is_for(exact),
            _ => false,
        };
        match speaks {
            true => Ok(vocabulary),
            false => {
                let hosts: Vec<&str> = vocabulary.hosts().iter().map(HostPattern::as_str).collect();
                Err(invalid(format!("{name} does not speak for {}, only for {}", host.as_str(), hosts.join(", "))))
            }
        }
    }

    /// Whether a request that a rule here is about may be read by a plugin, and then is an operation. A ceiling and a
    /// deny are about such requests wherever they are.
    fn carries_operations(&self, effect: Effect) -> bool {
        if self.scope.role == Role::Ceiling || effect == Effect::Forbid {
            return !self.scope.schema.plugins().is_empty();
        }
        self.scope.spoken.iter().any(|host| host.overlaps(&self.endpoint.host))
    }

    fn origin(&self, effect: Effect, rule: Option<usize>) -> Origin {
        Origin { policy: self.key.to_owned(), endpoint: self.at, rule, deny: effect == Effect::Forbid }
    }

    fn policy(
        &self,
        effect: Effect,
        rule: Option<usize>,
        actions: ActionConstraint,
        wanted: Vec<Expr>,
    ) -> (Origin, Template) {
        let deny = effect == Effect::Forbid;
        let origin = self.origin(effect, rule);
        let mut all = conditions::host(&self.endpoint.host);
        all.push(conditions::ports(&self.endpoint.ports));
        all.extend(conditions::binaries(&self.entry.binaries, deny));
        if let (Some(time), false) = (self.endpoint.expires_at, deny) {
            all.push(conditions::before(time));
        }
        all.extend(wanted);
        let mut annotations = BTreeMap::from([
            ("policy".to_owned(), SmolStr::new(self.key)),
            ("endpoint".to_owned(), SmolStr::new(self.at.to_string())),
        ]);
        if let Some(rule) = rule {
            let list = if deny { "deny_rule" } else { "rule" };
            annotations.insert(list.to_owned(), SmolStr::new(rule.to_string()));
        }
        // How paths are read is part of what is proven and certified, so it is part of the text.
        if let Traffic::Rest(rest) = &self.endpoint.traffic {
            if rest.paths.allow_encoded_slash {
                annotations.insert("allow_encoded_slash".to_owned(), SmolStr::new("true"));
            }
            if rest.paths.strip_params {
                annotations.insert("path_params".to_owned(), SmolStr::new("strip"));
            }
        }
        if self.endpoint.review_auto && !deny {
            annotations.insert("review".to_owned(), SmolStr::new("auto"));
        }
        let template = Template::new(
            PolicyID(SmolStr::new(origin.id())),
            effect,
            PrincipalConstraint::Any,
            actions,
            ResourceConstraint::Any,
        )
        .with_annotations(annotations);
        let clauses = conditions::all(all).map(|expr| Clause::When(Arc::new(expr)));
        #[expect(clippy::expect_used, reason = "a clause is refused for slots and unknowns only, and has neither")]
        let template = template.try_with_clauses(clauses).expect("no slots");
        (origin, template)
    }
}

impl Origin {
    /// The Cedar policy's id.
    pub fn id(&self) -> String {
        let Origin { policy, endpoint, rule, deny } = self;
        match (rule, deny) {
            (None, _) => format!("{policy}/endpoints/{endpoint}"),
            (Some(rule), false) => format!("{policy}/endpoints/{endpoint}/rules/{rule}"),
            (Some(rule), true) => format!("{policy}/endpoints/{endpoint}/deny_rules/{rule}"),
        }
    }
}

fn position(at: &Option<(usize, usize)>) -> String {
    at.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default()
}

fn position_of(errors: &cedar_policy::ParseErrors, text: &str) -> Option<(usize, usize)> {
    use miette::Diagnostic;
    let offset = errors.labels()?.next()?.offset();
    let before = text.get(..offset)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    Some((line, column))
}
