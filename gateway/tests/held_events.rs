//! What reviewers follow: every change, once for each reader who keeps its place, in order, and no token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::held::{ASKS, asking, hold};
use common::{System, put};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use narrowgate_core::events::{Activation, ProposalSummary};
use narrowgate_core::held::HeldView;
use narrowgate_gateway::Mode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const A: &str = "/repos/acme/a.md";

/// A reader of events.
struct Reader {
    body: Incoming,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Read {
    id: Option<u64>,
    kind: String,
    data: Value,
}

impl Reader {
    async fn open(addr: SocketAddr, token: &str, after: Option<u64>) -> Reader {
        let mut request = Request::get("/v1/inbox/events")
            .header("host", addr.to_string())
            .header("authorization", format!("Bearer {token}"));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (200.try_into().unwrap(), &"text/event-stream".parse().unwrap())
        );
        Reader { body: response.into_body(), text: String::new() }
    }

    /// The next event; `None` at the end, and where none comes within a while.
    async fn next(&mut self) -> Option<Read> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(read) = read(&block) {
                    return Some(read);
                }
                continue;
            }
            let frame = timeout(Duration::from_secs(3), self.body.frame()).await.ok()??;
            self.text.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Read> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.next().await.unwrap_or_else(|| panic!("only {all:?}")));
        }
        all
    }
}

/// `None` for a comment.
fn read(block: &str) -> Option<Read> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(Read { id: field("id").map(|id| id.parse().unwrap()), kind: field("event").unwrap().to_owned(), data })
}

async fn story(system: &System, token: &str) {
    let held = system.held(token, hold("k", "PUT", A)).await;
    assert_eq!(system.answer(&held, "always", Some("fine")).await.0, 200);
    let asked = system.submit("dev", token, put("docs", "/repos/acme/docs")).await.unwrap();
    assert_eq!(system.approve(&asked, &system.review_token(&asked).await).await.0, 200);
    let asked = system.submit("dev", token, put("more", "/repos/acme/more")).await.unwrap();
    let reject = Some(json!({"reason": "too much", "hints": ["too_broad"]}));
    assert_eq!(system.call("POST", &format!("/v1/proposals/{asked}/reject"), &system.reviewer, reject).await.0, 200);
    assert!(system.submit("dev", token, put("out", "/repos/other")).await.is_err());
    let held = system.held(token, hold("k2", "PUT", "/repos/acme/b.md")).await;
    assert_eq!(system.leave(token, &held).await, 204);
}

/// The kinds that a story gives, in order.
const STORY: [&str; 12] = [
    "held",
    "activation",
    "decision",
    "held_outcome",
    "proposal",
    "activation",
    "decision",
    "proposal",
    "decision",
    "decision",
    "held",
    "held_outcome",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_in_order_and_without_tokens() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let mut reviewer = Reader::open(system.gateway.addr(), &system.reviewer, None).await;
    let mut admin = Reader::open(system.gateway.addr(), &system.admin, Some(0)).await;
    assert_eq!(admin.next().await.unwrap().data["version"], 1, "the baseline, which was before");
    story(&system, &token).await;
    let seen = reviewer.take(STORY.len()).await;
    assert_eq!(admin.take(STORY.len()).await, seen);
    let kinds: Vec<&str> = seen.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, STORY, "{seen:#?}");
    let ids: Vec<u64> = seen.iter().map(|event| event.id.unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    for event in &seen {
        let text = event.data.to_string();
        assert!(!text.contains("review_token") && !text.contains("ng_"), "{text}");
        match event.kind.as_str() {
            "held" | "held_outcome" => drop(serde_json::from_value::<HeldView>(event.data.clone()).unwrap()),
            "activation" => drop(serde_json::from_value::<Activation>(event.data.clone()).unwrap()),
            _ => drop(serde_json::from_value::<ProposalSummary>(event.data.clone()).unwrap()),
        }
    }
    // What is told is what is shown.
    let mut shown = system.shown(seen[0].data["held_id"].as_str().unwrap()).await;
    let mut told = seen[3].data.clone();
    for view in [&mut shown, &mut told] {
        view.as_object_mut().unwrap().retain(|key, value| !value.is_null() && key != "review_token");
    }
    assert_eq!(
        serde_json::to_value(serde_json::from_value::<HeldView>(told).unwrap()).unwrap(),
        serde_json::to_value(serde_json::from_value::<HeldView>(shown).unwrap()).unwrap()
    );
}

/// A reader goes on from where it was, across a restart too, and gets nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_from_where_it_was() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let mut whole = Reader::open(system.gateway.addr(), &system.reviewer, Some(0)).await;
    story(&system, &token).await;
    let whole = whole.take(STORY.len() + 1).await;
    let system = system.restart().await;
    for at in [0, 3, whole.len() - 1] {
        let mut rest = Reader::open(system.gateway.addr(), &system.reviewer, whole[at].id).await;
        assert_eq!(rest.take(whole.len() - at - 1).await, whole[at + 1..]);
    }
    // From nowhere in particular: only what is new.
    let mut new = Reader::open(system.gateway.addr(), &system.reviewer, None).await;
    let id = system.held(&token, hold("new", "DELETE", A)).await;
    assert_eq!(new.next().await.unwrap().data["held_id"], json!(id));
    // The end of the gateway ends the stream.
    let System { gateway, dir: _dir, .. } = system;
    gateway.shutdown().await;
    assert_eq!(new.next().await, None);
}

