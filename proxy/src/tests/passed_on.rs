//! What a plugin was told of is what is sent: the same bytes, framed and encoded as they came.

use std::io::Write;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::guests::{LIMIT, echo, policy, rig};
use super::rig::{Raw, Rig};

/// A body, and how it is put on the wire.
struct Case {
    name: &'static str,
    head: String,
    wire: Vec<u8>,
    /// In clear, as the plugin is told of it.
    told: String,
    seen: i64,
    /// As the upstream must get it.
    bytes: Vec<u8>,
}

fn text(length: usize) -> Vec<u8> {
    b"hello, world; ".iter().copied().cycle().take(length).collect()
}

fn cases() -> Vec<Case> {
    let length = |name, bytes: Vec<u8>, extra: &str| Case {
        name,
        head: format!("content-length: {}\r\n{extra}", bytes.len()),
        told: String::from_utf8(bytes[..bytes.len().min(LIMIT)].to_vec()).unwrap(),
        seen: if bytes.len() > LIMIT { 2 } else { 1 },
        wire: bytes.clone(),
        bytes,
    };
    let chunks = |name, bytes: Vec<u8>, size: usize| Case {
        head: "transfer-encoding: chunked\r\n".to_owned(),
        wire: chunked(&bytes, size),
        ..length(name, bytes, "")
    };
    let zip = |name, clear: Vec<u8>, chunk: Option<usize>| {
        let bytes = gzip(&clear);
        let framing = match chunk {
            Some(_) => "transfer-encoding: chunked\r\n".to_owned(),
            None => format!("content-length: {}\r\n", bytes.len()),
        };
        Case {
            head: format!("content-encoding: gzip\r\n{framing}"),
            wire: chunk.map_or(bytes.clone(), |size| chunked(&bytes, size)),
            bytes,
            ..length(name, clear, "")
        }
    };
    let large = 5 << 20;
    vec![
        length("complete", text(100), ""),
        length("one byte", text(1), ""),
        length("as long as may be", text(LIMIT), ""),
        length("one byte more", text(LIMIT + 1), ""),
        length("truncated, and the rest", text(large), ""),
        length("with an expectation", text(300), "expect: 100-continue\r\n"),
        chunks("in chunks", text(300), 7),
        chunks("in chunks, as long as may be", text(LIMIT), 100),
        chunks("in chunks, truncated, and the rest", text(large), 10_000),
        Case { seen: 1, ..chunks("in chunks, of nothing", Vec::new(), 1) },
        zip("encoded", text(500), None),
        zip("encoded, in chunks", text(500), Some(9)),
        named("encoded, of which only a name is read"),
        zip("encoded, of more than it seems", text(large), None),
        Case { seen: 0, ..length("nothing", Vec::new(), "") },
    ]
}

/// Its clear text is short, and begins after more than is read of it.
fn named(name: &'static str) -> Case {
    let mut encoder = flate2::GzBuilder::new()
        .filename("x".repeat(60_000))
        .comment("x".repeat(60_000))
        .write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"hello").unwrap();
    let bytes = encoder.finish().unwrap();
    let head = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", bytes.len());
    Case { name, head, wire: bytes.clone(), told: String::new(), seen: 2, bytes }
}

fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        write!(out, "{:x}\r\n", chunk.len()).unwrap();
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn gzip(clear: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(clear).unwrap();
    encoder.finish().unwrap()
}

/// What the plugin is told, as the denial of the same request says.
async fn told(rig: &Rig, head: &str, wire: &[u8]) -> serde_json::Value {
    rig.enforce(&policy("rules: [{ allow: { action: \"acme::page.write\" } }]"), 2);
    let answer = post(rig, head, wire).await;
    answer.denied(403, "no_matching_rule")["operation"]["attributes"].take()
}

