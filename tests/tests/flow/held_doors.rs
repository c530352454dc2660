//! Requests that wait at every door: an HTTP proxy's, SOCKS, inspected or opaque, in a plugin's words, for a short time or
//! longer than any other clock runs. Those of clients that know of no proxy are in `run.rs`.

use std::time::{Duration, Instant};

use narrowgate_core::decide::Layer;
use narrowgate_core::held::{Answer as Said, HeldList, HeldStatus, HeldView};
use narrowgate_tests::system::{Chosen, Client, DATABASE, GITHUB, HOST, System, shipped};
use serde_json::json;

use super::held::{say, waiting};

const POLICY: &str = "
version: 1
on_miss: ask
ask_timeout: 120s
network_policies: {}
";
const WIDE: &str = "permit (principal, action, resource);";

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Connect,
    Socks,
}

/// What it speaks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// HTTPS, whose requests are read.
    Tls,
    /// HTTP in the clear, on port 80.
    Plain,
    /// Bytes of its own, to a port that says nothing of them.
    Opaque,
}

const ALL: [(Door, Kind); 6] = [
    (Door::Connect, Kind::Tls),
    (Door::Connect, Kind::Plain),
    (Door::Connect, Kind::Opaque),
    (Door::Socks, Kind::Tls),
    (Door::Socks, Kind::Plain),
    (Door::Socks, Kind::Opaque),
];

impl Kind {
    fn destination(self) -> (&'static str, u16) {
        match self {
            Kind::Tls => (HOST, 443),
            Kind::Plain => (HOST, 80),
            Kind::Opaque => (DATABASE, 5432),
        }
    }
}

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    /// Its answer, from the other side.
    Through,
    /// The denial's reason, where its door has a place for one.
    Denied(Option<String>),
}

/// Goes through `door` and sees what comes of it, however long that takes.
async fn through(system: &System, door: Door, kind: Kind) -> Got {
    let (host, port) = kind.destination();
    let opened = match door {
        Door::Connect => {
            let mut client = Client::plain(system.proxy_addr()).await;
            client.write(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes()).await;
            let answer = client.patient_answer("CONNECT").await;
            match answer.status {
                200 => Ok(client),
                _ => Err(Some(answer.json()["reason"].as_str().unwrap().to_owned())),
            }
        }
        Door::Socks => match system.socks(host, port).await {
            (0, client) => Ok(client),
            (2, _) => Err(None),
            (reply, _) => panic!("{door:?} {kind:?}: {reply}"),
        },
    };
    let mut client = match (opened, kind) {
        (Err(denied), Kind::Opaque) => return Got::Denied(denied),
        (Err(denied), _) => panic!("a request is asked about, not a stream: {denied:?}"),
        (Ok(client), Kind::Tls) => client.tls(HOST, &system.ca_bundle()).await.unwrap(),
        (Ok(client), _) => client,
    };
    if kind == Kind::Opaque {
        client.write(b"\x00any bytes").await;
        assert_eq!(client.exactly(10).await, b"\x00any bytes");
        return Got::Through;
    }
    client.write(b"PUT /docs/a HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n\r\nhello").await;
    let answer = client.patient_answer("PUT").await;
    match answer.status {
        200 => {
            assert_eq!(answer.json()["body"], 5, "it arrived whole");
            Got::Through
        }
        _ => Got::Denied(Some(answer.json()["reason"].as_str().unwrap().to_owned())),
    }
}

