//! A TCP connection that asks no proxy.

use crate::{confined, denied, stopped};

const CONNECT: &str = "
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    s.sendall(b'hello')
    print('answered', s.recv(100))
except OSError as e:
    print('failed', e)
";

#[tokio::test(flavor = "multi_thread")]
async fn to_this_machine_ends_in_the_namespace() {
    let (confined, canary) = confined().await;
    let inside = stopped(&confined, &canary, CONNECT, &["127.0.0.1", &canary.tcp().to_string()]).await;
    assert!(inside.stdout.contains("refused"), "{inside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_anywhere_is_decided_by_the_proxy() {
    let (confined, _) = confined().await;
    let inside = confined.python(CONNECT, &["203.0.113.9", "4444"]).await;
    assert!(!inside.stdout.contains("answered b'h"), "{inside:?}");
    assert!(denied(&confined).iter().any(|line| line.starts_with("203.0.113.9:4444 ")), "{:?}", confined.audit());
    assert_eq!(confined.upstream.lines(), Vec::<String>::new());
}
