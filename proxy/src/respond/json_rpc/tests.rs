#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use narrowgate_core::decide::{Layer, Reason, Refusal};
use narrowgate_core::denial::DeniedRequest;
use narrowgate_core::request::Port;
use serde_json::{Value, json};

use super::*;

pub(in crate::respond) fn denial() -> Denial {
    let request = DeniedRequest {
        layer: Layer::L7,
        protocol: "acme".to_owned(),
        host: "api.test".to_owned(),
        port: Port::HTTPS,
        method: Some("POST".to_owned()),
        path: Some("/any".to_owned()),
        binary: "/usr/bin/agent".to_owned(),
        operations: Vec::new(),
        cause: None,
        answer: None,
    };
    Denial::new("d_1".to_owned(), request, &Refusal::because(Reason::NoMatchingRule), true)
}

/// The ids that are answered, in the spelling in which they are; `None` where the body is not answered as JSON-RPC.
fn check(body: &str, expect: Option<&[&str]>) {
    let denial = denial();
    let errors = errors(body.as_bytes(), &denial);
    let ids = errors.as_ref().map(|errors| match errors {
        Errors::One(answer) => vec![answer.id.get()],
        Errors::Batch(answers) => answers.iter().map(|answer| answer.id.get()).collect(),
    });
    assert_eq!(ids.as_deref(), expect, "{body}");
}

#[test]
fn requests_are_answered_by_their_ids() {
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"id":"inner"}}}}"#);
    for id in ["1", "\"a\\u00e9\"", "null", "1.50", "123456789012345678901234567890", "{\"a\": [1]}", "true"] {
        check(&call(id), Some(&[id]));
    }
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    check(&format!(" [{},{note},{response},{}]", call("1"), call("\"b\"")), Some(&["1", "\"b\""]));
    check(&format!("[{}]", call("7")), Some(&["7"]));
    for nobody_waits in [note, response, &format!("[{note},{response}]"), "[]"] {
        check(nobody_waits, None);
    }
}

#[test]
fn what_is_not_json_rpc_is_not_answered_as_such() {
    for body in [
        "",
        "hello",
        "{}",
        "3",
        "[[]]",
        r#"{"id":1,"method":"x"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x"} {"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"x"},{"id":2,"method":"x"}]"#,
        &format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#; 65].join(",")),
        &"[".repeat(100_000),
    ] {
        check(body, None);
    }
}

#[test]
fn the_error_says_what_to_do() {
    let denial = denial();
    let errors = errors(br#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, &denial).unwrap();
    let answer: Value = serde_json::to_value(&errors).unwrap();
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["error"]["code"], -32090);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("no rule allows POST api.test:443/any for /usr/bin/agent. "), "{message}");
    assert!(message.contains("submit_proposal"), "{message}");
    assert_eq!(answer["error"]["data"], json!(denial));
}
