//! A file per class of bypass. Of the message: refused, or decided in canonical form; what is forwarded is what was
//! decided. Of the sandbox: nothing that a confined command does reaches anything but the proxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod authority;
mod dns;
mod framing;
mod identity;
mod inherited;
mod ipv6;
mod method;
mod namespaces;
mod path;
mod ports;
mod proc;
mod ptrace;
mod quic;
mod raw;
mod tcp;
mod udp;
mod unix;

use narrowgate_tests::system::{Canary, Confined, Ran, System};

/// One directory may be read, and one method written in it.
const POLICY: &str = "
version: 1
network_policies:
  public:
    endpoints:
      - host: api.example.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: /public/** }
          - allow: { method: GET, path: /search, query: { scope: mine } }
        deny_rules:
          - { method: '*', path: /public/private/** }
";

async fn system() -> System {
    System::start(POLICY, "permit (principal, action, resource);").await
}

async fn confined() -> (Confined, Canary) {
    let confined = Confined::new(POLICY).await;
    let canary = Canary::start(confined.dir());
    (confined, canary)
}

/// An attack, in Python, that reaches the canary where nothing stops it, and does not under `narrowgate run`.
async fn stopped(confined: &Confined, canary: &Canary, script: &str, args: &[&str]) -> Ran {
    let outside = confined.python_outside(script, args).await;
    assert!(canary.reached() > 0, "the attack itself does not work: {outside:?}");
    let inside = confined.python(script, args).await;
    assert_eq!(canary.reached(), 0, "{inside:?}");
    inside
}

/// What the log says was denied: `host:port reason`.
fn denied(confined: &Confined) -> Vec<String> {
    let lines = confined.audit();
    let denied = lines.iter().filter(|line| line["action_id"] == 2);
    let text = |line: &serde_json::Value| {
        let to = &line["dst_endpoint"];
        let host = to["hostname"].as_str().or(to["ip"].as_str()).unwrap_or_default();
        format!("{host}:{} {}", to["port"], line["status_detail"].as_str().unwrap_or_default())
    };
    denied.map(text).collect()
}
