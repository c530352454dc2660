//! Another port of a host that is allowed.

use narrowgate_tests::system::HOST;

use crate::{confined, denied};

const EACH: &str = "
import socket, sys
for port in [22, 80, 8443, 3128]:
    try:
        s = socket.create_connection((sys.argv[1], port), 5)
        s.sendall(b'\\x00')
        got = s.recv(1000)
        assert not got or got.startswith(b'HTTP/1.1 4'), got
    except ConnectionError as e:
        pass
print('done')
";

#[tokio::test(flavor = "multi_thread")]
async fn is_not_open() {
    let (confined, _) = confined().await;
    let inside = confined.python(EACH, &[HOST]).await;
    assert!(inside.stdout.contains("done"), "{inside:?}");
    let denied = denied(&confined);
    for port in [22, 80, 8443, 3128] {
        assert!(denied.iter().any(|line| line.starts_with(&format!("{HOST}:{port} "))), "{port}: {denied:?}");
    }
    assert_eq!(confined.upstream.lines(), Vec::<String>::new());
}