async fn post(rig: &Rig, head: &str, wire: &[u8]) -> super::rig::Answer {
    let client = rig.tls().await;
    let (read, mut write) = tokio::io::split(client.stream);
    let mut client = Raw::new(tokio::io::join(read, tokio::io::sink()));
    let head = format!("POST /any HTTP/1.1\r\nhost: api.test\r\n{head}\r\n");
    write.write_all(head.as_bytes()).await.unwrap();
    write.flush().await.unwrap();
    if head.contains("expect") {
        assert_eq!(client.head().await.status, 100);
    }
    let wire = wire.to_vec();
    let upload = tokio::spawn(async move {
        // A denial does not wait for what it does not need.
        let _ = write.write_all(&wire).await;
        let _ = write.flush().await;
        write
    });
    let answer = client.answer_in(Duration::from_secs(20)).await;
    drop(upload);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_what_was_told() {
    let rig = rig([echo("problem")]).await;
    for case in cases() {
        let Case { name, head, wire, told: expected, seen, bytes } = case;
        let attributes = told(&rig, &head, &wire).await;
        assert_eq!(attributes["body"], expected, "{name}");
        assert_eq!(attributes["seen"], seen, "{name}");

        rig.enforce(&policy("rules: [{ allow: { action: \"acme::echo\" } }]"), 3);
        let answer = post(&rig, &head, &wire).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"), "{name}: {answer:?}");
        let sent = rig.upstream.seen().pop().unwrap();
        assert!(sent.body == bytes, "{name}: {} bytes arrived of {}", sent.body.len(), bytes.len());
        for header in ["content-length", "transfer-encoding", "content-encoding", "expect"] {
            let line = head.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")));
            let expected = line.filter(|_| header != "expect");
            let arrived = sent.headers.get(header).map(|value| value.to_str().unwrap());
            assert_eq!(arrived, expected, "{name}: {header}");
        }
    }
}

#[tokio::test]
async fn the_rule_is_about_the_bytes_that_are_sent() {
    let rig = rig([echo("problem")]).await;
    rig.enforce(&policy("rules: [{ allow: { action: \"acme::echo\", where: { body: \"hello*\" } } }]"), 2);
    assert_eq!(post(&rig, "content-length: 5\r\n", b"hello").await.status, 200);
    post(&rig, "content-length: 5\r\n", b"h3llo").await.denied(403, "no_matching_rule");
    // In clear it says something else than as it stands.
    let zipped = gzip(b"bye");
    let head = format!("content-encoding: gzip\r\ncontent-length: {}\r\n", zipped.len());
    post(&rig, &head, &zipped).await.denied(403, "no_matching_rule");
    assert_eq!(rig.upstream.lines(), ["POST /any"]);
}

#[tokio::test]
async fn headers_are_told_as_they_are_sent() {
    let rig = rig([echo("problem")]).await;
    for (head, expected) in [
        ("x-acme: one\r\nauthorization: Bearer s3cret\r\nx-other: two\r\n", r#"{"x-acme":"one"}"#),
        ("X-ACME: one\r\nContent-Type: text/plain\r\n", r#"{"x-acme":"one","content-type":"text/plain"}"#),
        ("x-acme: one\r\nconnection: x-acme\r\n", "{}"),
        ("x-acme: \r\n", r#"{"x-acme":""}"#),
    ] {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(told(&rig, head, b"").await["headers"], expected, "{head:?}");
    }
}

#[tokio::test]
async fn what_two_readers_would_read_in_two_ways_is_denied() {
    let rig = rig([echo("problem")]).await;
    rig.enforce(&policy("rules: [{ allow: { action: \"acme::echo\" } }]"), 2);
    let mut trailing = gzip(b"hello");
    trailing.extend_from_slice(b"more");
    let twice = [gzip(b"hello"), gzip(b"bye")].concat();
    let cases: [(&str, &str, &[u8], &str, &str); 9] = [
        ("a header twice", "x-acme: a\r\nx-acme: b\r\n", b"", "plugin_error", "a field twice"),
        ("an alias of a named header", "X_Acme: b\r\n", b"", "request_ambiguous", "read it as \"x-acme\""),
        (
            "an alias of the encoding",
            "Content_Encoding: gzip\r\n",
            b"hello",
            "request_ambiguous",
            "\"content-encoding\"",
        ),
        ("another encoding", "content-encoding: br\r\n", b"hello", "plugin_error", "\"br\" is not read"),
        ("two encodings", "content-encoding: gzip, gzip\r\n", b"hello", "plugin_error", "is not read"),
        (
            "two headers of it",
            "content-encoding: gzip\r\ncontent-encoding: identity\r\n",
            b"x",
            "plugin_error",
            "not read",
        ),
        ("not encoded", "content-encoding: gzip\r\n", b"hello", "request_ambiguous", "the body is not gzip"),
        ("more behind it", "content-encoding: gzip\r\n", &trailing, "request_ambiguous", "something follows its end"),
        ("two members", "content-encoding: gzip\r\n", &twice, "request_ambiguous", "something follows its end"),
    ];
    for (name, head, body, reason, detail) in cases {
        let head = format!("{head}content-length: {}\r\n", body.len());
        let denial = post(&rig, &head, body).await.denied(403, reason);
        assert!(denial["detail"].as_str().unwrap().contains(detail), "{name}: {denial}");
        assert_eq!(denial["protocol"], "acme");
    }
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn what_is_not_needed_is_not_waited_for() {
    let rig = rig([echo("problem")]).await;
    rig.enforce(&policy("rules: [{ allow: { action: \"acme::page.write\" } }]"), 2);
    // DELETE is none of the methods whose bodies this plugin wants to see.
    let mut client = rig.tls().await;
    client.send("DELETE /any HTTP/1.1\r\nhost: api.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let attributes = client.response().await.denied(403, "no_matching_rule")["operation"]["attributes"].take();
    assert_eq!((&attributes["seen"], &attributes["body"]), (&2.into(), &"".into()), "there is one, and that is all");

    rig.enforce(&policy("rules: [{ allow: { action: \"acme::echo\" } }]"), 3);
    let mut client = rig.tls().await;
    client.send("DELETE /any HTTP/1.1\r\nhost: api.test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100, "once it is allowed");
    client.send("hello").await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(rig.upstream.seen()[0].body, "hello");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_decided_on() {
    let rig = rig([echo("problem")]).await;
    rig.enforce(&policy("rules: [{ allow: { action: \"acme::echo\" } }]"), 2);
    let mut client = rig.tls().await;
    client.send("POST /any HTTP/1.1\r\nhost: api.test\r\ncontent-length: 5\r\n\r\nhel").await;
    let started = tokio::time::Instant::now();
    let denial = client.answer_in(Duration::from_secs(30)).await.denied(408, "plugin_error");
    assert!(denial["detail"].as_str().unwrap().contains("did not arrive within 15 seconds"), "{denial}");
    assert!((14..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn only_so_much_is_kept_of_what_is_not_decided_yet() {
    let rig = rig([echo("problem")]).await;
    rig.enforce(&policy("rules: [{ allow: { action: \"acme::echo\" } }]"), 2);
    let all = rig.shared.room.available_permits();
    let taken = rig.shared.room.clone().try_acquire_many_owned(u32::try_from(all).unwrap() - 4).unwrap();
    let denial = post(&rig, "content-length: 5\r\n", b"hello").await.denied(403, "plugin_error");
    assert!(denial["detail"].as_str().unwrap().contains("too much is being read"), "{denial}");
    drop(taken);
    assert_eq!(post(&rig, "content-length: 5\r\n", b"hello").await.status, 200);
    assert_eq!(rig.shared.room.available_permits(), all, "and it is given back");
}
