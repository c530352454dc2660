//! More callers than there is room for: people get in all the same, and no answer is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use narrowgate_core::policy::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::{Config, Gateway};

/// So many connections: of 32, twelve may wait for a person, eight for a policy, and six are worked on.
const CONNECTIONS: usize = 32;
const SOON: Duration = Duration::from_secs(5);
const POLICY: &str = "version: 1\non_miss: ask\nask_timeout: 60s\nnetwork_policies: {}\n";

struct System {
    gateway: Gateway,
    reviewer: String,
    tokens: Vec<String>,
    _dir: TempDir,
}

impl System {
    /// With the sandboxes `s0`, `s1` and so on.
    async fn start(sandboxes: usize) -> System {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::new(dir.path().join("data")) };
        let gateway = Gateway::start_for(config, CONNECTIONS).await.unwrap();
        let reviewer = std::fs::read_to_string(gateway.reviewer_token_path()).unwrap().trim().to_owned();
        let policy = Policy::parse(POLICY, "policy.yaml", narrowgate_core::policy::Role::Policy).unwrap();
        let mut tokens = Vec::new();
        for number in 0..sandboxes {
            tokens.push(gateway.create_sandbox(&format!("s{number}"), &policy).await.unwrap().1.unwrap());
        }
        System { gateway, reviewer, tokens, _dir: dir }
    }

    fn addr(&self) -> SocketAddr {
        self.gateway.addr()
    }

    async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let (status, _, body) = call(self.addr(), method, path, token, body).await.expect("an answer");
        (status, body)
    }

    /// The reviewer gets in, and soon.
    async fn lets_the_reviewer_in(&self) -> Value {
        let (status, body) =
            timeout(SOON, self.call("GET", "/v1/held", &self.reviewer, Value::Null)).await.expect("an answer in time");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Asks a person; the id.
    async fn held(&self, sandbox: usize, key: &str) -> String {
        let body = hold(key);
        let path = format!("/v1/sandboxes/s{sandbox}/held");
        let (status, answer) = self.call("POST", &path, &self.tokens[sandbox], body).await;
        assert_eq!((status, &answer["status"]), (200, &json!("waiting")), "{answer}");
        answer["held_id"].as_str().unwrap().to_owned()
    }

    /// Waits for its outcome.
    fn poll(&self, sandbox: usize, id: &str) -> JoinHandle<(Duration, Value)> {
        let (addr, token) = (self.addr(), self.tokens[sandbox].clone());
        let path = format!("/v1/sandboxes/s{sandbox}/held/{id}?wait=50");
        tokio::spawn(async move {
            let since = Instant::now();
            let (status, _, body) = call(addr, "GET", &path, &token, Value::Null).await.expect("an answer");
            assert_eq!(status, 200, "{body}");
            (since.elapsed(), body)
        })
    }

    async fn says_no(&self, id: &str) {
        let shown = self.call("GET", &format!("/v1/held/{id}"), &self.reviewer, Value::Null).await.1;
        let body = json!({"answer": "no", "review_token": shown["review_token"]});
        assert_eq!(self.call("POST", &format!("/v1/held/{id}/answer"), &self.reviewer, body).await.0, 200);
    }
}

fn hold(key: &str) -> Value {
    json!({
        "key": key, "session": "s", "inspected": true,
        "record": {"denial_id": "d_1", "time": "2026-11-21T07:00:00Z", "layer": "l7", "host": "api.example.com", "port": 443,
                   "method": "PUT", "path": format!("/{key}"), "binary": "/usr/bin/curl", "reason": "no_matching_rule"},
        "process": {"pid": 1, "binary": "/usr/bin/curl", "sha256": ""},
    })
}

/// Status, head and body; `None` where the connection was closed without an answer.
async fn call(addr: SocketAddr, method: &str, path: &str, token: &str, body: Value) -> Option<(u16, String, Value)> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_owned(), serde_json::from_str(body).unwrap_or_default()))
}

/// Whether the other side has closed it.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    !matches!(timeout(Duration::from_millis(1), stream.read(&mut byte)).await, Err(_) | Ok(Ok(1)))
}

/// Those who connect and say nothing take nobody's place but each other's.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_makes_way() {
    let system = System::start(1).await;
    let id = system.held(0, "k").await;
    let poll = system.poll(0, &id);
    sleep(Duration::from_millis(200)).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS * 4 {
        silent.push(TcpStream::connect(system.addr()).await.unwrap());
    }
    let listed = system.lets_the_reviewer_in().await;
    assert_eq!(listed["held"].as_array().unwrap().len(), 1);
    let mut closed = Vec::new();
    for stream in &mut silent {
        closed.push(is_closed(stream).await);
    }
    let open = closed.iter().filter(|closed| !**closed).count();
    assert!((1..CONNECTIONS).contains(&open), "{open}");
    assert!(closed[..CONNECTIONS].iter().all(|closed| *closed), "the oldest go first: {closed:?}");
    system.says_no(&id).await;
    assert_eq!(poll.await.unwrap().1["status"], "denied", "what is of use is not cut");
}

