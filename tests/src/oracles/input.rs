//! What must hold for every sequence of bytes that reaches a parser.

use narrowgate_core::compile::Compiled;
use narrowgate_core::locate::{Document, cedar_policies, line_column};
use narrowgate_core::policy::{Endpoint, Policy, Role};
use narrowgate_core::proposal::{Operation, Proposal};
use narrowgate_core::request::{Authority, Host, Method, PathOptions, Port, QueryValue, Target};

/// How often a server may decode a path: once, as it should, and once more.
const DECODINGS: usize = 2;

/// A request target: one canonical form or none, and the same one for the form that is forwarded.
pub fn canonical(raw: &str) {
    for (allow_encoded_slash, strip_params) in [(false, false), (true, false), (false, true), (true, true)] {
        let options = PathOptions { allow_encoded_slash, strip_params };
        let Ok(target) = Target::parse(raw, &options) else { continue };
        let forwarded = target.to_uri_string();
        // The origin gets this and nothing else, so this is what must have been decided.
        let strict = PathOptions { strip_params: false, ..options };
        assert_eq!(Target::parse(&forwarded, &strict).as_ref(), Ok(&target), "{raw:?} became {forwarded:?}");
        path_is_canonical(target.path.as_str(), allow_encoded_slash);
        query_is_canonical(&target);
    }
}

fn path_is_canonical(path: &str, allow_encoded_slash: bool) {
    let rest = path.strip_prefix('/').expect("a canonical path starts with '/'");
    let segments: Vec<&str> = rest.split('/').collect();
    assert!(!segments[..segments.len() - 1].contains(&""), "{path:?} has an empty segment");
    assert!(path.bytes().all(|b| b.is_ascii_graphic() && !b";?#\\\"<>".contains(&b)), "{path:?} has a raw byte");
    for (at, _) in path.match_indices('%') {
        let hex = path.get(at + 1..at + 3).expect("two digits follow");
        assert_eq!(hex, hex.to_ascii_uppercase(), "{path:?} has lower-case digits");
        let byte = u8::from_str_radix(hex, 16).expect("hex digits");
        assert!(!byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte), "{path:?} encodes an unreserved byte");
        assert!(!byte.is_ascii_control() && byte != b'\\', "{path:?} encodes a control byte");
    }
    // To a server that decodes it, or decodes it once too often, the path has the same segments and climbs nowhere.
    let mut decoded: Vec<u8> = path.as_bytes().to_vec();
    for _ in 0..DECODINGS {
        decoded = decode(&decoded);
        let pieces: Vec<&[u8]> = decoded[1..].split(|&b| b == b'/').collect();
        assert!(allow_encoded_slash || pieces.len() == segments.len(), "{path:?} decodes to more segments");
        if !allow_encoded_slash {
            assert!(!pieces.iter().any(|piece| matches!(*piece, b"." | b"..")), "{path:?} decodes to dot segments");
        }
    }
}

fn query_is_canonical(target: &Target) {
    let text = target.query.as_str();
    assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b"#;+\"<>\\".contains(&b)), "a query with a raw byte");
    // Counted the way the plainest server would.
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = text
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key.as_bytes()), decode(value.as_bytes())))
        .collect();
    for (key, _) in &pairs {
        let name = str::from_utf8(key).expect("a key is UTF-8");
        let values: Vec<&Vec<u8>> = pairs.iter().filter(|(other, _)| other == key).map(|(_, value)| value).collect();
        match (target.query.get(name), values.as_slice()) {
            (QueryValue::One(value), [only]) => assert_eq!(value.as_bytes(), only.as_slice()),
            (QueryValue::Repeated, [_, _, ..]) => {}
            (found, _) => panic!("a key with {} values is {found:?}", values.len()),
        }
    }
    assert_eq!(target.query.get("\u{1}"), QueryValue::Absent);
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| str::from_utf8(pair).ok());
        match pair.filter(|_| byte == b'%').map(|pair| u8::from_str_radix(pair, 16)) {
            Some(Ok(decoded)) => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// An authority: what is printed is read back as the same, and has one spelling.
pub fn authority(raw: &str) {
    for default in [None, Some(Port::HTTPS)] {
        let Ok(authority) = Authority::parse(raw, default) else { continue };
        let printed = authority.to_string();
        assert_eq!(Authority::parse(&printed, None).as_ref(), Ok(&authority), "{raw:?} became {printed:?}");
        let host = authority.host.as_str();
        assert!(host.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{raw:?} became {host:?}");
        assert!(!host.ends_with('.') && !host.contains("..") && !host.contains(['@', '%', '/', '*']), "{host:?}");
        assert_eq!(Host::parse(host).as_ref(), Ok(&authority.host));
        assert_eq!(authority.host.labels() == 0, authority.host.ip().is_some());
        // No resolver may take for an address what is taken for a name here.
        let last = host.rsplit('.').next().unwrap_or_default();
        let numeric = last.starts_with(|c: char| c.is_ascii_digit())
            && (last.bytes().all(|b| b.is_ascii_digit())
                || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())));
        assert!(authority.host.ip().is_some() || !numeric, "{host:?} reads as an address");
    }
}

/// A method: it stays as it is, and has no second spelling.
pub fn method(raw: &str) {
    if let Ok(method) = Method::parse(raw) {
        assert_eq!(method.as_str(), raw);
        assert!(
            raw.bytes()
                .all(|b| b.is_ascii_graphic() && !b.is_ascii_lowercase() && !b"(),/:;<=>?@[\\]{}\"".contains(&b))
        );
        assert!(method.action() == raw || method.action() == "OTHER");
    }
}

