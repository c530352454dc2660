//! Input that is wrong: a clear answer, and nothing changes.

use std::time::{Duration, Instant};
use std::{fs, net::SocketAddr};

use narrowgate_gateway::{Config as GatewayConfig, Gateway};
use narrowgate_proxy::{Config as ProxyConfig, GatewayClient, Proxy};
use narrowgate_tests::system::{Client, System, eventually, rest_rule};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_is_wrong_is_answered_with_the_pointer() {
    let system = System::usual().await;
    let add = |rule: Value| json!({ "intent_summary": "x", "operations": [{ "addRule": { "ruleName": "a", "rule": rule } }] });
    let cases = [
        (json!("no map"), ""),
        (json!({ "operations": [] }), ""),
        (json!({ "intent_summary": "x" }), ""),
        (json!({ "intent_summary": "x", "operations": [] }), "/operations"),
        (json!({ "intent_summary": "x", "operations": [{ "setRule": {} }] }), "/operations/0"),
        (add(json!({})), "/operations/0/addRule/rule"),
        (add(rest_rule("put", "/a")), "/operations/0/addRule/rule/endpoints/0/rules/0/allow/method"),
        (add(rest_rule("PUT", "/a**")), "/operations/0/addRule/rule/endpoints/0/rules/0/allow/path"),
        (
            add(json!({ "endpoints": [{ "host": "*.com", "port": 443 }] })),
            "/operations/0/addRule/rule/endpoints/0/host",
        ),
        (add(json!({ "endpoints": [{ "host": "a.com", "port": 0 }] })), "/operations/0/addRule/rule/endpoints/0/port"),
        (
            add(json!({ "endpoints": [{ "host": "a.com", "port": 443, "colour": 1 }] })),
            "/operations/0/addRule/rule/endpoints/0/colour",
        ),
    ];
    for (body, pointer) in cases {
        let answer = system.local("POST", "/v1/proposals", &body.to_string()).await;
        let said = answer.json();
        assert_eq!((answer.status, &said["error"]), (400, &json!("invalid_proposal")), "{body}: {said}");
        assert!(said["pointer"].as_str().unwrap().starts_with(pointer), "{body}: {said}");
        assert!(said["message"].as_str().is_some_and(|message| !message.is_empty()), "{said}");
    }
    for broken in ["{", "", "{\"intent_summary\":1,\"intent_summary\":2}", "\u{feff}{}"] {
        let answer = system.local("POST", "/v1/proposals", broken).await;
        assert_eq!(answer.status, 400, "{broken:?}: {}", answer.text());
    }
    assert!(system.proposals().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_local_has_limits() {
    let system = System::usual().await;
    let unknown = system.local("GET", "/v1/ceiling", "").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("/v1/proposals"), "the list of routes: {}", unknown.text());
    for id in ["p_unknown", "p_%2e%2e", "..%2f..%2fceiling", "p_1?x=/../../ceiling"] {
        let answer = system.local("GET", &format!("/v1/proposals/{id}"), "").await;
        assert!(matches!(answer.status, 400 | 404), "{id}: {} {}", answer.status, answer.text());
    }
    let large = format!("{{\"intent_summary\":\"{}\"}}", "x".repeat(64 * 1024));
    let mut client = Client::plain(system.proxy_addr()).await;
    let answer = client.request("POST", "http://policy.local/v1/proposals", "policy.local", &large).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    // Without a length to believe, it is counted.
    let mut client = Client::plain(system.proxy_addr()).await;
    client.write(b"POST http://policy.local/v1/proposals HTTP/1.1\r\nHost: policy.local\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.write(&[b"11000\r\n".as_slice(), &[b' '; 0x11000], b"\r\n0\r\n\r\n"].concat()).await;
    assert_eq!(client.answer().await.map(|answer| answer.status), Some(413));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_dawdles_is_not_waited_for() {
    let system = System::usual().await;
    let start = Instant::now();
    let mut client = Client::plain(system.proxy_addr()).await;
    client
        .write(b"POST http://policy.local/v1/proposals HTTP/1.1\r\nHost: policy.local\r\nContent-Length: 100\r\n\r\n{")
        .await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(start.elapsed() >= Duration::from_secs(14), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_role_may_and_nothing_else() {
    let system = System::usual().await;
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    let other: Value = system
        .admin()
        .post("/v1/sandboxes", &json!({ "name": "other", "policy_yaml": "version: 1\nnetwork_policies: {}\n" }))
        .await
        .unwrap();
    let other = system.sandbox().with_token(other["token"].as_str().unwrap()).unwrap();
    let stranger = system.sandbox().with_token("0".repeat(64)).unwrap();
    let proposal = format!("/v1/proposals/{id}");
    let gets = [
        ("/v1/keys", [200, 200, 200, 200, 401]),
        ("/v1/ceiling", [403, 200, 200, 403, 401]),
        ("/v1/sandboxes", [403, 200, 200, 403, 401]),
        ("/v1/sandboxes/dev/bundle?after=0", [200, 200, 200, 404, 401]),
        (proposal.as_str(), [200, 200, 200, 404, 401]),
        ("/v1/proposals?sandbox=dev", [403, 200, 200, 403, 401]),
    ];
    for (path, statuses) in gets {
        let clients = [system.sandbox(), system.reviewer(), system.admin(), other.clone(), stranger.clone()];
        for ((client, expect), who) in
            clients.iter().zip(statuses).zip(["sandbox", "reviewer", "admin", "other", "stranger"])
        {
            let status = match client.get::<Value>(path).await {
                Ok(_) => 200,
                Err(error) => error.status().unwrap_or_else(|| panic!("{error}")),
            };
            // What an administrator may read beyond what is needed is the gateway's to choose.
            assert!(status == expect || (who == "admin" && status == 403), "{who} {path}: {status}, not {expect}");
        }
    }
    let token = system.proposal(&id).await.review_token.unwrap();
    let body = json!({ "review_token": token });
    for (client, expect) in [(system.sandbox(), 403), (other, 404), (stranger, 401)] {
        let error = client.post::<Value>(&format!("{proposal}/approve"), &body).await.unwrap_err();
        // Forbidden or not there: either keeps it shut.
        assert!(error.status() == Some(expect) || matches!(error.status(), Some(403 | 404)), "{error}, not {expect}");
    }
    assert_eq!(system.bundle().await.version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_outside_the_ceiling_never_exists() {
    let system = System::usual().await;
    let wide = "version: 1\nnetwork_policies: { a: { endpoints: [{ host: api.example.com, port: 443 }] } }\n";
    let error = system
        .admin()
        .post::<Value>("/v1/sandboxes", &json!({ "name": "wide", "policy_yaml": wide }))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("outside_org_ceiling"), "{error}");
    for (name, policy) in
        [("dev", "version: 1\nnetwork_policies: {}\n"), ("../a", wide), ("ok", "version: 2\n"), ("ok", "a: &b")]
    {
        let error = system
            .admin()
            .post::<Value>("/v1/sandboxes", &json!({ "name": name, "policy_yaml": policy }))
            .await
            .unwrap_err();
        assert!(matches!(error.status(), Some(400 | 409)), "{name}: {error}");
    }
    let list: Value = system.admin().get("/v1/sandboxes").await.unwrap();
    assert_eq!(list["sandboxes"].as_array().map(Vec::len), Some(1), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_policy_that_was_changed_is_not_enforced() {
    let mut system = System::usual().await;
    system.stop_proxy().await;
    system.stop_gateway().await;
    let file = system.dir().join("proxy/bundle.json");
    let bundle = fs::read_to_string(&file).unwrap();
    for (what, changed) in [
        ("another policy", bundle.replace("read-only", "full")),
        ("half a file", bundle[..bundle.len() / 2].to_owned()),
        ("another sandbox", bundle.replace("\"sandbox\":\"dev\"", "\"sandbox\":\"dove\"")),
        ("no signature", bundle.replace("\"sig\":\"", "\"sig\":\"AA")),
    ] {
        assert_ne!(changed, bundle, "{what}");
        fs::write(&file, changed).unwrap();
        let config = ProxyConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            ..ProxyConfig::new("dev", system.sandbox(), system.dir().join("proxy"))
        };
        assert!(Proxy::start(config).await.is_err(), "{what}: enforced");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_another_key_is_not_believed() {
    let mut system = System::usual().await;
    system.stop_proxy().await;
    system.stop_gateway().await;
    fs::remove_file(system.dir().join("gateway/signing.key")).unwrap();
    system.start_gateway().await;
    // What the known key has signed stays good; what the new one signs does not come into force.
    system.start_proxy().await;
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    system.approve(&id).await;
    assert_eq!(system.bundle().await.version, 3, "the policy in force was signed anew, and then the approved one");
    let refused = || {
        system
            .audit()
            .iter()
            .any(|line| line["class_uid"] == 5002 || line.to_string().to_lowercase().contains("refused"))
    };
    eventually("the audit log says that it was refused", refused).await;
    assert_eq!(system.version(), 1);
    assert_eq!(system.curl(&["-X", "PUT", "https://api.example.com/repos/acme/site/docs/a.md"]).await.status, 403);
    // Nor does a proxy start on it that has nothing better.
    system.stop_proxy().await;
    fs::remove_file(system.dir().join("proxy/bundle.json")).unwrap();
    let config = ProxyConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        ..ProxyConfig::new("dev", system.sandbox(), system.dir().join("proxy"))
    };
    assert!(Proxy::start(config).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_in_use_and_gateways_that_are_away_are_named() {
    let system = System::usual().await;
    let taken = system.proxy_addr();
    let config =
        ProxyConfig { listen: taken, ..ProxyConfig::new("dev", system.sandbox(), system.dir().join("second")) };
    let error = refused(Proxy::start(config).await);
    assert!(error.contains(&taken.to_string()), "{error}");
    let config = GatewayConfig { listen: taken, ..GatewayConfig::new(system.dir().join("second-gateway")) };
    let error = refused(Gateway::start(config).await);
    assert!(error.contains(&taken.to_string()), "{error}");
    let exposed: SocketAddr = ([0, 0, 0, 0], 0).into();
    let config = GatewayConfig { listen: exposed, ..GatewayConfig::new(system.dir().join("third-gateway")) };
    assert!(refused(Gateway::start(config).await).contains("loopback"));
    let away = GatewayClient::new("http://127.0.0.1:1", "token").unwrap();
    let config =
        ProxyConfig { listen: ([127, 0, 0, 1], 0).into(), ..ProxyConfig::new("dev", away, system.dir().join("third")) };
    let error = refused(Proxy::start(config).await);
    assert!(error.contains("127.0.0.1:1"), "{error}");
    assert!(GatewayClient::new("http://gateway.example.com", "token").is_err(), "a token in the clear");
}

/// What a service that must not start says.
fn refused<T, E: std::fmt::Display>(started: Result<T, E>) -> String {
    match started {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}
