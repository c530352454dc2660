//! The MCP conformance suite's client scenarios, with the official SDK's client behind a real `narrowgate up`.
//!
//! The suite starts a scenario's servers and then the client in `tests/conformance`, which starts a proxy for their
//! ports and knows no other way out. What passed the proxy is read from its audit log afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, RwLock};
use std::{fs, thread};

use narrowgate_tests::system::binary;
use serde_json::{Value, json};

const SUITE: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
const FILES: [&str; 8] = [
    ".npmrc",
    "package.json",
    "package-lock.json",
    "authorization.mjs",
    "client.mjs",
    "denied.mjs",
    "preload.mjs",
    "proxy.mjs",
];

/// What a client needs at every server: the handshake and the tools' names, and nothing that a tool does.
const HANDSHAKE: &str = r#"
version: 1
network_policies:
  server:
    endpoints:
      - host: localhost
        port: @SERVER@
        protocol: mcp
        rules:
          - allow: { action: "mcp::initialize" }
          - allow: { action: "mcp::notification", where: { method: "notifications/*" } }
          - allow: { action: "mcp::stream" }
          - allow: { action: "mcp::tools.list" }
"#;
const ADD: &str = r#"          - allow: { action: "mcp::tools.call", where: { tool: add_numbers, arguments: { a: "5" } } }
"#;
const ELICIT: &str = r#"          - allow: { action: "mcp::tools.call", where: { tool: test_client_elicitation_defaults } }
          - allow: { action: "mcp::response" }
"#;
const RECONNECT: &str = r#"          - allow: { action: "mcp::tools.call", where: { tool: test_reconnection } }
"#;
const WRITE: &str = r#"          - allow: { action: "mcp::tools.call", where: { tool: write_file, arguments: { path: "docs/**" } } }
"#;
/// A server that says elsewhere is who authorizes.
const PROTECTED: &str = r#"          - allow: { action: "mcp::tools.call", where: { tool: test-tool } }
          - allow: { action: "mcp::document", where: { endpoint: "/.well-known/**" } }
          - allow: { action: "mcp::document", where: { endpoint: "/custom/metadata/location.json" } }
  authorization:
    endpoints:
      - host: localhost
        ports: [@OTHERS@]
        protocol: rest
        rules:
          - allow: { method: GET, path: "/**" }
          - allow: { method: POST, path: /register }
          - allow: { method: POST, path: /token }
          - allow: { method: POST, path: /tenant1/register }
          - allow: { method: POST, path: /tenant1/token }
"#;
/// A server that authorizes by itself, as of 2025-03-26.
const OWN: &str = r#"          - allow: { action: "mcp::tools.call", where: { tool: test-tool } }
          - allow: { action: "mcp::document", where: { endpoint: "/.well-known/**" } }
          - allow: { action: "mcp::authorization.request" }
          - allow: { action: "mcp::authorization.register" }
          - allow: { action: "mcp::authorization.token", where: { grant: authorization_code } }
"#;

/// Held for writing by what measures time, for reading by everything else that runs.
static QUIET: RwLock<()> = RwLock::new(());

/// A scenario, what is allowed besides the handshake, and what must have passed besides it.
type Scenario = (&'static str, &'static str, &'static [&'static str]);

