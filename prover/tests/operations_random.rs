//! Random rules and ceilings in a plugin's words, against Cedar's authorizer on a universe of operations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, LazyLock};

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Request, Target};
use narrowgate_core::schema::{Plugin, Schema};
use narrowgate_core::vocabulary::{Label, LabelValue, Manifest, Vocabulary};
use narrowgate_prover::{Ceiling, Engine, Options, Verdict, prove};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let attribute = |name: &str, kind: &str, optional: bool| json!({ "name": name, "kind": kind, "optional": optional, "doc": name });
    let manifest = json!({
        "name": "forge", "version": "1", "doc": "A forge.", "hosts": ["a.test", "*.b.test"],
        "actions": [
            { "name": "read", "group": "read", "methods": ["GET"], "doc": "Reads.",
              "attributes": [attribute("owner", "text", false), attribute("ref", "text", true)] },
            { "name": "write", "group": "write", "methods": ["PUT", "POST"], "doc": "Writes.",
              "attributes": [attribute("owner", "text", false), attribute("path", "text", false),
                             attribute("number", "integer", true), attribute("force", "flag", false)] },
            { "name": "call", "group": "admin", "methods": ["POST"], "doc": "Calls.",
              "attributes": [attribute("labels", "texts", false), attribute("arguments", "fields", false)] },
        ],
    });
    let vocabulary = Vocabulary::try_from(Manifest::parse(manifest.to_string().as_bytes()).unwrap()).unwrap();
    Schema::with([Plugin { vocabulary, digest: Digest::of(b"forge") }]).unwrap()
});

/// Every operation of a few values, by each method that carries it, at each host; and the same requests unread.
static UNIVERSE: LazyLock<Vec<Request>> = LazyLock::new(|| {
    let vocabulary = SCHEMA.vocabulary("forge").unwrap();
    let text = |text: &str| LabelValue::Text(text.to_owned());
    let mut labels: Vec<(&str, Vec<(&str, LabelValue)>)> = Vec::new();
    let owners = ["acme", "acme-x", "b", "c/d"];
    for owner in owners {
        labels.push(("read", vec![("owner", text(owner))]));
        for reference in ["main", "bot/x", "bot", "q"] {
            labels.push(("read", vec![("owner", text(owner)), ("ref", text(reference))]));
        }
        for path in ["docs", "docs/a", "docs/a/b", "x"] {
            for number in [None, Some(0), Some(7)] {
                for force in [false, true] {
                    let mut said =
                        vec![("owner", text(owner)), ("path", text(path)), ("force", LabelValue::Flag(force))];
                    said.extend(number.map(|n: i64| ("number", LabelValue::Integer(n.to_string()))));
                    labels.push(("write", said));
                }
            }
        }
    }
    for set in [&[][..], &["a"], &["b"], &["a", "b"], &["z"], &["a", "z"]] {
        for fields in [&[][..], &[("k", "v")], &[("k", "docs/a")], &[("l", "v")], &[("k", "w"), ("l", "v")]] {
            let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            let set = LabelValue::Texts(set.iter().map(|text| (*text).to_owned()).collect());
            labels.push(("call", vec![("labels", set), ("arguments", LabelValue::Fields(fields))]));
        }
    }
    let request = |host: &str, operation| Request {
        process: Process { path: "/usr/bin/curl".to_owned(), ..Process::default() },
        host: Host::parse(host).unwrap(),
        port: Port::HTTPS,
        operation,
        now: 1_767_225_600,
    };
    let mut out = Vec::new();
    for host in ["a.test", "x.b.test", "elsewhere.test"] {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
            for path in ["/", "/docs/a", "/x"] {
                let method = Method::parse(method).unwrap();
                let target = Target::parse(path, &PathOptions::default()).unwrap();
                out.push(request(host, Operation::http(method.clone(), target.clone())));
                for (action, attributes) in &labels {
                    let attributes =
                        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                    let label = Label { action: (*action).to_owned(), attributes };
                    // Only what the vocabulary admits ever reaches a decision.
                    if let Ok(meaning) = vocabulary.admit(&Host::parse(host).unwrap(), &method, label) {
                        let (method, target) = (method.clone(), target.clone());
                        out.push(request(host, Operation::Http { method, target, meaning: Some(Arc::new(meaning)) }));
                    }
                }
            }
        }
    }
    out
});

fn rule() -> impl Strategy<Value = String> {
    let owner = select(vec!["", "owner: acme", "owner: \"acme*\"", "owner: { any: [acme, b] }", "owner: \"*/d\""]);
    let read = (owner.clone(), select(vec!["", "ref: main", "ref: \"bot/*\"", "ref: \"bot/**\"", "ref: \"**\""]))
        .prop_map(|(owner, reference)| ("read", [owner, reference].map(str::to_owned).to_vec()));
    let write = (
        owner,
        select(vec!["", "path: \"docs/*\"", "path: \"docs/**\"", "path: \"**/a\"", "path: x"]),
        select(vec!["", "number: 7", "number: { any: [0, 7] }"]),
        select(vec!["", "force: true", "force: false"]),
    )
        .prop_map(|(a, b, c, d)| ("write", [a, b, c, d].map(str::to_owned).to_vec()));
    let call = (
        select(vec!["", "labels: { any: [] }", "labels: { any: [a] }", "labels: { any: [a, b] }"]),
        select(vec!["", "arguments: { k: v }", "arguments: { k: \"docs/*\" }", "arguments: { k: \"**\", l: v }"]),
    )
        .prop_map(|(a, b)| ("call", [a, b].map(str::to_owned).to_vec()));
    let operation = prop_oneof![read, write, call].prop_map(|(action, wanted)| {
        let wanted: Vec<String> = wanted.into_iter().filter(|text| !text.is_empty()).collect();
        format!("{{ action: \"forge::{action}\", where: {{ {} }} }}", wanted.join(", "))
    });
    let rest = (select(vec!["GET", "PUT", "POST", "*"]), select(vec!["/**", "/docs/*", "/x"]))
        .prop_map(|(method, path)| format!("{{ method: \"{method}\", path: \"{path}\" }}"));
    prop_oneof![3 => operation, 1 => rest]
}

