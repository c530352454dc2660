//! A proposal as a reviewer reads it: everything that an approval would put in force, and nothing that could hide it.

use std::fmt::Write as _;

use narrowgate_core::wire::{ProposalStatus, ProposalView};
use narrowgate_prover::NoRepair;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

use crate::output::plain;

/// The whole block, without a final line end.
pub(crate) fn proposal(view: &ProposalView) -> String {
    let mut out = String::new();
    let field = |out: &mut String, name: &str, value: &str| {
        let _ = write!(out, "\n  {name:<15} {value}");
    };
    let _ = write!(out, "{}  {}", plain(&view.chunk_id).bold(), status(view.status));
    field(&mut out, "sandbox", &plain(&view.sandbox));
    field(&mut out, "source", &plain(&view.source));
    field(&mut out, "binary", &some(&view.binary, "unidentified"));
    field(&mut out, "rationale", &some(&view.intent_summary, "none given"));
    if !view.denial_ids.is_empty() {
        let ids: Vec<String> = view.denial_ids.iter().map(|id| plain(id)).collect();
        field(&mut out, "denials", &ids.join(", "));
    }
    let mut lines = operation(&view.operation);
    lines.extend(view.removed.iter().flat_map(removed));
    for (at, line) in lines.iter().enumerate() {
        field(&mut out, if at == 0 { "change" } else { "" }, line);
    }
    if let (Some(hits), Some(first), Some(last)) = (view.hit_count, &view.first_seen, &view.last_seen) {
        field(&mut out, "denied", &format!("{hits} times: {}", span(first, last)));
    }
    if let Some(confidence) = view.confidence {
        field(&mut out, "confidence", &format!("{confidence:.2} that it is needed"));
    }
    for (at, note) in view.notes.iter().enumerate() {
        field(&mut out, if at == 0 { "consider" } else { "" }, &plain(note));
    }
    verdict(view, &mut out, field);
    if let Some(reason) = &view.rejection_reason {
        field(&mut out, "rejected", &plain(reason));
    }
    if !view.hints.is_empty() {
        field(&mut out, "hints", &view.hints.iter().map(|hint| plain(hint)).collect::<Vec<_>>().join(", "));
    }
    let decided = match (&view.decided_by, &view.decided_at) {
        (Some(by), Some(at)) => Some(format!("by {} at {}", plain(by), plain(at))),
        (None, Some(at)) => Some(format!("at {}", plain(at))),
        _ => None,
    };
    if let Some(decided) = decided {
        field(&mut out, "decided", &decided);
    }
    if let Some(version) = view.activated_version {
        field(&mut out, "in force since", &format!("version {version}"));
    }
    out
}

/// From when to when.
pub(super) fn span(first: &str, last: &str) -> String {
    match first == last {
        true => plain(first),
        false => format!("{} to {}", plain(first), plain(last)),
    }
}

/// What an operation would do, a line for each rule or endpoint; tagged with the endpoint's layer.
pub(crate) fn operation(operation: &Value) -> Vec<String> {
    if let Some(add) = operation.get("addRule") {
        let rule = add.get("rule").unwrap_or(&Value::Null);
        let named = rule.get("name").filter(|named| Some(*named) != add.get("ruleName"));
        let named = named.map(|named| format!(" name={}", scalar(named))).unwrap_or_default();
        let others = format!("{named}{}{}", others(rule, &ENTRY), others(add, &["ruleName", "rule"]));
        let mut lines = vec![format!("add {} for {}{others}", name(add), binaries(rule))];
        lines.extend(items(rule, "endpoints").flat_map(tags));
        return lines;
    }
    if let Some(remove) = operation.get("removeRule") {
        return vec![format!("remove {}{}", name(remove), others(remove, &["ruleName"]))];
    }
    if let Some(add) = operation.get("addAllowRules") {
        let place = authority(add);
        let others = others(add, &["ruleName", "host", "port", "ports", "rules"]);
        let mut lines = vec![format!("add to {}{others}", name(add))];
        let protocol = |rule: &Value| {
            let action = rule.pointer("/allow/action").and_then(Value::as_str);
            plain(action.and_then(|action| action.split_once("::")).map_or("rest", |(plugin, _)| plugin))
        };
        lines.extend(items(add, "rules").map(|rule| format!("{place} [L7 {}, {}]", protocol(rule), allow(rule))));
        return lines;
    }
    vec![plain(&operation.to_string())]
}

