//! CONNECT target, server name, Host header and absolute form must be one destination.

use narrowgate_tests::system::{Client, HOST, OTHER, System};

use crate::system;

/// What went through, for requests that must not.
async fn refused(system: &System, raw: &str) {
    let mut client = system.connect(HOST).await;
    client.write(raw.as_bytes()).await;
    let status = client.answer().await.map(|answer| answer.status);
    assert!(matches!(status, None | Some(400 | 403)), "{raw:?}: {status:?}");
    assert_eq!(system.upstream.lines(), Vec::<String>::new(), "{raw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_the_destination_that_was_connected_to() {
    let system = system().await;
    let line = "GET /public/a HTTP/1.1\r\n";
    for raw in [
        format!("{line}Host: {OTHER}\r\n\r\n"),
        format!("{line}Host: {HOST}:8443\r\n\r\n"),
        format!("{line}Host: {HOST}:80\r\n\r\n"),
        format!("{line}Host: {HOST}\r\nHost: {OTHER}\r\n\r\n"),
        format!("{line}Host: {HOST}\r\nHost: {HOST}\r\n\r\n"),
        format!("{line}Host: {HOST}@{OTHER}\r\n\r\n"),
        format!("{line}Host: {HOST}, {OTHER}\r\n\r\n"),
        format!("{line}Host: {HOST}/\r\n\r\n"),
        format!("{line}Host: \r\n\r\n"),
        format!("{line}\r\n"),
        format!("{line}Host: policy.local\r\n\r\n"),
        format!("GET https://{OTHER}/public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET https://{OTHER}/public/a HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"),
        format!("GET http://{HOST}/public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET https://u:p@{HOST}/public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("CONNECT {OTHER}:443 HTTP/1.1\r\nHost: {OTHER}:443\r\n\r\n"),
        "GET http://policy.local/v1/policy/current HTTP/1.1\r\nHost: policy.local\r\n\r\n".to_owned(),
    ] {
        refused(&system, &raw).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_the_same_destination_are_one() {
    let system = system().await;
    for host in [HOST, "API.Example.COM", "api.example.com.", "api.example.com:443"] {
        let mut client = system.connect(HOST).await;
        let answer = client.request("GET", "/public/a", host, "").await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    assert!(system.upstream.seen().iter().all(|seen| seen.host == HOST), "{:?}", system.upstream.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_is_the_connect_target() {
    let system = system().await;
    let (answer, client) = system.tunnel(&format!("{HOST}:443")).await;
    assert_eq!(answer.status, 200);
    assert!(client.tls(OTHER, &system.ca_bundle()).await.is_err(), "another server name");
    // Bytes that are no TLS at all.
    let (answer, mut client) = system.tunnel(&format!("{HOST}:443")).await;
    assert_eq!(answer.status, 200);
    client.write(format!("GET /public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
    assert!(client.answer().await.is_none_or(|answer| matches!(answer.status, 400 | 403)));
    assert_eq!(system.upstream.lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_has_one_destination() {
    let system = system().await;
    for (target, host) in [
        (format!("{HOST}:443"), format!("{OTHER}:443")),
        (format!("{HOST}:443"), format!("{HOST}:8443")),
        (format!("u:p@{HOST}:443"), format!("{HOST}:443")),
        (format!("{HOST}:0443"), format!("{HOST}:443")),
        (HOST.to_owned(), HOST.to_owned()),
        (format!("{HOST}%00.evil.net:443"), format!("{HOST}:443")),
        ("0x7f.0.0.1:443".to_owned(), "0x7f.0.0.1:443".to_owned()),
        ("2130706433:443".to_owned(), "2130706433:443".to_owned()),
        ("[::ffff:127.0.0.1]:443".to_owned(), "[::ffff:127.0.0.1]:443".to_owned()),
        ("policy.local:80".to_owned(), format!("{HOST}:443")),
        ("policy.local:443".to_owned(), "policy.local:443".to_owned()),
    ] {
        let mut client = Client::plain(system.proxy_addr()).await;
        client.write(format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await;
        let status = client.answer_to("CONNECT").await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400 | 403)), "{target} {host}: {status:?}");
    }
    // A spelling of an allowed destination is that destination.
    let (answer, _) = system.tunnel("API.example.com.:443").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_itself_takes_absolute_forms_of_plain_http_only() {
    let system = system().await;
    for raw in [
        format!("GET https://{HOST}/public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET ftp://{HOST}/public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET /public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}/public/a HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"),
        format!("GET http://{HOST}:443/public/a HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n"),
        "GET http://127.0.0.1/public/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(),
    ] {
        let mut client = Client::plain(system.proxy_addr()).await;
        client.write(raw.as_bytes()).await;
        let status = client.answer().await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400..=404 | 421)), "{raw:?}: {status:?}");
    }
    assert_eq!(system.upstream.lines(), Vec::<String>::new());
}