const SCENARIOS: [Scenario; 26] = [
    ("sse-retry", RECONNECT, &["mcp::tools.call", "mcp::stream"]),
    ("initialize", "", &["mcp::tools.list"]),
    ("tools_call", ADD, &["mcp::tools.call"]),
    ("elicitation-sep1034-client-defaults", ELICIT, &["mcp::tools.call", "mcp::response", "mcp::stream"]),
    ("auth/metadata-default", PROTECTED, AUTHORIZED),
    ("auth/metadata-var1", PROTECTED, AUTHORIZED),
    ("auth/metadata-var2", PROTECTED, &["mcp::tools.call", "mcp::document", "POST /tenant1/token"]),
    ("auth/metadata-var3", PROTECTED, &["mcp::tools.call", "mcp::document", "POST /tenant1/token"]),
    ("auth/basic-cimd", PROTECTED, AUTHORIZED),
    ("auth/scope-from-www-authenticate", PROTECTED, AUTHORIZED),
    ("auth/scope-from-scopes-supported", PROTECTED, AUTHORIZED),
    ("auth/scope-omitted-when-undefined", PROTECTED, AUTHORIZED),
    ("auth/scope-step-up", PROTECTED, AUTHORIZED),
    // The server grants no scope that would do, and the client is to give up.
    ("auth/scope-retry-limit", PROTECTED, &["mcp::document", "POST /token"]),
    ("auth/token-endpoint-auth-basic", PROTECTED, AUTHORIZED),
    ("auth/token-endpoint-auth-post", PROTECTED, AUTHORIZED),
    ("auth/token-endpoint-auth-none", PROTECTED, AUTHORIZED),
    ("auth/pre-registration", PROTECTED, AUTHORIZED),
    ("auth/2025-03-26-oauth-metadata-backcompat", OWN, OWN_AUTHORIZED),
    ("auth/2025-03-26-oauth-endpoint-fallback", OWN, OWN_AUTHORIZED),
    // The server's metadata is about another server, and the client is to give up.
    ("auth/resource-mismatch", PROTECTED, &["mcp::document"]),
    ("auth/offline-access-scope", PROTECTED, AUTHORIZED),
    ("auth/offline-access-not-supported", PROTECTED, AUTHORIZED),
    ("auth/client-credentials-jwt", PROTECTED, AUTHORIZED),
    ("auth/client-credentials-basic", PROTECTED, AUTHORIZED),
    ("auth/cross-app-access-complete-flow", PROTECTED, AUTHORIZED),
];
const AUTHORIZED: &[&str] = &["mcp::tools.call", "mcp::document", "POST /token"];
const OWN_AUTHORIZED: &[&str] = &[
    "mcp::tools.call",
    "mcp::document",
    "mcp::authorization.request",
    "mcp::authorization.register",
    "mcp::authorization.token",
];

#[test]
fn every_client_scenario_passes_through_the_proxy() {
    let listed = run(node(&["--import", "./preload.mjs", SUITE, "list", "--client"]));
    let listed: BTreeSet<&str> = (listed.lines())
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(listed, SCENARIOS.iter().map(|(name, ..)| *name).collect(), "the suite's scenarios are these");

    let ([timed], rest) = SCENARIOS.split_first_chunk().unwrap();
    let wrong = Mutex::new(Vec::new());
    let check = |scenario| {
        if let Err(why) = check(scenario) {
            wrong.lock().unwrap().push(why);
        }
    };
    // It measures when the client comes back.
    let quiet = QUIET.write();
    check(timed);
    drop(quiet);
    let _busy = QUIET.read();
    let left = Mutex::new(rest.iter());
    let next = || left.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(scenario) = next() {
                    check(scenario);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} scenarios failed:\n\n{}", wrong.len(), SCENARIOS.len(), wrong.join("\n\n"));
}

/// What shows that the scenarios do not pass by themselves.
#[test]
fn without_a_rule_for_the_tool_its_scenario_fails() {
    let _busy = QUIET.read();
    let (output, passed) = scenario("tools_call", "", "denied");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Passed: 0/1"), "{said}");
    assert!(passed.contains("mcp::initialize") && !passed.contains("mcp::tools.call"), "{passed:?}");
}

