//! The proxy beside a gateway: loading, following, restarting, and the agent's proposals.
//!
//! This crate must not depend on the gateway's. What stands in for it here answers the same HTTP with bundles that are
//! really signed; the real one is on the other end in the whole-system tests.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use narrowgate_core::wire::{Bundle, KeyView, Keys};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::bundles::Signer;
use super::rig::{Answer, POLICY, Raw};
use crate::{Config, GatewayClient, Proxy, StartError};

#[derive(Default)]
struct State {
    keys: Vec<KeyView>,
    bundle: Option<Bundle>,
    proposal: Value,
    submitted: Vec<Value>,
    down: bool,
    /// Answers every request so: 404 once the sandbox is deleted.
    refusing: Option<u16>,
}

struct Gateway {
    url: String,
    state: Arc<Mutex<State>>,
    dir: tempfile::TempDir,
}

impl Gateway {
    async fn start(signer: &Signer) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = KeyView::of(&signer.key().into());
        let state = State { keys: vec![key], bundle: Some(signer.bundle(POLICY, 1)), ..State::default() };
        let gateway = Gateway { url, state: Arc::new(Mutex::new(state)), dir: tempfile::tempdir().unwrap() };
        let state = gateway.state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = state.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        gateway
    }

    fn config(&self) -> Config {
        let client = GatewayClient::new(&self.url, "t0ken").unwrap();
        let mut config = Config::new("box", client, self.dir.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.audit_log = Some(self.dir.path().join("audit.jsonl"));
        config
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap()
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
    assert_eq!(request.headers()["authorization"], "Bearer t0ken");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let reply = |status: StatusCode, body: Value| {
        let mut response = Response::new(Full::from(if body.is_null() { String::new() } else { body.to_string() }));
        *response.status_mut() = status;
        Ok(response)
    };
    for _ in 0..20 {
        let now = {
            let mut state = state.lock().unwrap();
            if state.down {
                return reply(StatusCode::BAD_GATEWAY, Value::Null);
            }
            if let Some(status) = state.refusing {
                return reply(StatusCode::from_u16(status).unwrap(), json!({"error": "refused", "message": "no"}));
            }
            match path.split('?').next().unwrap() {
                "/v1/keys" => Some(json!(Keys { keys: state.keys.clone(), sequence: 0, sets: Vec::new() })),
                "/v1/sandboxes/box/bundle" => {
                    let after: u64 = path.split("after=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
                    state.bundle.clone().filter(|bundle| bundle.version > after).map(|bundle| json!(bundle))
                }
                "/v1/sandboxes/box/proposals" => {
                    state.submitted.push(serde_json::from_slice(&body).unwrap());
                    return reply(
                        StatusCode::ACCEPTED,
                        json!({"accepted_chunk_ids": ["p_1"], "rejection_reasons": []}),
                    );
                }
                "/v1/proposals/p_1" => {
                    Some(state.proposal.clone()).filter(|p| p["status"] != "pending" || !path.contains("wait"))
                }
                _ => {
                    return reply(
                        StatusCode::NOT_FOUND,
                        json!({"error": "unknown_proposal", "message": "no such proposal", "secret": 1}),
                    );
                }
            }
        };
        match now {
            Some(body) => return reply(StatusCode::OK, body),
            None if path.contains("wait=0") => break,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    if path.contains("/proposals/") {
        let proposal = state.lock().unwrap().proposal.clone();
        return reply(StatusCode::OK, proposal);
    }
    reply(StatusCode::NO_CONTENT, Value::Null)
}

fn proposal(status: &str, version: Option<u64>) -> Value {
    json!({
        "chunk_id": "p_1", "sandbox": "box", "status": status, "source": "agent", "binary": "", "intent_summary": "i",
        "denial_ids": [], "evidence": [], "operation": {}, "validation_result": "within", "created_at": "now",
        "activated_version": version, "report": {"ceiling": "secret"}, "decided_by": "secret",
    })
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..250 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 5 seconds");
}

async fn ask(proxy: &Proxy, method: &str, path: &str, body: &str) -> Answer {
    let mut client = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
    let length = body.len();
    client
        .send(&format!(
            "{method} http://policy.local{path} HTTP/1.1\r\nhost: policy.local\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await;
    client.response().await
}

#[tokio::test]
async fn it_follows_what_is_proven_and_nothing_else() {
    let signer = Signer::new(1);
    let gateway = Gateway::start(&signer).await;
    let proxy = Proxy::start(gateway.config()).await.unwrap();
    assert_eq!(proxy.version(), 1);
    let current = ask(&proxy, "GET", "/v1/policy/current", "").await.json();
    assert_eq!((&current["format"], &current["version"]), (&json!("yaml"), &json!(1)));
    assert_eq!(current["policy_yaml"], POLICY);

    gateway.set(|state| state.bundle = Some(signer.bundle(POLICY, 2)));
    until("version 2", || proxy.version() == 2).await;

    // A bundle of another key, later a gateway with that key: refused, the old one stays.
    let thief = Signer::new(2);
    gateway.set(|state| {
        state.bundle = Some(thief.bundle(&POLICY.replace("/ok/**", "/**"), 3));
        state.keys = vec![KeyView::of(&thief.key().into())];
    });
    until("an audit line", || gateway.audit().contains("not signed by a key")).await;
    assert_eq!(proxy.version(), 2);
    proxy.shutdown().await;

    let proxy = Proxy::start(gateway.config()).await.unwrap();
    assert_eq!(proxy.version(), 2, "the keys of the first start stay pinned; the cache holds the last good policy");
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_deleted_sandbox_loses_its_policy() {
    let signer = Signer::new(1);
    let gateway = Gateway::start(&signer).await;
    gateway.set(|state| state.bundle = Some(signer.bundle(POLICY, 5)));
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = gateway.config();
    config.resolve = vec![format!("raw.test:9000:{}", upstream.local_addr().unwrap()).parse().unwrap()];
    let proxy = Proxy::start(config).await.unwrap();
    let cache = gateway.dir.path().join("bundle.json");
    for status in [401, 403, 404] {
        let mut tunnel = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
        tunnel.send("CONNECT raw.test:9000 HTTP/1.1\r\n\r\n").await;
        assert_eq!(tunnel.response().await.status, 200);
        assert!(cache.exists());

        gateway.set(|state| state.refusing = Some(status));
        assert!(!tunnel.more().await, "{status}: the tunnel is closed");
        assert_eq!(proxy.version(), 0);
        let mut client = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
        client.send("CONNECT raw.test:9000 HTTP/1.1\r\n\r\n").await;
        client.response().await.denied(403, "policy_unavailable");
        assert_eq!(ask(&proxy, "GET", "/v1/policy/current", "").await.status, 503);
        assert!(!cache.exists(), "{status}: nothing is left for the next start");
        until("an audit line", || gateway.audit().contains("revoked")).await;

        // Older than what was taken back: no policy either. The same or a newer one is.
        let again = 5 + u64::from(status > 401);
        gateway.set(|state| (state.refusing, state.bundle) = (None, Some(signer.bundle(POLICY, 4))));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(proxy.version(), 0);
        gateway.set(|state| state.bundle = Some(signer.bundle(POLICY, again)));
        until("a policy", || proxy.version() == again).await;
    }
    proxy.shutdown().await;

    // Deleted while the proxy was off: what is cached is not taken up later, when the gateway cannot be asked.
    gateway.set(|state| state.refusing = Some(404));
    assert!(matches!(Proxy::start(gateway.config()).await.map(drop), Err(StartError::Gateway(_))));
    assert!(!cache.exists());
}

#[tokio::test]
async fn it_starts_from_the_cache_while_the_gateway_is_away() {
    let signer = Signer::new(1);
    let gateway = Gateway::start(&signer).await;
    gateway.set(|state| state.down = true);
    let error = Proxy::start(gateway.config()).await.unwrap_err();
    assert!(matches!(error, StartError::Keys(_)), "{error}");
    gateway.set(|state| state.down = false);
    Proxy::start(gateway.config()).await.unwrap().shutdown().await;
    gateway.set(|state| state.down = true);
    let proxy = Proxy::start(gateway.config()).await.unwrap();
    assert_eq!(proxy.version(), 1);
    assert_eq!(ask(&proxy, "GET", "/v1/proposals/p_1", "").await.json()["error"], "gateway_unavailable");

    let cache = gateway.dir.path().join("bundle.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&cache).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // Back again, with something older than what was in force: that stays.
    gateway.set(|state| (state.down, state.bundle) = (false, Some(signer.bundle(POLICY, 4))));
    until("version 4", || proxy.version() == 4).await;
    proxy.shutdown().await;
    gateway.set(|state| state.bundle = Some(signer.bundle(POLICY, 3)));
    let proxy = Proxy::start(gateway.config()).await.unwrap();
    assert_eq!(proxy.version(), 4);
    proxy.shutdown().await;

    // A cache that was written to is worth nothing.
    let forged = std::fs::read_to_string(&cache).unwrap().replace("/ok/**", "/**");
    std::fs::write(&cache, forged).unwrap();
    gateway.set(|state| state.down = true);
    assert!(matches!(Proxy::start(gateway.config()).await.map(drop), Err(StartError::Gateway(_))));
}

#[tokio::test]
async fn a_start_that_fails_says_why_in_a_line() {
    let signer = Signer::new(1);
    let gateway = Gateway::start(&signer).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = gateway.config();
    config.listen = taken.local_addr().unwrap();
    let error = Proxy::start(config).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}", taken.local_addr().unwrap())), "{error}");
    let mut config = gateway.config();
    config.sandbox = "../other".to_owned();
    assert!(matches!(Proxy::start(config).await.map(drop), Err(StartError::Sandbox(_))));
    let mut config = gateway.config();
    config.sandbox = "unknown".to_owned();
    let error = Proxy::start(config).await.unwrap_err();
    assert!(matches!(&error, StartError::Gateway(e) if e.status() == Some(404)), "{error}");
    gateway.set(|state| state.bundle = Some(Signer::new(2).bundle(POLICY, 1)));
    let error = Proxy::start(gateway.config()).await.unwrap_err().to_string();
    assert!(error.contains("not signed by a key") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_proposal_goes_from_denial_to_reload() {
    let signer = Signer::new(1);
    let gateway = Gateway::start(&signer).await;
    gateway.set(|state| state.proposal = proposal("pending", None));
    let proxy = Arc::new(Proxy::start(gateway.config()).await.unwrap());
    let mut client = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
    client.send("CONNECT new.test:443 HTTP/1.1\r\n\r\n").await;
    let denial = client.response().await.denied(403, "no_matching_rule");
    let step = denial["next_steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(step["action"], "submit_proposal");

    let mut body = step["body"].clone();
    body["denial_ids"].as_array_mut().unwrap().push("d_unknown".into());
    let answer = ask(&proxy, "POST", "/v1/proposals", &body.to_string()).await;
    assert_eq!(answer.status, 202, "the proposal of a denial can be posted as it is: {answer:?}");
    assert_eq!(answer.json()["accepted_chunk_ids"], json!(["p_1"]));
    assert_eq!(answer.json()["unknown_denial_ids"], json!(["d_unknown"]));
    let submitted = gateway.state.lock().unwrap().submitted[0].clone();
    assert_eq!(submitted["evidence"][0]["denial_id"], denial["denial_id"]);
    assert_eq!(submitted["binary"], denial["binary"]);
    assert_eq!(submitted["operations"], step["body"]["operations"]);

    let timed_out = ask(&proxy, "GET", "/v1/proposals/p_1/wait?timeout=1", "").await.json();
    assert_eq!((&timed_out["status"], &timed_out["timed_out"]), (&json!("pending"), &json!(true)), "{timed_out}");

    let waiting = tokio::spawn({
        let proxy = proxy.clone();
        async move { ask(&proxy, "GET", "/v1/proposals/p_1/wait?timeout=20", "").await.json() }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.set(|state| state.proposal = proposal("approved", Some(2)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "approved is not enforced yet");
    assert_eq!(ask(&proxy, "GET", "/v1/proposals/p_1", "").await.json()["policy_reloaded"], false);
    gateway.set(|state| state.bundle = Some(signer.bundle(POLICY, 2)));
    let approved = waiting.await.unwrap();
    assert_eq!((&approved["status"], &approved["policy_reloaded"]), (&json!("approved"), &json!(true)), "{approved}");
    assert_eq!(proxy.version(), 2);
    assert!(approved.get("timed_out").is_none());
    assert!(!approved.to_string().contains("secret"), "what a reviewer sees is not the agent's: {approved}");
}

#[tokio::test]
async fn what_policy_local_does_not_take() {
    let gateway = Gateway::start(&Signer::new(1)).await;
    let proxy = Proxy::start(gateway.config()).await.unwrap();
    for (method, path, body, status, error) in [
        ("GET", "/", "", 404, "unknown_route"),
        ("POST", "/v1/skill", "", 404, "unknown_route"),
        ("GET", "/v1/proposals/../keys", "", 404, "unknown_route"),
        ("GET", "/v1/proposals/a%2fb", "", 404, "unknown_route"),
        ("GET", "/v1/proposals/p_2", "", 404, "unknown_proposal"),
        ("GET", "/v1/proposals/p_1/wait?timeout=x", "", 400, "invalid_query"),
        ("GET", "/v1/denials?last=-1", "", 400, "invalid_query"),
        ("POST", "/v1/proposals", "{", 400, "invalid_proposal"),
        ("POST", "/v1/proposals", "{\"intent_summary\":\"x\",\"operations\":[{}]}", 400, "invalid_proposal"),
        ("POST", "/v1/proposals", &"x".repeat(65537), 413, "body_too_large"),
    ] {
        let answer = ask(&proxy, method, path, body).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{method} {path}: {answer:?}");
        assert!(!answer.body.contains("secret"));
        if error == "invalid_proposal" {
            assert!(answer.json()["pointer"].is_string(), "{answer:?}");
        }
        if error == "unknown_route" {
            assert_eq!(answer.json()["routes"].as_array().unwrap().len(), 8);
        }
    }
    let skill = ask(&proxy, "GET", "/v1/skill", "").await;
    assert!(skill.body.starts_with("---\nname: ") && skill.head.contains("text/markdown"), "{skill:?}");
    assert_eq!(
        ask(&proxy, "GET", "/v1/denials?last=9999", "").await.json(),
        json!({"log_available": true, "denials": []})
    );
    proxy.shutdown().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = Gateway::start(&Signer::new(1)).await;
    let proxy = Proxy::start(gateway.config()).await.unwrap();
    let mut client = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
    client
        .send("POST http://policy.local/v1/proposals HTTP/1.1\r\nhost: policy.local\r\ncontent-length: 5\r\n\r\n{")
        .await;
    let started = tokio::time::Instant::now();
    let answer = client.answer_in(Duration::from_secs(30)).await;
    assert_eq!((answer.status, &answer.json()["error"]), (408, &json!("body_too_slow")));
    assert!((10..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}
