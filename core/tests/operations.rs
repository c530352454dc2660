//! Decisions where a plugin says what requests mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Decision, Reason, Snapshot};
use narrowgate_core::digest::Digest;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Request, Target};
use narrowgate_core::schema::{Plugin, Schema};
use narrowgate_core::vocabulary::{Label, LabelValue, Manifest, Vocabulary};
use serde_json::{Value, json};

fn plugin(name: &str) -> Plugin {
    let manifest = json!({ "name": name, "version": "1", "doc": "A forge.", "hosts": ["forge.example"], "actions": [
        { "name": "write", "group": "write", "methods": ["PUT"], "doc": "Writes.",
          "attributes": [{ "name": "path", "kind": "text", "doc": "Where." }] },
    ] });
    let vocabulary = Vocabulary::try_from(Manifest::parse(manifest.to_string().as_bytes()).unwrap()).unwrap();
    Plugin { vocabulary, digest: Digest::of(name.as_bytes()) }
}

fn schema() -> Arc<Schema> {
    Schema::with([plugin("forge"), plugin("smithy")]).unwrap()
}

fn snapshot(endpoint: &str) -> Snapshot {
    let yaml = format!(
        "version: 1\nnetwork_policies: {{ p: {{ endpoints: [{{ host: forge.example, port: 443, {endpoint} }}] }} }}\n"
    );
    let policy = Policy::parse(&yaml, "p.yaml", Role::Policy).unwrap();
    let compiled = Compiled::policy_over(&policy, Role::Policy, &schema()).unwrap();
    Snapshot::new(policy, compiled, 1)
}

/// `PUT /a`, unread or read by a plugin as writing somewhere.
fn request(said: Option<(&str, &str)>) -> Request {
    let (host, method) = (Host::parse("forge.example").unwrap(), Method::parse("PUT").unwrap());
    let meaning = said.map(|(speaker, path)| {
        let attributes = vec![("path".to_owned(), LabelValue::Text(path.to_owned()))];
        let label = Label { action: "write".to_owned(), attributes };
        Arc::new(schema().vocabulary(speaker).unwrap().admit(&host, &method, label).unwrap())
    });
    let target = Target::parse("/a", &PathOptions::default()).unwrap();
    let operation = Operation::Http { method, target, meaning };
    Request { process: Process::default(), host, port: Port::HTTPS, operation, now: 0 }
}

#[track_caller]
fn check(endpoint: &str, asked: &[Option<(&str, &str)>], expect: Option<Reason>) {
    let requests: Vec<Request> = asked.iter().map(|said| request(*said)).collect();
    let found = match snapshot(endpoint).decide_all(&requests) {
        Decision::Allow(_) => None,
        Decision::Deny(refusal) => Some(refusal.reason),
    };
    assert_eq!(found, expect, "{endpoint} {asked:?}");
}

#[test]
fn every_operation_must_be_allowed() {
    let docs = "protocol: forge, rules: [{ allow: { action: \"forge::write\", where: { path: \"docs/**\" } } }]";
    check(docs, &[Some(("forge", "docs/a"))], None);
    check(docs, &[Some(("forge", "docs/a")), Some(("forge", "docs/b"))], None);
    check(docs, &[Some(("forge", "docs/a")), Some(("forge", "src/b"))], Some(Reason::NoMatchingRule));
    check(docs, &[], Some(Reason::PluginError));
    let but = format!("{docs}, deny_rules: [{{ action: \"forge::write\", where: {{ path: \"docs/secret\" }} }}]");
    check(&but, &[Some(("forge", "docs/a")), Some(("forge", "docs/secret"))], Some(Reason::DenyRule));
    let denied = format!("{docs}, deny_rules: [{{ method: PUT, path: /a }}]");
    check(&denied, &[Some(("forge", "docs/a"))], Some(Reason::DenyRule));
}

/// A rule about methods and paths means what it says, but nothing is decided on a request that nobody read.
#[test]
fn where_a_plugin_speaks_nothing_is_decided_unread() {
    let mixed = "protocol: forge, rules: [{ allow: { method: PUT, path: /a } }]";
    check(mixed, &[Some(("forge", "anything"))], None);
    check(mixed, &[None], Some(Reason::PluginError));
    check(mixed, &[Some(("smithy", "anything"))], Some(Reason::PluginError));
    let plain = "protocol: rest, rules: [{ allow: { method: PUT, path: /a } }]";
    check(plain, &[None], None);
    check(plain, &[Some(("forge", "anything"))], Some(Reason::PluginError));
}

