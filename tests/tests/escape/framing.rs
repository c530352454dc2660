//! Messages that two parsers could cut in different places, and headers that concern one hop.

use narrowgate_tests::system::HOST;

use crate::system;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_one_end() {
    let system = system().await;
    let smuggled = "GET /secret HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    let head = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n\r\n");
    let get = "GET /public/a";
    for raw in [
        head(get, "Content-Length: 4\r\nTransfer-Encoding: chunked") + "0\r\n\r\n" + smuggled,
        head(get, "Transfer-Encoding: chunked\r\nContent-Length: 4") + "0\r\n\r\n" + smuggled,
        head(get, "Content-Length: 0\r\nContent-Length: 48") + smuggled,
        head(get, "Content-Length: 0, 48") + smuggled,
        head(get, "Content-Length: +0") + smuggled,
        head(get, "Content-Length: -1") + smuggled,
        head(get, "Content-Length : 0") + smuggled,
        head(get, "Transfer-Encoding: xchunked") + "0\r\n\r\n" + smuggled,
        head(get, "Transfer-Encoding: chunked, identity") + "0\r\n\r\n" + smuggled,
        head(get, "Transfer-Encoding : chunked") + "0\r\n\r\n" + smuggled,
        head(get, "Transfer-Encoding: \x0bchunked") + "0\r\n\r\n" + smuggled,
        head(get, "X: a\r\n folded: b") + smuggled,
        head(get, "X: a\nContent-Length: 0") + smuggled,
        head(get, "X: a\rContent-Length: 0") + smuggled,
        head(get, "X: a\0b") + smuggled,
        format!("{get} HTTP/1.1\nHost: {HOST}\n\n{smuggled}"),
        format!(" {get} HTTP/1.1\r\nHost: {HOST}\r\n\r\n{smuggled}"),
        format!("{get}  HTTP/1.1\r\nHost: {HOST}\r\n\r\n{smuggled}"),
        format!("GET\t/public/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n{smuggled}"),
        format!("{get} HTTP/2.0\r\nHost: {HOST}\r\n\r\n{smuggled}"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        system.upstream.forget();
        let mut client = system.connect(HOST).await;
        client.write(raw.as_bytes()).await;
        while let Some(answer) = client.answer().await {
            assert!(matches!(answer.status, 400..=499 | 501 | 505), "{raw:?}: {}", answer.status);
        }
        assert_eq!(system.upstream.lines(), Vec::<String>::new(), "{raw:?}");
    }
}

/// Requests in one write are requests of their own, each decided.
#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_decided_one_by_one() {
    let system = system().await;
    let mut client = system.connect(HOST).await;
    let raw: String = ["/public/a", "/secret", "/public/b"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"))
        .concat();
    client.write(raw.as_bytes()).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.answer().await.map(|answer| answer.status));
    }
    assert_eq!(statuses, [Some(200), Some(403), Some(200)]);
    assert_eq!(system.upstream.lines(), ["GET /public/a", "GET /public/b"]);
}

/// The body of a denied request is not the next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_body_is_no_request() {
    let system = system().await;
    let mut client = system.connect(HOST).await;
    let inner = format!("GET /public/inner HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let raw = format!("POST /secret HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    client.write(raw.as_bytes()).await;
    assert_eq!(client.answer().await.map(|answer| answer.status), Some(403));
    client.write(format!("GET /public/next HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
    let _ = client.answer().await;
    assert!(!system.upstream.lines().contains(&"GET /public/inner".to_owned()), "{:?}", system.upstream.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_one_hop_stays_on_it() {
    let system = system().await;
    let mut client = system.connect(HOST).await;
    let headers = "Proxy-Authorization: Basic czNjcmV0\r\nProxy-Connection: keep-alive\r\nConnection: x-mine, keep-alive\r\n\
                   X-Mine: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nX-Kept: 2\r\nAuthorization: Bearer upstream";
    client.write(format!("GET /public/a HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n\r\n").as_bytes()).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = &system.upstream.seen()[0];
    let names: Vec<String> = seen.headers.iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    for gone in ["proxy-authorization", "proxy-connection", "x-mine", "keep-alive", "te"] {
        assert!(!names.contains(&gone.to_owned()), "{gone}: {seen:?}");
    }
    for kept in ["x-kept", "authorization"] {
        assert!(names.contains(&kept.to_owned()), "{kept}: {seen:?}");
    }
    // Who asks is no one's business upstream.
    assert!(
        !names.iter().any(|name| name == "forwarded" || name.starts_with("x-forwarded") || name == "via"),
        "{names:?}"
    );
}