fn endpoint() -> impl Strategy<Value = String> {
    let rules = proptest::collection::vec(rule(), 1..3);
    let deny = proptest::collection::vec(rule(), 0..2);
    let spoken = (select(vec!["a.test", "\"*.b.test\""]), rules, deny).prop_map(|(host, rules, deny)| {
        let rules: Vec<String> = rules.iter().map(|rule| format!("{{ allow: {rule} }}")).collect();
        let deny = if deny.is_empty() { String::new() } else { format!(", deny_rules: [{}]", deny.join(", ")) };
        format!("{{ host: {host}, port: 443, protocol: forge, rules: [{}]{deny} }}", rules.join(", "))
    });
    let preset = (select(vec!["forge", "rest"]), select(vec!["read-only", "read-write", "full"])).prop_map(
        |(protocol, access)| format!("{{ host: a.test, port: 443, protocol: {protocol}, access: {access} }}"),
    );
    let plain = select(vec!["elsewhere.test", "a.test", "x.b.test"]).prop_map(|host| {
        format!(
            "{{ host: {host}, port: 443, protocol: rest, rules: [{{ allow: {{ method: PUT, path: \"/docs/*\" }} }}] }}"
        )
    });
    prop_oneof![4 => spoken, 1 => preset, 1 => plain]
}

fn policy() -> impl Strategy<Value = String> {
    proptest::collection::vec(endpoint(), 1..3).prop_map(|endpoints| {
        format!("version: 1\nnetwork_policies: {{ p: {{ endpoints: [{}] }} }}\n", endpoints.join(", "))
    })
}

fn condition() -> impl Strategy<Value = String> {
    let atom = select(vec![
        "(context has forge.owner && context.forge.owner == \"acme\")",
        "(context has forge.owner && context.forge.owner like \"acme*\")",
        "(context has forge.path && context.forge.path like \"docs/*\")",
        "(context has forge.ref && context.forge.ref == \"main\")",
        "(context has forge.ref && context.forge.ref like \"bot*\")",
        "(context has forge.number && context.forge.number < 5)",
        "(context has forge.force && context.forge.force)",
        "(context has forge.labels && context.forge.labels.contains(\"a\"))",
        "(context has forge.labels && [\"a\", \"b\"].containsAll(context.forge.labels))",
        "(context has forge.labels && [\"b\"].containsAll(context.forge.labels))",
        "(context has forge.labels && context.forge.labels.isEmpty())",
        "(context has forge.arguments && context.forge.arguments.hasTag(\"k\"))",
        "(context has forge.arguments && context.forge.arguments.hasTag(\"k\") && context.forge.arguments.getTag(\"k\") like \"docs/*\")",
        "(context has method && context.method == \"POST\")",
        "(context has path && context.path like \"/docs/*\")",
        "resource.host == \"a.test\"",
        "resource.host like \"*.b.test\"",
        "action in Action::\"read\"",
        "action in Action::\"forge:write\"",
        "action == Action::\"forge::call\"",
    ]);
    atom.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| format!("!({c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} || {b})")),
        ]
    })
}

/// Hand-written, or in the rule language.
fn bound() -> impl Strategy<Value = String> {
    let permits = proptest::collection::vec(condition(), 1..4);
    let forbids = proptest::collection::vec(condition(), 0..2);
    let cedar = (permits, forbids).prop_map(|(permits, forbids)| {
        let all = permits.iter().map(|c| ("permit", c)).chain(forbids.iter().map(|c| ("forbid", c)));
        all.map(|(effect, c)| format!("{effect}(principal, action, resource) when {{ {c} }};\n")).collect::<String>()
    });
    prop_oneof![3 => cedar, 1 => policy()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(160) })]
    #[test]
    fn within_is_within_and_exceeds_exceeds(candidate in policy(), bound in bound()) {
        // Two endpoints of one destination may be in each other's way; and strict validation refuses impossible forbids.
        let Ok(parsed) = Policy::parse(&candidate, "p.yaml", Role::Policy) else { return Ok(()) };
        let compiled = Compiled::policy_over(&parsed, Role::Policy, &SCHEMA).unwrap();
        let Ok(ceiling) = Ceiling::parse_over(&bound, "ceiling", &SCHEMA) else { return Ok(()) };
        let globs = compiled.globs().union(ceiling.compiled().globs());
        let exceeds = |request: &&Request| {
            is_allowed(&compiled, request, &globs) && !is_allowed(ceiling.compiled(), request, &globs)
        };
        let options = Options { engine: Some(Engine::Exact), ..Options::default() };
        match prove(&compiled, &ceiling, &options).verdict {
            Verdict::Within(_) => {
                let found = UNIVERSE.iter().find(exceeds);
                prop_assert!(found.is_none(), "{candidate}\n{bound}\n{found:#?}");
            }
            Verdict::Exceeds(found) => {
                prop_assert!(exceeds(&&found.request), "{candidate}\n{bound}\n{found:#?}");
                let said = found.request.operation.meaning();
                prop_assert!(said.is_none_or(|said| SCHEMA.operation(said.action()).is_some()));
            }
            other => prop_assert!(false, "{candidate}\n{bound}\n{other:#?}"),
        }
    }
}