/// What goes with a rule: a name says nothing of what it holds, and least that it forbids something.
fn removed(entry: &Value) -> Vec<String> {
    let mut lines = vec![format!("which is for {}{}", binaries(entry), others(entry, &ENTRY))];
    lines.extend(items(entry, "endpoints").flat_map(tags).map(|line| format!("- {line}")));
    let denies = items(entry, "endpoints").flat_map(|endpoint| items(endpoint, "deny_rules")).count();
    if denies > 0 {
        let (rules, forbid) = if denies == 1 { ("deny rule", "it forbids") } else { ("deny rules", "they forbid") };
        let warning = format!("{denies} {rules} would be lost: other rules may then allow what {forbid}");
        lines.push(warning.red().to_string());
    }
    lines
}

/// An entry's members that have a place of their own in the text.
const ENTRY: [&str; 3] = ["name", "binaries", "endpoints"];

fn tags(endpoint: &Value) -> Vec<String> {
    let place = authority(endpoint);
    let others = |shown: &[&str]| format!("{}{}", expiry(endpoint), others(endpoint, shown));
    let Some(protocol) = endpoint.get("protocol").filter(|protocol| !protocol.is_null()) else {
        return vec![format!("{place} [L4]{}", others(&["host", "port", "ports", "expires_at"]))];
    };
    let protocol = scalar(protocol);
    let mut tags = Vec::new();
    if let Some(access) = endpoint.get("access") {
        tags.push(format!("access={}", scalar(access)));
    }
    tags.extend(items(endpoint, "rules").map(allow));
    tags.extend(items(endpoint, "deny_rules").map(|rule| format!("deny {}", request(rule))));
    if tags.is_empty() {
        tags.push("allows nothing".to_owned());
    }
    let others = others(&["host", "port", "ports", "expires_at", "protocol", "access", "rules", "deny_rules"]);
    tags.into_iter().map(|tag| format!("{place} [L7 {protocol}, {tag}]{others}")).collect()
}

/// Every member but those that are shown otherwise: a reviewer must see what this version does not know.
fn others(value: &Value, shown: &[&str]) -> String {
    let members = value.as_object().into_iter().flatten().filter(|(key, _)| !shown.contains(&key.as_str()));
    members.map(|(key, value)| format!(" {}={}", plain(key), scalar(value))).collect()
}

fn allow(rule: &Value) -> String {
    match rule.get("allow") {
        Some(allowed) => format!("allow {}{}", request(allowed), others(rule, &["allow"])),
        None => format!("allow {}", request(rule)),
    }
}

/// `PUT /path`, then whatever else the rule says: a reviewer must see members that this version does not know.
fn request(rule: &Value) -> String {
    let text = |key: &str, otherwise: &str| plain(rule.get(key).and_then(Value::as_str).unwrap_or(otherwise));
    let action = rule.get("action").and_then(Value::as_str);
    let mut out = match action {
        Some(action) => plain(action),
        None => format!("{} {}", text("method", "*"), text("path", "/**")),
    };
    for (key, value) in rule.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("action", Value::String(_)) => {}
            ("method" | "path", Value::String(_)) if action.is_none() => {}
            ("query" | "where", Value::Object(keys)) => {
                let mark = if key == "query" { "?" } else { "" };
                for (key, value) in keys {
                    let _ = write!(out, " {mark}{}={}", plain(key), scalar(value));
                }
            }
            _ => {
                let _ = write!(out, " {}={}", plain(key), scalar(value));
            }
        }
    }
    out
}

