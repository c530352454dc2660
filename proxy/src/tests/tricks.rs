//! Requests that two servers could read in two ways: refused, or decided and forwarded in one form.

use super::rig::{Raw, Rig};

#[tokio::test]
async fn what_is_forwarded_is_what_was_decided() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    for (sent, forwarded) in [
        ("GET /ok/%61", "GET /ok/a"),
        ("GET /ok/%7euser", "GET /ok/~user"),
        ("GET /ok/a%2a", "GET /ok/a%2A"),
        ("GET /other/../ok/a", "GET /ok/a"),
        ("GET /other/%2e%2e/ok/a", "GET /ok/a"),
        ("GET /ok/./a/", "GET /ok/a/"),
        ("GET https://api.test/ok/a", "GET /ok/a"),
        ("GET https://API.test:443/ok/a?x=%41", "GET /ok/a?x=A"),
    ] {
        let before = rig.upstream.seen().len();
        let answer = client.ask(sent).await;
        assert_eq!(answer.status, 200, "{sent}: {answer:?}");
        assert_eq!(rig.upstream.lines()[before..], [forwarded], "{sent}");
    }
    let connections: std::collections::BTreeSet<_> = rig.upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.len(), 1, "one client connection needs one upstream connection");
    let host = &rig.upstream.seen()[0].headers["host"];
    assert_eq!(host, "api.test");
}

