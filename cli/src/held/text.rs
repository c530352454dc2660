//! A held request as a reviewer reads it: who asks, for what, and exactly what an answer would grant.

use std::fmt::Write as _;

use jiff::Timestamp;
use narrowgate_core::decide::Layer;
use narrowgate_core::denial::DeniedOperation;
use narrowgate_core::held::{HeldStatus, HeldView};
use owo_colors::OwoColorize as _;
use serde_json::Value;

use crate::output::plain;
use crate::rule::text::operation;

/// The time that deadlines are counted from.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The whole block, without a final line end.
pub(super) fn held(view: &HeldView, now: Timestamp) -> String {
    let mut out = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = write!(out, "\n  {name:<15} {value}");
    };
    field("sandbox", &plain(&view.sandbox));
    let process = &view.process;
    field("binary", &format!("{} (pid {})", plain(&process.binary), process.pid));
    if !process.sha256.is_empty() {
        field("sha256", &plain(&process.sha256));
    }
    if !process.command.is_empty() {
        field("command", &plain(&process.command));
    }
    if !process.ancestors.is_empty() {
        let ancestors: Vec<String> = process.ancestors.iter().map(|path| plain(path)).collect();
        field("started by", &ancestors.join(" < "));
    }
    field("asks for", &what(view));
    for operation in &view.operations {
        field("", &denied(operation));
    }
    if let Some(count) = view.requests {
        let plural = "wait for this answer, and may differ in query and body";
        let asks = match (view.status, count) {
            (HeldStatus::Waiting, 1) => "1 waits for this answer".to_owned(),
            (HeldStatus::Waiting, _) => format!("{count} {plural}"),
            (HeldStatus::Once, 1) => "1 was let through".to_owned(),
            (HeldStatus::Once, _) => format!("{count} were let through, which may have differed in query and body"),
            (_, 1) => "1 waited".to_owned(),
            _ => format!("{count} waited"),
        };
        field("requests", &asks);
    }
    for (at, line) in operation(&view.operation).iter().enumerate() {
        field(if at == 0 { "would grant" } else { "" }, line);
    }
    match view.status {
        HeldStatus::Waiting => field("deadline", &deadline(&view.deadline, now)),
        _ => field("ended", &outcome(view)),
    }
    if let Some(chunk) = &view.chunk_id {
        field("proposal", &plain(chunk));
    }
    format!("{}  {}{out}", plain(&view.held_id).bold(), status(view.status))
}

/// The block and how to answer it.
pub(super) fn prompt(view: &HeldView, now: Timestamp) -> String {
    let answer = format!("narrowgate held answer {} --once|--session|--always|--no|--never", plain(&view.held_id));
    format!("{}\n  {:<15} {answer}", held(view, now), "answer with")
}

/// That many more wait than was shown, in a line.
pub(super) fn grown(view: &HeldView, count: u32) -> String {
    let (id, what) = (plain(&view.held_id), what(view));
    format!("{}  {count} requests wait for this answer by now: {what}", id.bold())
}

/// How it stands, in a line: what happened, who did it, and their words.
pub(super) fn outcome(view: &HeldView) -> String {
    let let_through = match view.requests {
        Some(count) if count > 1 => format!("let through, once: all {count} that waited"),
        _ => "let through, once".to_owned(),
    };
    let mut out = match view.status {
        HeldStatus::Waiting => "still waiting",
        HeldStatus::Once => &let_through,
        HeldStatus::Session => "granted until the session ends",
        HeldStatus::Always => "granted for good",
        HeldStatus::Denied => "denied",
        HeldStatus::Never => "denied, and never asked about again",
        HeldStatus::TimedOut => "timed out: nobody answered",
        HeldStatus::Cancelled => "cancelled: whoever asked went away",
        HeldStatus::Refused => "refused by the policy after the answer",
    }
    .to_owned();
    if let Some(by) = &view.decided_by {
        let _ = write!(out, ", by {}", plain(by));
    }
    if let Some(reason) = &view.reason {
        let _ = write!(out, ": {}", plain(reason));
    }
    out
}