/// As many events of one sandbox are kept.
const KEPT: u64 = 2000;

/// Events that a sandbox of this name would have caused.
async fn flood(system: &System, sandbox: &str, events: u64) {
    let path = system.dir.path().join("data/narrowgate.db");
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(path)).await.unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO events (kind, data) SELECT 'activation', json_object('sandbox', ?2, 'version', i) FROM n";
    sqlx::query(many).bind(i64::try_from(events).unwrap()).bind(sandbox).execute(&pool).await.unwrap();
    pool.close().await;
}

/// What is not kept any more is said to be missing; a number that was never given is no place.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    flood(&system, "dev", KEPT + 50).await;
    assert_eq!(system.dump().await["events"].len() as u64, KEPT, "bounded");
    let mut late = Reader::open(system.gateway.addr(), &system.reviewer, Some(1)).await;
    let gap = late.next().await.unwrap();
    assert_eq!((gap.kind.as_str(), &gap.data["after"], gap.id), ("gap", &json!(1), None));
    let first = late.next().await.unwrap();
    assert_eq!(json!(first.id), gap.data["oldest"]);
    let mut ahead = Reader::open(system.gateway.addr(), &system.reviewer, Some(1 << 40)).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    assert_eq!(ahead.next().await.unwrap().data["held_id"], json!(id));
}

/// A sandbox that makes events without end takes the place of its own, and of nobody else's. Where some are missing in
/// the middle, a reader is told so once, and gets the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_pushes_out_only_its_own_events() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let quiet = system.sandbox_with("quiet", ASKS).await;
    let (status, asked) = system.call("POST", "/v1/sandboxes/quiet/held", &quiet, Some(hold("q", "PUT", A))).await;
    assert_eq!(status, 200, "{asked}");
    flood(&system, "dev", 12_000).await;
    // The baselines of both, and what the quiet one asked.
    let newest = 2 + 1 + 12_000;
    let mut reader = Reader::open(system.gateway.addr(), &system.reviewer, Some(1)).await;
    let gap = reader.next().await.unwrap();
    assert_eq!((gap.kind.as_str(), &gap.data), ("gap", &json!({"after": 1, "oldest": newest - KEPT + 1})));
    let all = reader.take(2 + KEPT as usize).await;
    let kinds: Vec<(&str, &str)> =
        all[..3].iter().map(|event| (event.kind.as_str(), event.data["sandbox"].as_str().unwrap())).collect();
    assert_eq!(
        kinds,
        [("activation", "quiet"), ("held", "quiet"), ("activation", "dev")],
        "what others asked is there"
    );
    assert_eq!((all[1].data["held_id"].clone(), all[2].id), (asked["held_id"].clone(), Some(newest - KEPT + 1)));
    assert!(all.iter().all(|event| event.kind != "gap"), "it is said once");
    // Whoever goes on from where nothing is missing any more is told of no gap; nor is one who keeps up.
    let mut later = Reader::open(system.gateway.addr(), &system.reviewer, Some(newest - KEPT)).await;
    assert_eq!(later.next().await.unwrap().id, Some(newest - KEPT + 1));
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let told = reader.next().await.unwrap();
    assert_eq!((told.id, &told.data["held_id"]), (Some(newest + 1), &json!(id)));
    // One whose place is before what is missing misses it, also in the middle and after a restart.
    let system = system.restart().await;
    for (after, missing) in [(3, true), (newest - KEPT, true), (newest - KEPT + 1, false), (newest, false)] {
        let mut reader = Reader::open(system.gateway.addr(), &system.reviewer, Some(after)).await;
        assert_eq!(reader.next().await.unwrap().kind == "gap", missing, "after {after}");
    }
}

/// What happened in sandboxes that are gone is kept too, and does not grow with their number.
#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_deleted_sandboxes_share_one_place() {
    let (system, _) = asking(Mode::Manual, ASKS).await;
    for name in ["one", "two", "three"] {
        system.sandbox_with(name, ASKS).await;
        flood(&system, name, KEPT / 2).await;
        assert_eq!(system.call("DELETE", &format!("/v1/sandboxes/{name}"), &system.admin, None).await.0, 204);
    }
    assert_eq!(system.dump().await["events"].len() as u64, KEPT + 1, "and the baseline of the one that is left");
    let mut reader = Reader::open(system.gateway.addr(), &system.reviewer, Some(1)).await;
    assert_eq!(reader.next().await.unwrap().kind, "gap");
}

/// A place that is none, and one reader too many.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_follow_is_told_why() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let addr = system.gateway.addr();
    let status = async |token: &str, after: &str| {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /v1/inbox/events HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\nlast-event-id: {after}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    for after in ["-1", "x", "99999999999999999999"] {
        assert_eq!(status(&system.reviewer, after).await, "400", "{after}");
    }
    assert_eq!(status(&token, "0").await, "403");
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(Reader::open(addr, &system.reviewer, None).await);
    }
    assert_eq!(status(&system.reviewer, "0").await, "409");
    readers.clear();
    // Their places are free once the gateway has noticed.
    for _ in 0..50 {
        if status(&system.reviewer, "0").await == "200" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the places of readers that left are still taken");
}
