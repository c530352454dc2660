//! Plugins for tests: a forge with every kind of attribute, which speaks for one host, and tools, which speak wherever a
//! policy says so.
#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::{Arc, LazyLock};

use narrowgate_core::digest::Digest;
use narrowgate_core::schema::{Plugin, Schema};
use narrowgate_core::vocabulary::{Manifest, Vocabulary};
use serde_json::{Value, json};

/// An action: its name, its group, its methods, and its attributes as `name kind`, with `?` where they are optional.
fn action(name: &str, group: &str, methods: &[&str], attributes: &[&str]) -> Value {
    let attribute = |text: &&str| {
        let (name, kind) = text.split_once(' ').unwrap();
        let (kind, optional) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        json!({ "name": name, "kind": kind, "optional": optional, "doc": "d" })
    };
    let attributes: Vec<Value> = attributes.iter().map(attribute).collect();
    let mut action = json!({ "name": name, "group": group, "methods": methods, "doc": "d", "attributes": attributes });
    if group == "read" && methods != ["GET"] {
        action["read_exemption"] = json!("the question is in the body");
    }
    action
}

fn plugin(name: &str, hosts: &[&str], actions: &[Value]) -> Plugin {
    let manifest = json!({ "name": name, "version": "1.0.0", "doc": "d", "hosts": hosts, "actions": actions });
    let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    let digest = Digest::of(&manifest.to_json());
    Plugin { vocabulary: Vocabulary::try_from(manifest).unwrap(), digest }
}

/// What a forge's requests mean, at forge.example.com.
pub(crate) fn forge() -> Plugin {
    forge_at("forge.example.com")
}

/// The same at another host.
pub(crate) fn forge_at(host: &str) -> Plugin {
    let repository = ["owner text", "repo text"];
    let with = |more: &[&'static str]| [&repository[..], more].concat();
    plugin(
        "forge",
        &[host],
        &[
            action("repos.read", "read", &["GET"], &repository),
            action("search.run", "read", &["POST"], &["query text"]),
            action("contents.read", "read", &["GET"], &with(&["path text", "ref text?"])),
            action("contents.write", "write", &["PUT", "DELETE"], &with(&["path text", "branch text?"])),
            action("issues.create", "write", &["POST"], &with(&["labels texts", "draft flag?"])),
            action("pulls.merge", "write", &["PUT"], &with(&["number integer", "force flag"])),
            action("repos.delete", "delete", &["DELETE"], &repository),
            action("tokens.create", "admin", &["POST"], &["scopes texts"]),
        ],
    )
}

/// What a call of a tool means, at any host.
pub(crate) fn tools() -> Plugin {
    let actions = [
        action("tools.list", "read", &["GET"], &[]),
        action("tools.call", "admin", &["POST"], &["name text", "arguments fields?"]),
    ];
    plugin("tools", &[], &actions)
}

/// A schema with both.
pub(crate) fn schema() -> Arc<Schema> {
    static BOTH: LazyLock<Arc<Schema>> = LazyLock::new(|| Schema::with([forge(), tools()]).unwrap());
    Arc::clone(&BOTH)
}

/// A schema with a plugin of so many actions, each carried by one method, at big.example.com.
pub(crate) fn big(actions: usize) -> Arc<Schema> {
    let methods = [("read", "GET"), ("write", "POST"), ("write", "PUT"), ("delete", "DELETE")];
    let attributes = ["owner text", "repo text", "path text", "ref text?", "number integer?"];
    let actions: Vec<Value> = (0..actions)
        .zip(methods.into_iter().cycle())
        .map(|(n, (group, method))| action(&format!("part{n}.{group}"), group, &[method], &attributes))
        .collect();
    Schema::with([plugin("big", &["big.example.com"], &actions)]).unwrap()
}
