//! A real gateway, a real proxy and a real upstream on loopback, and the means to act as every party.
//!
//! The agent is `curl` ([`System::curl`]) or a client of this process that speaks bytes ([`System::connect`]); the
//! reviewer is the gateway's API with the reviewer's token. Everything is in one directory, which is searched for
//! secrets and goes away with the system.

mod canary;
mod client;
mod confined;
mod curl;
mod git;
mod program;
mod upstream;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use narrowgate_core::credentials::Credentials;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::wire::{Approve, Bundle, ProposalView, Proposals};
use narrowgate_gateway::{Config as GatewayConfig, Gateway, Mode};
use narrowgate_plugins::{PluginRef, Plugins};
use narrowgate_proxy::{Config as ProxyConfig, GatewayClient, Proxy, ResolveEntry, StartError};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use canary::{Canary, Leak};
pub use client::{Answer, Client};
pub use confined::{Confined, Ran, ended};
pub use curl::Curl;
pub use git::Git;
pub use program::{Program, binary};
pub use upstream::{Seen, Upstream};

/// The host that policies of the tests are about; HTTPS on 443, plain HTTP on 80.
pub const HOST: &str = "api.example.com";
/// Another name of the same upstream, to be at when not allowed to.
pub const OTHER: &str = "other.example.com";
/// A third name of the same upstream, for which the github plugin speaks.
pub const GITHUB: &str = "api.github.com";
/// The host whose port 5432 echoes bytes.
pub const DATABASE: &str = "db.example.com";
const SANDBOX: &str = "dev";

/// What the flow tests start with: reading is allowed, and a directory may be written under the ceiling.
pub const POLICY: &str = "
version: 1
network_policies:
  api_readonly:
    endpoints:
      - { host: api.example.com, port: 443, protocol: rest, access: read-only }
";
/// What nobody may exceed in them.
pub const CEILING: &str = r#"
permit (principal, action in [Action::"read"], resource) when { resource.host == "api.example.com" };
permit (principal, action == Action::"PUT", resource)
when { resource.host == "api.example.com" && resource.port == 443 && context.path like "/repos/acme/site/docs/*" };
// Opaque bytes may be any request of any protocol, so that their ceiling names no action.
permit (principal, action, resource) when { resource.host == "db.example.com" && resource.port == 5432 };
"#;

/// Everything that runs.
pub struct System {
    dir: TempDir,
    /// What the requests reach in the end.
    pub upstream: Upstream,
    gateway: Option<Gateway>,
    proxy: Option<Proxy>,
    ceiling: String,
    chosen: Chosen,
    token: String,
    gateway_addr: SocketAddr,
    proxy_addr: SocketAddr,
}

/// What an operator chooses for the gateway besides its ceiling.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Who decides.
    pub mode: Mode,
    /// For which hosts there are credentials.
    pub credentials: Credentials,
    /// How long what nobody was asked about lasts.
    pub lease: Duration,
    /// What says what requests mean, to gateway and proxy alike.
    pub plugins: Plugins,
}

impl Default for Chosen {
    fn default() -> Chosen {
        Chosen {
            mode: Mode::Manual,
            credentials: Credentials::none(),
            lease: Duration::from_secs(3600),
            plugins: Plugins::none(),
        }
    }
}

impl System {
    /// Starts an upstream, a gateway with one sandbox, and its proxy.
    pub async fn start(policy: &str, ceiling: &str) -> System {
        System::start_with(policy, ceiling, Chosen::default()).await
    }

    /// The same with a gateway that is set up so.
    pub async fn start_with(policy: &str, ceiling: &str, chosen: Chosen) -> System {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let upstream = Upstream::start(dir.path()).await;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let gateway = gateway(dir.path(), ceiling, &chosen, any).await;
        let parsed = Policy::parse(policy, "policy.yaml", Role::Policy).expect("a policy");
        let (version, token) = gateway.create_sandbox(SANDBOX, &parsed).await.expect("a sandbox");
        assert_eq!(version, 1);
        let mut system = System {
            gateway_addr: gateway.addr(),
            gateway: Some(gateway),
            proxy: None,
            proxy_addr: any,
            ceiling: ceiling.to_owned(),
            chosen,
            token: token.expect("a new sandbox has a token"),
            upstream,
            dir,
        };
        system.start_proxy().await;
        system
    }

