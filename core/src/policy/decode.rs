//! From a tree to a policy: every field is named, typed and placed; what is not understood is an error.

use std::collections::BTreeMap;

use super::{
    Access, Allow, DEFAULT_ASK, Endpoint, Entry, MAX_ASK, MIN_ASK, OnMiss, OperationRule, ParseError, ParseErrors,
    Policy, Rest, RestRule, Role, Rule, Traffic, Wanted,
};
use crate::pattern::{BinaryPattern, Glob, HostPattern, MethodPattern, PathPattern, ValuePattern};
use crate::request::{PathOptions, Port};
use crate::tree::{Node, TreeError, Value};
use crate::vocabulary::PluginName;

/// How many alternatives one list of binaries, ports or query values may have: they become one expression.
const MAX_ALTERNATIVES: usize = 256;

pub(super) fn policy(text: &str, file: &str, role: Role) -> Result<Policy, ParseErrors> {
    let mut decoder = Decoder::new(file, role);
    match Node::parse(text) {
        Ok(root) => {
            let policy = decoder.policy(&Spot::root(&root));
            decoder.finish(policy)
        }
        Err(error) => Err(decoder.broken(error)),
    }
}

/// A node and the JSON pointer that leads to it.
pub(crate) struct Spot<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pointer: String,
}

impl<'a> Spot<'a> {
    pub(crate) fn root(node: &'a Node) -> Spot<'a> {
        Spot { node, pointer: String::new() }
    }

    fn child(&self, key: &str, node: &'a Node) -> Spot<'a> {
        let key = key.replace('~', "~0").replace('/', "~1");
        Spot { node, pointer: format!("{}/{key}", self.pointer) }
    }

    /// A map's member.
    pub(crate) fn member(&self, key: &str) -> Option<Spot<'a>> {
        self.descend(&[key]).filter(|_| matches!(self.node.value, Value::Map(_)))
    }

    /// What stands under these keys and indexes.
    fn descend(&self, steps: &[&str]) -> Option<Spot<'a>> {
        let Some((step, rest)) = steps.split_first() else {
            return Some(Spot { node: self.node, pointer: self.pointer.clone() });
        };
        let node = match &self.node.value {
            Value::Map(items) => items.iter().find(|(key, _)| key == step).map(|(_, node)| node),
            Value::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
            Value::Scalar { .. } => None,
        };
        self.child(step, node?).descend(rest)
    }
}

/// The fields of a map, taken out one by one.
pub(crate) struct Fields<'a> {
    spot: Spot<'a>,
    items: &'a [(String, Node)],
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<Spot<'a>> {
        let (_, node) = self.items.iter().find(|(name, _)| name == key)?;
        Some(self.spot.child(key, node))
    }

    fn all(&self) -> impl Iterator<Item = (&'a str, Spot<'a>)> {
        self.items.iter().map(|(key, node)| (key.as_str(), self.spot.child(key, node)))
    }
}

/// Collects errors, so that an author sees all of them at once.
pub(crate) struct Decoder<'f> {
    file: &'f str,
    role: Role,
    /// Whether this is an agent's proposal. How paths are read is the operator's to say: a ceiling bounds what a rule
    /// allows, not how a server may misread it.
    proposed: bool,
    errors: Vec<ParseError>,
}

