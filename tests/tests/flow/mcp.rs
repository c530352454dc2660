//! Tools in the words of MCP: which may be called, with which arguments; a denial is the error of that call.

use narrowgate_tests::system::{Answer, Chosen, HOST, System, shipped};
use serde_json::{Value, json};

const POLICY: &str = "
version: 1
network_policies:
  tools:
    endpoints:
      - host: api.example.com
        port: 443
        protocol: mcp
        rules:
          - allow: { action: \"mcp::initialize\" }
          - allow: { action: \"mcp::notification\" }
          - allow: { action: \"mcp::tools.call\", where: { tool: read_file, arguments: { path: \"docs/**\" } } }
";

async fn start() -> System {
    let chosen = Chosen { plugins: shipped(&["mcp"]), ..Chosen::default() };
    System::start_with(POLICY, "permit (principal, action, resource);", chosen).await
}

async fn post(system: &System, body: &Value) -> Answer {
    let mut client = system.connect(HOST).await;
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write(format!("{head}{body}").as_bytes()).await;
    client.answer_to("POST").await.expect("an answer")
}

fn call(id: Value, path: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": "read_file", "arguments": { "path": path } } })
}

/// That `answer` is the error of the request with this id.
fn error(answer: &Value, id: &Value, action: &str) {
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), id), "{answer:#}");
    assert!(answer.get("result").is_none(), "{answer:#}");
    let error = &answer["error"];
    assert!(error["code"].is_i64() && error["message"].as_str().unwrap().contains(action), "{answer:#}");
    assert_eq!(error["data"]["operation"]["action"], action, "{answer:#}");
    assert_eq!(error["data"]["protocol"], "mcp");
    let steps = error["data"]["next_steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["action"] == "submit_proposal"), "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_an_argument_outside_the_rule_is_an_error_of_that_call() {
    let system = start().await;
    let allowed = post(&system, &call(json!(1), "docs/a.md")).await;
    assert_eq!((allowed.status, allowed.header("x-upstream")), (200, Some("yes")), "{}", allowed.text());
    for id in [json!(2), json!("two")] {
        let denied = post(&system, &call(id.clone(), "secret/a.md")).await;
        assert_eq!(
            (denied.status, denied.header("content-type")),
            (200, Some("application/json")),
            "{}",
            denied.text()
        );
        assert_eq!(denied.header("x-narrowgate-decision"), Some("denied"));
        error(&denied.json(), &id, "mcp::tools.call");
        assert_eq!(denied.json()["error"]["data"]["operation"]["attributes"]["arguments"]["path"], "secret/a.md");
    }
    let listed = post(&system, &json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list" })).await;
    error(&listed.json(), &json!(3), "mcp::tools.list");
    assert_eq!(system.upstream.lines(), ["POST /mcp"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_denied_call_denies_its_batch_and_each_request_hears_of_it() {
    let system = start().await;
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let batch = json!([call(json!(1), "docs/a.md"), note, call(json!("b"), "secret/b.md")]);
    let denied = post(&system, &batch).await;
    assert_eq!(denied.status, 200, "{}", denied.text());
    let answers = denied.json();
    assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers:#}");
    error(&answers[0], &json!(1), "mcp::tools.call");
    error(&answers[1], &json!("b"), "mcp::tools.call");
    assert!(system.upstream.lines().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_no_answer_gets_a_status() {
    let system = start().await;
    let response = json!({ "jsonrpc": "2.0", "id": 1, "result": {} });
    let denied = post(&system, &response).await;
    assert_eq!((denied.status, denied.header("content-type")), (403, Some("application/problem+json")));
    assert_eq!(denied.json()["operation"]["action"], "mcp::response");
    let mut client = system.connect(HOST).await;
    client.write(format!("GET /mcp HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n").as_bytes()).await;
    let denied = client.answer_to("GET").await.expect("an answer");
    assert_eq!((denied.status, &denied.json()["operation"]["action"]), (403, &json!("mcp::stream")));
    // Two answers to one question: which one the server takes, nobody knows.
    let twice = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","method":"ping"}"#;
    let mut client = system.connect(HOST).await;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        twice.len()
    );
    client.write(format!("{head}{twice}").as_bytes()).await;
    let denied = client.answer_to("POST").await.expect("an answer");
    assert_eq!(denied.status, 403, "{}", denied.text());
    assert!(["plugin_error", "request_ambiguous"].contains(&denied.json()["reason"].as_str().unwrap()));
    assert!(system.upstream.lines().is_empty());
}
