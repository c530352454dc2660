//! SIGKILL at any moment of an approval: what is in force afterwards is what was in force before or what was approved,
//! and either way carries its certificate.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use narrowgate_core::wire::{Approve, Bundle, CreatedSandbox, ProposalStatus, ProposalView, SubmitAnswer};
use narrowgate_proxy::GatewayClient;
use narrowgate_tests::system::{CEILING, Client, POLICY, Program, rest_rule};
use serde_json::{Value, json};

/// A gateway and a proxy as processes of their own.
struct Pair {
    dir: tempfile::TempDir,
    gateway_addr: SocketAddr,
    proxy_addr: SocketAddr,
    gateway: Program,
    proxy: Program,
    token: String,
}

impl Pair {
    async fn start() -> Pair {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ceiling.cedar"), CEILING).unwrap();
        let (gateway_addr, proxy_addr) = (free(), free());
        let gateway = gateway(dir.path(), gateway_addr);
        let admin = client(gateway_addr, &secret(&dir.path().join("gateway/admin.token")));
        let body = json!({ "name": "dev", "policy_yaml": POLICY });
        let created: CreatedSandbox = admin.post("/v1/sandboxes", &body).await.unwrap();
        let token_file = dir.path().join("sandbox.token");
        fs::write(&token_file, &created.token).unwrap();
        fs::set_permissions(&token_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let proxy = proxy(dir.path(), gateway_addr, proxy_addr);
        let pair = Pair { dir, gateway_addr, proxy_addr, gateway, proxy, token: created.token };
        // It listens before it has a policy, and answers once it has.
        assert_eq!(pair.enforced().await["version"], 1);
        pair
    }

    fn sandbox(&self) -> GatewayClient {
        client(self.gateway_addr, &self.token)
    }

    fn reviewer(&self) -> GatewayClient {
        client(self.gateway_addr, &secret(&self.dir.path().join("gateway/reviewer.token")))
    }

    async fn bundle(&self) -> Bundle {
        self.sandbox().get("/v1/sandboxes/dev/bundle?after=0").await.unwrap()
    }

    async fn propose(&self, name: &str) -> ProposalView {
        let rule = rest_rule("PUT", &format!("/repos/acme/site/docs/{name}.md"));
        let operation = json!({ "addRule": { "ruleName": name, "rule": rule } });
        let body = json!({ "intent_summary": "one file", "operations": [operation], "binary": "", "evidence": [] });
        let answer: SubmitAnswer = self.sandbox().post("/v1/sandboxes/dev/proposals", &body).await.unwrap();
        assert_eq!(answer.rejection_reasons, Vec::<String>::new());
        self.proposal(&answer.accepted_chunk_ids[0]).await
    }

    async fn proposal(&self, id: &str) -> ProposalView {
        self.reviewer().get(&format!("/v1/proposals/{id}")).await.unwrap()
    }

    /// What the proxy says that it enforces.
    async fn enforced(&self) -> Value {
        let mut client = Client::plain(self.proxy_addr).await;
        client.request("GET", "http://policy.local/v1/policy/current", "policy.local", "").await.json()
    }

    /// The proxy's cached bundle is whole, and verifies offline with the key it pinned.
    fn cached_bundle_verifies(&self) {
        let bundle = self.dir.path().join("proxy/bundle.json");
        let output = Program::run(&["verify", &bundle.to_string_lossy()]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The gateway listens before its first start has written its tokens.
fn secret(path: &Path) -> String {
    for _ in 0..500 {
        if let Ok(text) = fs::read_to_string(path) {
            return text;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} does not appear", path.display());
}

fn client(gateway: SocketAddr, token: &str) -> GatewayClient {
    GatewayClient::new(&format!("http://{gateway}"), token).unwrap()
}

fn gateway(dir: &Path, listen: SocketAddr) -> Program {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let args =
        ["gateway", "--data", &path("gateway"), "--ceiling", &path("ceiling.cedar"), "--listen", &listen.to_string()];
    let mut program = Program::start(&args, &dir.join("gateway.log"));
    program.listens(listen);
    program
}

fn proxy(dir: &Path, gateway: SocketAddr, listen: SocketAddr) -> Program {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let args = [
        "proxy",
        "--gateway",
        &format!("http://{gateway}"),
        "--token-file",
        &path("sandbox.token"),
        "--sandbox",
        "dev",
        "--ca-dir",
        &path("proxy"),
        "--listen",
        &listen.to_string(),
        "--audit-log",
        &path("audit.jsonl"),
    ];
    let mut program = Program::start(&args, &dir.join("proxy.log"));
    program.listens(listen);
    program
}

/// Moments that differ from round to round, spread over the few milliseconds that an approval takes.
fn moment(round: u64) -> Duration {
    Duration::from_micros(round * 250)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_killed_during_an_approval_leaves_a_proven_policy() {
    let mut pair = Pair::start().await;
    let (mut before, mut after) = (0, 0);
    for round in 0..20 {
        let name = format!("file-{round}");
        let view = pair.propose(&name).await;
        let version = pair.bundle().await.version;
        let approve = Approve { review_token: view.review_token.clone().unwrap(), durability: None };
        let (reviewer, path) = (pair.reviewer(), format!("/v1/proposals/{}/approve", view.chunk_id));
        let approving = tokio::spawn(async move { reviewer.post::<Value>(&path, &approve).await });
        // Not the runtime's sleep, which is as coarse as an approval is long.
        thread::sleep(moment(round));
        pair.gateway.kill();
        let answer = approving.await.unwrap();
        pair.gateway = gateway(pair.dir.path(), pair.gateway_addr);

        let (bundle, now) = (pair.bundle().await, pair.proposal(&view.chunk_id).await);
        let applied = bundle.policy_yaml.contains(&name);
        match now.status {
            ProposalStatus::Approved => {
                after += 1;
                assert_eq!((bundle.version, now.activated_version, applied), (version + 1, Some(version + 1), true));
            }
            ProposalStatus::Pending => {
                before += 1;
                assert_eq!((bundle.version, applied), (version, false));
                assert!(answer.is_err(), "an approval that was confirmed is lost");
            }
            other => panic!("{other:?}"),
        }
        let file = pair.dir.path().join("as-served.json");
        fs::write(&file, serde_json::to_vec(&bundle).unwrap()).unwrap();
        let keys = pair.dir.path().join("proxy/gateway-keys.json");
        let output = Program::run(&["verify", &file.to_string_lossy(), "--key", &keys.to_string_lossy()]);
        assert!(output.status.success(), "round {round}: {output:?}");
    }
    println!("{before} times the kill came first, {after} times the approval");
    // The proxy lived through all of it, and ends up with what is in force.
    let version = pair.bundle().await.version;
    for _ in 0..200 {
        if pair.enforced().await["version"] == version {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(pair.enforced().await["version"], version);
    pair.cached_bundle_verifies();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_killed_during_a_reload_comes_back_with_a_proven_policy() {
    let mut pair = Pair::start().await;
    for round in 0..6 {
        let name = format!("file-{round}");
        let view = pair.propose(&name).await;
        let approve = Approve { review_token: view.review_token.unwrap(), durability: None };
        let path = format!("/v1/proposals/{}/approve", view.chunk_id);
        pair.reviewer().post::<Value>(&path, &approve).await.unwrap();
        thread::sleep(moment(round));
        pair.proxy.kill();
        pair.cached_bundle_verifies();
        thread::sleep(Duration::from_millis(20));
        pair.proxy = proxy(pair.dir.path(), pair.gateway_addr, pair.proxy_addr);
        let (bundle, enforced) = (pair.bundle().await, pair.enforced().await);
        assert_eq!(enforced["version"], bundle.version, "round {round}");
        assert_eq!(enforced["policy_hash"], bundle.policy_hash.to_string());
        assert!(enforced["policy_yaml"].as_str().unwrap().contains(&name));
        pair.cached_bundle_verifies();
    }
}