/// One that called before and calls no more holds its place for fifteen seconds, and less where it is needed.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends() {
    let system = System::start(0).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(system.addr()).await.unwrap();
        let request = format!(
            "GET /v1/held HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            system.addr(),
            system.reviewer
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer[..read]));
        idle.push(stream);
    }
    let since = Instant::now();
    system.lets_the_reviewer_in().await;
    assert!(is_closed(&mut idle[0]).await, "its place was needed");
    let mut byte = [0];
    let ended = timeout(Duration::from_secs(25), idle[CONNECTIONS - 1].read(&mut byte)).await.expect("it ends");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert!((10..=20).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

/// Sandboxes that wait for people keep nobody out, and whoever finds no room to wait is told how things stand.
#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_that_wait_keep_nobody_out() {
    let system = System::start(3).await;
    let mut polls = Vec::new();
    for sandbox in 0..3 {
        for number in 0..10 {
            let id = system.held(sandbox, &format!("k{number}")).await;
            polls.push((sandbox, id.clone(), system.poll(sandbox, &id)));
        }
    }
    sleep(Duration::from_millis(300)).await;
    let (mut waiting, mut told, mut places) = (Vec::new(), 0, [0; 3]);
    for (sandbox, id, poll) in polls {
        if poll.is_finished() {
            let (took, outcome) = poll.await.unwrap();
            assert!(outcome["status"] == "waiting" && took < SOON, "{took:?}: {outcome}");
            told += 1;
        } else {
            places[sandbox] += 1;
            waiting.push((id, poll));
        }
    }
    assert_eq!((places, told), ([8, 3, 1], 18), "the first does not take all of it");
    let listed = system.lets_the_reviewer_in().await;
    assert_eq!(listed["held"].as_array().unwrap().len(), 30);
    // A policy is waited for elsewhere, by at most four of a sandbox.
    let watch = |sandbox: usize| {
        let (addr, token) = (system.addr(), system.tokens[sandbox].clone());
        let path = format!("/v1/sandboxes/s{sandbox}/bundle?after=1&wait=50");
        tokio::spawn(async move { call(addr, "GET", &path, &token, Value::Null).await.map(|(status, ..)| status) })
    };
    let watches: Vec<_> = (0..5).map(|_| watch(0)).chain([watch(1)]).collect();
    sleep(Duration::from_millis(300)).await;
    let done: Vec<bool> = watches.iter().map(JoinHandle::is_finished).collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
    assert!(!done[5], "another sandbox has its own");
    // Those that wait learn their outcome, and make room with that.
    for (id, poll) in waiting {
        system.says_no(&id).await;
        assert_eq!(poll.await.unwrap().1["status"], "denied");
    }
    let id = system.held(2, "again").await;
    let poll = system.poll(2, &id);
    sleep(Duration::from_millis(100)).await;
    assert!(!poll.is_finished());
    system.says_no(&id).await;
    assert_eq!(poll.await.unwrap().1["status"], "denied");
}

/// A sandbox that sends everything slowly takes its own room, and is told to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sandbox_takes_its_own_room() {
    let system = System::start(2).await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(system.addr()).await.unwrap();
        let head = format!(
            "POST /v1/sandboxes/s0/held HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n",
            system.addr(),
            system.tokens[0]
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    sleep(Duration::from_millis(300)).await;
    system.lets_the_reviewer_in().await;
    // What its proxy says of a session is not kept out by what else is sent with its token.
    let path = "/v1/sandboxes/s0/session";
    let said = call(system.addr(), "PUT", path, &system.tokens[0], json!({"session": null, "ended": "s"})).await;
    assert_eq!(said.expect("an answer").0, 204);
    let path = "/v1/sandboxes/s0/held";
    let answer = call(system.addr(), "POST", path, &system.tokens[0], json!({})).await;
    let (status, head, body) = answer.expect("an answer");
    assert_eq!((status, &body["error"]), (503, &json!("busy")), "{body}");
    assert!(head.to_ascii_lowercase().contains("retry-after: 1"), "{head}");
    drop(slow);
    for _ in 0..50 {
        if call(system.addr(), "POST", path, &system.tokens[0], json!({})).await.is_some_and(|a| a.0 == 400) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the places of callers that left are still taken");
}

/// A reader of events is of use for as long as it reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_events_is_not_cut() {
    let system = System::start(1).await;
    let mut reader = TcpStream::connect(system.addr()).await.unwrap();
    let request = format!(
        "GET /v1/inbox/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        system.addr(),
        system.reviewer
    );
    reader.write_all(request.as_bytes()).await.unwrap();
    let mut read = [0; 4096];
    assert!(reader.read(&mut read).await.unwrap() > 0);
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS * 2 {
        silent.push(TcpStream::connect(system.addr()).await.unwrap());
    }
    sleep(Duration::from_millis(100)).await;
    let id = system.held(0, "k").await;
    let mut told = String::new();
    while !told.contains(&id) {
        let count = timeout(SOON, reader.read(&mut read)).await.expect("an event").unwrap();
        assert!(count > 0, "it was cut: {told}");
        told.push_str(&String::from_utf8_lossy(&read[..count]));
    }
}
