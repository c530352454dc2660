//! Messages as clients send them, and as attackers would.

use narrowgate_plugin::testing::{self, brief, check, check_example, check_vocabulary};
use narrowgate_plugin::{Operation, Plugin, Request, Suggestion, Value};

use crate::Mcp;
use crate::methods::METHODS;

fn post_with(headers: &str, body: &str) -> String {
    format!("POST https://mcp.example/mcp HTTP/1.1\ncontent-type: application/json\n{headers}\n{body}")
}

/// What a body asks for, without what is the same everywhere.
#[track_caller]
fn body(body: &str, expect: &str) {
    with("", body, expect);
}

/// The same, with further headers.
#[track_caller]
fn with(headers: &str, body: &str, expect: &str) {
    let answer = testing::classify::<Mcp>(post_with(headers, body));
    let short = brief(&answer).replace(" endpoint=/mcp", "").replace(" arguments={}", "").replace(" structured=[]", "");
    assert_eq!(short, expect, "{headers}{body}: {answer:?}");
}

/// What a request for a method asks for.
#[track_caller]
fn call(method: &str, params: &str, expect: &str) {
    body(&request(method, params), expect);
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

#[test]
fn the_vocabulary_loads() {
    check_vocabulary::<Mcp>();
}

#[test]
fn methods_of_every_revision() {
    call("initialize", r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#, "initialize");
    call("server/discover", "{}", "server.discover");
    call("ping", "{}", "ping");
    call("tools/list", r#"{"cursor":"x"}"#, "tools.list");
    call("resources/list", "{}", "resources.list");
    call("resources/templates/list", "{}", "resources.templates.list");
    call("resources/read", r#"{"uri":"file:///a.md"}"#, "resources.read uri=file:///a.md");
    call("resources/subscribe", r#"{"uri":"file:///a.md"}"#, "resources.subscribe uri=file:///a.md");
    call("resources/unsubscribe", r#"{"uri":"file:///a.md"}"#, "resources.unsubscribe uri=file:///a.md");
    call("prompts/list", "{}", "prompts.list");
    call(
        "prompts/get",
        r#"{"name":"review","arguments":{"code":"x"}}"#,
        "prompts.get prompt=review arguments={code:x}",
    );
    call("logging/setLevel", r#"{"level":"debug"}"#, "logging.set_level level=debug");
    call("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"v"}}"#, {
        "completion.complete prompt=p"
    });
    call(
        "completion/complete",
        r#"{"ref":{"type":"ref/resource","uri":"file:///{x}"}}"#,
        "completion.complete uri=file:///{x}",
    );
    call("completion/complete", r#"{"ref":{"type":"ref/tool","name":"p"}}"#, "not-understood");
    call("subscriptions/listen", r#"{"notifications":{"toolsListChanged":true}}"#, "subscriptions.listen uris=[]");
    call(
        "subscriptions/listen",
        r#"{"notifications":{"resourceSubscriptions":["b:x","a:y"]}}"#,
        "subscriptions.listen uris=[a:y,b:x]",
    );
    call("subscriptions/listen", "{}", "malformed");
    call("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":["a:\u0000"]}}"#, "malformed");
    call("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":"a:x"}}"#, "malformed");
    call("tasks/list", "{}", "tasks.list");
    for method in ["get", "result", "update", "cancel"] {
        call(&format!("tasks/{method}"), r#"{"taskId":"786512e2"}"#, &format!("tasks.{method}"));
        call(&format!("tasks/{method}"), "{}", "malformed");
    }
    body(r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, "ping");
    body(r#"{"jsonrpc":"2.0","id":0,"method":"ping","params":null}"#, "ping");
}

#[test]
fn tools_and_their_arguments() {
    call("tools/call", r#"{"name":"get_weather","arguments":{"location":"Seattle, WA","days":3,"metric":true}}"#, {
        "tools.call tool=get_weather arguments={location:Seattle, WA,days:3,metric:true}"
    });
    call("tools/call", r#"{"name":"f"}"#, "tools.call tool=f");
    call("tools/call", r#"{"name":"f","arguments":null}"#, "tools.call tool=f");
    call("tools/call", r#"{"name":"f","arguments":{"a":[1],"b":{},"c":null,"d":"x\ny","e":"../x"},"_meta":{}}"#, {
        "tools.call tool=f structured=[a,b,c,d,e]"
    });
    call(
        "tools/call",
        r#"{"name":"f","arguments":{"a":1.0,"b":1e2,"c":0.10}}"#,
        "tools.call tool=f arguments={a:1,b:100,c:0.1}",
    );
    call("tools/call", r#"{"name":"f","arguments":{"a":9007199254740993}}"#, "ambiguous");
    call("tools/call", r#"{"name":"f","arguments":{"a":1e999}}"#, "malformed");
    call("tools/call", r#"{"name":"f","arguments":{"path":"a","p\u0061th":"b"}}"#, "ambiguous");
    call("tools/call", r#"{"name":"f","arguments":{"path":"a","Path":"b"}}"#, "ambiguous");
    call("tools/call", r#"{"name":"f","arguments":{"deep":{"path":"a","path":"b"}}}"#, "ambiguous");
    call("tools/call", r#"{"name":"f","arguments":["a"]}"#, "malformed");
    call("tools/call", r#"{"name":"f","arguments":"{}"}"#, "malformed");
    call("tools/call", r#"{"name":"f","task":{"ttl":60000}}"#, "tools.call tool=f");
}

#[test]
fn what_names_a_tool_two_ways() {
    call("tools/call", r#"{"name":"f","name":"g"}"#, "ambiguous");
    call("tools/call", r#"{"name":"f","n\u0061me":"g"}"#, "ambiguous");
    call("tools/call", r#"{"name":"f","Name":"g"}"#, "ambiguous");
    call("tools/call", r#"{"NAME":"f"}"#, "ambiguous");
    call("tools/call", "{\"name\":\"f\",\"argument\u{17f}\":{\"a\":1}}", "ambiguous");
    call("tools/call", r#"{"name":""}"#, "malformed");
    call("tools/call", r#"{"name":7}"#, "malformed");
    call("tools/call", r#"{"name":"f\u0000"}"#, "not-understood");
    call("tools/call", "{}", "malformed");
    call("tools/call", r#"["f",{}]"#, "malformed");
    for uri in ["file:///a/../b", "file:///a/%2e%2E/b", "file:///a\\\\..\\\\b", "file:///a/..", "x:..?q"] {
        let expect = if uri == "x:..?q" { format!("resources.read uri={uri}") } else { "ambiguous".to_owned() };
        call("resources/read", &format!(r#"{{"uri":"{uri}"}}"#), &expect);
    }
    call("subscriptions/listen", r#"{"notifications":{"resourceSubscriptions":["file:///a/../b"]}}"#, "ambiguous");
}

#[test]
fn messages_that_json_rpc_has() {
    body(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "notification method=notifications/initialized");
    body(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        "notification method=notifications/cancelled",
    );
    body(r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#, "response");
    body(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#, "response");
    body(r#"{"jsonrpc":"2.0","error":{"code":-1,"message":"no"}}"#, "response");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"vendor/reset"}"#, "request method=vendor/reset");
    body(r#"{"jsonrpc":"2.0","method":"notifications/vendor"}"#, "request method=notifications/vendor");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"Tools/Call"}"#, "request method=Tools/Call");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call "}"#, "request method=tools/call ");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#, "request method=sampling/createMessage");
}

#[test]
fn messages_that_it_does_not_have() {
    // A server might run the call, and only not answer.
    body(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"f"}}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, "malformed");
    body(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "malformed");
    body(r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, "malformed");
    body(r#"{"id":1,"method":"ping"}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","result":{}}"#, "malformed");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"f"},"result":{}}"#, "ambiguous");
    body(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, "ambiguous");
    body(r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#, "ambiguous");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#, "ambiguous");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"ping","meth\u006fd":"tools/call"}"#, "ambiguous");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, "ambiguous");
    body("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}", "ambiguous");
    body(r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}"#, "malformed");
    body(r#""ping""#, "malformed");
    body("", "needs-body");
    body("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}{}", "malformed");
}

#[test]
fn batches() {
    let (list, tool) = (request("tools/list", "{}"), request("tools/call", r#"{"name":"f"}"#));
    body(&format!("[{list}]"), "tools.list");
    body(&format!("[{list},{tool}]"), "tools.list + tools.call tool=f");
    body(r#"[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","method":"notifications/progress"}]"#, {
        "response + notification method=notifications/progress"
    });
    body(&format!("[{}]", vec![list.as_str(); 17].join(",")), "not-understood");
    assert_eq!(
        testing::classify::<Mcp>(post_with("", &format!("[{}]", vec![list.as_str(); 16].join(","))))
            .map(|all| all.len()),
        Ok(16)
    );
    body("[]", "malformed");
    body(&format!("[[{list}]]"), "malformed");
    body(&format!("[{list},null]"), "malformed");
    let lines = "line\\n".repeat(50_000);
    call(
        "tools/call",
        &format!(r#"{{"name":"f","arguments":{{"content":"{lines}"}}}}"#),
        "tools.call tool=f structured=[content]",
    );
    let long: Vec<u8> = post_with("", &format!("[{}]", vec![list; 20_000].join(","))).into_bytes();
    check::<Mcp>(long, "needs-body");
}

#[test]
fn answers_within_requests_are_responses() {
    call(
        "resources/read",
        r#"{"uri":"a:b","inputResponses":{"x":{"action":"accept"}}}"#,
        "resources.read uri=a:b + response",
    );
    call("tools/call", r#"{"name":"f","inputResponses":{},"requestState":"s"}"#, "tools.call tool=f + response");
    call("tools/list", r#"{"InputResponses":{}}"#, "ambiguous");
}

#[test]
fn headers_that_repeat_the_body() {
    let tool = request("tools/call", r#"{"name":"get_weather","arguments":{}}"#);
    let read = "tools.call tool=get_weather";
    with("mcp-method: tools/call\nmcp-name: get_weather\n", &tool, read);
    with("mcp-name: =?base64?Z2V0X3dlYXRoZXI=?=\n", &tool, read);
    with("mcp-method: tools/list\n", &tool, "ambiguous");
    with("mcp-method: Tools/Call\n", &tool, "ambiguous");
    with("mcp-name: delete_all\n", &tool, "ambiguous");
    with("mcp-name: =?base64?ZGVsZXRlX2FsbA==?=\n", &tool, "ambiguous");
    with("mcp-name: =?base64?Z2V0X3dlYXRoZXI?=\n", &tool, "ambiguous");
    with("mcp-name: get_weather\nmcp-name: delete_all\n", &tool, "ambiguous");
    with("mcp-method: tools/call\n", &format!("[{tool}]"), "ambiguous");
    with("mcp-method: tools/call\n", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "ambiguous");
    with("mcp-name: x\n", &request("tools/list", "{}"), "ambiguous");
    with("mcp-name: a:b\n", &request("resources/read", r#"{"uri":"a:b"}"#), "resources.read uri=a:b");
    with("mcp-name: t1\n", &request("tasks/get", r#"{"taskId":"t1"}"#), "tasks.get");
    with("mcp-name: t2\n", &request("tasks/get", r#"{"taskId":"t1"}"#), "ambiguous");

    let versioned = request("ping", r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#);
    with("mcp-protocol-version: 2026-07-28\n", &versioned, "ping");
    with("mcp-protocol-version: 2025-06-18\n", &versioned, "ambiguous");
    with("mcp-protocol-version: 2025-06-18\nmcp-protocol-version: 2026-07-28\n", &versioned, "ambiguous");
}

#[test]
fn how_it_comes() {
    let ping = request("ping", "{}");
    let of = |kind: &str| format!("POST https://mcp.example/v1/mcp HTTP/1.1\ncontent-type: {kind}\n\n{ping}");
    check::<Mcp>(of("application/json;charset=utf-8"), "ping endpoint=/v1/mcp");
    check::<Mcp>(of("application/json; charset=utf-16"), "ambiguous");
    check::<Mcp>(of("application/json; x=y; charset=latin1"), "ambiguous");
    check::<Mcp>(of("text/plain"), "not-understood");
    check::<Mcp>(format!("POST https://mcp.example/mcp\n\n{ping}"), "not-understood");
    check::<Mcp>(format!("PUT https://mcp.example/mcp\ncontent-type: application/json\n\n{ping}"), "not-understood");
    check::<Mcp>("GET https://mcp.example/mcp\naccept: text/event-stream\n\n", "stream endpoint=/mcp");
    check::<Mcp>(
        "GET https://mcp.example/mcp\naccept: application/json, text/event-stream;q=0.9\n\n",
        "stream endpoint=/mcp",
    );
    check::<Mcp>("GET https://mcp.example/mcp\n\n", "stream endpoint=/mcp + document endpoint=/mcp");
    check::<Mcp>("DELETE https://mcp.example/mcp\nmcp-session-id: 1868a90c\n\n", "session.end endpoint=/mcp");
}

#[test]
fn what_else_is_read() {
    let get = |path: &str, accept: &str, expect: &str| {
        let path_only = path.split('?').next().unwrap();
        let expect = expect.replace('@', &format!("endpoint={path_only}"));
        check::<Mcp>(format!("GET https://mcp.example{path}\naccept: {accept}\n\n"), &expect);
    };
    get("/.well-known/oauth-protected-resource", "*/*", "document @");
    get("/.well-known/oauth-protected-resource/mcp", "application/json", "document @");
    get("/.well-known/oauth-authorization-server", "*/*", "document @");
    get("/.well-known/openid-configuration", "*/*", "document @");
    get("/metadata.json", "application/json", "document @");
    // The server decides: both must be allowed.
    get("/metadata.json", "*/*", "stream @ + document @");
    get("/mcp", "application/json, text/*;q=0.1", "stream @ + document @");
    get("/.well-known/other", "*/*", "stream @ + document @");
    get("/a/.well-known/oauth-protected-resource", "*/*", "stream @ + document @");
    get("/.well-known/oauth-protected-resource", "text/event-stream", "stream @ + document @");
    get("/authorize?response_type=code&client_id=x", "text/html", "authorization.request @");
    get("/mcp?response_type=code", "text/event-stream", "stream @ + authorization.request @");
    get("/mcp?response_type=code", "*/*", "stream @ + authorization.request @");
}

#[test]
fn authorization_at_the_server_itself() {
    let form = |headers: &str, body: &str, expect: &str| {
        let head = "POST https://mcp.example/token\ncontent-type: application/x-www-form-urlencoded";
        let expect = expect.replace('@', "endpoint=/token");
        check::<Mcp>(format!("{head}\n{headers}\n{body}"), &expect);
    };
    form("", "grant_type=authorization_code&code=secret", "authorization.token grant=authorization_code @");
    form("", "grant_type=client_credentials&client_secret=s", "authorization.token grant=client_credentials @");
    form("", "grant_type=refresh_token&grant_type=password", "ambiguous");
    form("", "Grant_Type=refresh_token&grant_type=password", "not-understood");
    form("", "grant_type=", "malformed");
    form("", "grant_type=a%00", "malformed");
    form("", "token=secret", "not-understood");
    form("", "", "not-understood");
    form("mcp-method: tools/call\n", "grant_type=authorization_code", "ambiguous");
    // A message for servers that do not look at the content type.
    form(
        "",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"&grant_type=x&y="}}"#,
        "not-understood",
    );

    let register = r#""redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none""#;
    body(&format!("{{{register}}}"), "authorization.register");
    with("mcp-method: ping\n", &format!("{{{register}}}"), "ambiguous");
    for member in ["method", "Method", "jsonrpc", "id", "params", "result", "error", "param\u{17f}"] {
        let answer = testing::classify::<Mcp>(post_with("", &format!("{{{register},\"{member}\":\"ping\"}}")));
        assert!(answer.is_err(), "{member}: {answer:?}");
    }
    body(&format!("{{{register},\"redirect_uris\":[]}}"), "ambiguous");
    body(&format!("{{{register},\"Redirect_uris\":[]}}"), "ambiguous");
    body(&format!("[{{{register}}}]"), "malformed");
    body(r#"{"client_name":"x"}"#, "malformed");
}

#[test]
fn ids_of_tasks_and_sessions_stay_secret() {
    let vocabulary = Mcp::describe();
    assert!(!vocabulary.headers.iter().any(|header| header == "mcp-session-id"));
    for task in
        [request("tasks/get", r#"{"taskId":"786512e2"}"#), request("tasks/get", r#"{"taskId":"786512e2","taskId":""}"#)]
    {
        let answer = testing::classify::<Mcp>(post_with("mcp-name: 786512e3\n", &task));
        assert!(!format!("{answer:?}").contains("786512e"), "{answer:?}");
    }
}

#[test]
fn the_cases() {
    let expect = [
        ("attack-batch", "tools.list + tools.call delete_file"),
        ("attack-case-of-method", "ambiguous"),
        ("attack-escaped-key", "ambiguous"),
        ("attack-form-message", "not-understood"),
        ("attack-header-differs", "ambiguous"),
        ("attack-method-and-result", "ambiguous"),
        ("attack-notified-call", "malformed"),
        ("attack-tool-twice", "ambiguous"),
        ("attack-uri-upwards", "ambiguous"),
        ("authorization-register", "authorization.register"),
        ("authorization-request", "authorization.request"),
        ("authorization-token", "authorization.token"),
        ("batch", "notification notifications/initialized + tools.list"),
        ("completion", "completion.complete"),
        ("discover", "server.discover"),
        ("document", "document"),
        ("initialize", "initialize"),
        ("initialized", "notification notifications/initialized"),
        ("prompt-get", "prompts.get code_review"),
        ("resource-read", "resources.read file:///project/src/main.rs"),
        ("response", "response"),
        ("session-end", "session.end"),
        ("stream", "stream"),
        ("subscriptions-listen", "subscriptions.listen"),
        ("task-get", "tasks.get"),
        ("tool-call", "tools.call get_weather"),
        ("tool-call-2026-07-28", "tools.call get_weather"),
        ("tool-call-lines", "tools.call write_file"),
        ("tools-list", "tools.list"),
        ("unknown-method", "request vendor/reset"),
    ];
    let brief = |operation: &Operation| {
        let named = ["tool", "prompt", "method"].into_iter().find_map(|name| operation.text_of(name));
        let named = named.or_else(|| operation.text_of("uri").filter(|_| operation.action == "resources.read"));
        named
            .filter(|_| operation.action != "completion.complete")
            .map_or_else(|| operation.action.clone(), |named| format!("{} {named}", operation.action))
    };
    let cases = testing::cases(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    let answers: Vec<_> = (cases.iter())
        .map(|(name, case)| match testing::classify::<Mcp>(case) {
            Ok(operations) => (name.as_str(), operations.iter().map(brief).collect::<Vec<_>>().join(" + ")),
            refusal => (name.as_str(), testing::brief(&refusal)),
        })
        .collect();
    let expect: Vec<_> = expect.into_iter().map(|(name, answer)| (name, answer.to_owned())).collect();
    assert_eq!(answers, expect);
}

/// An operation of every action, with everything that it can have.
fn samples() -> Vec<Operation> {
    let with_arguments = |operation: Operation| {
        let fields = vec![("path".to_owned(), "docs/a \"b\".md".to_owned()), ("n".to_owned(), "3".to_owned())];
        operation.fields("arguments", fields).texts("structured", vec!["list".into()])
    };
    let sample = |action: &str| {
        let operation = Operation::new(action);
        let operation = match action {
            "tools.call" => with_arguments(operation.text("tool", "write_file")),
            "prompts.get" => with_arguments(operation.text("prompt", "review")),
            "resources.read" | "resources.subscribe" | "resources.unsubscribe" => operation.text("uri", "file:///a b"),
            "subscriptions.listen" => operation.texts("uris", vec!["a:x".into(), "b:y".into()]),
            "completion.complete" => operation.text("prompt", "review"),
            "logging.set_level" => operation.text("level", "debug"),
            "notification" => operation.text("method", "notifications/progress"),
            "request" => operation.text("method", "vendor/reset"),
            "authorization.token" => operation.text("grant", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            _ => operation,
        };
        operation.text("endpoint", "/v1/mcp")
    };
    Mcp::describe().actions.iter().map(|action| sample(&action.name)).collect()
}

#[test]
fn examples_read_back() {
    let samples = samples();
    assert_eq!(samples.len(), METHODS.len() + 9);
    for operation in &samples {
        check_example::<Mcp>(operation);
    }
    let hello = Mcp::example(&Suggestion::new(Operation::new("initialize"), "")).unwrap();
    assert_eq!(
        hello.json().unwrap().member("params").unwrap().unwrap().text_member("protocolVersion"),
        Ok(Some("2025-11-25"))
    );
    check_example::<Mcp>(&Operation::new("completion.complete").text("uri", "file:///{path}").text("endpoint", "/mcp"));
}

#[test]
fn suggestions_are_examples_too() {
    let denied =
        testing::classify::<Mcp>(post_with("", &request("tools/call", r#"{"name":"f","arguments":{"a":"x"}}"#)))
            .unwrap();
    let suggestions = Mcp::suggest(&Request::https("POST", "mcp.example"), &denied);
    let [exact, any] = suggestions.as_slice() else { panic!("{suggestions:?}") };
    assert_eq!(exact.operation.value("arguments"), Some(&Value::Fields(vec![("a".into(), "x".into())])));
    assert_eq!(any.operation.value("arguments"), None);
    for suggestion in [exact, any] {
        let operations = Mcp::classify(&Mcp::example(suggestion).unwrap()).unwrap();
        assert_eq!(operations[0].text_of("tool"), Some("f"));
    }
}
