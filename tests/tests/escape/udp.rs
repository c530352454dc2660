//! Datagrams.

use crate::{confined, stopped};

const SEND: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    s.send(b'hello')
    print('sent')
    s.recv(100)
except socket.timeout:
    print('silence')
except OSError as e:
    print('failed', e)
";

#[tokio::test(flavor = "multi_thread")]
async fn to_this_machine_end_in_the_namespace() {
    let (confined, canary) = confined().await;
    let script = SEND.replace("settimeout(5)", "settimeout(0.3)");
    let inside = stopped(&confined, &canary, &script, &["127.0.0.1", &canary.udp().to_string()]).await;
    assert!(inside.stdout.contains("failed"), "{inside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_anywhere_are_refused_at_once() {
    let (confined, _) = confined().await;
    for port in ["9999", "123", "443"] {
        let inside = confined.python(SEND, &["203.0.113.9", port]).await;
        assert!(inside.stdout.contains("failed"), "{port}: {inside:?}");
    }
}
