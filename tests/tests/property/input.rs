//! Near-valid input through the oracles that the fuzz targets use.

use arbitrary::Unstructured;
use narrowgate_core::policy::Role;
use narrowgate_tests::{generators, oracles};

use crate::for_all;

/// Pieces that matter to some server's reading of a target.
const PIECES: [&str; 36] = [
    "/", "/", "/", "a", "b", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "%25", "%2", "%", "%00", "%0d", "%3b", ";",
    ";a=1", "?", "&", "=", "k", "k=v", "#", "\\", " ", "+", "é", "%C3%A9", "%ff", "@", ":", "*", "~",
];

fn pieces(u: &mut Unstructured<'_>, from: &[&str]) -> arbitrary::Result<String> {
    let mut text = String::new();
    for _ in 0..u.int_in_range(1..=14)? {
        text.push_str(u.choose(from)?);
    }
    Ok(text)
}

#[test]
fn targets() {
    for_all(20_000, 64, |u: &mut Unstructured<'_>| {
        let text = pieces(u, &PIECES)?;
        oracles::canonical(&text);
        oracles::canonical(&format!("/{text}"));
        Ok(())
    });
}

#[test]
fn authorities_and_methods() {
    let from = [
        "a",
        "B",
        ".",
        ".",
        "-",
        "_",
        ":",
        ":443",
        "[",
        "]",
        "::",
        "1",
        "0",
        "0x7f",
        "127.0.0.1",
        "%",
        "@",
        "xn--",
        "é",
        "。",
        "１",
        "ß",
        "*",
        "\0",
        " ",
        "com",
        "ffff:",
        "GET",
        "PURGE",
        "!",
    ];
    for_all(10_000, 64, |u: &mut Unstructured<'_>| {
        let text = pieces(u, &from)?;
        oracles::authority(&text);
        oracles::method(&text);
        Ok(())
    });
}

/// Valid policies, and the same with one character changed.
#[test]
fn policies() {
    for_all(300, 1024, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        let policy = model.parse(Role::Policy).unwrap_or_else(|errors| panic!("{errors}\n{:#}", model.to_json()));
        assert_eq!(narrowgate_tests::model::Model::of(&policy), model, "what was written is what was read");
        let yaml = policy.to_yaml();
        oracles::policy_text(&yaml);
        let at = u.choose_index(yaml.len())?;
        let with = *u.choose(&["", "*", "/", "\"", ":", "- ", "\n", "  ", "&a ", "{", "\u{7f}", "0", "?"])?;
        oracles::policy_text(&format!("{}{with}{}", &yaml[..at], &yaml[at + 1..]));
        Ok(())
    });
}

#[test]
fn proposals() {
    for_all(300, 1024, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        let operations: Vec<_> = model
            .entries
            .iter()
            .map(|entry| serde_json::json!({ "addRule": { "ruleName": entry.name, "rule": entry.to_json() } }))
            .collect();
        let json = serde_json::json!({ "intent_summary": "what is needed", "operations": operations }).to_string();
        narrowgate_core::proposal::Proposal::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{json}"));
        oracles::proposal_json(json.as_bytes());
        let at = u.choose_index(json.len())?;
        let with = *u.choose(&["", "*", "/", "\"", ":", "{", "null", "0", "\\u0000", "é"])?;
        oracles::proposal_json(format!("{}{with}{}", &json[..at], &json[at + 1..]).as_bytes());
        Ok(())
    });
}
