//! Plugins that do what none should: their own hosts get denials, and nobody else notices.

use std::time::{Duration, Instant};

use super::guests::{echo, endpoints, hog, rig};
use super::rig::Raw;

/// Twice the deadline of a call, and some for a busy machine.
const IN_TIME: Duration = Duration::from_millis(1000);

#[tokio::test]
async fn a_plugin_that_misbehaves_is_denied_and_the_others_go_on() {
    for (file, detail) in [
        ("endless_loop", "used up its"),
        ("memory_bomb", "bytes of memory"),
        ("deep_recursion", "call stack exhausted"),
        ("trap", "trapped"),
        ("large_output", "answered with more than"),
        ("aliased_strings", "answered with more than"),
    ] {
        let rig = rig([echo("problem"), hog(file)]).await;
        rig.enforce(
            &endpoints(&[
                "{ host: api.test, port: 443, protocol: acme, access: full }",
                "{ host: hog.test, port: 443, protocol: hog, access: full }",
            ]),
            2,
        );
        let hostile = (0..4).map(|_| async {
            let tunnel = rig.tunnel("hog.test:443").await;
            let mut client = Raw::new(rig.handshake(tunnel, "hog.test").await.unwrap());
            for _ in 0..5 {
                let begun = Instant::now();
                client.send("GET /any HTTP/1.1\r\nhost: hog.test\r\n\r\n").await;
                let denial = client.response().await.denied(403, "plugin_error");
                assert!(begun.elapsed() < IN_TIME, "{file}: {:?}", begun.elapsed());
                let told = denial["detail"].as_str().unwrap();
                // With four at once, one may be told that there are others.
                let named = told.contains("plugin hog@sha256:") && (told.contains(detail) || told.contains("is busy"));
                assert!(named, "{file}: {told}");
            }
        });
        let mut client = rig.tls().await;
        let others = async {
            for _ in 0..100 {
                let answer = client.ask("GET /any").await;
                assert_eq!((answer.status, answer.body.as_str()), (200, "hello"), "{file}");
            }
        };
        tokio::join!(join_all(hostile), others);
    }
}

async fn join_all(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
