//! `up`, and the client verbs against it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use narrowgate_core::wire::{SubmitAnswer, SubmitProposal};
use narrowgate_proxy::GatewayClient;
use serde_json::json;
use support::{Dir, Service};

/// Adds `--gateway` and `--token-file`.
fn client(dir: &Dir, up: &Service, token: &str, args: &[&str]) -> support::Ran {
    let (url, token) = (up.url("gateway"), format!("data/{token}"));
    dir.run(&[args, &["--gateway", &url, "--token-file", &token]].concat())
}

#[test]
fn up_writes_what_the_contract_says_and_stops_on_a_signal() {
    let dir = Dir::new();
    let mut up = dir.up(&["--ceiling", "wide.cedar"]);
    for (file, mode) in [
        ("ca.pem", None),
        ("ca-bundle.pem", None),
        ("narrowgate.db", Some(0o600)),
        ("reviewer.token", Some(0o600)),
        ("admin.token", Some(0o600)),
        ("env", Some(0o600)),
    ] {
        let metadata = std::fs::metadata(dir.join("data").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        if let Some(mode) = mode {
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
        }
    }
    let env = dir.read("data/env");
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "NARROWGATE_GATEWAY",
        "NARROWGATE_TOKEN_FILE",
    ] {
        assert!(env.contains(&format!("export {name}=")), "{name}: {env}");
        assert!(up.said.contains(&format!("export {name}=")), "{name}: {}", up.said);
    }
    // The agent's part does not say where the reviewer's token is.
    assert!(!dir.read("data/agent.env").contains("NARROWGATE_"));
    let token = dir.read("data/reviewer.token");
    assert!(!up.said.contains(token.trim()));
    // The printed environment is enough for the client verbs.
    let script = ". data/env && exec \"$0\" rule get default";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_narrowgate")])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(up.stop("-TERM"), 0);
    let mut up = dir.up(&["--ceiling", "wide.cedar"]);
    assert_eq!(up.stop("-INT"), 130);
}

#[test]
fn a_restart_keeps_the_sandbox_and_refuses_an_edited_policy() {
    let dir = Dir::new();
    dir.up(&["--ceiling", "wide.cedar"]).stop("-KILL");
    dir.up(&["--ceiling", "wide.cedar"]).stop("-KILL");
    // A crash before the token was written heals.
    std::fs::remove_file(dir.join("data/sandbox-default.token")).unwrap();
    dir.up(&["--ceiling", "wide.cedar"]).stop("-TERM");

    dir.write("policy.yaml", &support::POLICY.replace("/v1/docs/**", "/v1/docs/a.md"));
    let args = [
        "up",
        "--policy",
        "policy.yaml",
        "--ceiling",
        "wide.cedar",
        "--data",
        "data",
        "--listen",
        "127.0.0.1:0",
        "--gateway-listen",
        "127.0.0.1:0",
    ];
    let ran = dir.run(&args);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("another policy") && ran.err.contains("--sandbox NAME"), "{}", ran.err);
    // The way on that the message names.
    let up = dir.up(&["--ceiling", "wide.cedar", "--sandbox", "edited"]);
    let listed = client(&dir, &up, "reviewer.token", &["sandbox", "list"]);
    assert!(listed.out.contains("default") && listed.out.contains("edited"), "{}{}", listed.out, listed.err);
}

