//! Unix sockets of programs outside: with a name in no file system, and with a path.

use crate::{confined, stopped};

const CONNECT: &str = "
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
try:
    s.connect(sys.argv[1].replace('@', '\\0', 1) if sys.argv[1].startswith('@') else sys.argv[1])
    print('connected')
except OSError as e:
    print('failed', e)
";

#[tokio::test(flavor = "multi_thread")]
async fn with_abstract_names_are_of_another_namespace() {
    let (confined, canary) = confined().await;
    stopped(&confined, &canary, CONNECT, &[&format!("@{}", canary.name())]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_paths_are_covered() {
    let (confined, canary) = confined().await;
    stopped(&confined, &canary, CONNECT, &[&canary.path().to_string_lossy()]).await;
}