impl<'f> Decoder<'f> {
    pub(crate) fn new(file: &'f str, role: Role) -> Decoder<'f> {
        Decoder { file, role, proposed: false, errors: Vec::new() }
    }

    /// For what an agent posts.
    pub(crate) fn of_proposal() -> Decoder<'static> {
        Decoder { file: "proposal", role: Role::Policy, proposed: true, errors: Vec::new() }
    }

    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, ParseErrors> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(ParseErrors::new(self.errors)),
        }
    }

    pub(crate) fn broken(mut self, error: TreeError) -> ParseErrors {
        let TreeError { line, column, message } = error;
        self.errors.push(ParseError { file: self.file.to_owned(), line, column, field: String::new(), message });
        ParseErrors::new(self.errors)
    }

    pub(crate) fn fail<T>(&mut self, spot: &Spot<'_>, message: impl Into<String>) -> Option<T> {
        self.errors.push(ParseError {
            file: self.file.to_owned(),
            line: spot.node.line,
            column: spot.node.column,
            field: spot.pointer.clone(),
            message: message.into(),
        });
        None
    }

    /// A map with no other fields than `known`.
    pub(crate) fn fields<'a>(&mut self, spot: Spot<'a>, known: &[&str]) -> Option<Fields<'a>> {
        let Value::Map(items) = &spot.node.value else {
            return self.fail(&spot, format!("expected a map with the fields {}", known.join(", ")));
        };
        for (key, node) in items {
            if !known.contains(&key.as_str()) {
                self.fail::<()>(&spot.child(key, node), unknown_field(key, known));
            }
        }
        Some(Fields { spot, items })
    }

    pub(crate) fn required<'a>(&mut self, fields: &Fields<'a>, key: &str) -> Option<Spot<'a>> {
        fields.get(key).or_else(|| self.fail(&fields.spot, format!("the field {key:?} is required")))
    }

    pub(crate) fn list<'a>(&mut self, spot: &Spot<'a>) -> Option<Vec<Spot<'a>>> {
        match &spot.node.value {
            Value::List(items) => {
                Some(items.iter().enumerate().map(|(at, node)| spot.child(&at.to_string(), node)).collect())
            }
            _ => self.fail(spot, "expected a list"),
        }
    }

    pub(crate) fn text<'a>(&mut self, spot: &Spot<'a>) -> Option<&'a str> {
        match &spot.node.value {
            Value::Scalar { text, plain } if !(*plain && matches!(text.as_str(), "" | "~" | "null")) => Some(text),
            _ => self.fail(spot, "expected a string"),
        }
    }

    /// Text for people: one line.
    pub(crate) fn line<'a>(&mut self, spot: &Spot<'a>, limit: usize) -> Option<&'a str> {
        let text = self.text(spot)?;
        if text.is_empty() || text.chars().count() > limit || text.chars().any(char::is_control) {
            return self.fail(spot, format!("expected 1 to {limit} characters on one line"));
        }
        Some(text)
    }

    pub(crate) fn choice<T: Copy>(&mut self, spot: &Spot<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(spot)?;
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Some(*value),
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                self.fail(spot, format!("{text:?} is not one of {}", names.join(", ")))
            }
        }
    }

    pub(crate) fn flag(&mut self, spot: &Spot<'_>) -> Option<bool> {
        match &spot.node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => self.fail(spot, "expected true or false"),
        }
    }

    /// Each item that reads; `None` if one did not.
    pub(crate) fn each<'a, T>(
        &mut self,
        spots: Vec<Spot<'a>>,
        mut read: impl FnMut(&mut Self, Spot<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let read: Vec<Option<T>> = spots.into_iter().map(|spot| read(self, spot)).collect();
        read.into_iter().collect()
    }

    fn policy(&mut self, root: &Spot<'_>) -> Option<Policy> {
        let spot = Spot { node: root.node, pointer: root.pointer.clone() };
        let known = ["version", "on_miss", "ask_timeout", "filesystem_policy", "network_policies"];
        let fields = self.fields(spot, &known)?;
        let version = self.required(&fields, "version");
        if let Some(spot) = version {
            self.choice(&spot, &[("1", ())]);
        }
        let on_miss = self.on_miss(&fields);
        let filesystem = match fields.get("filesystem_policy") {
            Some(spot) if self.role == Role::Ceiling => {
                self.fail(&spot, "a ceiling bounds the network; filesystem_policy belongs in a policy")
            }
            Some(spot) => self.filesystem(spot).map(Some),
            None => Some(None),
        };
        let spot = self.required(&fields, "network_policies")?;
        let Value::Map(items) = &spot.node.value else {
            return self.fail(&spot, "expected a map from names to entries ({} for none)");
        };
        let fields = Fields { spot, items };
        let mut entries = BTreeMap::new();
        let mut complete = true;
        for (key, spot) in fields.all() {
            self.entry_key(&spot, key);
            match self.entry(spot, key) {
                Some(entry) => drop(entries.insert(key.to_owned(), entry)),
                None => complete = false,
            }
        }
        let policy = Policy { on_miss: on_miss?, filesystem: filesystem?, entries };
        if complete && self.role == Role::Policy {
            self.layers(&policy, &fields);
        }
        Some(policy)
    }

    fn on_miss(&mut self, fields: &Fields<'_>) -> Option<OnMiss> {
        let asks = match fields.get("on_miss") {
            Some(spot) if self.role == Role::Ceiling => self.choice(&spot, &[("deny", false)])?,
            Some(spot) => self.choice(&spot, &[("deny", false), ("ask", true)])?,
            None => false,
        };
        match (asks, fields.get("ask_timeout")) {
            (false, None) => Some(OnMiss::Deny),
            (false, Some(spot)) => self.fail(&spot, "nothing is asked without \"on_miss: ask\""),
            (true, None) => Some(OnMiss::Ask { timeout: DEFAULT_ASK }),
            (true, Some(spot)) => Some(OnMiss::Ask { timeout: self.ask_timeout(&spot)? }),
        }
    }

    fn ask_timeout(&mut self, spot: &Spot<'_>) -> Option<u32> {
        let text = self.text(spot)?;
        let number = |digits: &str, unit: u32| {
            let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|_| plain)?.checked_mul(unit)
        };
        let seconds = match (text.strip_suffix('s'), text.strip_suffix('m')) {
            (Some(digits), _) => number(digits, 1),
            (_, Some(digits)) => number(digits, 60),
            _ => None,
        };
        match seconds {
            Some(seconds) if (MIN_ASK..=MAX_ASK).contains(&seconds) => Some(seconds),
            _ => self.fail(spot, format!("{text:?} is not a time from {MIN_ASK}s to {MAX_ASK}s, such as 120s or 5m")),
        }
    }

    /// Keys become Cedar policy ids and JSON pointers, so they are kept plain.
    pub(crate) fn entry_key(&mut self, spot: &Spot<'_>, key: &str) -> Option<()> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if key.is_empty() || key.len() > 100 || !key.bytes().all(plain) {
            return self.fail(spot, format!("the name {key:?} is not 1 to 100 letters, digits, '_', '-' or '.'"));
        }
        Some(())
    }

    /// An entry; `key` is its name where it gives none.
    pub(crate) fn entry(&mut self, spot: Spot<'_>, key: &str) -> Option<Entry> {
        let fields = self.fields(spot, &["name", "binaries", "endpoints"])?;
        let name = match fields.get("name") {
            Some(spot) => self.line(&spot, 200).map(str::to_owned),
            None => Some(key.to_owned()),
        };
        let binaries = match fields.get("binaries") {
            Some(spot) => match self.list(&spot)? {
                empty if empty.is_empty() => {
                    self.fail(&spot, "an empty list could mean any binary or none; leave it out for any binary")
                }
                many if many.len() > MAX_ALTERNATIVES => self.fail(&spot, too_many("binaries")),
                spots => self.each(spots, |this, spot| {
                    let fields = this.fields(spot, &["path"])?;
                    let spot = this.required(&fields, "path")?;
                    let text = this.text(&spot)?;
                    BinaryPattern::parse(text).or_else(|e| this.fail(&spot, e.to_string()).ok_or(e)).ok()
                }),
            },
            None => Some(Vec::new()),
        };
        let spot = self.required(&fields, "endpoints")?;
        let spots = self.list(&spot)?;
        if spots.is_empty() {
            return self.fail(&spot, "an entry has at least one endpoint");
        }
        let endpoints = self.each(spots, Self::endpoint);
        Some(Entry { name: name?, binaries: binaries?, endpoints: endpoints? })
    }

    fn endpoint(&mut self, spot: Spot<'_>) -> Option<Endpoint> {
        let known = [
            "host",
            "port",
            "ports",
            "protocol",
            "access",
            "rules",
            "deny_rules",
            "expires_at",
            "enforcement",
            "allow_encoded_slash",
            "path_params",
            "review",
        ];
        let fields = self.fields(spot, &known)?;
        let host = self.required(&fields, "host").and_then(|spot| self.host(&spot));
        let ports = self.ports(&fields);
        // OpenShell's field: enforcing is all this language knows.
        if let Some(spot) = fields.get("enforcement") {
            self.choice(&spot, &[("enforce", ())]);
        }
        let expires_at = match fields.get("expires_at") {
            Some(spot) => Some(self.time(&spot)?),
            None => None,
        };
        let review_auto = match fields.get("review") {
            Some(spot) if self.role == Role::Policy => self.fail(&spot, "review belongs in a ceiling"),
            Some(spot) => self.choice(&spot, &[("auto", true), ("person", false)]),
            None => Some(false),
        };
        let traffic = match fields.get("protocol") {
            // The same in a word as leaving it out.
            Some(spot) if self.text(&spot) == Some("tcp") => self.opaque(&fields),
            Some(spot) => match self.plugin(&spot) {
                Some(protocol) => self.rest(&fields, protocol).map(Traffic::Rest),
                None => None,
            },
            None => self.opaque(&fields),
        };
        Some(Endpoint { host: host?, ports: ports?, traffic: traffic?, expires_at, review_auto: review_auto? })
    }

    pub(crate) fn access(&mut self, spot: &Spot<'_>) -> Option<Access> {
        let presets = [Access::ReadOnly, Access::ReadWrite, Access::Full];
        self.choice(spot, &presets.map(|preset| (preset.as_str(), preset)))
    }

    pub(crate) fn host(&mut self, spot: &Spot<'_>) -> Option<HostPattern> {
        let text = self.text(spot)?;
        HostPattern::parse(text).or_else(|e| self.fail(spot, e.to_string()).ok_or(e)).ok()
    }

    pub(crate) fn ports(&mut self, fields: &Fields<'_>) -> Option<Vec<Port>> {
        let mut ports = match (fields.get("port"), fields.get("ports")) {
            (Some(port), None) => vec![self.port(&port)?],
            (None, Some(ports)) => {
                let spots = self.list(&ports)?;
                if spots.is_empty() {
                    return self.fail(&ports, "at least one port");
                }
                if spots.len() > MAX_ALTERNATIVES {
                    return self.fail(&ports, too_many("ports"));
                }
                self.each(spots, |this, spot| this.port(&spot))?
            }
            (None, None) => return self.fail(&fields.spot, "the field \"port\" (or \"ports\") is required"),
            (Some(_), Some(ports)) => return self.fail(&ports, "give \"port\" or \"ports\", not both"),
        };
        ports.sort_unstable();
        ports.dedup();
        Some(ports)
    }

    pub(crate) fn port(&mut self, spot: &Spot<'_>) -> Option<Port> {
        let port = match &spot.node.value {
            Value::Scalar { text, plain: true }
                if text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') =>
            {
                text.parse().ok().and_then(Port::new)
            }
            _ => None,
        };
        port.or_else(|| self.fail(spot, "expected a port: a decimal number from 1 to 65535"))
    }

    fn time(&mut self, spot: &Spot<'_>) -> Option<i64> {
        let text = self.text(spot)?;
        match text.parse::<jiff::Timestamp>() {
            Ok(time) if time.as_second() > 0 => Some(time.as_second()),
            _ => self.fail(spot, format!("{text:?} is not an RFC 3339 time such as 2026-12-01T00:00:00Z")),
        }
    }

    /// A plugin's name, if it is not `rest`; whether there is such a plugin is known where policies are compiled.
    fn plugin(&mut self, spot: &Spot<'_>) -> Option<Option<PluginName>> {
        match self.text(spot)? {
            "rest" => Some(None),
            name => match PluginName::parse(name) {
                Ok(name) => Some(Some(name)),
                Err(_) => self.fail(spot, format!("{name:?} is none of tcp, rest and the plugins' names")),
            },
        }
    }

    fn opaque(&mut self, fields: &Fields<'_>) -> Option<Traffic> {
        for key in ["access", "rules", "deny_rules", "allow_encoded_slash", "path_params"] {
            if let Some(spot) = fields.get(key) {
                let message = format!("{key:?} needs an inspected endpoint: add \"protocol: rest\", or leave it out");
                return self.fail(&spot, message);
            }
        }
        Some(Traffic::Opaque)
    }

    fn rest(&mut self, fields: &Fields<'_>, protocol: Option<PluginName>) -> Option<Rest> {
        let deny = match fields.get("deny_rules") {
            Some(spot) => {
                let spots = self.list(&spot)?;
                self.each(spots, Self::rule)
            }
            None => Some(Vec::new()),
        };
        let allow = match (fields.get("access"), fields.get("rules")) {
            (Some(spot), None) => self.access(&spot).map(Allow::Access),
            (None, Some(spot)) => self.rules(&spot).map(Allow::Rules),
            (Some(_), Some(spot)) => self.fail(&spot, "give \"access\" or \"rules\", not both"),
            (None, None) if deny.as_ref().is_some_and(|deny| !deny.is_empty()) => Some(Allow::default()),
            (None, None) => self.fail(&fields.spot, "\"access\" or \"rules\" is required on an inspected endpoint"),
        };
        if self.proposed {
            for key in ["allow_encoded_slash", "path_params"] {
                if let Some(spot) = fields.get(key) {
                    return self.fail(&spot, "how paths are read is for the operator to say; leave it out");
                }
            }
        }
        let allow_encoded_slash = fields.get("allow_encoded_slash").is_some_and(|spot| self.flag(&spot) == Some(true));
        let strip_params = fields
            .get("path_params")
            .is_some_and(|spot| self.choice(&spot, &[("refuse", false), ("strip", true)]) == Some(true));
        let paths = PathOptions { allow_encoded_slash, strip_params };
        let rest = Rest { protocol, allow: allow?, deny: deny?, paths };
        let spoken = rest.plugin();
        if let Some(other) = rest.rules().filter_map(Rule::operation).find(|rule| Some(rule.plugin()) != spoken) {
            let (action, spoken) = (other.action(), spoken.map_or("", PluginName::as_str));
            return self.fail(&fields.spot, format!("{action} is not {spoken}'s; one endpoint speaks one protocol"));
        }
        Some(rest)
    }

    /// A non-empty list of `{allow: {…}}`.
    pub(crate) fn rules(&mut self, spot: &Spot<'_>) -> Option<Vec<Rule>> {
        let spots = self.list(spot)?;
        if spots.is_empty() {
            return self.fail(spot, "at least one rule");
        }
        self.each(spots, |this, spot| {
            let fields = this.fields(spot, &["allow"])?;
            let spot = this.required(&fields, "allow")?;
            this.rule(spot)
        })
    }

    fn rule(&mut self, spot: Spot<'_>) -> Option<Rule> {
        match spot.member("action") {
            Some(_) => self.operation_rule(spot).map(Rule::Operation),
            None => self.rest_rule(spot).map(Rule::Rest),
        }
    }

    fn operation_rule(&mut self, spot: Spot<'_>) -> Option<OperationRule> {
        let fields = self.fields(spot, &["action", "where"])?;
        let spot = self.required(&fields, "action")?;
        let action = self.text(&spot)?;
        let attributes = match fields.get("where") {
            Some(spot) => self.wanted(spot)?,
            None => BTreeMap::new(),
        };
        OperationRule::new(action, attributes).or_else(|problem| self.fail(&spot, problem).ok_or(())).ok()
    }

    fn wanted(&mut self, spot: Spot<'_>) -> Option<BTreeMap<String, Wanted>> {
        let Value::Map(items) = &spot.node.value else {
            return self.fail(&spot, "expected a map from attributes to a value, a glob or {any: [..]}");
        };
        let fields = Fields { spot, items };
        let mut wanted = BTreeMap::new();
        for (name, spot) in fields.all() {
            let value = match &spot.node.value {
                Value::Map(items) if !is_value(items) => {
                    let mut named = BTreeMap::new();
                    for (name, spot) in (Fields { spot, items }).all() {
                        if name.is_empty() || name.chars().any(char::is_control) {
                            return self
                                .fail(&spot, "a field's name has at least one character and no control characters");
                        }
                        named.insert(name.to_owned(), self.values(spot)?);
                    }
                    Wanted::Fields(named)
                }
                _ => Wanted::OneOf(self.values(spot)?),
            };
            wanted.insert(name.to_owned(), value);
        }
        Some(wanted)
    }

    /// A value, or `{any: [..]}` of several.
    fn values(&mut self, spot: Spot<'_>) -> Option<Vec<ValuePattern>> {
        let Some(list) = spot.member("any") else { return Some(vec![self.value(spot)?]) };
        self.fields(spot, &["any"])?;
        // None at all is for a set that is to be empty.
        let spots = self.list(&list)?;
        if spots.len() > MAX_ALTERNATIVES {
            return self.fail(&list, too_many("values"));
        }
        self.each(spots, Self::value)
    }

    fn value(&mut self, spot: Spot<'_>) -> Option<ValuePattern> {
        let (spot, pattern) = match spot.member("exact") {
            Some(exact) => {
                self.fields(spot, &["exact"])?;
                let pattern = ValuePattern::exact(self.text(&exact)?);
                (exact, pattern)
            }
            None => {
                let pattern = ValuePattern::parse(self.text(&spot)?);
                (spot, pattern)
            }
        };
        pattern.or_else(|error| self.fail(&spot, error.to_string()).ok_or(error)).ok()
    }

    fn rest_rule(&mut self, spot: Spot<'_>) -> Option<RestRule> {
        let fields = self.fields(spot, &["method", "path", "query"])?;
        let method = self.required(&fields, "method").and_then(|spot| {
            let text = self.text(&spot)?;
            MethodPattern::parse(text).or_else(|e| self.fail(&spot, e.to_string()).ok_or(e)).ok()
        });
        let path = self.required(&fields, "path").and_then(|spot| {
            let text = self.text(&spot)?;
            PathPattern::parse(text).or_else(|e| self.fail(&spot, e.to_string()).ok_or(e)).ok()
        });
        let query = match fields.get("query") {
            Some(spot) => self.query(spot),
            None => Some(BTreeMap::new()),
        };
        Some(RestRule { method: method?, path: path?, query: query? })
    }

    fn query(&mut self, spot: Spot<'_>) -> Option<BTreeMap<String, Vec<Glob>>> {
        let Value::Map(items) = &spot.node.value else {
            return self.fail(&spot, "expected a map from query keys to a glob or {any: [..]}");
        };
        let fields = Fields { spot, items };
        let mut query = BTreeMap::new();
        for (key, spot) in fields.all() {
            if key.is_empty() || key.chars().any(char::is_control) {
                return self.fail(&spot, "a query key has at least one character and no control characters");
            }
            let globs = match &spot.node.value {
                Value::Map(_) => {
                    let fields = self.fields(spot, &["any"])?;
                    let spot = self.required(&fields, "any")?;
                    let spots = self.list(&spot)?;
                    if spots.is_empty() {
                        return self.fail(&spot, "at least one value");
                    }
                    if spots.len() > MAX_ALTERNATIVES {
                        return self.fail(&spot, too_many("values"));
                    }
                    self.each(spots, |this, spot| this.glob(&spot))?
                }
                _ => vec![self.glob(&spot)?],
            };
            query.insert(key.to_owned(), globs);
        }
        Some(query)
    }

    /// A decoded value has no control characters, so a glob that names one could never match, and would not be
    /// written back to YAML as it was read.
    fn glob(&mut self, spot: &Spot<'_>) -> Option<Glob> {
        let text = self.text(spot)?;
        if text.chars().any(char::is_control) {
            return self.fail(spot, "a query value has no control characters");
        }
        Some(Glob::parse(text))
    }

    /// Endpoints that could match the same connection and would be in each other's way.
    fn layers(&mut self, policy: &Policy, fields: &Fields<'_>) {
        if let Some(clash) = policy.clash() {
            let (key, index) = clash.place();
            let at = fields.get(key).and_then(|entry| entry.descend(&["endpoints", &index.to_string()]));
            self.fail::<()>(at.as_ref().unwrap_or(&fields.spot), clash.to_string());
        }
    }
}

