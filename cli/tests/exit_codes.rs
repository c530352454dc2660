//! Everything that can be given wrong: the exit code, one clear line that names it, and nothing half-written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::TcpListener;

use support::Dir;

#[test]
fn invalid_input_is_named() {
    let dir = Dir::new();
    dir.write("secret.yaml", "version: 1\ncredentials:\n  - { name: x, host: api.example, token: abc }\n");
    dir.write(
        "broken.yaml",
        "version: 1\nnetwork_policies:\n  x: { name: x, endpoints: [{ host: api.example, port: 70000 }] }\n",
    );
    dir.write("empty.cedar", "// nothing\n");
    dir.write("typo.cedar", "permit (principal, action, resource) when { resource.hots == \"x\" };\n");
    dir.write("proposal.json", r#"{"intent_summary":"x","operations":[{"addRule":{"ruleName":"x","rule":{"name":"x","endpoints":[{"host":"*","port":1}]}}}]}"#);
    dir.write("two words", "a b\n");
    dir.write("token", "ng_token\n");
    dir.write("bundle.json", "{}");
    for file in ["latin.yaml", "latin.cedar", "latin.json"] {
        std::fs::write(dir.join(file), b"// caf\xe9\npermit(principal, action, resource);\n").unwrap();
    }
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{unused}");
    let prove = ["prove", "--policy", "policy.yaml", "--ceiling", "wide.cedar"];

    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 2, &["Usage"]),
        (&["frobnicate"], 2, &["frobnicate"]),
        (&["prove"], 2, &["--ceiling", "--policy"]),
        (&["prove", "--policy", "none.yaml", "--ceiling", "wide.cedar"], 2, &["none.yaml"]),
        (&["prove", "--policy", ".", "--ceiling", "wide.cedar"], 2, &["directory"]),
        (
            &["prove", "--policy", "broken.yaml", "--ceiling", "wide.cedar"],
            2,
            &["broken.yaml:3:", "/network_policies/x/endpoints/0/port"],
        ),
        (&["prove", "--policy", "policy.yaml", "--ceiling", "empty.cedar"], 2, &["empty.cedar"]),
        (&["prove", "--policy", "policy.yaml", "--ceiling", "typo.cedar"], 2, &["typo.cedar", "hots"]),
        (&[prove.as_slice(), &["--proposal", "proposal.json"]].concat(), 2, &["proposal.json", "/operations/0"]),
        (&[prove.as_slice(), &["--proposal", "two words"]].concat(), 2, &["two words"]),
        (&[prove.as_slice(), &["--timeout", "10"]].concat(), 2, &["10s"]),
        (&[prove.as_slice(), &["--engine", "none"]].concat(), 2, &["exact", "smt", "both"]),
        (&[prove.as_slice(), &["--format", "xml"]].concat(), 2, &["sarif"]),
        (&["check", "policy.yaml", "--timeout", "10"], 2, &["10s"]),
        (&[prove.as_slice(), &["--certificate", "out.json"]].concat(), 2, &["--key"]),
        (&[prove.as_slice(), &["--certificate", "out.json", "--key", "token"]].concat(), 2, &["signing key token"]),
        (&["compile", "--policy", "broken.yaml"], 2, &["broken.yaml:3:"]),
        (&["check", "broken.yaml"], 2, &["broken.yaml:3:"]),
        (&["check", "none.yaml"], 2, &["none.yaml"]),
        (&["explain", "--policy", "broken.yaml", "--request", "GET https://a.example/"], 2, &["broken.yaml:3:"]),
        (&["verify", "bundle.json"], 2, &["bundle.json", "not a bundle"]),
        (&["verify", "none.json"], 2, &["none.json"]),
        (&["prove", "--policy", "latin.yaml", "--ceiling", "wide.cedar"], 2, &["latin.yaml", "UTF-8"]),
        (&["prove", "--policy", "policy.yaml", "--ceiling", "latin.cedar"], 2, &["latin.cedar", "UTF-8"]),
        (&[prove.as_slice(), &["--proposal", "latin.json"]].concat(), 2, &["latin.json", "UTF-8"]),
        (&["check", "latin.cedar"], 2, &["latin.cedar", "UTF-8"]),
        (&["verify", "latin.json"], 2, &["latin.json", "UTF-8"]),
        (
            &["up", "--policy", "policy.yaml", "--ceiling", "latin.cedar", "--data", "data"],
            2,
            &["latin.cedar", "UTF-8"],
        ),
        (&["rule", "get", "demo"], 2, &["--gateway", "NARROWGATE_GATEWAY"]),
        (&["rule", "get", "demo", "--gateway", &nobody], 2, &["--token-file"]),
        (&["rule", "get", "demo", "--gateway", &nobody, "--token-file", "none"], 2, &["token file", "none"]),
        (&["rule", "get", "demo", "--gateway", &nobody, "--token-file", "two words"], 2, &["token file", "one line"]),
        (&["rule", "get", "demo", "--gateway", &nobody, "--token-file", "token"], 2, &["unreachable", &nobody]),
        (&["rule", "get", "a/b", "--gateway", &nobody, "--token-file", "token"], 2, &["a/b"]),
        (&["rule", "get", "demo", "--gateway", "http://gate.example", "--token-file", "token"], 2, &["https"]),
        (
            &[
                "proxy",
                "--sandbox",
                "demo",
                "--gateway",
                &nobody,
                "--token-file",
                "token",
                "--listen",
                "127.0.0.1:0",
                "--ca-dir",
                "ca",
            ],
            2,
            &["unreachable", &nobody],
        ),
        (&["up", "--policy", "broken.yaml", "--data", "data"], 2, &["broken.yaml:3:"]),
        (&["up", "--policy", "policy.yaml", "--ceiling", "typo.cedar", "--data", "data"], 2, &["typo.cedar", "hots"]),
        (&["up", "--policy", "policy.yaml", "--data", "data", "--sandbox", "../x"], 2, &["../x"]),
        (&["up", "--policy", "policy.yaml", "--data", "data", "--resolve", "nonsense"], 2, &["nonsense"]),
        (
            &["up", "--policy", "policy.yaml", "--data", "data", "--credentials", "secret.yaml"],
            2,
            &["secret.yaml:3:", "/credentials/0/token", "nothing secret"],
        ),
        (&["run", "--gateway", &nobody, "--", "true"], 2, &["--token-file"]),
        (&["run", "--gateway", &nobody, "--policy", "policy.yaml", "--", "true"], 2, &["--policy", "--gateway"]),
        (&["run", "--gateway-listen", "127.0.0.1:0", "--gateway", &nobody, "--", "true"], 2, &["--gateway-listen"]),
        (&["gateway", "--data", "data", "--listen", "0.0.0.0:0"], 2, &["loopback"]),
        (&["gateway", "--data", "data", "--tls-cert", "x.pem"], 2, &["--tls-key"]),
    ];
    for (args, code, words) in cases {
        let ran = dir.run(args);
        assert_eq!(ran.code, *code, "{args:?}: {}{}", ran.out, ran.err);
        for word in *words {
            assert!(ran.err.contains(word), "{args:?} should name {word}: {}", ran.err);
        }
        assert_eq!(ran.out, "", "{args:?}");
        assert!(!ran.err.contains("ng_token"), "{args:?} shows the token: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
    for file in ["out.json", "data/env", "data/agent.env", "data/reviewer.token"] {
        assert!(!dir.join(file).exists(), "{file} was written");
    }
}

#[test]
fn a_policy_outside_the_ceiling_does_not_start() {
    let dir = Dir::new();
    let ran = dir.run(&[
        "up",
        "--policy",
        "policy.yaml",
        "--ceiling",
        "narrow.cedar",
        "--data",
        "data",
        "--listen",
        "127.0.0.1:0",
        "--gateway-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("curl -X PUT"), "{}", ran.err);
    assert!(!dir.join("data/env").exists());
}

#[test]
fn a_port_in_use_is_named() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for args in [
        ["--listen", addr.as_str(), "--gateway-listen", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "--gateway-listen", addr.as_str()],
    ] {
        let ran = dir.run(&[["up", "--policy", "policy.yaml", "--data", "data"].as_slice(), &args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.out);
        assert!(ran.err.contains(&addr) && ran.err.contains("in use"), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
}
