//! Verbs that need no gateway: what they print, and how they exit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::{Dir, steady};

#[test]
fn prove_says_within() {
    let ran = Dir::new().run(&["prove", "--policy", "policy.yaml", "--ceiling", "wide.cedar"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out.starts_with("within  every request that the policy allows, wide.cedar allows too\n"),
        "{}",
        ran.out
    );
}

#[test]
fn prove_says_exceeds_with_a_request_one_can_type() {
    let ran = Dir::new().run(&["prove", "--policy", "policy.yaml", "--ceiling", "narrow.cedar"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, ""));
    insta::assert_snapshot!(steady(&ran.out));
}

#[test]
fn prove_as_json_is_the_contracts() {
    let dir = Dir::new();
    let report = dir.json(&["prove", "--policy", "policy.yaml", "--ceiling", "narrow.cedar", "--format", "json"]);
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["verdict"], "exceeds");
    assert_eq!(report["engine"], "exact");
    assert!(report["engine_time_us"].is_number());
    let witness = &report["counterexample"];
    assert_eq!(
        (&witness["host"], &witness["method"], &witness["replayed"]),
        (&"api.example".into(), &"PUT".into(), &true.into())
    );
    assert!(witness["curl"].as_str().unwrap().starts_with("curl -X PUT 'https://api.example/v1/docs"), "{witness}");
    assert_eq!(report["rule"], serde_json::json!({ "policy": "api", "endpoint": 0, "rule": 1 }));
    let (repair, fits) = (&report["repair"], dir.join("fits.yaml"));
    assert_eq!((&repair["rule_name"], &repair["verdict"]), (&"api".into(), &"within".into()), "{report}");
    // It is what it says: a rule that is inside.
    let policy = serde_json::json!({ "version": 1, "network_policies": { "api": repair["rule"] } });
    std::fs::write(&fits, policy.to_string()).unwrap();
    assert_eq!(dir.run(&["prove", "--policy", "fits.yaml", "--ceiling", "narrow.cedar"]).code, 0, "{repair}");
    for digest in ["policy", "ceiling", "schema"] {
        assert!(report["digests"][digest].as_str().unwrap().starts_with("sha256:"), "{report}");
    }
}

#[test]
fn prove_composes_baseline_and_proposal() {
    let dir = Dir::new();
    dir.write(
        "more.json",
        r#"{"intent_summary":"x","operations":[{"addRule":{"ruleName":"more","rule":{"name":"more","endpoints":[
            {"host":"other.example","port":443,"protocol":"rest","access":"read-only"}]}}}]}"#,
    );
    dir.write(
        "base.yaml",
        "version: 1\nnetwork_policies:\n  ssh:\n    name: ssh\n    endpoints: [{ host: git.example, port: 22 }]\n",
    );
    let within = ["prove", "--policy", "policy.yaml", "--ceiling", "wide.cedar"];
    assert_eq!(dir.run(&within).code, 0);
    let proposed = dir.json(&[within.as_slice(), &["--proposal", "more.json", "--format", "json"]].concat());
    assert_eq!(proposed["counterexample"]["host"], "other.example");
    let composed = dir.json(&[within.as_slice(), &["--baseline", "base.yaml", "--format", "json"]].concat());
    assert_eq!(composed["counterexample"]["host"], "git.example");
}

