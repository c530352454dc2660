//! Containment in a plugin's words: what is quantified over is everything that the vocabulary admits, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::{Plugin, Schema};
use narrowgate_core::vocabulary::{Manifest, Vocabulary};
use narrowgate_prover::{Ceiling, Counterexample, Engine, Options, Verdict, prove};
use serde_json::{Value, json};

fn plugin(manifest: Value) -> Plugin {
    let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    let digest = Digest::of(&manifest.to_json());
    Plugin { vocabulary: Vocabulary::try_from(manifest).unwrap(), digest }
}

fn schema() -> Arc<Schema> {
    let text = |name: &str| json!({ "name": name, "kind": "text", "doc": name });
    let optional = |name: &str, kind: &str| json!({ "name": name, "kind": kind, "optional": true, "doc": name });
    let forge = plugin(json!({
        "name": "forge", "version": "1", "doc": "A forge.", "hosts": ["api.forge.example", "*.forge.test"],
        "actions": [
            { "name": "contents.read", "group": "read", "methods": ["GET"], "doc": "Reads a file.",
              "attributes": [text("owner"), text("repo"), text("path"), optional("ref", "text")] },
            { "name": "contents.write", "group": "write", "methods": ["PUT"], "doc": "Writes a file.",
              "attributes": [text("owner"), text("repo"), text("path"), optional("number", "integer"),
                             optional("force", "flag"), optional("labels", "texts")] },
            { "name": "repo.delete", "group": "delete", "methods": ["DELETE"], "doc": "Deletes a repository.",
              "attributes": [text("owner"), text("repo")] },
            { "name": "search", "group": "read", "methods": ["GET", "POST"], "doc": "Searches.",
              "read_exemption": "The query is in the body." },
        ],
    }));
    let tools = plugin(json!({
        "name": "tools", "version": "1", "doc": "Calls of tools.",
        "actions": [
            { "name": "call", "group": "write", "methods": ["POST"], "doc": "Calls a tool.",
              "attributes": [text("tool"), { "name": "arguments", "kind": "fields", "doc": "By name." },
                             { "name": "structured", "kind": "texts", "doc": "Names." }] },
            { "name": "list", "group": "read", "methods": ["POST"], "doc": "Lists tools.",
              "read_exemption": "A remote procedure call." },
        ],
    }));
    Schema::with([forge, tools]).unwrap()
}

