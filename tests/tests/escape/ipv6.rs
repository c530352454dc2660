//! The other protocol family.

use crate::{confined, denied, stopped};

const CONNECT: &str = "
import socket, sys
try:
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect((sys.argv[1], int(sys.argv[2])))
    s.sendall(b'hello')
    print('answered', s.recv(100))
except OSError as e:
    print('failed', e)
";
const SEND: &str = "
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(5)
try:
    s.connect(('2001:db8::9', 443))
    s.send(b'hello')
    s.recv(100)
    print('answered')
except OSError as e:
    print('failed', e)
";

#[tokio::test(flavor = "multi_thread")]
async fn leads_nowhere_else() {
    let (confined, canary) = confined().await;
    if let Some(port) = canary.tcp6() {
        stopped(&confined, &canary, CONNECT, &["::1", &port.to_string()]).await;
    }
    // An IPv4 address in IPv6's clothes is that address.
    for (address, named) in [("2001:db8::9", "2001:db8::9"), ("::ffff:203.0.113.9", "203.0.113.9")] {
        let inside = confined.python(CONNECT, &[address, "4444"]).await;
        assert!(!inside.stdout.contains("answered b'h"), "{inside:?}");
        let denied = denied(&confined);
        assert!(denied.iter().any(|line| line.contains(named) && line.contains(":4444 ")), "{address}: {denied:?}");
    }
    let inside = confined.python(SEND, &[]).await;
    assert!(inside.stdout.contains("failed"), "{inside:?}");
}
