//! Methods that are not what they say.

use narrowgate_tests::system::HOST;

use crate::system;

#[tokio::test(flavor = "multi_thread")]
async fn a_method_has_one_spelling_and_no_override() {
    let system = system().await;
    let with = |method: &str, headers: &str| format!("{method} /public/a HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n");
    for raw in [
        with("get", ""),
        with("Get", ""),
        with("POST", ""),
        with("POST", "X-HTTP-Method-Override: GET\r\n"),
        with("GET", "X-HTTP-Method-Override: DELETE\r\n"),
        with("GET", "x-method-override: DELETE\r\n"),
        with("GET", "X-HTTP-Method: DELETE\r\n"),
        with("TRACE", ""),
        with("CONNECT", ""),
        with("GET\u{a0}", ""),
        with("PURGE", ""),
    ] {
        let mut client = system.connect(HOST).await;
        client.write(raw.as_bytes()).await;
        let status = client.answer().await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400 | 403 | 405)), "{raw:?}: {status:?}");
        assert_eq!(system.upstream.lines(), Vec::<String>::new(), "{raw:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_is_no_way_out() {
    let system = system().await;
    for upgrade in ["websocket", "h2c", "TLS/1.3", "anything"] {
        let mut client = system.connect(HOST).await;
        let headers = format!(
            "Connection: Upgrade\r\nUpgrade: {upgrade}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"
        );
        client.write(format!("GET /public/a HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n\r\n").as_bytes()).await;
        let status = client.answer().await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400 | 403)), "{upgrade}: {status:?}");
    }
    assert_eq!(system.upstream.lines(), Vec::<String>::new());
}

/// `GET` implies `HEAD`, and a `HEAD` has no body to leak or to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn get_implies_head() {
    let system = system().await;
    let mut client = system.connect(HOST).await;
    client.write(format!("HEAD /public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
    assert_eq!(client.answer_to("HEAD").await.map(|answer| answer.status), Some(200));
    client.write(format!("HEAD /secret HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
    assert_eq!(client.answer_to("HEAD").await.map(|answer| answer.status), Some(403));
    assert_eq!(system.upstream.lines(), ["HEAD /public/a"]);
}