fn verdict(view: &ProposalView, out: &mut String, field: impl Fn(&mut String, &str, &str)) {
    let report = view.report.as_ref().unwrap_or(&Value::Null);
    let word = plain(&view.validation_result);
    let shown = match word.as_str() {
        "within" => "within the ceiling".green().to_string(),
        "exceeds" => "exceeds the ceiling".red().to_string(),
        _ => word.yellow().to_string(),
    };
    field(out, "verdict", &shown);
    if let Some(reason) = report.get("reason").and_then(Value::as_str) {
        field(out, "reason", &plain(reason));
    }
    if let Some(curl) = report.pointer("/counterexample/curl").and_then(Value::as_str) {
        field(out, "counterexample", &plain(curl));
    }
    for (at, line) in repair(report).iter().enumerate() {
        field(out, if at == 0 { "repair" } else { "" }, line);
    }
    findings(report, out, &field);
    if let Some(reason) = &view.not_automatic {
        field(out, "not automatic", &plain(reason));
    }
    if let Some(time) = report.get("engine_time_us").and_then(Value::as_f64) {
        field(out, "prover time", &format!("{time:.1} µs"));
    }
}

/// What a report offers instead, as it would be posted, or why it offers nothing.
pub(crate) fn repair(report: &Value) -> Vec<String> {
    let Some(repair) = report.get("repair").filter(|repair| !repair.is_null()) else {
        let why = report.get("repair_reason").and_then(Value::as_str);
        let sentence = |code: &str| match NoRepair::ALL.into_iter().find(|why| why.code() == code) {
            Some(why) => format!("none: {why}"),
            None => format!("none: {}", plain(code)),
        };
        return why.map(sentence).into_iter().collect();
    };
    let operations: Vec<&Value> = items(repair, "operations").collect();
    if !operations.is_empty() {
        return operations.into_iter().flat_map(operation).collect();
    }
    let entry = |name: &Value, rule: &Value| {
        let mut lines = operation(&json!({ "addRule": { "ruleName": name, "rule": rule } }));
        // In place of what is there, not beside it.
        lines.iter_mut().take(1).for_each(|line| *line = line.trim_start_matches("add ").to_owned());
        lines
    };
    let mut lines = entry(repair.get("rule_name").unwrap_or(&Value::Null), repair.get("rule").unwrap_or(&Value::Null));
    for (name, rule) in repair.get("also").and_then(Value::as_object).into_iter().flatten() {
        lines.extend(entry(&name.as_str().into(), rule));
    }
    lines.extend(items(repair, "remaining").map(|name| format!("nothing of {} fits", scalar(name))));
    lines
}

/// Each finding with its place, the request that shows it, and, once for all findings that share it, what would do
/// instead.
fn findings(report: &Value, out: &mut String, field: &impl Fn(&mut String, &str, &str)) {
    let mut offered: Option<&Value> = None;
    for finding in items(report, "findings") {
        let text = |key: &str| plain(finding.get(key).and_then(Value::as_str).unwrap_or_default());
        field(out, "finding", &format!("{} at {}", text("name").yellow(), text("where")));
        field(out, "", &text("detail"));
        if let Some(curl) = finding.pointer("/witness/curl").and_then(Value::as_str) {
            let binary = finding.pointer("/witness/binary").and_then(Value::as_str).unwrap_or_default();
            field(out, "", &format!("such as {} by {}", plain(curl), some(binary, "an unidentified program")));
        }
        if let Some(tightest) = finding.get("tightest").filter(|tightest| !tightest.is_null())
            && offered != Some(tightest)
        {
            offered = Some(tightest);
            let what = items(tightest, "endpoints").flat_map(tags);
            let lines = std::iter::once(format!("for {}", binaries(tightest))).chain(what);
            for (at, line) in lines.enumerate() {
                field(out, if at == 0 { "tightest" } else { "" }, &line);
            }
        }
    }
}

fn status(status: ProposalStatus) -> String {
    let text = status.as_str();
    match status {
        ProposalStatus::Pending => text.yellow().to_string(),
        ProposalStatus::Approved => text.green().to_string(),
        ProposalStatus::Rejected => text.red().to_string(),
        ProposalStatus::Superseded | ProposalStatus::Expired => text.dimmed().to_string(),
    }
}