/// Whether a map is one value, `{any: [..]}` or `{exact: text}`, and not fields by their names.
fn is_value(items: &[(String, Node)]) -> bool {
    match items {
        [(key, node)] => match key.as_str() {
            "any" => matches!(node.value, Value::List(_)),
            "exact" => matches!(node.value, Value::Scalar { .. }),
            _ => false,
        },
        _ => false,
    }
}

fn too_many(what: &str) -> String {
    format!("at most {MAX_ALTERNATIVES} {what}; split the entry")
}

fn unknown_field(key: &str, known: &[&str]) -> String {
    let later = match key {
        "landlock" | "process" => Some("is the sandbox's, and nothing here would enforce it"),
        "max_uses" | "allowed_ips" | "tls" => Some("is not enforced by this version"),
        _ => None,
    };
    if let Some(why) = later {
        return format!("{key:?} {why}; remove it");
    }
    let near = known.iter().find(|name| {
        name.starts_with(key) || key.starts_with(**name) || (name.len() == key.len() && differ_by_one(name, key))
    });
    match near {
        Some(name) => format!("unknown field; did you mean {name:?}?"),
        None => format!("unknown field; the fields here are {}", known.join(", ")),
    }
}

fn differ_by_one(a: &str, b: &str) -> bool {
    a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count() == 1
}