    /// [`System::start`] with [`POLICY`] and [`CEILING`].
    pub async fn usual() -> System {
        System::start(POLICY, CEILING).await
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the proxy listens.
    pub fn proxy_addr(&self) -> SocketAddr {
        self.proxy_addr
    }

    /// The version the proxy enforces.
    pub fn version(&self) -> u64 {
        self.proxy.as_ref().expect("the proxy runs").version()
    }

    /// The certificates a client in the sandbox trusts.
    pub fn ca_bundle(&self) -> PathBuf {
        self.dir().join("proxy/ca-bundle.pem")
    }

    /// The audit log as it stands.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir().join("audit.ocsf.jsonl")).expect("an audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// The gateway's API as the reviewer.
    pub fn reviewer(&self) -> GatewayClient {
        self.client(&self.secret("gateway/reviewer.token"))
    }

    /// The gateway's API as the administrator.
    pub fn admin(&self) -> GatewayClient {
        self.client(&self.secret("gateway/admin.token"))
    }

    /// The gateway's API as the sandbox's proxy.
    pub fn sandbox(&self) -> GatewayClient {
        self.client(&self.token)
    }

    /// The tokens there are, to be found nowhere but in their files.
    pub fn tokens(&self) -> [String; 3] {
        [self.secret("gateway/reviewer.token"), self.secret("gateway/admin.token"), self.token.clone()]
    }

    /// `policy.local`, as a client in the sandbox.
    pub async fn local(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut client = Client::plain(self.proxy_addr).await;
        client.request(method, &format!("http://policy.local{path}"), "policy.local", body).await
    }

    /// A proposal of one `addRule`, as the agent posts it; the whole answer.
    pub async fn propose(&self, name: &str, rule: Value) -> Answer {
        let operation = json!({ "addRule": { "ruleName": name, "rule": rule } });
        let body = json!({ "intent_summary": "what the task needs", "operations": [operation] });
        self.local("POST", "/v1/proposals", &body.to_string()).await
    }

    /// The same, where it must be accepted: its id.
    pub async fn propose_accepted(&self, name: &str, rule: Value) -> String {
        let answer = self.propose(name, rule).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let body = answer.json();
        assert_eq!(body["rejection_reasons"], json!([]), "{body}");
        body["accepted_chunk_ids"][0].as_str().expect("an id").to_owned()
    }

    /// A proposal as the reviewer sees it.
    pub async fn proposal(&self, id: &str) -> ProposalView {
        self.reviewer().get(&format!("/v1/proposals/{id}")).await.expect("the proposal")
    }

    /// Every proposal, as the reviewer sees them.
    pub async fn proposals(&self) -> Vec<ProposalView> {
        let list: Proposals =
            self.reviewer().get(&format!("/v1/proposals?sandbox={SANDBOX}")).await.expect("proposals");
        list.proposals
    }

    /// The reviewer approves what they see.
    pub async fn approve(&self, id: &str) -> ProposalView {
        let review_token = self.proposal(id).await.review_token.expect("pending");
        let body = Approve { review_token, durability: None };
        self.reviewer().post(&format!("/v1/proposals/{id}/approve"), &body).await.expect("an approval")
    }

    /// Waits until the proxy enforces `version`.
    pub async fn enforces(&self, version: u64) {
        eventually("the proxy enforces the version", || self.version() >= version).await;
    }

    /// What the gateway says is in force.
    pub async fn bundle(&self) -> Bundle {
        self.sandbox().get(&format!("/v1/sandboxes/{SANDBOX}/bundle?after=0")).await.expect("a bundle")
    }

    /// `narrowgate run` with a proxy of its own for the sandbox, ready to be given a command's words.
    pub fn narrowgate(&self, flags: &[&str]) -> tokio::process::Command {
        let token = self.dir().join("sandbox.token");
        fs::write(&token, format!("{}\n", self.token)).expect("a file");
        let mut command = tokio::process::Command::new(binary());
        command.args(["run", "--quiet", "--sandbox", SANDBOX, "--gateway", &format!("http://{}", self.gateway_addr)]);
        command.arg("--token-file").arg(token).arg("--upstream-ca").arg(self.upstream.ca_file());
        command.args(self.reaches().into_iter().flat_map(|entry| ["--resolve".to_owned(), entry]));
        command.args(flags).arg("--").current_dir(self.dir()).kill_on_drop(true);
        command
    }

    /// Stops the gateway.
    pub async fn stop_gateway(&mut self) {
        self.gateway.take().expect("the gateway runs").shutdown().await;
    }

    /// The gateway with its data at another address, where its proxy does not find it.
    pub async fn gateway_elsewhere(&self) -> Gateway {
        assert!(self.gateway.is_none(), "the gateway runs");
        gateway(self.dir.path(), &self.ceiling, &self.chosen, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts it again where it was.
    pub async fn start_gateway(&mut self) {
        assert!(self.gateway.is_none(), "the gateway runs");
        self.gateway = Some(gateway(self.dir.path(), &self.ceiling, &self.chosen, self.gateway_addr).await);
    }

    /// From the next start of either on, these are the plugins.
    pub fn set_plugins(&mut self, plugins: Plugins) {
        self.chosen.plugins = plugins;
    }

    /// Stops the proxy.
    pub async fn stop_proxy(&mut self) {
        self.proxy.take().expect("the proxy runs").shutdown().await;
    }

    /// Starts it again where it was.
    pub async fn start_proxy(&mut self) {
        self.try_start_proxy().await.expect("a proxy");
    }

    /// The same, where it may refuse to.
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn try_start_proxy(&mut self) -> Result<(), StartError> {
        assert!(self.proxy.is_none(), "the proxy runs");
        let mut config = ProxyConfig::new(SANDBOX, self.sandbox(), self.dir().join("proxy"));
        config.listen = self.proxy_addr;
        config.resolve = self.resolve();
        config.upstream_ca = Some(self.upstream.ca_file().to_owned());
        config.audit_log = Some(self.dir().join("audit.ocsf.jsonl"));
        config.plugins = self.chosen.plugins.clone();
        let proxy = Proxy::start(config).await?;
        self.proxy_addr = proxy.addr();
        self.proxy = Some(proxy);
        Ok(())
    }

    /// Files under the directory that contain `needle`, whatever their format.
    pub fn files_with(&self, needle: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if fs::read(&entry)
                    .is_ok_and(|bytes| bytes.windows(needle.len()).any(|w| w == needle.as_bytes()))
                {
                    found.push(entry);
                }
            }
        }
        found
    }

    fn resolve(&self) -> Vec<ResolveEntry> {
        self.reaches().iter().map(|entry| entry.parse().expect("an entry")).collect()
    }

    /// Where the proxy finds the upstream's names, as `--resolve` has it.
    fn reaches(&self) -> Vec<String> {
        let tls = [HOST, OTHER, GITHUB].map(|host| format!("{host}:443:{}", self.upstream.https()));
        let plain = [HOST, OTHER, GITHUB].map(|host| format!("{host}:80:{}", self.upstream.http()));
        let raw = [format!("{DATABASE}:5432:{}", self.upstream.echo())];
        tls.into_iter().chain(plain).chain(raw).collect()
    }

    fn client(&self, token: &str) -> GatewayClient {
        GatewayClient::new(&format!("http://{}", self.gateway_addr), token).expect("a client")
    }

    fn secret(&self, file: &str) -> String {
        fs::read_to_string(self.dir().join(file)).expect("a token").trim().to_owned()
    }
}

async fn gateway(dir: &Path, ceiling: &str, chosen: &Chosen, listen: SocketAddr) -> Gateway {
    let config = GatewayConfig {
        listen,
        ceiling: Some((ceiling.to_owned(), "ceiling.cedar".to_owned())),
        mode: chosen.mode,
        credentials: chosen.credentials.clone(),
        lease: chosen.lease,
        plugins: chosen.plugins.clone(),
        ..GatewayConfig::new(dir.join("gateway"))
    };
    Gateway::start(config).await.expect("a gateway")
}

/// A plugin as it is shipped.
///
/// # Panics
/// Where `plugins/guests/dist` lacks it, or it does not load.
pub fn shipped(names: &[&str]) -> Plugins {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/guests/dist");
    let refs: Vec<PluginRef> =
        names.iter().map(|name| PluginRef { path: dist.join(format!("{name}.wasm")), pin: None }).collect();
    Plugins::load(&refs, None).expect("shipped plugins load")
}

/// Waits up to ten seconds for something that comes by itself.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "after ten seconds still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A rule for one method and path on [`HOST`], as an agent would write it.
pub fn rest_rule(method: &str, path: &str) -> Value {
    let rules = [json!({ "allow": { "method": method, "path": path } })];
    json!({ "endpoints": [{ "host": HOST, "port": 443, "protocol": "rest", "rules": rules }] })
}