#[test]
fn client_verbs_by_role() {
    let dir = Dir::new();
    let up = dir.up(&["--ceiling", "wide.cedar"]);
    dir.write("data/wrong.token", "not-a-token\n");
    dir.write("outside.yaml", &support::POLICY.replace("api.example", "other.example"));
    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("reviewer.token", &["sandbox", "show", "default"], 0, "version   1"),
        ("reviewer.token", &["sandbox", "show", "default", "--format", "json"], 0, "\"version\": 1"),
        ("reviewer.token", &["rule", "get", "default"], 0, "no proposals"),
        (
            "reviewer.token",
            &["rule", "get", "default", "--status", "pending", "--format", "json"],
            0,
            "\"proposals\": []",
        ),
        ("reviewer.token", &["rule", "history", "default"], 0, "version 1"),
        ("reviewer.token", &["sandbox", "show", "nobody"], 2, ""),
        ("reviewer.token", &["rule", "show", "default", "--chunk-id", "p_none"], 2, ""),
        ("reviewer.token", &["rule", "approve", "default", "--chunk-id", "p_none"], 2, ""),
        (
            "reviewer.token",
            &["rule", "reject", "default", "--chunk-id", "p_none", "--reason", "no", "--hint", "too_broad"],
            2,
            "",
        ),
        (
            "reviewer.token",
            &["rule", "reject", "default", "--chunk-id", "p_none", "--reason", "no", "--hint", "nonsense"],
            2,
            "",
        ),
        ("reviewer.token", &["sandbox", "create", "two", "--policy", "policy.yaml"], 2, ""),
        ("wrong.token", &["rule", "get", "default"], 2, ""),
        ("sandbox-default.token", &["rule", "get", "default"], 2, ""),
        (
            "admin.token",
            &["sandbox", "create", "two", "--policy", "policy.yaml", "--write-token", "two.token"],
            0,
            "two.token",
        ),
        ("admin.token", &["sandbox", "create", "two", "--policy", "policy.yaml"], 1, ""),
        ("admin.token", &["sandbox", "create", "three", "--policy", "outside.yaml"], 2, ""),
        ("admin.token", &["sandbox", "list"], 0, "two"),
        ("admin.token", &["sandbox", "delete", "two"], 0, "deleted"),
        ("admin.token", &["sandbox", "delete", "two"], 2, ""),
    ];
    for (token, args, code, word) in cases {
        let ran = client(&dir, &up, token, args);
        assert_eq!(ran.code, *code, "{token} {args:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(word), "{token} {args:?}: {}", ran.out);
        assert_eq!(ran.err.is_empty(), *code == 0, "{token} {args:?}: {}", ran.err);
    }
    let mode = std::fs::metadata(dir.join("two.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Posts, as the sandbox's proxy would, a proposal for one more path; returns its id.
fn submit(dir: &Dir, up: &Service, path: &str) -> Result<String, String> {
    let client = GatewayClient::new(&up.url("gateway"), dir.read("data/sandbox-default.token")).unwrap();
    let rule = path.replace(['/', '*'], "_");
    // Another binary each, so that none supersedes another.
    let binary = format!("/usr/bin/{rule}");
    let body = SubmitProposal {
        intent_summary: format!("write {path}"),
        denial_ids: vec![],
        operations: vec![json!({ "addRule": { "ruleName": rule, "rule": {
            "name": rule, "binaries": [{ "path": binary }],
            "endpoints": [{ "host": "api.example", "port": 443, "protocol": "rest",
                "rules": [{ "allow": { "method": "PUT", "path": path } }] }] } } })],
        binary,
        evidence: vec![],
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut answer: SubmitAnswer = runtime.block_on(client.post("/v1/sandboxes/default/proposals", &body)).unwrap();
    answer.accepted_chunk_ids.pop().ok_or_else(|| answer.rejection_reasons.remove(0))
}

#[test]
fn a_reviewer_sees_and_decides() {
    let dir = Dir::new();
    dir.write(
        "ceiling.cedar",
        &support::WIDE.replace("443 }", "443 && (context.path like \"/v1/*\" || action != Action::\"PUT\") }"),
    );
    let up = dir.up(&["--ceiling", "ceiling.cedar"]);
    let rule = |args: &[&str]| client(&dir, &up, "reviewer.token", &[&["rule"], args].concat());
    let show = |id: &str| -> serde_json::Value {
        serde_json::from_str(&rule(&["show", "default", "--chunk-id", id, "--format", "json"]).out).unwrap()
    };
    let (one, two, three) = ("/v1/one", "/v1/two", "/v1/three");
    let [one, two, three] = [one, two, three].map(|path| submit(&dir, &up, path).unwrap());
    let refused = submit(&dir, &up, "/v2/**").unwrap_err();
    assert!(refused.starts_with("outside_org_ceiling: "), "{refused}");

    let pending = rule(&["get", "default", "--status", "pending"]);
    assert_eq!(pending.code, 0, "{}", pending.err);
    for word in [
        one.as_str(),
        "write /v1/one",
        "api.example:443 [L7 rest, allow PUT /v1/one]",
        "within the ceiling",
        "prover time",
    ] {
        assert!(pending.out.contains(word), "{word}: {}", pending.out);
    }
    let rejected = rule(&["get", "default", "--status", "rejected"]).out;
    assert!(
        rejected.contains("exceeds the ceiling") && rejected.contains("curl -X PUT 'https://api.example/v2"),
        "{rejected}"
    );

    // What was shown before another approval is not what would be in force after it.
    let stale = show(&two)["review_token"].as_str().unwrap().to_owned();
    let ran = rule(&["approve", "default", "--chunk-id", &one]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("allow PUT /v1/one") && ran.out.contains("in force as version 2"), "{}", ran.out);
    let ran = rule(&["approve", "default", "--chunk-id", &two, "--review-token", &stale]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.err.contains("nothing was applied"), "{}", ran.err);
    assert_eq!(show(&two)["status"], "pending");
    assert_eq!(rule(&["approve", "default", "--chunk-id", &two]).code, 0);
    // A second time: it is decided already.
    assert_eq!(rule(&["approve", "default", "--chunk-id", &two]).code, 1);
    assert_eq!(rule(&["approve", "other", "--chunk-id", &three]).code, 2, "another sandbox's name");

    let ran = rule(&[
        "reject",
        "default",
        "--chunk-id",
        &three,
        "--reason",
        "use a branch",
        "--hint",
        "too_broad",
        "--hint",
        "use_l7_not_l4",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let now = show(&three);
    assert_eq!((&now["status"], &now["hints"]), (&"rejected".into(), &json!(["too_broad", "use_l7_not_l4"])));
    assert_eq!(rule(&["approve", "default", "--chunk-id", &three]).code, 1);

    let history = rule(&["history", "default"]).out;
    let versions: Vec<&str> = history
        .lines()
        .filter_map(|line| line.strip_prefix("version "))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(versions, ["3", "2", "1"], "{history}");
    assert!(history.contains(&one) && history.contains("baseline"), "{history}");
}

/// What `rule get` prints of a proposal that broadens what a credential is good for.
#[test]
fn a_reviewer_sees_the_findings() {
    let dir = Dir::new();
    dir.write("credentials.yaml", "version: 1\ncredentials: [{ name: example, host: api.example }]\n");
    let up = dir.up(&["--ceiling", "wide.cedar", "--credentials", "credentials.yaml", "--mode", "auto"]);
    submit(&dir, &up, "/v1/docs/new/**").unwrap();
    let text = client(&dir, &up, "reviewer.token", &["rule", "get", "default"]).out;
    let lines = text.lines().skip_while(|line| !line.contains("verdict")).filter(|line| !line.contains("prover time"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
      verdict         within the ceiling
      finding         credential_reach_expansion at /network_policies/_v1_docs_new___/endpoints/0/rules/0
                      /usr/bin/_v1_docs_new___ would reach api.example, for which the credential example is declared; it did not before.
                      such as curl -X PUT 'https://api.example/v1/docs/new' by /usr/bin/_v1_docs_new___
      finding         recursive_path at /network_policies/_v1_docs_new___/endpoints/0/rules/0
                      /v1/docs/new/** covers paths of any depth; no denial is cited that would say what is needed.
      not automatic   there are findings: credential_reach_expansion, recursive_path
    ");
}

#[test]
fn a_gateway_and_a_proxy_apart() {
    let dir = Dir::new();
    let mut gateway =
        dir.service(&["gateway", "--data", "g", "--listen", "127.0.0.1:0", "--ceiling", "wide.cedar"], "tokens");
    let url = gateway.url("gateway");
    let ran = dir.run(&[
        "sandbox",
        "create",
        "one",
        "--policy",
        "policy.yaml",
        "--write-token",
        "one.token",
        "--gateway",
        &url,
        "--token-file",
        "g/admin.token",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let args = [
        "proxy",
        "--sandbox",
        "one",
        "--gateway",
        &url,
        "--token-file",
        "one.token",
        "--listen",
        "127.0.0.1:0",
        "--ca-dir",
        "p",
    ];
    let mut proxy = dir.service(&args, "trust");
    assert!(proxy.said.contains("policy version 1"), "{}", proxy.said);
    // What the proxy keeps verifies offline, with the keys it pinned.
    let ran = dir.run(&["verify", "p/bundle.json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("one, version 1"), "{}", ran.out);

    // A new key: the proxy follows by itself, and what the old one signed says so for as long as it counts.
    std::fs::copy(dir.join("p/bundle.json"), dir.join("old.json")).unwrap();
    let key =
        |token: &str, args: &[&str]| dir.run(&[&["key"], args, &["--gateway", &url, "--token-file", token]].concat());
    let before = key("one.token", &["list"]);
    assert_eq!((before.code, before.out.lines().count()), (0, 1), "{}", before.err);
    assert!(before.out.trim_end().ends_with("current"), "{}", before.out);
    let ran = key("one.token", &["rotate"]);
    assert!(ran.code == 2 && ran.err.contains("role may not do that"), "{}", ran.err);
    let ran = key("g/admin.token", &["rotate", "--overlap", "365d"]);
    assert!(ran.code == 2 && ran.err.contains("at most"), "{}", ran.err);
    let ran = key("g/admin.token", &["rotate", "--overlap", "1h"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 2), "{}{}", ran.out, ran.err);
    let (old, new) = (&before.out[..16], &ran.out[..16]);
    assert_ne!(old, new);
    assert!(ran.out.contains(&format!("{old}  ")) && ran.out.contains("replaced, trusted until"), "{}", ran.out);
    let started = std::time::Instant::now();
    while !dir.run(&["verify", "p/bundle.json"]).out.contains("one, version 2") {
        assert!(started.elapsed().as_secs() < 20, "the proxy does not follow");
    }
    let ran = dir.run(&["verify", "p/bundle.json"]);
    assert!(ran.out.contains(&format!("{new}, current")), "{}", ran.out);
    dir.write("keys.json", &key("one.token", &["list", "--format", "json"]).out);
    let ran = dir.run(&["verify", "old.json", "--key", "keys.json"]);
    assert!(ran.code == 0 && ran.out.contains(&format!("{old}, replaced, trusted until")), "{}{}", ran.out, ran.err);
    let mut keys: serde_json::Value = serde_json::from_str(&dir.read("keys.json")).unwrap();
    keys["keys"][1]["not_after"] = 1_700_000_000.into();
    dir.write("later.json", &keys.to_string());
    let ran = dir.run(&["verify", "old.json", "--key", "later.json"]);
    assert!(ran.code == 1 && ran.err.contains(&format!("{old}, which was retired at 2023-11-14")), "{}", ran.err);
    // Public keys alone, one a line.
    let public = |n: usize| keys["keys"][n]["public_key"].as_str().unwrap();
    dir.write("both.pub", &format!("{}\n{}\n", public(0), public(1)));
    dir.write("new.pub", public(0));
    assert_eq!(dir.run(&["verify", "old.json", "--key", "both.pub"]).code, 0);
    assert_eq!(dir.run(&["verify", "old.json", "--key", "new.pub"]).code, 1);

    assert_eq!(proxy.stop("-TERM"), 0);
    assert_eq!(gateway.stop("-TERM"), 0);
    // Without its gateway it enforces what it has.
    let mut proxy = dir.service(&args, "trust");
    assert_eq!(proxy.stop("-TERM"), 0);
}
