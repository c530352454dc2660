//! A policy as plain strings: easy to generate, and the form in which the oracles read it.

use narrowgate_core::policy::{ParseErrors, Policy, Role};
use serde_json::{Map, Value, json};

/// A policy or a ceiling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// In the order of their names.
    pub entries: Vec<Entry>,
}

/// One of `network_policies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Patterns over executables; none means any.
    pub binaries: Vec<String>,
    /// The destinations.
    pub endpoints: Vec<Endpoint>,
}

/// One of an entry's `endpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The pattern over hosts.
    pub host: String,
    /// At least one.
    pub ports: Vec<u16>,
    /// `None` where the endpoint is opaque (L4).
    pub rest: Option<Rest>,
    /// Unix seconds.
    pub expires_at: Option<i64>,
}

/// What an inspected endpoint says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    /// A preset.
    pub access: Option<String>,
    /// Where there is no preset.
    pub rules: Vec<Rule>,
    /// What is denied.
    pub deny: Vec<Rule>,
}

/// Method, path and query of an allow or a deny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `*` or a method.
    pub method: String,
    /// The pattern over paths.
    pub path: String,
    /// Keys, and the globs of which one must match.
    pub query: Vec<(String, Vec<String>)>,
}

impl Model {
    /// The policy as it is written, in JSON, which is YAML too.
    pub fn to_json(&self) -> Value {
        let entries = self.entries.iter().map(|entry| (entry.name.clone(), entry.to_json()));
        json!({ "version": 1, "network_policies": entries.collect::<Map<_, _>>() })
    }

    /// Reads it with the real parser.
    ///
    /// # Errors
    /// What the parser finds wrong.
    pub fn parse(&self, role: Role) -> Result<Policy, ParseErrors> {
        let text = serde_json::to_string_pretty(&self.to_json()).expect("strings and numbers");
        Policy::parse(&text, "model.yaml", role)
    }

    /// Reads what the real policy says of itself.
    pub fn of(policy: &Policy) -> Model {
        let json = policy.to_json();
        let entries = json["network_policies"].as_object().expect("a map of entries");
        Model { entries: entries.iter().map(|(name, entry)| Entry::from_json(name, entry)).collect() }
    }
}

impl Entry {
    /// The entry as it is written.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        if !self.binaries.is_empty() {
            out.insert("binaries".into(), self.binaries.iter().map(|path| json!({ "path": path })).collect());
        }
        out.insert("endpoints".into(), self.endpoints.iter().map(Endpoint::to_json).collect());
        Value::Object(out)
    }

    fn from_json(name: &str, json: &Value) -> Entry {
        Entry {
            name: name.to_owned(),
            binaries: items(&json["binaries"]).map(|binary| text(&binary["path"])).collect(),
            endpoints: items(&json["endpoints"]).map(Endpoint::from_json).collect(),
        }
    }
}

impl Endpoint {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("host".into(), json!(self.host));
        match self.ports.as_slice() {
            [port] => out.insert("port".into(), json!(port)),
            ports => out.insert("ports".into(), json!(ports)),
        };
        if let Some(rest) = &self.rest {
            out.insert("protocol".into(), json!("rest"));
            if let Some(access) = &rest.access {
                out.insert("access".into(), json!(access));
            }
            if !rest.rules.is_empty() {
                let rules = rest.rules.iter().map(|rule| json!({ "allow": rule.to_json() }));
                out.insert("rules".into(), rules.collect());
            }
            if !rest.deny.is_empty() {
                out.insert("deny_rules".into(), rest.deny.iter().map(Rule::to_json).collect());
            }
        }
        if let Some(seconds) = self.expires_at {
            let time = jiff::Timestamp::from_second(seconds).expect("a time that exists");
            out.insert("expires_at".into(), json!(time.to_string()));
        }
        Value::Object(out)
    }

    fn from_json(json: &Value) -> Endpoint {
        let ports = match &json["port"] {
            Value::Null => items(&json["ports"]).map(port).collect(),
            one => vec![port(one)],
        };
        let rest = json.get("protocol").map(|_| Rest {
            access: json.get("access").map(text),
            rules: items(&json["rules"]).map(|rule| Rule::from_json(&rule["allow"])).collect(),
            deny: items(&json["deny_rules"]).map(Rule::from_json).collect(),
        });
        let expires_at = json.get("expires_at").map(|time| {
            let time: jiff::Timestamp = text(time).parse().expect("a time");
            time.as_second()
        });
        Endpoint { host: text(&json["host"]), ports, rest, expires_at }
    }
}

impl Rule {
    fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("method".into(), json!(self.method));
        out.insert("path".into(), json!(self.path));
        if !self.query.is_empty() {
            let query = self.query.iter().map(|(key, globs)| {
                let value = match globs.as_slice() {
                    [glob] => json!(glob),
                    globs => json!({ "any": globs }),
                };
                (key.clone(), value)
            });
            out.insert("query".into(), Value::Object(query.collect()));
        }
        Value::Object(out)
    }

    fn from_json(json: &Value) -> Rule {
        let query = json["query"].as_object().into_iter().flatten().map(|(key, value)| {
            let globs = match value {
                Value::String(glob) => vec![glob.clone()],
                value => items(&value["any"]).map(text).collect(),
            };
            (key.clone(), globs)
        });
        Rule { method: text(&json["method"]), path: text(&json["path"]), query: query.collect() }
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn port(value: &Value) -> u16 {
    value.as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port")
}
