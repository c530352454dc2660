//! The demo tells the whole loop, and every step of it happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::Value;
use support::Dir;

#[test]
fn as_events() {
    let ran = Dir::new().run(&["demo", "--format", "json"]);
    let events: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap_or_else(|| panic!("no event: {}", ran.err));
    assert_eq!((&last["event"], &last["ok"]), (&"done".into(), &true.into()), "{}{}", ran.out, ran.err);
    assert_eq!(ran.code, 0);
    let told: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let order = [
        "ready", "request", "read", "proposed", "refused", "accepted", "shown", "approved", "reloaded", "upstream",
        "secret", "trace", "done",
    ];
    let mut rest = told.iter();
    for event in order {
        assert!(rest.any(|told| *told == event), "{event} is missing or out of order: {told:?}");
    }
    let steps: Vec<(&str, u64)> = events
        .iter()
        .filter(|event| event["event"] == "request")
        .map(|event| (event["step"].as_str().unwrap(), event["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        steps,
        [
            ("allowed_read", 200),
            ("denied_write", 403),
            ("granted_write", 201),
            ("read_back", 200),
            ("denied_sibling", 403)
        ]
    );
    assert!(!ran.out.contains("demo-secret-"), "{}", ran.out);
}

#[test]
fn as_text_and_kept() {
    let dir = Dir::new();
    let mut command = dir.command(&["demo", "--keep"]);
    let output = command.env("TMPDIR", dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains('\u{1b}'), "colour without a terminal");
    assert!(!text.contains("demo-secret-"), "{text}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 240, "a line of {longest} characters:\n{text}");
    let kept = text.lines().find_map(|line| line.strip_prefix("kept: ")).unwrap();
    // What was kept can be looked at with the other verbs.
    let kept = std::path::Path::new(kept);
    let file = |name: &str| kept.join(name).display().to_string();
    assert_eq!(dir.run(&["verify", &file("data/bundle.json")]).code, 0);
    assert_eq!(dir.run(&["prove", "--policy", &file("policy.yaml"), "--ceiling", &file("ceiling.cedar")]).code, 0);
}
