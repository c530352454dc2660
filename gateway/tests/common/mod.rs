//! A real gateway on a loopback port, and a client that shows status and body.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

pub mod held;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub const CEILING: &str = "
version: 1
network_policies:
  acme:
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: '/**' }
          - allow: { method: PUT, path: '/repos/acme/**' }
          - allow: { method: DELETE, path: '/repos/acme/**' }
";

pub const BASELINE: &str = "
version: 1
network_policies:
  read:
    binaries: [{ path: /usr/bin/curl }]
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: '/repos/**' }
";

/// A gateway, its directory and its people's tokens.
pub struct System {
    pub gateway: Gateway,
    pub dir: TempDir,
    pub admin: String,
    pub reviewer: String,
}

pub fn config(dir: &Path) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ceiling: Some((CEILING.to_owned(), "ceiling.yaml".to_owned())),
        ..Config::new(dir.join("data"))
    }
}

pub fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

impl System {
    pub async fn start() -> System {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        System::start_in(dir, config).await
    }

    pub async fn start_in(dir: TempDir, config: Config) -> System {
        let gateway = Gateway::start(config).await.unwrap();
        let (admin, reviewer) = (read(gateway.admin_token_path()), read(gateway.reviewer_token_path()));
        System { gateway, dir, admin, reviewer }
    }

    /// The same directory, a new process as far as the gateway can tell.
    pub async fn restart(self) -> System {
        let System { gateway, dir, .. } = self;
        gateway.shutdown().await;
        let config = config(dir.path());
        System::start_in(dir, config).await
    }

    pub async fn call(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        call(self.gateway.addr(), method, path, Some(token), body.map(|b| b.to_string())).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, &self.reviewer, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// A sandbox with the usual baseline; its token.
    pub async fn sandbox(&self, name: &str) -> String {
        let body = json!({"name": name, "policy_yaml": BASELINE});
        let (status, body) = self.call("POST", "/v1/sandboxes", &self.admin, Some(body)).await;
        assert_eq!((status, &body["version"]), (201, &json!(1)), "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    /// Submits one operation: its id, or why it was refused.
    pub async fn submit(&self, sandbox: &str, token: &str, operation: Value) -> Result<String, String> {
        let (status, body) =
            self.call("POST", &format!("/v1/sandboxes/{sandbox}/proposals"), token, Some(proposal(operation))).await;
        assert_eq!(status, 202, "{body}");
        match (
            body["accepted_chunk_ids"].as_array().unwrap().as_slice(),
            body["rejection_reasons"].as_array().unwrap().as_slice(),
        ) {
            ([id], []) => Ok(id.as_str().unwrap().to_owned()),
            ([], [reason]) => Err(reason.as_str().unwrap().to_owned()),
            _ => panic!("one entry in one of the two: {body}"),
        }
    }

    pub async fn review_token(&self, id: &str) -> Value {
        self.get(&format!("/v1/proposals/{id}")).await["review_token"].clone()
    }

    pub async fn approve(&self, id: &str, review_token: &Value) -> (u16, Value) {
        self.call(
            "POST",
            &format!("/v1/proposals/{id}/approve"),
            &self.reviewer,
            Some(json!({"review_token": review_token})),
        )
        .await
    }

    pub async fn bundle(&self, sandbox: &str) -> Value {
        self.get(&format!("/v1/sandboxes/{sandbox}/bundle")).await
    }

    /// Everything in the data directory, as bytes.
    pub fn stored(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = std::fs::read_dir(self.dir.path().join("data")).unwrap();
        files.map(|file| file.unwrap().path()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }
}

/// The narrowest rule for a PUT on one path.
pub fn put(name: &str, path: &str) -> Value {
    rule(name, "PUT", path, "/usr/bin/curl")
}

pub fn rule(name: &str, method: &str, path: &str, binary: &str) -> Value {
    json!({"addRule": {"ruleName": name, "rule": {
        "binaries": [{"path": binary}],
        "endpoints": [{"host": "api.github.com", "port": 443, "protocol": "rest",
                       "rules": [{"allow": {"method": method, "path": path}}]}]}}})
}

pub fn proposal(operation: Value) -> Value {
    json!({
        "intent_summary": "publish the docs", "denial_ids": ["d_1"], "operations": [operation], "binary": "/usr/bin/curl",
        "evidence": [{"denial_id": "d_1", "time": "2026-11-20T21:00:00Z", "layer": "l7", "host": "api.github.com", "port": 443,
                      "method": "PUT", "path": "/repos/acme/site/contents/a.md?token=hunter2", "binary": "/usr/bin/curl",
                      "reason": "no_matching_rule"}],
    })
}

pub fn policy(yaml: &str) -> Policy {
    Policy::parse(yaml, "policy.yaml", Role::Policy).unwrap()
}

pub async fn call(
    addr: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<String>,
) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path).header("host", addr.to_string());
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request = request.body(Full::new(Bytes::from(body.unwrap_or_default()))).unwrap();
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    let _ = connection.await;
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    (status, body)
}