#[test]
fn prove_notes_what_a_change_risks_and_how_broad_it_is() {
    let dir = Dir::new();
    dir.write("credentials.yaml", "version: 1\ncredentials: [{ name: example, host: api.example }]\n");
    dir.write(
        "more.json",
        r#"{"intent_summary":"x","operations":[{"addRule":{"ruleName":"more","rule":{
            "binaries":[{"path":"/usr/bin/git"}],
            "endpoints":[{"host":"api.example","port":443,"protocol":"rest","rules":[{"allow":{"method":"GET","path":"/v1/**"}}]}]}}}]}"#,
    );
    dir.write(
        "denials.json",
        r#"{"denials":[{"denial_id":"d_1","time":"2026-11-20T21:00:00Z","layer":"l7","host":"api.example","port":443,
            "method":"GET","path":"/v1/a","binary":"/usr/bin/git","reason":"no_matching_rule"}]}"#,
    );
    let args = [
        "prove",
        "--policy",
        "policy.yaml",
        "--ceiling",
        "wide.cedar",
        "--proposal",
        "more.json",
        "--credentials",
        "credentials.yaml",
        "--evidence",
        "denials.json",
    ];
    let report = dir.json(&[args.as_slice(), &["--format", "json"]].concat());
    let found = &report["findings"];
    assert_eq!(
        (&found[0]["name"], &found[0]["credential"], &found[0]["where"]),
        (&"credential_reach_expansion".into(), &"example".into(), &"/network_policies/more/endpoints/0/rules/0".into())
    );
    assert_eq!(found[1]["name"], "recursive_path");
    assert_eq!(found[1]["tightest"]["endpoints"][0]["rules"][0]["allow"]["path"], "/v1/a");
    assert_eq!(found.as_array().unwrap().len(), 2, "{found:#}");
    let ran = dir.run(&args);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "findings refuse nothing");
    insta::assert_snapshot!(steady(&ran.out), @r"
    within  every request that the policy allows, wide.cedar allows too
      checked       9 request environments
      took          [time]
      finding       credential_reach_expansion at /network_policies/more/endpoints/0/rules/0: /usr/bin/git would reach api.example, for which the credential example is declared; it did not before.
      finding       recursive_path at /network_policies/more/endpoints/0/rules/0: /v1/** covers paths of any depth; denied was GET /v1/a.
    ");
    // Over a baseline, only what the baseline does not have is news.
    let same = [
        "prove",
        "--policy",
        "policy.yaml",
        "--baseline",
        "policy.yaml",
        "--ceiling",
        "wide.cedar",
        "--format",
        "json",
    ];
    assert_eq!(dir.json(&same)["findings"], serde_json::json!([]));
}

#[test]
fn a_certificate_verifies_offline_and_a_tampered_one_does_not() {
    let dir = Dir::new();
    let prove = ["prove", "--policy", "policy.yaml", "--certificate", "bundle.json", "--key", "key.pk8", "--ceiling"];
    // Outside the ceiling nothing is certified.
    assert_eq!(dir.run(&[prove.as_slice(), &["narrow.cedar"]].concat()).code, 1);
    assert!(!dir.join("bundle.json").exists());
    let ran = dir.run(&[prove.as_slice(), &["wide.cedar"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(dir.join("key.pk8")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // A key that others could have read signs nothing.
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(dir.join("key.pk8"), mode(0o640)).unwrap();
    let ran = dir.run(&[prove.as_slice(), &["wide.cedar"]].concat());
    assert!(ran.code == 2 && ran.err.contains("key.pk8: has mode 640"), "{}", ran.err);
    std::fs::set_permissions(dir.join("key.pk8"), mode(0o600)).unwrap();

    let verify = ["verify", "bundle.json", "--key", "key.pk8"];
    let ran = dir.run(&verify);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("valid"), "{}", ran.out);

    let bundle = dir.read("bundle.json");
    let mut widened: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    widened["policy_yaml"] = support::POLICY.replace("/v1/docs/**", "/**").into();
    dir.write("widened.json", &widened.to_string());
    let ran = dir.run(&["verify", "widened.json", "--key", "key.pk8"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("the policy compiles to"), "{}", ran.err);

    let mut resigned: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    resigned["certificate"]["signatures"][0]["sig"] = "AAAA".into();
    dir.write("resigned.json", &resigned.to_string());
    assert_eq!(dir.run(&["verify", "resigned.json", "--key", "key.pk8"]).code, 1);

    let mut renamed: serde_json::Value = serde_json::from_str(&bundle).unwrap();
    renamed["sandbox"] = "production".into();
    dir.write("renamed.json", &renamed.to_string());
    assert_eq!(dir.run(&["verify", "renamed.json", "--key", "key.pk8"]).code, 1);

    // Another key is not trusted.
    dir.run(&[
        "prove",
        "--policy",
        "policy.yaml",
        "--ceiling",
        "wide.cedar",
        "--certificate",
        "b2.json",
        "--key",
        "other.pk8",
    ]);
    assert_eq!(dir.run(&["verify", "bundle.json", "--key", "other.pk8"]).code, 1);
}

#[test]
fn compile_prints_the_cedar_that_is_enforced() {
    let ran = Dir::new().run(&["compile", "--policy", "policy.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("permit") && ran.out.contains("api.example"), "{}", ran.out);
}

#[test]
fn explain_names_the_rule_and_exits_with_the_decision() {
    let dir = Dir::new();
    let explain = |request: &str, binary: &str| {
        dir.run(&["explain", "--policy", "policy.yaml", "--request", request, "--binary", binary])
    };
    let ran = explain("PUT https://api.example/v1/docs/%61.md?token=s3cret", "/usr/bin/curl");
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!("explain_allowed", ran.out);
    let ran = explain("DELETE https://api.example/v1/docs/a.md", "/usr/bin/curl");
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!("explain_denied", ran.out);
    for (request, binary, code) in [
        ("GET https://api.example/", "/usr/bin/curl", 0),
        ("GET https://api.example/", "/usr/bin/wget", 1),
        ("GET https://api.example/", "", 1),
        ("GET http://api.example/", "/usr/bin/curl", 1),
        ("CONNECT api.example:443", "/usr/bin/curl", 1),
        ("PUT https://api.example/v1/docs/../x", "/usr/bin/curl", 1),
        ("GET https://api.example/a%2fb", "/usr/bin/curl", 1),
        ("get https://api.example/", "/usr/bin/curl", 1),
        ("GET api.example", "/usr/bin/curl", 2),
    ] {
        let ran = explain(request, binary);
        assert_eq!(ran.code, code, "{request} by {binary}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn check_reports_every_file() {
    let dir = Dir::new();
    dir.write(
        "bad.yaml",
        "version: 1\nnetwork_policies:\n  x:\n    name: x\n    endpoints: [{ host: \"*\", port: 443 }]\n",
    );
    dir.write("p.json", r#"{"intent_summary":"x","operations":[{"removeRule":{"ruleName":"api"}}]}"#);
    let ran = dir.run(&["check", "policy.yaml", "wide.cedar", "p.json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(ran.out);
    let ran = dir.run(&["check", "policy.yaml", "bad.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("bad.yaml:5:") && ran.err.contains("/network_policies/x/endpoints/0/host"), "{}", ran.err);
    let report = dir.json(&["check", "policy.yaml", "bad.yaml", "--format", "json"]);
    assert_eq!((&report["files"][0]["valid"], &report["files"][1]["valid"]), (&true.into(), &false.into()));
}

#[test]
fn pages_and_completions() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(dir.run(&["completions", shell]).out.contains("narrowgate"), "{shell}");
    }
    std::fs::create_dir(dir.join("man")).unwrap();
    assert_eq!(dir.run(&["man", "man"]).code, 0);
    for page in ["narrowgate.1", "narrowgate-prove.1", "narrowgate-rule-approve.1"] {
        assert!(dir.read(&format!("man/{page}")).contains(".TH"), "{page}");
    }
    assert!(!dir.join("man/narrowgate-demo-agent.1").exists());
    assert!(dir.run(&["version"]).out.contains("sha256:"));
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let dir = Dir::new();
    let mut child = dir.command(&["compile", "--policy", "policy.yaml"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