fn what(view: &HeldView) -> String {
    let host = plain(&view.host);
    let place = if host.contains(':') { format!("[{host}]:{}", view.port) } else { format!("{host}:{}", view.port) };
    match (view.layer, &view.method, &view.path) {
        (Layer::L7, Some(method), Some(path)) => format!("{} {place}{}", plain(method), plain(path)),
        (Layer::L7, ..) => format!("a request to {place}"),
        (Layer::L4, ..) => format!("a connection to {place} [L4]"),
    }
}

fn denied(operation: &DeniedOperation) -> String {
    let value = |value: &Value| match value {
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    };
    let attributes = operation.attributes.iter().map(|(name, of)| format!(" {}={}", plain(name), value(of)));
    format!("{}{}", plain(&operation.action), attributes.collect::<String>())
}

fn deadline(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(end) => format!("{} ({} s left)", plain(text), (end.as_second() - now.as_second()).max(0)),
        Err(_) => plain(text),
    }
}

fn status(status: HeldStatus) -> String {
    let text = status.as_str();
    match status {
        HeldStatus::Waiting => text.yellow().to_string(),
        HeldStatus::Once | HeldStatus::Session | HeldStatus::Always => text.green().to_string(),
        HeldStatus::Denied | HeldStatus::Never | HeldStatus::Refused => text.red().to_string(),
        HeldStatus::TimedOut | HeldStatus::Cancelled => text.dimmed().to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn view(change: impl Fn(&mut Value)) -> HeldView {
        let mut view = json!({
            "held_id": "h_7f3a", "sandbox": "demo", "status": "waiting", "created_at": "2026-01-01T00:00:00Z",
            "deadline": "2026-01-01T00:02:00Z", "layer": "l7", "host": "api.example", "port": 443, "method": "PUT",
            "path": "/v1/foo/bar",
            "process": { "pid": 4711, "binary": "/usr/bin/curl", "sha256": "aa".repeat(32),
                         "ancestors": ["/usr/bin/bash", "/usr/bin/node"], "command": "curl -X PUT https://api.example/v1/foo/bar" },
            "operation": { "addRule": { "ruleName": "put_api_example", "rule": {
                "name": "put_api_example", "binaries": [{ "path": "/usr/bin/curl" }],
                "endpoints": [{ "host": "api.example", "port": 443, "protocol": "rest",
                    "rules": [{ "allow": { "method": "PUT", "path": "/v1/foo/bar" } }] }] } } },
            "review_token": "secret-review-token"
        });
        change(&mut view);
        serde_json::from_value(view).unwrap()
    }

    fn shown(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn at() -> Timestamp {
        "2026-01-01T00:00:45Z".parse().unwrap()
    }

    #[test]
    fn a_prompt_says_who_what_and_what_would_be_granted() {
        insta::assert_snapshot!(shown(&prompt(&view(|_| {}), at())), @r"
        h_7f3a  waiting
          sandbox         demo
          binary          /usr/bin/curl (pid 4711)
          sha256          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          command         curl -X PUT https://api.example/v1/foo/bar
          started by      /usr/bin/bash < /usr/bin/node
          asks for        PUT api.example:443/v1/foo/bar
          would grant     add put_api_example for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/bar]
          deadline        2026-01-01T00:02:00Z (75 s left)
          answer with     narrowgate held answer h_7f3a --once|--session|--always|--no|--never
        ");
    }

    /// `once` is for all of them: their number stands beside what is asked, and beside what came of it.
    #[test]
    fn how_many_an_answer_is_for() {
        for (status, requests, says, outcome_says) in [
            ("waiting", json!(1), "1 waits for this answer\n", "still waiting"),
            ("waiting", json!(12), "12 wait for this answer, and may differ in query and body\n", "still waiting"),
            ("once", json!(1), "1 was let through\n", "let through, once, by rita"),
            ("once", json!(12), "12 were let through, which", "let through, once: all 12 that waited, by rita"),
            ("denied", json!(12), "12 waited\n", "denied, by rita"),
        ] {
            let view = view(|view| {
                (view["status"], view["requests"]) = (json!(status), requests.clone());
                view["decided_by"] = if status == "waiting" { Value::Null } else { json!("rita") };
            });
            let text = shown(&held(&view, at()));
            assert!(text.contains(&format!("\n  requests        {says}")), "{status} {requests}: {text}");
            assert_eq!(outcome(&view), outcome_says);
        }
        let growing = view(|view| view["path"] = json!("/a\u{1b}[2J"));
        insta::assert_snapshot!(shown(&grown(&growing, 8)), @r"h_7f3a  8 requests wait for this answer by now: PUT api.example:443/a\u{1b}[2J");
    }

    #[test]
    fn what_a_plugin_says_is_shown_beside_the_request() {
        let operations = |view: &mut Value| {
            let attributes = json!({ "owner": "acme", "repo": "site", "path": "docs/a.md" });
            view["operations"] =
                json!([{ "plugin": "github", "action": "github::contents.write", "attributes": attributes }]);
            view["operation"] = json!({ "addRule": { "ruleName": "write", "rule": { "name": "write",
                "binaries": [{ "path": "/usr/bin/curl" }], "endpoints": [{ "host": "api.github.com", "port": 443,
                "protocol": "github", "rules": [{ "allow": { "action": "github::contents.write", "where": attributes } }] }] } } });
        };
        insta::assert_snapshot!(shown(&held(&view(operations), at())), @r"
        h_7f3a  waiting
          sandbox         demo
          binary          /usr/bin/curl (pid 4711)
          sha256          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          command         curl -X PUT https://api.example/v1/foo/bar
          started by      /usr/bin/bash < /usr/bin/node
          asks for        PUT api.example:443/v1/foo/bar
                          github::contents.write owner=acme repo=site path=docs/a.md
          would grant     add write for /usr/bin/curl
                          api.github.com:443 [L7 github, allow github::contents.write owner=acme repo=site path=docs/a.md]
          deadline        2026-01-01T00:02:00Z (75 s left)
        ");
    }

    #[test]
    fn a_connection_and_its_end() {
        let ended = |view: &mut Value| {
            view["layer"] = json!("l4");
            view["host"] = json!("2001:db8::1");
            (view["method"], view["path"]) = (Value::Null, Value::Null);
            view["status"] = json!("never");
            view["decided_by"] = json!("reviewer");
            view["reason"] = json!("this is not ours");
            view["chunk_id"] = json!("p_1");
        };
        insta::assert_snapshot!(shown(&held(&view(ended), at())), @r"
        h_7f3a  never
          sandbox         demo
          binary          /usr/bin/curl (pid 4711)
          sha256          aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          command         curl -X PUT https://api.example/v1/foo/bar
          started by      /usr/bin/bash < /usr/bin/node
          asks for        a connection to [2001:db8::1]:443 [L4]
          would grant     add put_api_example for /usr/bin/curl
                          api.example:443 [L7 rest, allow PUT /v1/foo/bar]
          ended           denied, and never asked about again, by reviewer: this is not ours
          proposal        p_1
        ");
    }

    /// A path or a command line is the sandbox's own: it must not move the cursor, hide itself or turn around.
    #[test]
    fn nothing_from_the_sandbox_drives_the_terminal() {
        let evil = "a\u{1b}[2J\u{202e}b\r\nc\u{200b}";
        let hostile = view(|view| {
            for place in [
                "/host",
                "/method",
                "/path",
                "/sandbox",
                "/held_id",
                "/process/binary",
                "/process/command",
                "/process/ancestors/0",
            ] {
                *view.pointer_mut(place).unwrap() = json!(evil);
            }
            view["operations"] = json!([{ "plugin": "x", "action": evil, "attributes": { evil: evil } }]);
            view["operation"]["addRule"]["rule"]["endpoints"][0]["host"] = json!(evil);
            view["status"] = json!("denied");
            (view["decided_by"], view["reason"]) = (json!(evil), json!(evil));
        });
        let text = shown(&prompt(&hostile, at()));
        for c in ['\u{1b}', '\u{202e}', '\r', '\u{200b}'] {
            assert!(!text.contains(c), "{c:?}: {text:?}");
        }
        assert!(text.lines().all(|line| !line.starts_with('c')), "no line of its own: {text}");
    }
}
