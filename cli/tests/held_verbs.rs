//! `narrowgate held` against a real gateway: list, show, answer, watch, forget, and their exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout};

use serde_json::{Value, json};
use support::{Dir, Ran, Service};

/// A gateway with a sandbox that asks.
struct Held {
    dir: Dir,
    up: Service,
}

impl Held {
    fn start() -> Held {
        let dir = Dir::new();
        dir.write(
            "policy.yaml",
            &support::POLICY.replace("version: 1\n", "version: 1\non_miss: ask\nask_timeout: 60s\n"),
        );
        let up = dir.up(&["--ceiling", "wide.cedar"]);
        Held { dir, up }
    }

    fn args<'a>(&self, url: &'a str, args: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["held"];
        all.extend(args);
        all.extend(["--gateway", url, "--token-file", "data/reviewer.token"]);
        all
    }

    fn run(&self, args: &[&str]) -> Ran {
        let url = self.up.url("gateway");
        self.dir.run(&self.args(&url, args))
    }

    /// As the sandbox's proxy would; the answer.
    fn hold(&self, key: &str, path: &str) -> Value {
        let body = json!({
            "key": key, "session": "s1", "inspected": true,
            "record": {"denial_id": "d_1", "time": "2026-01-01T00:00:00Z", "layer": "l7", "host": "api.example", "port": 443,
                       "method": "PUT", "path": path, "binary": "/usr/bin/curl", "reason": "no_matching_rule"},
            "process": {"pid": 7, "binary": "/usr/bin/curl", "sha256": "", "command": "curl \u{1b}[2Jevil\u{202e}"},
        })
        .to_string();
        let url = self.up.url("gateway");
        let (addr, token) = (url.strip_prefix("http://").unwrap(), self.dir.read("data/sandbox-default.token"));
        call(addr, token.trim(), "POST /v1/sandboxes/default/held", &body)
    }

    /// As the proxy says how many requests wait for the answer.
    fn count(&self, id: &str, requests: u32) {
        let url = self.up.url("gateway");
        let (addr, token) = (url.strip_prefix("http://").unwrap(), self.dir.read("data/sandbox-default.token"));
        let target = format!("GET /v1/sandboxes/default/held/{id}?wait=0&requests={requests}");
        assert_eq!(call(addr, token.trim(), &target, "")["status"], "waiting");
    }

    fn held(&self, key: &str, path: &str) -> String {
        let answer = self.hold(key, path);
        answer["held_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

fn call(addr: &str, token: &str, target: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!("{target} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

#[test]
fn list_show_answer_forget() {
    let held = Held::start();
    let ran = held.run(&["list"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "nothing waits\n"), "{}", ran.err);
    let id = held.held("k", "/v2/a.md");
    let ran = held.run(&["list", "--sandbox", "default"]);
    for says in [
        id.as_str(),
        "waiting",
        "/usr/bin/curl (pid 7)",
        "PUT api.example:443/v2/a.md",
        "allow PUT /v2/a.md",
        " s left)",
    ] {
        assert!(ran.out.contains(says), "{says}: {}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'), "{:?}", ran.out);
    let ran = held.run(&["show", &id, "--format", "json"]);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&shown["held_id"], &shown["status"]), (&json!(id), &json!("waiting")));
    // Exactly one answer, and of the one that was seen.
    for (args, code) in [
        (vec!["answer", id.as_str()], 2),
        (vec!["answer", &id, "--once", "--no"], 2),
        (vec!["answer", &id, "--once", "--review-token", "other"], 1),
        (vec!["answer", "h_none", "--once"], 2),
        (vec!["answer", "../held", "--once"], 2),
        (vec!["answer", &id, "--no", "--reason", "two\nlines"], 2),
        (vec!["forget", &id], 2),
        (vec!["show", "h_none"], 2),
        (vec!["list", "--status", "nonsense"], 2),
    ] {
        let ran = held.run(&args);
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.out, ran.err);
    }
    held.count(&id, 12);
    let ran = held.run(&["list"]);
    assert!(ran.out.contains("requests        12 wait for this answer"), "{}", ran.out);
    let ran = held.run(&["answer", &id, "--always", "--reason", "fine"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("answered: granted for good, by reviewer: fine"), "{}", ran.out);
    assert_eq!(held.hold("k", "/v2/a.md")["status"], "always");
    // A second answer comes too late, and says what stands.
    let ran = held.run(&["answer", &id, "--no"]);
    assert!(ran.code == 1 && ran.err.contains("is always already"), "{}{}", ran.out, ran.err);

    let id = held.held("k2", "/v2/b.md");
    let ran = held.run(&["answer", &id, "--never", "--reason", "not ours", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["status"], "never", "{}", ran.err);
    assert_eq!(held.hold("k3", "/v2/b.md")["message"], "not ours");
    assert!(held.run(&["list", "--status", "never"]).out.contains(&id));
    assert_eq!(held.run(&["forget", &id]).code, 0);
    assert_eq!(held.run(&["list", "--status", "never"]).out, "none\n");
    assert_eq!(held.hold("k4", "/v2/b.md")["status"], "waiting");
}

/// A running `held watch`; killed at the end.
struct Watching(Child, BufReader<ChildStdout>);

impl Watching {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line
    }

    fn event(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_shows_what_waits_and_how_it_ends() {
    let held = Held::start();
    let before = held.held("k0", "/v2/before.md");
    let url = held.up.url("gateway");
    let watch = |format: &str| {
        let mut child = held.dir.command(&held.args(&url, &["watch", "--format", format])).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Watching(child, out)
    };
    let (mut json, mut text) = (watch("json"), watch("text"));
    let first = json.event();
    assert_eq!((&first["event"], &first["held"]["held_id"]), (&json!("held"), &json!(before)), "what waited before");
    assert_eq!(first["held"]["review_token"], Value::Null);
    let mut block = String::new();
    while !block.contains("answer with") {
        block.push_str(&text.line());
    }
    assert!(
        block.contains(&before) && block.contains("allow PUT /v2/before.md") && !block.contains('\u{1b}'),
        "{block}"
    );
    let id = held.held("k1", "/v2/a.md");
    assert_eq!(json.event()["held"]["held_id"], json!(id));
    // One became many: said once for each doubling, not for each.
    for count in [1, 3, 4, 5] {
        held.count(&id, count);
    }
    let grown = json.event();
    assert_eq!((&grown["event"], &grown["held"]["held_id"]), (&json!("held_requests"), &json!(id)));
    assert_eq!((&grown["held"]["requests"], &grown["held"]["review_token"]), (&json!(5), &Value::Null));
    let says = "5 requests wait for this answer by now: PUT api.example:443/v2/a.md";
    loop {
        let line = text.line();
        assert!(!line.is_empty(), "it ended");
        if line.contains(says) {
            break;
        }
    }
    // Not twice as many: after a look at it, what comes next is the outcome.
    held.count(&id, 9);
    std::thread::sleep(std::time::Duration::from_millis(5500));
    assert_eq!(held.run(&["answer", &id, "--no", "--reason", "no need"]).code, 0);
    let ended = json.event();
    assert_eq!((&ended["event"], &ended["held"]["status"]), (&json!("held_outcome"), &json!("denied")));
    assert_eq!((&ended["held"]["reason"], &ended["held"]["decided_by"]), (&json!("no need"), &json!("reviewer")));
    loop {
        let line = text.line();
        assert!(!line.is_empty() && !line.contains("requests wait"), "{line:?}");
        if line.contains("denied, by reviewer: no need") {
            break;
        }
    }

    let id = held.held("k2", "/v2/c.md");
    held.count(&id, 12);
    assert_eq!(held.run(&["answer", &id, "--once"]).out.matches("let through, once: all 12 that waited").count(), 1);
}
