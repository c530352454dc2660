//! From a policy back to the shape it was read from.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{Allow, Endpoint, Entry, OnMiss, OperationRule, Policy, RestRule, Rule, Traffic, Wanted};
use crate::pattern::{ValueForm, ValuePattern};
use crate::vocabulary::PluginName;

impl Policy {
    /// The policy as JSON in the rule language's shape.
    pub fn to_json(&self) -> Value {
        let entries: Map<String, Value> =
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.to_json())).collect();
        let mut out = Map::from_iter([("version".to_owned(), json!(1))]);
        match self.on_miss {
            OnMiss::Deny => drop(out.insert("on_miss".into(), json!("deny"))),
            OnMiss::Ask { timeout } => {
                out.insert("on_miss".into(), json!("ask"));
                out.insert("ask_timeout".into(), json!(format!("{timeout}s")));
            }
        }
        if let Some(filesystem) = &self.filesystem {
            out.insert("filesystem_policy".into(), filesystem.to_json());
        }
        out.insert("network_policies".into(), Value::Object(entries));
        Value::Object(out)
    }

    /// The policy as YAML; [`Policy::parse`] reads it back to an equal policy.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        write_yaml(&self.to_json(), 0, false, &mut out);
        out
    }
}

impl Entry {
    /// The entry as JSON in the rule language's shape.
    pub fn to_json(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("name".into(), json!(self.name));
        if !self.binaries.is_empty() {
            let binaries = self.binaries.iter().map(|binary| json!({ "path": binary.as_str() }));
            entry.insert("binaries".into(), binaries.collect());
        }
        entry.insert("endpoints".into(), self.endpoints.iter().map(Endpoint::to_json).collect());
        Value::Object(entry)
    }
}

impl Endpoint {
    /// The endpoint as JSON in the rule language's shape.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("host".into(), json!(self.host.as_str()));
        match self.ports.as_slice() {
            [port] => out.insert("port".into(), json!(port)),
            ports => out.insert("ports".into(), json!(ports)),
        };
        if let Traffic::Rest(rest) = &self.traffic {
            out.insert("protocol".into(), json!(rest.protocol.as_ref().map_or("rest", PluginName::as_str)));
            match &rest.allow {
                Allow::Access(access) => drop(out.insert("access".into(), json!(access.as_str()))),
                Allow::Rules(rules) if rules.is_empty() => {}
                Allow::Rules(rules) => {
                    let rules = rules.iter().map(|rule| json!({ "allow": rule.to_json() }));
                    out.insert("rules".into(), rules.collect());
                }
            }
            if !rest.deny.is_empty() {
                out.insert("deny_rules".into(), rest.deny.iter().map(Rule::to_json).collect());
            }
            if rest.paths.allow_encoded_slash {
                out.insert("allow_encoded_slash".into(), json!(true));
            }
            if rest.paths.strip_params {
                out.insert("path_params".into(), json!("strip"));
            }
        }
        if let Some(time) = self.expires_at.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
            out.insert("expires_at".into(), json!(time.to_string()));
        }
        if self.review_auto {
            out.insert("review".into(), json!("auto"));
        }
        Value::Object(out)
    }
}

impl Rule {
    /// The rule as JSON in the rule language's shape, without the `allow` around it.
    pub fn to_json(&self) -> Value {
        match self {
            Rule::Rest(rule) => rule.to_json(),
            Rule::Operation(rule) => rule.to_json(),
        }
    }
}

impl OperationRule {
    /// The rule as JSON in the rule language's shape, without the `allow` around it.
    pub fn to_json(&self) -> Value {
        let mut out = Map::from_iter([("action".to_owned(), json!(self.action()))]);
        if !self.attributes.is_empty() {
            let attributes = self.attributes.iter().map(|(name, wanted)| {
                let value = match wanted {
                    Wanted::OneOf(values) => one_of(values),
                    Wanted::Fields(fields) => {
                        fields.iter().map(|(name, values)| (name.clone(), field(name, values))).collect()
                    }
                };
                (name.clone(), value)
            });
            out.insert("where".into(), Value::Object(attributes.collect()));
        }
        Value::Object(out)
    }
}

/// A field named `exact` is told from a value in its longer form.
fn field(name: &str, values: &[ValuePattern]) -> Value {
    match values {
        [one] if name == "exact" && *one.form() == ValueForm::Exact => json!({ "exact": one.as_str() }),
        [_] if name == "exact" => json!({ "any": values.iter().map(ValuePattern::as_str).collect::<Vec<_>>() }),
        values => one_of(values),
    }
}

fn one_of(values: &[ValuePattern]) -> Value {
    let value = |value: &ValuePattern| match value.needs_exact() {
        true => json!({ "exact": value.as_str() }),
        false => json!(value.as_str()),
    };
    match values {
        [one] => value(one),
        many => json!({ "any": many.iter().map(value).collect::<Vec<_>>() }),
    }
}

impl RestRule {
    /// The rule as JSON in the rule language's shape, without the `allow` around it.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("method".into(), json!(self.method.as_str()));
        out.insert("path".into(), json!(self.path.as_str()));
        if !self.query.is_empty() {
            let query = self.query.iter().map(|(key, globs)| {
                let value = match globs.as_slice() {
                    [glob] => json!(glob.as_str()),
                    globs => json!({ "any": globs.iter().map(|glob| glob.as_str()).collect::<Vec<_>>() }),
                };
                (key.clone(), value)
            });
            out.insert("query".into(), Value::Object(query.collect()));
        }
        Value::Object(out)
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Block style; strings are quoted unless they are plainly plain. `inline` is set where the cursor stands after `- `.
fn write_yaml(value: &Value, indent: usize, inline: bool, out: &mut String) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str("{}\n"),
        Value::Object(map) => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 || !inline {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str(&scalar(key));
                out.push(':');
                write_child(value, indent, out);
            }
        }
        Value::Array(items) if items.is_empty() => out.push_str("[]\n"),
        Value::Array(items) => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push_str("- ");
                write_yaml(item, indent + 2, true, out);
            }
        }
        Value::String(text) => {
            out.push_str(&scalar(text));
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn write_child(value: &Value, indent: usize, out: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    out.push(if nested { '\n' } else { ' ' });
    write_yaml(value, indent + 2, false, out);
}

/// Plain where every YAML reader agrees that it is a string, else in double quotes (JSON's are YAML's).
fn scalar(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./-".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}