fn name(operation: &Value) -> String {
    plain(operation.get("ruleName").and_then(Value::as_str).unwrap_or("(unnamed)"))
}

fn binaries(rule: &Value) -> String {
    let paths: Vec<String> = items(rule, "binaries")
        .map(|binary| match binary.get("path") {
            Some(path) => format!("{}{}", scalar(path), others(binary, &["path"])),
            None => scalar(binary),
        })
        .collect();
    if paths.is_empty() { "any binary".to_owned() } else { paths.join(", ") }
}

fn authority(endpoint: &Value) -> String {
    let host = plain(endpoint.get("host").and_then(Value::as_str).unwrap_or("(no host)"));
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let ports: Vec<String> = endpoint.get("port").into_iter().chain(items(endpoint, "ports")).map(scalar).collect();
    if ports.is_empty() { host } else { format!("{host}:{}", ports.join(",")) }
}

fn expiry(endpoint: &Value) -> String {
    endpoint.get("expires_at").map(|at| format!(" until {}", scalar(at))).unwrap_or_default()
}

/// A list's elements; what stands in a list's place and is none is shown as the only one.
fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    let (list, other) = match value.get(key) {
        Some(Value::Array(list)) => (list.as_slice(), None),
        other => (&[][..], other.filter(|other| !other.is_null())),
    };
    list.iter().chain(other)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

