//! HTTP/3: the same hosts over UDP, where nobody would read it. It is refused at once, so that clients fall back.

use narrowgate_tests::system::HOST;

use crate::{confined, stopped};

/// The head of a QUIC version 1 Initial packet, as long as they must be.
const INITIAL: &str = "
import socket, sys, time
packet = bytes([0xc3, 0, 0, 0, 1, 8]) + bytes(8) + bytes([0, 0, 0x44, 0x9e]) + bytes(1182)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
start = time.monotonic()
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    s.send(packet)
    s.recv(2000)
    print('answered')
except socket.timeout:
    print('silence')
except OSError as e:
    print('refused', e)
";

#[tokio::test(flavor = "multi_thread")]
async fn reaches_nobody() {
    let (confined, canary) = confined().await;
    stopped(&confined, &canary, INITIAL, &["127.0.0.1", &canary.udp().to_string()]).await;
    // By the name of a host that is allowed, and by an address.
    for host in [HOST, "203.0.113.9"] {
        let inside = confined.python(INITIAL, &[host, "443"]).await;
        assert!(inside.stdout.contains("refused"), "{host}: {inside:?}");
    }
}
