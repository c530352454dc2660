//! The whole loop in a plugin's words: what the agent is told, what it asks for, what a ceiling says of it.

use std::fs;
use std::path::Path;

use narrowgate_core::wire::ProposalStatus;
use narrowgate_plugins::{PluginRef, Plugins};
use narrowgate_tests::system::{Chosen, GITHUB, System, eventually, shipped};
use serde_json::{Value, json};

const POLICY: &str = "
version: 1
network_policies:
  github:
    endpoints:
      - host: api.github.com
        port: 443
        protocol: github
        rules:
          - allow: { action: \"github::contents.read\", where: { owner: acme } }
";
const CEILING: &str = r#"
permit (principal, action in Action::"read", resource) when { resource.host == "api.github.com" };
permit (principal, action in Action::"write", resource) when { context has github.owner && context.github.owner == "acme" };
"#;

async fn system() -> System {
    System::start_with(POLICY, CEILING, Chosen { plugins: shipped(&["github"]), ..Chosen::default() }).await
}

fn contents(owner: &str) -> String {
    format!("https://{GITHUB}/repos/{owner}/site/contents/docs/a.md")
}

const BODY: &str = r#"{"message":"more","content":"aGVsbG8K"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_in_the_plugins_words() {
    let system = system().await;
    let put = ["-X", "PUT", "-H", "content-type: application/json", "--data-binary", BODY];
    let curl = async |system: &System, owner: &str| system.curl(&[&put[..], &[&contents(owner)]].concat()).await;

    // Reading is allowed by what it means.
    assert_eq!(system.curl(&[&contents("acme")]).await.status, 200);

    let denied = curl(&system, "acme").await;
    assert_eq!(denied.status, 403, "{denied:#?}");
    let denial = denied.json();
    let said = json!({ "plugin": "github", "action": "github::contents.write",
        "attributes": { "owner": "acme", "repo": "site", "path": "docs/a.md" } });
    assert_eq!((&denial["operation"], &denial["protocol"]), (&said, &json!("github")), "{denial:#}");
    assert_eq!(denial["reason"], "no_matching_rule");
    let offer = denial["next_steps"].as_array().unwrap().last().unwrap()["body"].clone();
    let rule = &offer["operations"][0]["addRule"]["rule"]["endpoints"][0];
    let wanted = json!([{ "allow": { "action": "github::contents.write",
        "where": { "owner": "acme", "repo": "site", "path": "docs/a.md" } } }]);
    assert_eq!((&rule["protocol"], &rule["rules"]), (&json!("github"), &wanted), "{offer:#}");

    // Ready to post, and inside.
    let answer = system.local("POST", "/v1/proposals", &offer.to_string()).await.json();
    let id = answer["accepted_chunk_ids"][0].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned();
    let seen = system.proposal(&id).await;
    assert_eq!((seen.status, seen.validation_result.as_str()), (ProposalStatus::Pending, "within"));
    let approved = system.approve(&id).await;
    system.enforces(approved.activated_version.unwrap()).await;
    let written = curl(&system, "acme").await;
    assert_eq!(written.status, 200, "{written:#?}");
    let arrived = system.upstream.seen();
    let arrived = arrived.iter().find(|seen| seen.method == "PUT").unwrap_or_else(|| panic!("{arrived:#?}"));
    assert_eq!(arrived.body, BODY.len());

    // Elsewhere it stays denied, and cannot be asked for.
    let denial = curl(&system, "other").await.json();
    let offer: Value = denial["next_steps"].as_array().unwrap().last().unwrap()["body"].clone();
    let answer = system.local("POST", "/v1/proposals", &offer.to_string()).await.json();
    assert_eq!(answer["accepted_chunk_ids"], json!([]), "{answer:#}");
    let reason = answer["rejection_reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("outside_org_ceiling"), "{reason}");
    assert!(reason.contains("-X PUT 'https://api.github.com/repos/other/site/contents/docs/a.md'"), "{reason}");

    // The certificate says which plugin the proof assumes.
    let bundle = system.bundle().await;
    let pins = shipped(&["github"]).schema().pins();
    assert_eq!(bundle.plugins, pins);
}

/// One request that is several things, or that the plugin cannot read, is none of what is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_plugin_does_not_understand_is_denied() {
    let system = system().await;
    for (path, reason) in
        [("/no/such/route", "plugin_error"), ("/repos/acme/site/contents/docs/a.md?ref=a&ref=b", "request_ambiguous")]
    {
        let answer = system.curl(&[&format!("https://{GITHUB}{path}")]).await;
        assert_eq!(answer.status, 403, "{path}: {answer:#?}");
        let denial = answer.json();
        assert_eq!(denial["reason"], reason, "{path}: {denial:#}");
        assert!(denial["detail"].as_str().unwrap().contains("github@sha256:"), "{path}: {denial:#}");
    }
    assert!(system.upstream.seen().is_empty());
}

/// The shipped plugin in another build: the same words, other bytes.
fn rebuilt(dir: &Path) -> Plugins {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/guests/dist/github.wasm");
    let mut bytes = fs::read(shipped).unwrap();
    // A custom section named "x", of nothing.
    bytes.extend([0, 2, 1, b'x']);
    let path = dir.join("github.wasm");
    fs::write(&path, bytes).unwrap();
    Plugins::load(&[PluginRef { path, pin: None }], None).unwrap()
}

/// A proof holds for the plugin that it assumes: another one means another proof before anything is enforced.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_plugin_means_a_new_proof() {
    let mut system = system().await;
    let other = tempfile::tempdir().unwrap();
    let (before, old) = (system.bundle().await, shipped(&["github"]));
    let new = rebuilt(other.path());
    assert_ne!(old.schema().pins(), new.schema().pins());
    assert_eq!(old.schema().digest(), new.schema().digest(), "the words are the same");

    // The gateway has the new one: everything is proven anew, and the proxy with the old one takes none of it.
    system.stop_gateway().await;
    system.set_plugins(new.clone());
    system.start_gateway().await;
    let after = system.bundle().await;
    assert_eq!((before.version, after.version), (1, 2));
    assert_eq!((before.policy_hash, &after.plugins), (after.policy_hash, &new.schema().pins()));
    let refused = || system.audit().iter().any(|line| line.to_string().contains("assumes plugin github@"));
    eventually("the proxy says why it does not take the policy", refused).await;
    assert_eq!(system.version(), 1, "what was proven for the plugin that is here stays in force");

    // After a restart too, from its own cache.
    system.set_plugins(old.clone());
    system.stop_proxy().await;
    system.start_proxy().await;
    assert_eq!(system.version(), 1);
    system.stop_proxy().await;
    system.set_plugins(new);
    system.start_proxy().await;
    assert_eq!(system.version(), 2);
    // Once that is what it has, the old plugin is one that nothing was proven for.
    system.stop_proxy().await;
    system.set_plugins(old);
    let error = system.try_start_proxy().await.unwrap_err().to_string();
    assert!(error.contains("assumes plugin github@"), "{error}");
}