#[test]
fn a_call_with_an_argument_outside_the_rule_is_an_error_the_client_understands() {
    let _busy = QUIET.read();
    let out = out("write_file");
    let calls = ["docs/a.md", "secret/a.md", "docs/b.md"].map(|path| json!({ "path": path, "text": "x" }).to_string());
    let [inside, outside, again] = &calls;
    let mut command = node(&["denied.mjs", "write_file", inside, outside, again]);
    with_proxy(&mut command, WRITE, &out);
    let said: Value = serde_json::from_str(&run(command)).unwrap();

    let [inside, outside, again] = said["results"].as_array().unwrap().as_slice() else { panic!("{said:#}") };
    assert_eq!(inside["text"], r#"called with {"path":"docs/a.md","text":"x"}"#, "{said:#}");
    assert_eq!(again["text"], r#"called with {"path":"docs/b.md","text":"x"}"#, "{said:#}");
    assert_eq!(said["seen"].as_array().map(Vec::len), Some(2), "{said:#}");

    let error = &outside["error"];
    assert_eq!((&error["is_mcp_error"], &error["code"]), (&json!(true), &json!(-32090)), "{said:#}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("no rule allows POST ") && message.contains("(mcp::tools.call)"), "{message}");
    let denial = &error["data"];
    assert_eq!(
        (&denial["error"], &denial["reason"]),
        (&json!("policy_denied"), &json!("no_matching_rule")),
        "{denial:#}"
    );
    assert!(denial["denial_id"].as_str().unwrap().starts_with("d_"), "{denial:#}");
    let attributes = &denial["operation"]["attributes"];
    assert_eq!((&attributes["tool"], &attributes["arguments"]["path"]), (&json!("write_file"), &json!("secret/a.md")));
}

/// Runs a scenario: what is wrong, where it does not pass or passes by another way than the proxy.
fn check(&(name, rules, expect): &Scenario) -> Result<(), String> {
    let (output, passed) = scenario(name, rules, name);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name}:\n{said}\npassed the proxy: {passed:?}"));
    }
    match expect.iter().find(|expect| !passed.contains(**expect)) {
        Some(missing) => Err(format!("{name}: {missing} did not pass the proxy, only {passed:?}")),
        None => Ok(()),
    }
}

/// Runs a scenario with these rules beside [`HANDSHAKE`]: what the suite says, and what the proxy let through (a
/// plugin's operations, `METHOD /path` elsewhere).
fn scenario(name: &str, rules: &str, folder: &str) -> (Output, BTreeSet<String>) {
    let out = out(folder);
    let mut command = node(&["--import", "./preload.mjs", SUITE, "client", "--command", "node client.mjs"]);
    command.args(["--scenario", name, "--timeout", "60000"]);
    with_proxy(&mut command, rules, &out);
    let output = command.output().expect("the suite runs");
    // Without one, no proxy was started, and what the suite said tells why.
    let audit = fs::read_to_string(out.join("audit.jsonl")).unwrap_or_default();
    let lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let passed = lines.filter(|line| line["action_id"] == 1).flat_map(|line| match &line["unmapped"]["operations"] {
        Value::Array(operations) => operations.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        _ => {
            let request = &line["http_request"];
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            vec![format!("{} {}", word(&request["http_method"]), word(&request["url"]["path"]))]
        }
    });
    (output, passed.collect())
}

/// What `proxy.mjs` starts a proxy with.
fn with_proxy(command: &mut Command, rules: &str, out: &Path) {
    let policy = out.join("rules.yaml");
    fs::write(&policy, format!("{HANDSHAKE}{rules}")).unwrap();
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/guests/dist/mcp.wasm");
    command.env("NARROWGATE", binary()).env("PLUGIN", plugin).env("POLICY", policy).env("OUT", out);
}

/// An empty directory for what a run leaves behind.
fn out(name: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp-conformance-runs").join(name);
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).unwrap();
    out
}

/// Node, among the installed packages.
fn node(args: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.args(args).current_dir(installed()).stdin(Stdio::null());
    // Only the client's own choice of a proxy counts.
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NODE_OPTIONS", "SCENARIO_PORTS"] {
        command.env_remove(name);
    }
    command
}

/// A copy of `tests/conformance` with its packages, exactly those of its lock file; kept between runs.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp-conformance");
        fs::create_dir_all(&to).unwrap();
        for file in FILES {
            fs::copy(from.join(file), to.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        let (lock, stamp) = (fs::read(from.join("package-lock.json")).unwrap(), to.join("installed"));
        if fs::read(&stamp).is_ok_and(|done| done == lock) {
            return to;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]).current_dir(&to);
        let output = npm.stdin(Stdio::null()).output().unwrap_or_else(|error| {
            panic!("npm does not run ({error}): install Node.js 20 or newer and npm, or run `cargo xtask setup`")
        });
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        fs::write(stamp, lock).unwrap();
        to
    })
}

/// What it prints, where it succeeds.
fn run(mut command: Command) -> String {
    let output = command.output().expect("node runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