fn some(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { plain(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn view() -> ProposalView {
        serde_json::from_value(json!({
            "chunk_id": "p_7f3a", "sandbox": "demo", "status": "pending", "source": "agent", "binary": "/usr/bin/curl",
            "intent_summary": "write the changelog", "denial_ids": ["d_01"], "evidence": [],
            "operation": { "addRule": { "ruleName": "docs", "rule": {
                "name": "docs", "binaries": [{ "path": "/usr/bin/curl" }],
                "endpoints": [{ "host": "api.example", "port": 443, "protocol": "rest",
                    "rules": [{ "allow": { "method": "PUT", "path": "/v1/foo/bar" } }] }] } } },
            "report": { "engine_time_us": 41.66, "findings": [], "counterexample": null, "repair": null, "reason": null },
            "validation_result": "within", "created_at": "2026-01-01T00:00:00Z", "review_token": "secret-review-token"
        }))
        .unwrap()
    }

    fn shown(view: &ProposalView) -> String {
        anstream::adapter::strip_str(&proposal(view)).to_string()
    }

    #[test]
    fn pending() {
        insta::assert_snapshot!(shown(&view()), @r"
        p_7f3a  pending
          sandbox         demo
          source          agent
          binary          /usr/bin/curl
          rationale       write the changelog
          denials         d_01
          change          add docs for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/bar]
          verdict         within the ceiling
          prover time     41.7 µs
        ");
    }

    #[test]
    fn a_draft_says_what_it_is_made_of() {
        let mut view = view();
        view.source = "l4_draft".to_owned();
        view.operation = json!({ "addRule": { "ruleName": "connect", "rule": { "name": "connect",
            "binaries": [{ "path": "/usr/bin/psql" }], "endpoints": [{ "host": "db.example", "port": 5432 }] } } });
        view.hit_count = Some(5);
        view.first_seen = Some("2026-01-01T00:00:00Z".to_owned());
        view.last_seen = Some("2026-01-01T00:05:00Z".to_owned());
        view.confidence = Some(0.7);
        view.notes = vec!["Opaque.".to_owned(), "Port 5432 is a database.".to_owned()];
        let text = shown(&view);
        for line in [
            "  source          l4_draft\n",
            "                  db.example:5432 [L4]\n",
            "  denied          5 times: 2026-01-01T00:00:00Z to 2026-01-01T00:05:00Z\n",
            "  confidence      0.70 that it is needed\n",
            "  consider        Opaque.\n                  Port 5432 is a database.\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn findings_say_where_and_what_would_do() {
        let mut view = view();
        let tightest = json!({ "name": "put_api_example_1f", "binaries": [{ "path": "/usr/bin/curl" }],
            "endpoints": [{ "host": "api.example", "port": 443, "protocol": "rest",
                "rules": [{ "allow": { "method": "PUT", "path": "/v1/foo/bar" } }] }] });
        view.report = Some(json!({ "engine_time_us": 41.66, "findings": [
            { "name": "capability_expansion", "where": "/network_policies/docs/endpoints/0/rules/0", "segment": "PUT /v1/**",
              "detail": "PUT would be new at api.example, which is reached with the credential example already.",
              "credential": "example", "witness": { "binary": "/usr/bin/curl", "curl": "curl -X PUT 'https://api.example/v1'" } },
            { "name": "any_binary", "where": "/network_policies/docs", "segment": "binaries",
              "detail": "Any program in the sandbox may use this rule; denied was /usr/bin/curl.", "tightest": tightest },
            { "name": "recursive_path", "where": "/network_policies/docs/endpoints/0/rules/0", "segment": "/v1/**",
              "detail": "/v1/** covers paths of any depth; denied was PUT /v1/foo/bar.", "tightest": tightest } ] }));
        view.not_automatic = Some("there are findings: capability_expansion, any_binary, recursive_path".to_owned());
        insta::assert_snapshot!(shown(&view), @r"
        p_7f3a  pending
          sandbox         demo
          source          agent
          binary          /usr/bin/curl
          rationale       write the changelog
          denials         d_01
          change          add docs for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/bar]
          verdict         within the ceiling
          finding         capability_expansion at /network_policies/docs/endpoints/0/rules/0
                          PUT would be new at api.example, which is reached with the credential example already.
                          such as curl -X PUT 'https://api.example/v1' by /usr/bin/curl
          finding         any_binary at /network_policies/docs
                          Any program in the sandbox may use this rule; denied was /usr/bin/curl.
          tightest        for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/bar]
          finding         recursive_path at /network_policies/docs/endpoints/0/rules/0
                          /v1/** covers paths of any depth; denied was PUT /v1/foo/bar.
          not automatic   there are findings: capability_expansion, any_binary, recursive_path
          prover time     41.7 µs
        ");
    }

    #[test]
    fn rejected_by_the_prover() {
        let mut view = view();
        view.status = ProposalStatus::Rejected;
        view.validation_result = "exceeds".to_owned();
        view.rejection_reason = Some("outside_org_ceiling: curl -X PUT 'https://api.example/v1/x'".to_owned());
        view.report = Some(
            json!({ "engine_time_us": 12.0, "counterexample": { "curl": "curl -X PUT 'https://api.example/v1/x'" },
                "repair": { "rule_name": "docs", "rule": {}, "verdict": "within", "operations": [
                    { "addRule": { "ruleName": "docs", "rule": { "name": "docs", "binaries": [{ "path": "/usr/bin/curl" }],
                        "endpoints": [{ "host": "api.example", "port": 443, "protocol": "rest",
                            "rules": [{ "allow": { "method": "PUT", "path": "/v1/foo/*" } }] }] } } }] } }),
        );
        view.decided_at = Some("2026-01-01T00:00:00Z".to_owned());
        insta::assert_snapshot!(shown(&view), @r"
        p_7f3a  rejected
          sandbox         demo
          source          agent
          binary          /usr/bin/curl
          rationale       write the changelog
          denials         d_01
          change          add docs for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/bar]
          verdict         exceeds the ceiling
          counterexample  curl -X PUT 'https://api.example/v1/x'
          repair          add docs for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/*]
          prover time     12.0 µs
          rejected        outside_org_ceiling: curl -X PUT 'https://api.example/v1/x'
          decided         at 2026-01-01T00:00:00Z
        ");
    }

    #[test]
    fn without_a_repair_the_reason_is_shown() {
        let none = json!({ "repair": null, "repair_reason": "nothing_in_common" });
        assert_eq!(repair(&none), ["none: the ceiling permits nothing of what the rule allows"]);
        assert!(repair(&json!({ "repair": null, "repair_reason": null })).is_empty());
        let rule =
            json!({ "endpoints": [{ "host": "a.example", "port": 443, "protocol": "rest", "access": "read-only" }] });
        let offline = json!({ "repair": { "rule_name": "a", "rule": rule, "verdict": "within", "also": { "b": rule }, "remaining": ["c"] } });
        let endpoint = "a.example:443 [L7 rest, access=read-only]";
        let expect = ["a for any binary", endpoint, "b for any binary", endpoint, "nothing of c fits"];
        assert_eq!(repair(&offline), expect);
    }

    #[test]
    fn endpoints_are_tagged_with_their_layer() {
        let cases = [
            (json!({ "host": "api.example", "port": 443 }), "api.example:443 [L4]"),
            (
                json!({ "host": "api.example", "ports": [80, 443], "protocol": "rest", "access": "read-only" }),
                "api.example:80,443 [L7 rest, access=read-only]",
            ),
            (
                json!({ "host": "api.example", "port": 443, "protocol": "rest", "rules": [{ "allow": { "method": "PUT", "path": "/a", "query": { "ref": "main" } } }] }),
                "api.example:443 [L7 rest, allow PUT /a ?ref=main]",
            ),
            (
                json!({ "host": "api.github.com", "port": 443, "protocol": "github", "rules": [{ "allow": { "action": "github::contents.write", "where": { "owner": "acme", "path": "docs/**" } } }] }),
                "api.github.com:443 [L7 github, allow github::contents.write owner=acme path=docs/**]",
            ),
            (
                json!({ "host": "::1", "port": 1, "expires_at": "2026-12-01T00:00:00Z" }),
                "[::1]:1 [L4] until 2026-12-01T00:00:00Z",
            ),
            (
                json!({ "host": "api.example", "port": 443, "protocol": "rest", "access": "full", "allow_encoded_slash": true, "path_params": "strip", "expires_at": "2026-12-01T00:00:00Z", "zone": { "a": 1 } }),
                "api.example:443 [L7 rest, access=full] until 2026-12-01T00:00:00Z allow_encoded_slash=true path_params=strip zone={\"a\":1}",
            ),
            (json!({ "host": "api.example", "port": 443, "review": "auto" }), "api.example:443 [L4] review=auto"),
            (
                json!({ "host": "api.example", "port": 443, "protocol": "rest", "rules": [{ "allow": { "method": "GET", "path": "/a", "query": { "q": { "any": ["x", "y"] } } }, "beside": true }] }),
                "api.example:443 [L7 rest, allow GET /a ?q={\"any\":[\"x\",\"y\"]} beside=true]",
            ),
        ];
        for (endpoint, expected) in cases {
            assert_eq!(tags(&endpoint), [expected]);
        }
    }

    #[test]
    fn a_removal_shows_what_goes() {
        let mut view = view();
        view.operation = json!({ "removeRule": { "ruleName": "guard" } });
        view.removed = Some(json!({ "name": "guard", "binaries": [{ "path": "/usr/bin/curl" }],
            "endpoints": [{ "host": "api.example", "port": 443, "protocol": "rest", "access": "read-only",
                "deny_rules": [{ "method": "GET", "path": "/secrets/**" }] }] }));
        let text = shown(&view);
        for line in [
            "change          remove guard\n",
            "which is for /usr/bin/curl\n",
            "- api.example:443 [L7 rest, access=read-only]\n",
            "- api.example:443 [L7 rest, deny GET /secrets/**]\n",
            "1 deny rule would be lost: other rules may then allow what it forbids\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn an_agents_words_cannot_redraw_the_screen() {
        let mut view = view();
        view.intent_summary = "harmless\r\u{1b}[1A\u{1b}[2K".to_owned();
        view.operation = json!({ "removeRule": { "ruleName": "deny\u{202e}all\n" } });
        let text = shown(&view);
        assert!(text.contains(r"harmless\u{d}\u{1b}[1A\u{1b}[2K"), "{text}");
        assert!(text.contains(r"remove deny\u{202e}all\u{a}"), "{text}");
    }

    #[test]
    fn a_review_token_is_not_for_the_screen() {
        assert!(!shown(&view()).contains("secret-review-token"));
    }
}