/// One that asks, and what the reviewer is shown and says.
async fn answered(system: &System, door: Door, kind: Kind, said: Said) -> (HeldView, Got) {
    let review = async {
        let view = waiting(system).await;
        say(system, &view, said).await;
        view
    };
    tokio::join!(review, through(system, door, kind))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_leads_to_the_reviewer_and_through() {
    for (door, kind) in ALL {
        let system = System::start(POLICY, WIDE).await;
        let (view, got) = answered(&system, door, kind, Said::Once).await;
        let (host, port) = kind.destination();
        assert_eq!((view.host.as_str(), view.port), (host, port), "{door:?} {kind:?}");
        let shown = (view.layer, view.method.as_deref(), view.path.as_deref());
        match kind {
            Kind::Opaque => assert_eq!(shown, (Layer::L4, None, None)),
            _ => assert_eq!(shown, (Layer::L7, Some("PUT"), Some("/docs/a"))),
        }
        assert_eq!(view.process.pid as u32, std::process::id());
        assert_eq!(got, Got::Through, "{door:?} {kind:?}");

        // Once was for that one; a no is in the words of the door, where it has any.
        let (again, got) = answered(&system, door, kind, Said::No).await;
        assert_ne!(again.held_id, view.held_id);
        let reason = (door, kind) != (Door::Socks, Kind::Opaque);
        assert_eq!(got, Got::Denied(reason.then(|| "denied_by_reviewer".to_owned())), "{door:?} {kind:?}");

        // What is granted for good is what was shown, at whatever door.
        let (_, got) = answered(&system, door, kind, Said::Always).await;
        assert_eq!(got, Got::Through, "{door:?} {kind:?}");
        for other in [Door::Connect, Door::Socks] {
            assert_eq!(through(&system, other, kind).await, Got::Through, "{door:?} {kind:?}, then {other:?}");
        }
        let reached = if kind == Kind::Opaque { 0 } else { 4 };
        assert_eq!(system.upstream.lines(), vec!["PUT /docs/a"; reached], "{door:?} {kind:?}");
        let last = system.audit().pop().unwrap();
        assert_eq!((&last["action"], &last["unmapped"]["held_id"]), (&json!("Allowed"), &json!(null)), "{last}");
    }
}

/// The client of a connection through `door` that has said all it wants, and closed its side of it.
async fn half_closed(system: &System, door: Door, kind: Kind) -> Client {
    let (host, port) = kind.destination();
    let mut client = match (door, kind) {
        (Door::Connect, Kind::Opaque) => {
            let mut client = Client::plain(system.proxy_addr()).await;
            client.write(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes()).await;
            client
        }
        (Door::Socks, Kind::Opaque) => {
            let mut client = Client::plain(system.proxy_addr()).await;
            client.write(&[5, 1, 0]).await;
            client.exactly(2).await;
            let name = host.len() as u8;
            client.write(&[&[5, 1, 0, 3, name], host.as_bytes(), &port.to_be_bytes()].concat()).await;
            client
        }
        (Door::Connect, _) => system.tunnel(&format!("{host}:{port}")).await.1,
        (Door::Socks, _) => system.socks(host, port).await.1,
    };
    if kind == Kind::Tls {
        client = client.tls(HOST, &system.ca_bundle()).await.unwrap();
    }
    if kind != Kind::Opaque {
        client.write(b"PUT /docs/a HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 5\r\n\r\nhello").await;
    }
    waiting(system).await;
    client.finish().await;
    client
}

/// Who closes its side of the connection does not wait for an answer: as for every request here, nobody is asked for it
/// any more, and nothing is sent on its behalf.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_side_is_asked_for_no_more() {
    let system = System::start(POLICY, WIDE).await;
    for (door, kind) in ALL {
        let _client = half_closed(&system, door, kind).await;
        let start = Instant::now();
        let ended = loop {
            let list: HeldList = system.reviewer().get("/v1/held?status=all").await.unwrap();
            let newest = list.held.last().unwrap().clone();
            if newest.status != HeldStatus::Waiting {
                break newest;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "{door:?} {kind:?}: {newest:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(ended.status, HeldStatus::Cancelled, "{door:?} {kind:?}");
    }
    assert!(system.upstream.seen().is_empty());
}

/// A person takes longer than any clock between them and the client but one (a request's head, 60 s, which the proxy's
/// own tests wind down): the proxy's polls (20 s), the patience with the gateway (30 s), the first byte of a stream (30 s),
/// handshakes (10 s), the bodies of calls (15 s).
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_outlasts_every_clock_on_the_way() {
    let systems = tokio::join!(System::start(POLICY, WIDE), System::start(POLICY, WIDE), System::start(POLICY, WIDE));
    let wait = async |system: &System, door: Door, kind: Kind| {
        let start = Instant::now();
        let review = async {
            let view = waiting(system).await;
            tokio::time::sleep(Duration::from_secs(33)).await;
            assert_eq!(waiting(system).await.held_id, view.held_id, "the same question all the time");
            say(system, &view, Said::Once).await;
        };
        let ((), got) = tokio::join!(review, through(system, door, kind));
        assert_eq!(got, Got::Through, "{door:?} {kind:?} after {:?}", start.elapsed());
    };
    tokio::join!(
        wait(&systems.0, Door::Connect, Kind::Tls),
        wait(&systems.1, Door::Socks, Kind::Plain),
        wait(&systems.2, Door::Socks, Kind::Opaque),
    );
}

const GITHUB_POLICY: &str = "
version: 1
on_miss: ask
ask_timeout: 60s
network_policies:
  github:
    endpoints:
      - host: api.github.com
        port: 443
        protocol: github
        rules:
          - allow: { action: \"github::contents.read\", where: { owner: acme } }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_says_what_is_asked_and_that_is_what_is_granted() {
    let chosen = Chosen { plugins: shipped(&["github"]), ..Chosen::default() };
    let system = System::start_with(GITHUB_POLICY, WIDE, chosen).await;
    let put = async |repo: &str, path: &str| {
        let body = r#"{"message":"more","content":"aGVsbG8K"}"#;
        let url = format!("https://{GITHUB}/repos/acme/{repo}/contents/{path}");
        let put = ["-X", "PUT", "-H", "content-type: application/json", "--data-binary", body, &url];
        system.curl(&put).await
    };
    let asked = async |repo: &str, path: &str, said: Said| {
        let review = async {
            let view = waiting(&system).await;
            say(&system, &view, said).await;
            view
        };
        tokio::join!(review, put(repo, path))
    };
    let wanted = |repo: &str, path: &str| json!({ "owner": "acme", "repo": repo, "path": path });

    let (view, answer) = asked("site", "docs/a.md", Said::Always).await;
    let [operation] = &view.operations[..] else { panic!("{view:?}") };
    assert_eq!((operation.plugin.as_str(), operation.action.as_str()), ("github", "github::contents.write"));
    assert_eq!(json!(operation.attributes), wanted("site", "docs/a.md"));
    let rule = &view.operation["addRule"]["rule"]["endpoints"][0];
    let allow = json!([{ "allow": { "action": "github::contents.write", "where": wanted("site", "docs/a.md") } }]);
    assert_eq!((&rule["protocol"], &rule["rules"]), (&json!("github"), &allow), "{}", view.operation);
    assert_eq!(answer.status, 200, "{answer:?}");

    // By every process of the same program, since a rule names programs; and nothing but that.
    assert_eq!(put("site", "docs/a.md").await.status, 200);
    for (repo, path) in [("plans", "docs/a.md"), ("site", "docs/b.md")] {
        let (other, answer) = asked(repo, path, Said::No).await;
        assert_eq!(json!(other.operations[0].attributes), wanted(repo, path), "{repo}/{path}");
        assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("denied_by_reviewer")), "{repo}/{path}");
    }
    let lines = system.upstream.lines();
    assert_eq!(lines, vec!["PUT /repos/acme/site/contents/docs/a.md"; 2]);
}
