//! Who may call what, what is no valid input, and what is nowhere in the files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{BASELINE, System, call, held, proposal, put};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every route, and its status without a token, for a sandbox's own, for another sandbox's, for a reviewer's and for
/// an admin's token. The body is right in shape, so that nothing but the role decides.
#[tokio::test(flavor = "multi_thread")]
async fn roles() {
    let system = System::start().await;
    let (own, other) = (system.sandbox("dev").await, system.sandbox("other").await);
    let id = system.submit("dev", &own, put("docs", "/repos/acme/**")).await.unwrap();
    let check = Some(proposal(put("more", "/repos/acme/more")));
    let decision = Some(json!({"review_token": "stale"}));
    let (show, approve, reject) =
        (format!("/v1/proposals/{id}"), format!("/v1/proposals/{id}/approve"), format!("/v1/proposals/{id}/reject"));
    let existing = Some(json!({"name": "dev", "policy_yaml": BASELINE}));
    let answer = Some(json!({"answer": "once", "review_token": "stale"}));
    let routes: [(&str, &str, Option<Value>, [u16; 5]); 26] = [
        ("GET", "/healthz", None, [200; 5]),
        ("GET", "/readyz", None, [200; 5]),
        ("GET", "/v1/keys", None, [401, 200, 200, 200, 200]),
        ("GET", "/v1/ceiling", None, [401, 403, 403, 200, 200]),
        ("GET", "/v1/sandboxes", None, [401, 403, 403, 200, 200]),
        ("POST", "/v1/sandboxes", existing, [401, 403, 403, 403, 409]),
        ("GET", "/v1/sandboxes/dev", None, [401, 403, 403, 200, 200]),
        ("GET", "/v1/sandboxes/none", None, [401, 403, 403, 404, 404]),
        ("DELETE", "/v1/sandboxes/none", None, [401, 403, 403, 403, 404]),
        ("GET", "/v1/sandboxes/dev/bundle", None, [401, 200, 404, 200, 200]),
        ("GET", "/v1/sandboxes/dev/history", None, [401, 403, 403, 200, 200]),
        ("POST", "/v1/sandboxes/dev/proposals/check", check.clone(), [401, 200, 404, 403, 403]),
        ("POST", "/v1/sandboxes/none/proposals", check.clone(), [401, 404, 404, 403, 403]),
        ("GET", "/v1/proposals", None, [401, 403, 403, 200, 403]),
        ("GET", &show, None, [401, 200, 404, 200, 403]),
        ("POST", &approve, decision, [401, 403, 403, 409, 403]),
        ("POST", &reject, Some(json!({"reason": ""})), [401, 403, 403, 400, 403]),
        ("POST", "/v1/sandboxes/dev/held", Some(held::hold("k", "PUT", "/a")), [401, 200, 404, 403, 403]),
        ("GET", "/v1/sandboxes/dev/held/h_none", None, [401, 404, 404, 403, 403]),
        ("DELETE", "/v1/sandboxes/dev/held/h_none", None, [401, 404, 404, 403, 403]),
        ("PUT", "/v1/sandboxes/dev/session", Some(json!({"session": null})), [401, 204, 404, 403, 403]),
        ("GET", "/v1/held", None, [401, 403, 403, 200, 200]),
        ("GET", "/v1/held/h_none", None, [401, 403, 403, 404, 404]),
        ("POST", "/v1/held/h_none/answer", answer, [401, 403, 403, 404, 403]),
        ("DELETE", "/v1/held/never/h_none", None, [401, 403, 403, 404, 403]),
        ("GET", "/v1/nothing", None, [404; 5]),
    ];
    for (method, path, body, expect) in routes {
        let tokens = [None, Some(&own), Some(&other), Some(&system.reviewer), Some(&system.admin)];
        for (token, expect) in tokens.into_iter().zip(expect) {
            let (status, answer) = call(
                system.gateway.addr(),
                method,
                path,
                token.map(String::as_str),
                body.as_ref().map(Value::to_string),
            )
            .await;
            assert_eq!(status, expect, "{method} {path} with {token:?}: {answer}");
            if status >= 400 {
                assert!(answer["error"].is_string() && answer["message"].is_string(), "{answer}");
            }
        }
    }
    // What another sandbox hears of one that exists is what it hears of one that does not.
    let (_, exists) = system.call("GET", "/v1/sandboxes/dev/bundle", &other, None).await;
    let (_, absent) = system.call("GET", "/v1/sandboxes/abs/bundle", &other, None).await;
    assert_eq!(exists.to_string().replace("dev", "abs"), absent.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_none() {
    let system = System::start().await;
    let addr = system.gateway.addr();
    let good = system.sandbox("dev").await;
    let swapped = good.replace("ng_sandbox_", "ng_admin_");
    let headers = [
        "".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: {good}\r\n"),
        format!("Authorization: Basic {good}\r\n"),
        format!("Authorization: Bearer {}\r\n", &good[..good.len() - 1]),
        format!("Authorization: Bearer {good}A\r\n"),
        format!("Authorization: Bearer {swapped}\r\n"),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {good}\r\n"),
        "Authorization: Bearer ng_admin_' OR 1=1 --\r\n".to_owned(),
        "Authorization: Bearer \u{fc}\r\n".to_owned(),
        format!("X-Token: {good}\r\n"),
    ];
    for header in headers {
        let answer = raw(addr, &format!("GET /v1/keys HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{header:?}: {answer}");
        assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    }
    let answer = raw(
        addr,
        &format!("GET /v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {good}\r\nConnection: close\r\n\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("cache-control: no-store"), "{answer}");
}

async fn raw(addr: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_none() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let submit = "/v1/sandboxes/dev/proposals";
    let mut unknown = proposal(put("a", "/repos/acme/a"));
    unknown["surprise"] = json!(1);
    let mut no_operation = proposal(put("a", "/repos/acme/a"));
    no_operation["operations"] = json!([]);
    let mut bad_path = proposal(put("a", "/repos/acme/***"));
    bad_path["operations"][0]["addRule"]["rule"]["endpoints"][0]["port"] = json!(443);
    let mut bad_binary = proposal(put("a", "/repos/acme/a"));
    bad_binary["binary"] = json!("/usr/bin/\u{1b}[2Jcurl");
    let mut padded = proposal(put("a", "/repos/acme/a"));
    padded["denial_ids"] = json!(vec!["d"; 30_000]);
    let mut huge = proposal(put("a", "/repos/acme/a"));
    huge["intent_summary"] = json!("x".repeat(300_000));
    let sandbox = |name: &str, yaml: &str| json!({"name": name, "policy_yaml": yaml}).to_string();
    let comment = format!("# {}\n{BASELINE}", "x".repeat(1024 * 1024));
    // Method, path, token, body; status, code, pointer.
    type Case<'a> = (&'a str, &'a str, &'a str, Option<String>, u16, &'a str, Value);
    let cases: Vec<Case<'_>> = vec![
        ("POST", submit, &token, None, 400, "invalid_proposal", json!("")),
        ("POST", submit, &token, Some("{".into()), 400, "invalid_proposal", json!("")),
        ("POST", submit, &token, Some("[]".into()), 400, "invalid_proposal", json!("")),
        ("POST", submit, &token, Some(unknown.to_string()), 400, "invalid_proposal", json!("")),
        ("POST", submit, &token, Some(no_operation.to_string()), 400, "invalid_proposal", json!("/operations")),
        (
            "POST",
            submit,
            &token,
            Some(bad_path.to_string()),
            400,
            "invalid_proposal",
            json!("/operations/0/addRule/rule/endpoints/0/rules/0/allow/path"),
        ),
        ("POST", submit, &token, Some(bad_binary.to_string()), 400, "invalid_proposal", json!("/binary")),
        ("POST", submit, &token, Some(padded.to_string()), 413, "too_large", Value::Null),
        ("POST", submit, &token, Some(huge.to_string()), 413, "too_large", Value::Null),
        ("POST", "/v1/sandboxes", &system.admin, Some(sandbox("Dev", BASELINE)), 400, "invalid_name", json!("/name")),
        ("POST", "/v1/sandboxes", &system.admin, Some(sandbox("", BASELINE)), 400, "invalid_name", json!("/name")),
        ("POST", "/v1/sandboxes", &system.admin, Some(sandbox("../x", BASELINE)), 400, "invalid_name", json!("/name")),
        (
            "POST",
            "/v1/sandboxes",
            &system.admin,
            Some(sandbox(&"x".repeat(65), BASELINE)),
            400,
            "invalid_name",
            json!("/name"),
        ),
        (
            "POST",
            "/v1/sandboxes",
            &system.admin,
            Some(sandbox("new", "version: 9")),
            400,
            "invalid",
            json!("/policy_yaml"),
        ),
        ("POST", "/v1/sandboxes", &system.admin, Some(sandbox("new", &comment)), 413, "too_large", Value::Null),
        ("POST", "/v1/sandboxes", &system.admin, Some("{}".into()), 400, "invalid_request", Value::Null),
        ("GET", "/v1/sandboxes/dev/bundle?after=x", &token, None, 400, "invalid_request", Value::Null),
        ("GET", "/v1/sandboxes/dev/bundle?wait=-1", &token, None, 400, "invalid_request", Value::Null),
        ("GET", "/v1/proposals?status=lost", &system.reviewer, None, 400, "invalid_request", Value::Null),
        ("GET", "/v1/proposals?sandbox=lost", &system.reviewer, None, 404, "not_found", Value::Null),
        ("GET", "/v1/proposals/p_none", &system.reviewer, None, 404, "not_found", Value::Null),
        ("GET", "/v1/proposals/%ff", &system.reviewer, None, 404, "not_found", Value::Null),
        ("PUT", "/v1/proposals", &system.reviewer, None, 405, "method_not_allowed", Value::Null),
    ];
    for (method, path, token, body, status, code, pointer) in cases {
        let shown: String = body.as_deref().unwrap_or("").chars().take(200).collect();
        let (got, answer) = call(system.gateway.addr(), method, path, Some(token), body).await;
        assert_eq!(
            (got, &answer["error"], &answer["pointer"]),
            (status, &json!(code), &pointer),
            "{method} {path} {shown}: {answer}"
        );
    }
    assert_eq!(system.get("/v1/proposals").await["proposals"], json!([]));
    assert_eq!(system.get("/v1/sandboxes").await["sandboxes"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_their_own_files_alone() {
    use std::os::unix::fs::MetadataExt;
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    assert_eq!(system.approve(&id, &system.review_token(&id).await).await.0, 200);
    let holds = |bytes: &[u8], needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    let files = system.stored();
    assert!(
        files.iter().any(|(path, bytes)| path.ends_with("narrowgate.db-wal") && holds(bytes, "/repos/acme/**")),
        "the log is looked at too"
    );
    for (path, bytes) in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{name}");
        assert!(!holds(&bytes, &token), "{name} holds the sandbox's token");
        assert!(!holds(&bytes, "hunter2"), "{name} holds a query string");
        assert_eq!(holds(&bytes, &system.reviewer), name == "reviewer.token", "{name}");
        assert_eq!(holds(&bytes, &system.admin), name == "admin.token", "{name}");
    }
    assert_eq!(std::fs::metadata(system.dir.path().join("data")).unwrap().mode() & 0o777, 0o700);
}

/// The document and the router name the same routes.
#[tokio::test(flavor = "multi_thread")]
async fn openapi_is_what_is_served() {
    let system = System::start().await;
    let document = narrowgate_gateway::openapi();
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let (status, answer) =
                call(system.gateway.addr(), &method.to_uppercase(), &path.replace(['{', '}'], "x"), None, None).await;
            let expect = if operation["security"].is_array() { 401 } else { 200 };
            assert_eq!(status, expect, "{method} {path}: {answer}");
            assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path}");
        }
    }
    assert_eq!(operations, 28);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, _) in schemas {
        assert!(name.chars().all(char::is_alphanumeric), "{name}");
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let name = reference.strip_prefix("#/components/schemas/").unwrap_or_else(|| panic!("{reference}"));
        assert!(schemas.contains_key(name), "{name}");
    }
}