/// A policy file: errors that name a place, or a policy that survives being written out, and compiles.
pub fn policy_text(text: &str) {
    places_are_parts(text);
    for role in [Role::Policy, Role::Ceiling] {
        match Policy::parse(text, "fuzz.yaml", role) {
            Ok(policy) => policy_holds(&policy, role),
            Err(errors) => {
                assert!(!errors.errors().is_empty());
                for error in errors.errors() {
                    assert!(!error.message.is_empty() && error.file == "fuzz.yaml");
                    assert!(error.line <= text.matches(['\n', '\r']).count() + 2, "{error}");
                    assert!(error.field.is_empty() || error.field.starts_with('/'), "{error}");
                }
            }
        }
    }
}

/// Whatever is asked for, what is pointed at is a part of the text.
fn places_are_parts(text: &str) {
    let document = Document::parse(text);
    for pointer in ["", "/version", "/network_policies", "/network_policies/a/endpoints/0/rules/1/allow", "/-1"] {
        let range = document.as_ref().map(|document| document.find(pointer));
        assert!(range.is_none_or(|range| text.get(range).is_some()), "{pointer} in {text:?}");
    }
    let mut end = 0;
    for range in cedar_policies(text) {
        assert!(range.start >= end && text.get(range.clone()).is_some_and(|part| part.ends_with(';')), "{text:?}");
        end = range.end;
    }
}

/// Each entry can be cut out at its place and still says the same.
fn entries_are_found(policy: &Policy, text: &str) {
    let document = Document::parse(text).expect("a policy is a document");
    for (key, entry) in &policy.entries {
        let range = document.find(&format!("/network_policies/{key}"));
        let (_, column) = line_column(text, range.start);
        let indent = " ".repeat(column.max(5) - 1);
        let alone = format!("version: 1\nnetwork_policies:\n  {key}:\n{indent}{}\n", &text[range]);
        let read = Policy::parse(&alone, "alone.yaml", Role::Ceiling);
        let read = read.unwrap_or_else(|errors| panic!("{errors}\ncut out as:\n{alone}\nof:\n{text}"));
        assert_eq!(read.entries.get(key), Some(entry), "cut out as:\n{alone}");
    }
}

fn policy_holds(policy: &Policy, role: Role) {
    let yaml = policy.to_yaml();
    match Policy::parse(&yaml, "again.yaml", role) {
        Ok(again) => assert_eq!(again, *policy, "written as:\n{yaml}"),
        Err(errors) => panic!("{errors}\nwritten as:\n{yaml}"),
    }
    let json = policy.to_json().to_string();
    assert_eq!(Policy::parse(&json, "again.json", role).as_ref(), Ok(policy), "written as:\n{json}");
    entries_are_found(policy, &yaml);
    entries_are_found(policy, &json);
    let speaks = |endpoint: &Endpoint| endpoint.plugin().is_some();
    let compiled = match Compiled::policy(policy) {
        Ok(compiled) => compiled,
        // Names of plugins are read as any other; that there are none here is the only thing that can be wrong.
        Err(error) if policy.entries.values().flat_map(|entry| &entry.endpoints).any(speaks) => {
            assert!(error.to_string().contains("there is no plugin named"), "{error}\nfor:\n{yaml}");
            return;
        }
        Err(error) => panic!("{error}\nfor:\n{yaml}"),
    };
    let parts = cedar_policies(compiled.text());
    assert_eq!(parts.len(), compiled.policies().policies().count(), "{}", compiled.text());
    assert_eq!(compiled.digest(), Compiled::policy(policy).unwrap().digest(), "compiling is a function");
    // The text is the artefact that is digested and signed: it must be the same set again.
    let read = Compiled::cedar(compiled.text(), "again.cedar");
    assert!(read.is_ok() || compiled.policies().is_empty(), "{:?}\n{}", read.err(), compiled.text());
}

/// A proposal: a pointer to what is wrong, or operations that survive being written out, and apply to what they name.
pub fn proposal_json(bytes: &[u8]) {
    let proposal = match Proposal::parse(bytes) {
        Ok(proposal) => proposal,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(!proposal.operations.is_empty());
    let json = serde_json::json!({
        "intent_summary": proposal.intent_summary,
        "denial_ids": proposal.denial_ids,
        "operations": proposal.operations,
    });
    let again = Proposal::parse(json.to_string().as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{error}\nwritten as:\n{json}"));
    assert_eq!(again.intent_summary, proposal.intent_summary);
    assert_eq!(serde_json::json!(again.operations), json["operations"]);
    for operation in &proposal.operations {
        operation_holds(operation, &Policy::empty());
    }
}

fn operation_holds(operation: &Operation, base: &Policy) {
    let Ok(composed) = operation.apply(base) else { return };
    let (name, removes) = match operation {
        Operation::AddRule { rule_name, .. } | Operation::AddAllowRules { rule_name, .. } => (rule_name, false),
        Operation::RemoveRule { rule_name } => (rule_name, true),
    };
    assert_eq!(composed.entries.contains_key(name), !removes, "{name}");
    for (other, entry) in &base.entries {
        assert!(other == name || composed.entries.get(other) == Some(entry), "{name} changed {other}");
    }
    policy_holds(&composed, Role::Policy);
}