/// A policy of one endpoint, which is given as what follows `host: … `.
fn policy(endpoint: &str) -> Policy {
    let yaml = format!("version: 1\nnetwork_policies: {{ p: {{ endpoints: [{{ {endpoint} }}] }} }}\n");
    Policy::parse(&yaml, "p.yaml", Role::Policy).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn ceiling(text: &str, schema: &Arc<Schema>) -> Ceiling {
    Ceiling::parse_over(text, "ceiling", schema).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn verdict(endpoint: &str, bound: &str) -> Verdict {
    let schema = schema();
    let compiled = Compiled::policy_over(&policy(endpoint), Role::Policy, &schema);
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}\n{endpoint}"));
    let options = Options { engine: Some(Engine::Exact), ..Options::default() };
    prove(&compiled, &ceiling(bound, &schema), &options).verdict
}

const FORGE: &str = "host: api.forge.example, port: 443, protocol: forge, ";
const TOOLS: &str = "host: mcp.example, port: 443, protocol: tools, ";
const REST: &str = "host: api.forge.example, port: 443, protocol: rest, ";

const OWNER: &str = "permit(principal, action in Action::\"write\", resource) when { context has forge.owner && context.forge.owner == \"acme\" };";

#[track_caller]
fn within(endpoint: &str, bound: &str) {
    match verdict(endpoint, bound) {
        Verdict::Within(_) => {}
        other => panic!("{endpoint}\n{bound}\n{other:#?}"),
    }
}

#[track_caller]
fn exceeds(endpoint: &str, bound: &str) -> Counterexample {
    match verdict(endpoint, bound) {
        Verdict::Exceeds(found) => *found,
        other => panic!("{endpoint}\n{bound}\n{other:#?}"),
    }
}

/// The witness as one line: action, method and attributes.
#[track_caller]
fn witness(endpoint: &str, bound: &str, expect: &str) {
    let found = exceeds(endpoint, bound);
    let (action, meaning) = (found.request.operation.action().to_owned(), found.request.operation.meaning());
    let said = meaning.map(|meaning| {
        let each = meaning.attributes().iter().map(|(name, value)| format!(" {name}={}", value.to_json()));
        each.collect::<String>()
    });
    assert_eq!(format!("{action}{}", said.unwrap_or_default()), expect, "{endpoint}\n{bound}");
}

#[test]
fn an_operation_by_its_attributes() {
    let rule = |wanted: &str| {
        format!("{FORGE} rules: [{{ allow: {{ action: \"forge::contents.write\", where: {{ {wanted} }} }} }}]")
    };
    within(&rule("owner: acme"), OWNER);
    within(&rule("owner: acme, repo: site, path: \"docs/**\""), OWNER);
    within(&rule("owner: { any: [acme] }"), OWNER);
    witness(&rule("owner: other"), OWNER, "forge::contents.write owner=\"other\" path=\"x\" repo=\"x\"");
    witness(&rule("repo: site"), OWNER, "forge::contents.write owner=\"x\" path=\"x\" repo=\"site\"");
    witness(
        &rule("owner: { any: [acme, other] }"),
        OWNER,
        "forge::contents.write owner=\"other\" path=\"x\" repo=\"x\"",
    );
    // A star crosses no slash, `**` does.
    let below = |glob: &str| {
        format!(
            "{OWNER} forbid(principal, action, resource) unless {{ context has forge.path && context.forge.path like \"{glob}\" }};"
        )
    };
    within(&rule("owner: acme, path: \"docs/*\""), &below("docs/*"));
    within(&rule("owner: acme, path: \"docs/*/x\""), &below("docs/*"));
    witness(
        &rule("owner: acme, path: \"docs/**\""),
        &below("docs/*"),
        "forge::contents.write owner=\"acme\" path=\"docs\" repo=\"x\"",
    );
    let flat = format!(
        "{OWNER} forbid(principal, action, resource) when {{ context has forge.path && context.forge.path like \"docs/*/*\" }};"
    );
    within(&rule("owner: acme, path: \"docs/*\""), &flat);
    exceeds(&rule("owner: acme, path: \"docs/**\""), &flat);
}

#[test]
fn groups_bound_actions_that_they_do_not_name() {
    let read = "permit(principal, action in Action::\"read\", resource);";
    within(&format!("{FORGE} access: read-only"), read);
    within(&format!("{FORGE} rules: [{{ allow: {{ action: \"forge::search\" }} }}]"), read);
    within(&format!("{TOOLS} rules: [{{ allow: {{ action: \"tools::list\" }} }}]"), read);
    witness(&format!("{FORGE} access: read-write"), read, "forge::contents.write owner=\"x\" path=\"x\" repo=\"x\"");
    let no_delete = "permit(principal, action, resource); forbid(principal, action in Action::\"delete\", resource);";
    within(&format!("{FORGE} access: read-write"), no_delete);
    witness(&format!("{FORGE} access: full"), no_delete, "forge::repo.delete owner=\"x\" repo=\"x\"");
    within(
        &format!("{FORGE} access: full"),
        "permit(principal, action in [Action::\"forge:read\", Action::\"forge:write\", Action::\"forge:delete\"], resource);",
    );
}

/// What a rule says of methods and paths it says of every operation that such a request can be.
#[test]
fn a_rest_rule_at_a_plugins_host_is_proven_as_such() {
    let get = format!("{REST} rules: [{{ allow: {{ method: GET, path: \"/**\" }} }}]");
    let delete = format!("{REST} rules: [{{ allow: {{ method: DELETE, path: \"/repos/a/b\" }} }}]");
    within(&get, "permit(principal, action in Action::\"read\", resource);");
    let yaml = "version: 1\nnetwork_policies: { c: { endpoints: [{ host: api.forge.example, port: 443, protocol: rest, access: full }] } }";
    within(&get, yaml);
    within(&delete, yaml);
    within(&format!("{FORGE} access: full"), yaml);
    let forbidden =
        "permit(principal, action, resource); forbid(principal, action == Action::\"forge::repo.delete\", resource);";
    witness(&delete, forbidden, "forge::repo.delete owner=\"x\" repo=\"x\"");
    within(&get, forbidden);
    // Elsewhere, the plugin says nothing.
    let elsewhere =
        "host: api.example, port: 443, protocol: rest, rules: [{ allow: { method: DELETE, path: \"/repos/a/b\" } }]";
    within(elsewhere, forbidden);
    // The other way round: a ceiling in the plugin's words admits no request that was not read by it.
    witness(&format!("{REST} rules: [{{ allow: {{ method: PUT, path: \"/repos/acme/site\" }} }}]"), OWNER, "PUT");
}

#[test]
fn a_policys_denies_bind_operations() {
    let bound = "permit(principal, action, resource); forbid(principal, action, resource) when { context has path && context.path like \"/secret*\" };";
    let allow = "rules: [{ allow: { action: \"forge::contents.read\" } }]";
    let found = exceeds(&format!("{FORGE} {allow}"), bound);
    assert!(found.curl().contains("https://api.forge.example/secret"), "{}", found.curl());
    within(
        &format!("{FORGE} {allow}, deny_rules: [{{ method: GET, path: \"/secret*/**\" }}]"),
        &bound.replace("/secret*", "/secret/*"),
    );
    let owner = "permit(principal, action, resource); forbid(principal, action, resource) when { context has forge.owner && context.forge.owner == \"evil\" };";
    exceeds(&format!("{FORGE} {allow}"), owner);
    within(
        &format!("{FORGE} {allow}, deny_rules: [{{ action: \"forge::contents.read\", where: {{ owner: evil }} }}]"),
        owner,
    );
}

/// Of an operation the proxy lets pass only what the vocabulary says: nothing else is a counterexample.
#[test]
fn membership_is_known_to_the_prover() {
    let write = format!("{FORGE} rules: [{{ allow: {{ action: \"forge::contents.write\" }} }}]");
    within(&write, "permit(principal, action, resource) when { context has method && context.method == \"PUT\" };");
    let read = format!("{FORGE} rules: [{{ allow: {{ action: \"forge::contents.read\" }} }}]");
    let get = "permit(principal, action, resource) when { context has method && context.method == \"GET\" };";
    let found = exceeds(&read, get);
    assert!(found.curl().contains("--head"), "{}", found.curl());
    // An L4 rule grants every operation, but a plugin speaks only for its hosts.
    let opaque = "host: other.example, port: 443";
    let not_forge = "permit(principal, action, resource) when { resource.host == \"other.example\" }; forbid(principal, action in [Action::\"forge:read\", Action::\"forge:write\", Action::\"forge:delete\"], resource);";
    within(opaque, not_forge);
    exceeds("host: x.forge.test, port: 443", &not_forge.replace("other.example", "x.forge.test"));
    within("host: y.x.forge.test, port: 443", &not_forge.replace("other.example", "y.x.forge.test"));
}

#[test]
fn numbers_flags_sets_and_fields() {
    let write = |wanted: &str| {
        format!("{FORGE} rules: [{{ allow: {{ action: \"forge::contents.write\", where: {{ {wanted} }} }} }}]")
    };
    let when = |condition: &str| {
        format!("permit(principal, action, resource) when {{ context has forge.owner && {condition} }};")
    };
    let number = when("context.forge has number && context.forge.number < 10");
    within(&write("number: { any: [1, 9] }"), &number);
    exceeds(&write("number: { any: [1, 10] }"), &number);
    exceeds(&write("owner: acme"), &number);
    let force = when("!(context.forge has force && context.forge.force)");
    within(&write("force: false"), &force);
    exceeds(&write("force: true"), &force);
    exceeds(&write("owner: acme"), &force);
    let labels = when("context.forge has labels && [\"a\", \"b\"].containsAll(context.forge.labels)");
    within(&write("labels: { any: [a] }"), &labels);
    within(&write("labels: { any: [a, b] }"), &labels);
    within(&write("labels: { any: [] }"), &labels);
    witness(
        &write("labels: { any: [a, c] }"),
        &labels,
        "forge::contents.write labels=[\"c\"] owner=\"x\" path=\"x\" repo=\"x\"",
    );
    let no_b = when("context.forge has labels && !context.forge.labels.contains(\"b\")");
    within(&write("labels: { any: [a, c] }"), &no_b);
    witness(
        &write("labels: { any: [a, b] }"),
        &no_b,
        "forge::contents.write labels=[\"b\"] owner=\"x\" path=\"x\" repo=\"x\"",
    );
    let some = when("context.forge has labels && !context.forge.labels.isEmpty()");
    witness(
        &write("labels: { any: [a, b] }"),
        &some,
        "forge::contents.write labels=[] owner=\"x\" path=\"x\" repo=\"x\"",
    );
    let call =
        |wanted: &str| format!("{TOOLS} rules: [{{ allow: {{ action: \"tools::call\", where: {{ {wanted} }} }} }}]");
    let path = "permit(principal, action, resource) when { context has tools.arguments && context.tools.arguments.hasTag(\"path\") && context.tools.arguments.getTag(\"path\") like \"/work/*\" };";
    within(&call("tool: read, arguments: { path: \"/work/notes/*\" }"), path);
    witness(
        &call("tool: read, arguments: { path: \"/etc/*\" }"),
        path,
        "tools::call arguments={\"path\":\"/etc/\"} structured=[] tool=\"read\"",
    );
    witness(&call("tool: read"), path, "tools::call arguments={} structured=[] tool=\"read\"");
    let none_structured = format!(
        "{path} forbid(principal, action, resource) when {{ context has tools.structured && !context.tools.structured.isEmpty() }};"
    );
    exceeds(&call("arguments: { path: \"/work/**\" }"), &none_structured.replace("/work/*", "/*"));
    within(&call("arguments: { path: \"/work/*\" }, structured: { any: [] }"), &none_structured);
}

#[test]
fn what_a_policy_gets_wrong_is_named() {
    let schema = schema();
    let check = |endpoint: &str, expect: &str| {
        let error = Compiled::policy_over(&policy(endpoint), Role::Policy, &schema).expect_err(endpoint).to_string();
        assert!(error.contains(expect), "{endpoint}: {error}");
    };
    let rule = |action: &str, wanted: &str| {
        format!("{FORGE} rules: [{{ allow: {{ action: \"{action}\", where: {{ {wanted} }} }} }}]")
    };
    check(
        "host: h.example, port: 443, protocol: nobody, access: full",
        "no plugin named nobody (those given: forge, tools)",
    );
    check(
        "host: h.example, port: 443, protocol: forge, access: full",
        "forge does not speak for h.example, only for api.forge.example",
    );
    check(&rule("forge::contents.wriet", ""), "has no action \"forge::contents.wriet\"");
    check(
        &rule("forge::contents.write", "owners: acme"),
        "has no attribute \"owners\"; it has force, labels, number, owner, path, repo",
    );
    check(&rule("forge::contents.write", "number: many"), "number: \"many\" is not a whole number");
    check(&rule("forge::contents.write", "force: yes"), "force: expected true or false");
    check(&rule("forge::contents.write", "labels: \"a*\""), "given exactly");
    check(&rule("forge::contents.write", "owner: { any: [] }"), "at least one value");
    check(&rule("forge::contents.write", "owner: { a: b }"), "expected a value");
}

/// A plugin that is not the one of the ceiling is no plugin that anything was proven for.
#[test]
fn both_sides_have_the_same_plugins() {
    let everything = ceiling("permit(principal, action, resource);", Schema::standard());
    let compiled = Compiled::policy_over(&policy(&format!("{FORGE} access: full")), Role::Policy, &schema()).unwrap();
    match prove(&compiled, &everything, &Options::default()).verdict {
        Verdict::Unsupported(reason) => assert!(reason.message.contains("different plugins"), "{}", reason.message),
        other => panic!("{other:?}"),
    }
    let digests = prove(&compiled, &Ceiling::open_over(&schema()), &Options::default()).digests;
    assert_eq!(digests.plugins.keys().collect::<Vec<_>>(), ["forge", "tools"]);
}