/// What a plugin says is taken only as far as its vocabulary goes.
#[test]
fn what_is_not_declared_is_not_admitted() {
    let schema = schema();
    let vocabulary = schema.vocabulary("forge").unwrap();
    let text = |text: &str| LabelValue::Text(text.to_owned());
    let path = |value: LabelValue| vec![("path".to_owned(), value)];
    let twice = vec![("path".to_owned(), text("a")), ("path".to_owned(), text("b"))];
    let other = vec![("path".to_owned(), text("a")), ("owner".to_owned(), text("a"))];
    for (host, method, action, attributes, expect) in [
        ("forge.example", "PUT", "delete", path(text("a")), "\"delete\" is not declared"),
        ("forge.example", "PUT", "forge::write", path(text("a")), "\"forge::write\" is not declared"),
        ("forge.example", "POST", "write", path(text("a")), "is not carried by POST"),
        ("other.example", "PUT", "write", path(text("a")), "does not speak for the host other.example"),
        ("forge.example", "PUT", "write", Vec::new(), "comes without its attribute \"path\""),
        ("forge.example", "PUT", "write", twice, "has the attribute \"path\" twice"),
        ("forge.example", "PUT", "write", other, "\"owner\" is not declared"),
        ("forge.example", "PUT", "write", path(LabelValue::Flag(true)), "is not of its kind, text"),
        ("forge.example", "PUT", "write", path(text("a\u{7}")), "control character"),
        ("forge.example", "PUT", "write", path(text(&"a".repeat(4097))), "more than 4096 bytes"),
    ] {
        let label = Label { action: action.to_owned(), attributes };
        let (host, method) = (Host::parse(host).unwrap(), Method::parse(method).unwrap());
        let error = vocabulary.admit(&host, &method, label).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn a_vocabulary_makes_sense_or_is_refused() {
    let good = json!({ "name": "forge", "version": "1", "doc": "A forge.", "actions": [
        { "name": "read", "group": "read", "methods": ["GET"], "doc": "Reads." } ] });
    let check = |change: &dyn Fn(&mut Value), expect: &str| {
        let mut manifest = good.clone();
        change(&mut manifest);
        let read = Manifest::parse(manifest.to_string().as_bytes()).and_then(Vocabulary::try_from);
        let error = read.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}\nlacks {expect}");
    };
    check(&|m| m["name"] = json!("path"), "/name: the name \"path\" is taken");
    check(&|m| m["name"] = json!("Forge"), "/name: the name \"Forge\" is not");
    check(&|m| m["doc"] = json!("a\nb"), "/doc: expected 1 to 2000 bytes on one line");
    check(&|m| m["hosts"] = json!(["*"]), "/hosts/0: pattern \"*\"");
    check(&|m| m["headers"] = json!(["authorization"]), "/headers/0: \"authorization\" carries credentials");
    check(&|m| m["headers"] = json!(["Accept"]), "/headers/0: \"Accept\" is not a header's name in lower case");
    check(&|m| m["body"] = json!({ "methods": ["PUT"], "limit": 5_000_000 }), "/body/limit: 5000000 is not from 1 to");
    check(&|m| m["actions"] = json!([]), "/actions: a plugin has at least one action");
    check(&|m| m["actions"][0]["methods"] = json!(["POST"]), "/actions/0/read_exemption: an action in the group read");
    check(&|m| m["actions"][0]["read_exemption"] = json!("why"), "there is nothing to exempt");
    check(&|m| m["actions"][0]["methods"] = json!(["CONNECT"]), "/actions/0/methods/0: \"CONNECT\" is not one of GET");
    check(&|m| m["actions"][0]["name"] = json!("Read"), "/actions/0/name: \"Read\" is not words of");
    check(&|m| m["extra"] = json!(1), "unknown field `extra`");
    let twice = [plugin("forge"), plugin("forge")];
    assert_eq!(Schema::with(twice).unwrap_err().to_string(), "two plugins are named forge; leave one out");
}