#[tokio::test]
async fn what_escapes_a_rule_in_canonical_form_is_denied() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    for line in [
        "GET /ok/../other",
        "GET /ok/%2e%2e/other",
        "GET /ok/.%2E/other",
        "GET /OK/a",
        "PATCH /ok/a",
        "GET /ok/x/../secret/a",
        "GET /ok/s%65cret/a",
    ] {
        assert_eq!(client.ask(line).await.status, 403, "{line}");
    }
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn what_has_two_readings_is_denied() {
    refused(
        403,
        &[
            "GET //ok/a HTTP/1.1\r\nhost: api.test",
            "GET /ok//a HTTP/1.1\r\nhost: api.test",
            "GET /ok/a;x HTTP/1.1\r\nhost: api.test",
            "GET /ok/a%2fb HTTP/1.1\r\nhost: api.test",
            "GET /ok/a%5cb HTTP/1.1\r\nhost: api.test",
            "GET /ok/a%00 HTTP/1.1\r\nhost: api.test",
            "GET /ok/%252e%252e/a HTTP/1.1\r\nhost: api.test",
            "GET /ok/%zz HTTP/1.1\r\nhost: api.test",
            "GET /../ok HTTP/1.1\r\nhost: api.test",
            "get /ok/a HTTP/1.1\r\nhost: api.test",
            "TRACE /ok/a HTTP/1.1\r\nhost: api.test",
            "OPTIONS * HTTP/1.1\r\nhost: api.test",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nx-http-method-override: DELETE",
            "POST /ok/a HTTP/1.1\r\nhost: api.test\r\nx-method-override: DELETE\r\ncontent-length: 0",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nupgrade: websocket\r\nconnection: upgrade",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nX_HTTP_Method_Override: DELETE",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nx-http_method: DELETE",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nx-original-url: /ok/secret/a",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nx_rewrite_url: /ok/secret/a",
            "POST /ok/a HTTP/1.1\r\nhost: api.test\r\ntransfer_encoding: chunked\r\ncontent-length: 0",
            "POST /ok/a HTTP/1.1\r\nhost: api.test\r\ncontent_length: 5\r\ncontent-length: 0",
            "GET /ok/a?_method=DELETE HTTP/1.1\r\nhost: api.test",
            "GET /ok/a?x=1&%5Fmeth%6fd=DELETE HTTP/1.1\r\nhost: api.test",
            "GET /ok/a?_method=GET&_method=DELETE HTTP/1.1\r\nhost: api.test",
            "GET /ok/a?_method HTTP/1.1\r\nhost: api.test",
            "GET /ok/a?+.method=DELETE HTTP/1.1\r\nhost: api.test",
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_broken_or_names_two_destinations_is_no_request() {
    refused(
        400,
        &[
            "GET /ok/a#b HTTP/1.1\r\nhost: api.test",
            "GET /ok/a HTTP/1.1",
            "GET /ok/a HTTP/1.1\r\nhost: other.test",
            "GET /ok/a HTTP/1.1\r\nhost: api.test:80",
            "GET /ok/a HTTP/1.1\r\nhost: user@api.test",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nhost: api.test",
            "GET https://other.test/ok/a HTTP/1.1\r\nhost: api.test",
            "GET http://api.test/ok/a HTTP/1.1\r\nhost: api.test",
            "GET https://api.test/ok/a HTTP/1.1\r\nhost: other.test",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nexpect: something",
            "POST /ok/a HTTP/1.1\r\nhost: api.test\r\ncontent-length: 3\r\ntransfer-encoding: chunked",
            "POST /ok/a HTTP/1.1\r\nhost: api.test\r\ntransfer-encoding: gzip, chunked",
            "POST /ok/a HTTP/1.1\r\nhost: api.test\r\ncontent-length: 0\r\ncontent-length: 0",
            "GET /ok/a HTTP/1.1\r\nhost: api.test\r\nx: a\r\n b",
        ],
    )
    .await;
}

/// Each on a connection of its own to `api.test`; none reaches it.
async fn refused(status: u16, heads: &[&str]) {
    let rig = Rig::new().await;
    for head in heads {
        let mut client = rig.tls().await;
        client.send(&format!("{head}\r\n\r\n")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, status, "{head}");
        let body = answer.denied(status, "request_ambiguous");
        assert_eq!((&body["host"], &body["port"]), (&"api.test".into(), &443.into()), "{head}");
        assert!(rig.audit().contains(body["host"].as_str().unwrap()), "audited");
    }
    assert!(rig.upstream.seen().is_empty(), "{:?}", rig.upstream.lines());
}

#[tokio::test]
async fn to_the_proxy_itself_only_one_form_will_do() {
    let rig = Rig::new().await;
    for (request, status) in [
        ("GET http://plain.test/a HTTP/1.1\r\nhost: plain.test\r\n\r\n", 200),
        ("GET http://PLAIN.test:80/a HTTP/1.1\r\nhost: plain.test\r\n\r\n", 200),
        ("GET http://plain.test HTTP/1.1\r\nhost: plain.test\r\n\r\n", 200),
        ("GET http://plain.test?q HTTP/1.1\r\nhost: plain.test\r\n\r\n", 200),
        ("GET http://plain.test/a HTTP/1.1\r\nhost: api.test\r\n\r\n", 400),
        ("GET http://plain.test/a HTTP/1.1\r\n\r\n", 400),
        ("GET http://u:p@plain.test/a HTTP/1.1\r\nhost: plain.test\r\n\r\n", 400),
        ("GET http://api.test:443/ok/a HTTP/1.1\r\nhost: api.test:443\r\n\r\n", 400),
        ("GET https://api.test/ok/a HTTP/1.1\r\nhost: api.test\r\n\r\n", 400),
        ("GET ftp://api.test/ok/a HTTP/1.1\r\nhost: api.test\r\n\r\n", 400),
        ("GET /a HTTP/1.1\r\nhost: plain.test\r\n\r\n", 400),
        ("GET http://other.test/ HTTP/1.1\r\nhost: other.test\r\n\r\n", 403),
        ("GET http://policy.local/v1/skill HTTP/1.1\r\nhost: policy.local\r\n\r\n", 200),
        ("GET /v1/skill HTTP/1.1\r\nhost: policy.local\r\n\r\n", 200),
        ("GET http://policy.local/v1/skill HTTP/1.1\r\nhost: plain.test\r\n\r\n", 400),
        ("GET http://plain.test/v1/skill HTTP/1.1\r\nhost: policy.local\r\n\r\n", 400),
        ("CONNECT api.test:443 HTTP/1.1\r\nhost: other.test:443\r\n\r\n", 400),
        (
            "POST http://plain.test/a HTTP/1.1\r\nhost: plain.test\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            400,
        ),
    ] {
        let mut client = rig.dial().await;
        client.send(request).await;
        let answer = client.response().await;
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    }
    assert_eq!(rig.upstream.lines(), ["GET /a", "GET /a", "GET /", "GET /?q"]);
}

#[tokio::test]
async fn sni_and_tunnel_must_agree() {
    let rig = Rig::new().await;
    let other = rig.handshake(rig.tunnel("api.test:443").await, "other.test").await;
    assert!(other.is_err(), "the handshake fails");
    let mut plain = Raw::new(rig.tunnel("api.test:443").await);
    plain.send("GET /ok/a HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
    assert!(!plain.more().await, "what is not TLS in a tunnel that must be read is closed");
    let mut late = 0;
    while rig.audit().matches("request_ambiguous").count() < 2 && late < 50 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        late += 1;
    }
    assert_eq!(rig.audit().lines().filter(|line| line.contains("request_ambiguous")).count(), 2, "{}", rig.audit());
    assert!(rig.upstream.seen().is_empty());
    let mut http = Raw::new(rig.tunnel("plain.test:80").await);
    http.send("GET /in-tunnel HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    assert_eq!(http.response().await.body, "hello", "HTTP in a tunnel to port 80 is read like any other");
}

#[tokio::test]
async fn what_concerns_one_hop_stays_there() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    client
        .send(
            "GET /ok/forged HTTP/1.1\r\nhost: api.test\r\nproxy-authorization: Basic czNjcmV0\r\nte: trailers\r\n\
             connection: x-mine, keep-alive\r\nx-mine: 1\r\n\
             forwarded: for=127.0.0.1\r\nx-forwarded-host: other.test\r\nx_forwarded_for: 127.0.0.1\r\nauthorization: Bearer kept\r\n\r\n",
        )
        .await;
    let answer = client.response().await;
    for gone in ["x-narrowgate-decision", "proxy-authenticate", "x-hop"] {
        assert!(!answer.head.contains(gone), "{answer:?}");
    }
    assert!(answer.head.contains("x-kept: 1"), "{answer:?}");
    let headers = &rig.upstream.seen()[0].headers;
    for gone in
        ["proxy-authorization", "te", "x-mine", "connection", "forwarded", "x-forwarded-host", "x_forwarded_for"]
    {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(headers["authorization"], "Bearer kept");
    assert!(!rig.audit().contains("czNjcmV0") && !rig.audit().contains("kept"));
}
