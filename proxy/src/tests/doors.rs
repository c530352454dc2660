//! The ways in besides HTTP, over real sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::rig::{Raw, Rig};
use crate::Proxy;
use crate::doors::{Doors, Names, captured};
use crate::shared::Peer;
use crate::stream::Client;

const SUCCEEDED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn request(name: &str, port: u16) -> Vec<u8> {
    [&[5, 1, 0, 3, u8::try_from(name.len()).unwrap()], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// A client past the greeting.
async fn greeted(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.proxy.addr()).await.unwrap();
    stream.write_all(&[5, 1, 0]).await.unwrap();
    assert_eq!(exactly::<2>(&mut stream).await, [5, 0]);
    stream
}

/// A client past its request, which was answered with `reply`.
async fn socks(rig: &Rig, name: &str, port: u16, reply: u8) -> TcpStream {
    let mut stream = greeted(rig).await;
    stream.write_all(&request(name, port)).await.unwrap();
    let answer: [u8; 10] = exactly(&mut stream).await;
    assert_eq!(answer, [5, reply, 0, 1, 0, 0, 0, 0, 0, 0], "{name}:{port}");
    stream
}

async fn exactly<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut bytes)).await.expect("nothing came").unwrap();
    bytes
}

async fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut bytes)).await;
    read.expect("the connection stays open").ok();
    bytes
}

#[tokio::test]
async fn a_socks_stream_is_relayed_or_read_as_the_policy_says() {
    let rig = Rig::new().await;
    let mut raw = socks(&rig, "raw.test", 9000, 0).await;
    raw.write_all(b"\x05anything at all").await.unwrap();
    assert_eq!(&exactly::<16>(&mut raw).await, b"\x05anything at all");

    let tls = rig.handshake(socks(&rig, "API.test.", 443, 0).await, "api.test").await.unwrap();
    let mut client = Raw::new(tls);
    assert_eq!(client.ask("GET /ok/a").await.status, 200);
    client.ask("GET /ok/secret/a").await.denied(403, "deny_rule");

    let mut plain = Raw::new(socks(&rig, "plain.test", 80, 0).await);
    plain.send("GET /a HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    assert_eq!(plain.response().await.body, "hello");
    plain.send("GET /a HTTP/1.1\r\nhost: other.test\r\n\r\n").await;
    plain.response().await.denied(400, "request_ambiguous");
    assert_eq!(rig.upstream.lines(), ["GET /ok/a", "GET /a"]);
}

#[tokio::test]
async fn a_socks_stream_that_no_rule_allows_is_a_denial_like_any() {
    let rig = Rig::new().await;
    for (name, port, reason) in [
        ("other.test", 443, "no_matching_rule"),
        ("raw.test", 9001, "no_matching_rule"),
        ("169.254.169.254", 80, "destination_blocked"),
        ("localhost", 80, "destination_blocked"),
    ] {
        let mut stream = socks(&rig, name, port, 2).await;
        assert_eq!(to_the_end(&mut stream).await, b"");
        let record = &rig.shared.denials.last(1)[0];
        assert_eq!((record.host.as_str(), record.port), (name, port));
        assert_eq!(record.reason.as_str(), reason);
        assert!(rig.audit().lines().last().unwrap().contains(name), "{}", rig.audit());
    }
    // Allowed, and there is no such name: the dial's own denial.
    socks(&rig, "rebind.test", 9000, 4).await;
    assert_eq!(rig.shared.denials.last(1)[0].reason.as_str(), "dns_failed");
}

#[tokio::test]
async fn what_nothing_listens_at_is_refused_and_not_denied() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let entry = format!("rebind.test:9000:{closed}").parse().unwrap();
    let rig = Rig::with(|config| config.resolve.push(entry)).await;
    socks(&rig, "rebind.test", 9000, 5).await;
    assert!(rig.shared.denials.last(1).is_empty());
}

#[tokio::test]
async fn policy_local_is_there_over_socks() {
    let rig = Rig::new().await;
    let mut client = Raw::new(socks(&rig, "policy.local", 80, 0).await);
    client.send("GET /v1/policy/current HTTP/1.1\r\nhost: policy.local\r\n\r\n").await;
    assert_eq!(client.response().await.json()["version"], 1);
    client.send("GET /v1/skill HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
    client.response().await.denied(400, "request_ambiguous");
    socks(&rig, "policy.local", 443, 1).await;
}

#[tokio::test]
async fn a_handshake_may_come_byte_by_byte() {
    let rig = Rig::new().await;
    let mut stream = TcpStream::connect(rig.proxy.addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in [5, 2, 1, 0] {
        stream.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(exactly::<2>(&mut stream).await, [5, 0]);
    for byte in request("raw.test", 9000) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(exactly::<10>(&mut stream).await, SUCCEEDED);
    stream.write_all(b"hello").await.unwrap();
    assert_eq!(&exactly::<5>(&mut stream).await, b"hello");
}

/// Sends `attack` at once, and reads all that comes back.
async fn check_refused(rig: &Rig, greeted_first: bool, attack: &[u8], expect: &[u8]) {
    let mut stream = match greeted_first {
        true => greeted(rig).await,
        false => TcpStream::connect(rig.proxy.addr()).await.unwrap(),
    };
    stream.write_all(attack).await.unwrap();
    assert_eq!(to_the_end(&mut stream).await, expect, "{attack:?}");
}

#[tokio::test]
async fn what_has_no_one_reading_is_answered_and_ends_the_connection() {
    let rig = Rig::new().await;
    let refused = |reply: u8| [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
    for greeting in [&[5, 0][..], &[5, 1, 2], &[5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80]] {
        check_refused(&rig, false, greeting, &[5, 0xFF]).await;
    }
    check_refused(&rig, false, b"\x04\x01\x00\x50\x0a\x00\x00\x01root\0", &[0, 0x5B, 0, 0, 0, 0, 0, 0]).await;
    assert!(rig.shared.denials.last(1).is_empty());
    let pipelined = [request("raw.test", 9000), b"stolen".to_vec()].concat();
    for (attack, reply) in [
        (pipelined, 1),
        (request("", 80), 1),
        (request("raw\0.test", 9000), 1),
        (request("raw.test", 0), 1),
        (vec![5, 2, 0, 1, 10, 0, 0, 1, 0, 80], 7),
        (vec![5, 3, 0, 1, 0, 0, 0, 0, 0, 0], 7),
        (vec![5, 1, 0, 9], 8),
        (vec![4, 1, 0, 1], 1),
    ] {
        check_refused(&rig, true, &attack, &refused(reply)).await;
        let record = rig.shared.denials.last(1).remove(0);
        assert_eq!(record.reason.as_str(), "request_ambiguous", "{attack:?}");
    }
}

#[tokio::test]
async fn curl_speaks_socks_to_the_proxy() {
    let rig = Rig::new().await;
    let ca = rig.dir.path().join("ca.pem");
    std::fs::write(&ca, rig.shared.authority.ca_pem()).unwrap();
    let curl = |url: &str| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", "--cacert"]).arg(&ca).arg("--socks5-hostname");
        curl.arg(rig.proxy.addr().to_string()).arg(url).env_remove("NO_PROXY").env_remove("no_proxy");
        async move { curl.output().await.unwrap() }
    };
    for (url, expect) in [
        ("https://api.test/ok/a", "hello\n200"),
        ("http://plain.test/", "hello\n200"),
        ("http://policy.local/v1/nowhere", "\n404"),
        ("https://api.test/no", "\n403"),
    ] {
        let output = curl(url).await;
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.ends_with(expect), "{url}: {output:?}");
    }
    let denied = curl("https://other.test/").await;
    // 97: the proxy refused.
    assert_eq!(denied.status.code(), Some(97), "{denied:?}");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let rig = Rig::new().await;
    let mut silent = TcpStream::connect(rig.proxy.addr()).await.unwrap();
    silent.write_all(&[5, 1]).await.unwrap();
    let mut slow = greeted(&rig).await;
    let mut drip = greeted(&rig).await;
    let name = request(&"a".repeat(255), 80);
    let dripping = tokio::spawn(async move {
        for byte in name {
            if drip.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("a client may take minutes");
    });
    slow.write_all(&[5, 1, 0, 3, 200, b'a']).await.unwrap();
    assert_eq!(to_the_end(&mut silent).await, b"");
    assert_eq!(to_the_end(&mut slow).await, b"");
    dripping.await.unwrap();
}

#[tokio::test]
async fn policy_local_is_there_for_clients_that_connect_for_plain_http() {
    let rig = Rig::new().await;
    let mut client = Raw::new(rig.tunnel("policy.local:80").await);
    client.send("GET /v1/policy/current HTTP/1.1\r\nhost: policy.local\r\n\r\n").await;
    assert_eq!(client.response().await.json()["version"], 1);
}

#[tokio::test]
async fn where_a_person_is_asked_web_streams_are_read_and_others_denied() {
    let rig = Rig::new().await;
    rig.enforce(
        "version: 1\non_miss: ask\nask_timeout: 1s\nnetwork_policies:\n  raw:\n    endpoints:\n      \
         - { host: raw.test, port: 9000 }\n",
        2,
    );
    let mut tls = Raw::new(rig.handshake(socks(&rig, "other.test", 443, 0).await, "other.test").await.unwrap());
    tls.send("PUT /a HTTP/1.1\r\nhost: other.test\r\n\r\n").await;
    assert_eq!(tls.response().await.status, 403);
    let mut plain = Raw::new(socks(&rig, "other.test", 80, 0).await);
    plain.send("GET /b HTTP/1.1\r\nhost: other.test\r\n\r\n").await;
    assert_eq!(plain.response().await.status, 403);
    let records = rig.shared.denials.last(2);
    assert_eq!(records.iter().map(|r| r.path.as_deref()).collect::<Vec<_>>(), [Some("/b"), Some("/a")]);
    for (name, port) in [("other.test", 22), ("169.254.169.254", 80)] {
        socks(&rig, name, port, 2).await;
        assert_eq!(rig.shared.denials.last(1)[0].path, None);
    }
    let mut raw = socks(&rig, "raw.test", 9000, 0).await;
    raw.write_all(b"hello").await.unwrap();
    assert_eq!(&exactly::<5>(&mut raw).await, b"hello");
}

#[tokio::test]
async fn all_doors_are_served_together_and_close_together() {
    let rig = Rig::new().await;
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, captured, tcp) = (bind(), bind(), bind());
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (proxy_at, captured_at, tcp_at) =
        (proxy.local_addr().unwrap(), captured.local_addr().unwrap(), tcp.local_addr().unwrap());
    let udp_at = udp.local_addr().unwrap();
    let namespace = i32::try_from(std::process::id()).unwrap();
    let doors = Doors { proxy, captured: vec![captured], resolver: Some((udp, tcp)), namespace };
    let within = Proxy::serve_within(rig.shared.clone(), doors.ready().unwrap()).unwrap();
    assert_eq!(within.addr(), proxy_at);

    // 198.18.0.2, by both transports: one table.
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03raw\x04test\0\0\x01\0\x01";
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(question, udp_at).await.unwrap();
    let mut answer = [0; 512];
    let length = client.recv(&mut answer).await.unwrap();
    assert_eq!(answer[length - 4..length], [198, 18, 0, 2]);
    let mut client = TcpStream::connect(tcp_at).await.unwrap();
    client.write_all(&[&[0, 26], &question[..]].concat()).await.unwrap();
    let length = usize::from(client.read_u16().await.unwrap());
    client.read_exact(&mut answer[..length]).await.unwrap();
    assert_eq!(answer[length - 4..length], [198, 18, 0, 2]);

    // SOCKS knows the addresses that the resolver gave.
    for (address, reply) in [([198, 18, 0, 2], 0), ([198, 18, 0, 3], 4)] {
        let mut stream = TcpStream::connect(proxy_at).await.unwrap();
        stream.write_all(&[5, 1, 0]).await.unwrap();
        assert_eq!(exactly::<2>(&mut stream).await, [5, 0]);
        let [a, b, c, d] = address;
        stream.write_all(&[5, 1, 0, 1, a, b, c, d, 0x23, 0x28]).await.unwrap();
        assert_eq!(exactly::<10>(&mut stream).await[1], reply);
    }

    // Nobody redirected this one: where it was to go is not known, and so it goes nowhere.
    let mut direct = TcpStream::connect(captured_at).await.unwrap();
    let _ = direct.write_all(b"GET / HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    assert_eq!(direct.read(&mut answer).await.unwrap_or(0), 0);
    assert!(rig.upstream.lines().is_empty());

    within.shutdown().await;
    for at in [proxy_at, captured_at, tcp_at] {
        assert!(TcpStream::connect(at).await.is_err(), "{at}");
    }
}

/// A door to which connections to `original` are redirected; where it listens.
async fn redirected(rig: &Rig, names: &Arc<Names>, original: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = listener.local_addr().unwrap();
    let (shared, names) = (rig.shared.clone(), names.clone());
    tokio::spawn(async move {
        while let Ok((stream, from)) = listener.accept().await {
            let slot = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
            let peer = Peer::identify(from, door, &shared.sandbox, None, slot).await;
            let (client, names) = (Client { shared: shared.clone(), peer }, names.clone());
            tokio::spawn(async move { captured::serve(client, &names, original, stream).await });
        }
    });
    door
}

struct Captured {
    rig: Rig,
    names: Arc<Names>,
}

impl Captured {
    async fn new() -> Captured {
        Captured { rig: Rig::new().await, names: Arc::new(Names::default()) }
    }

    /// What the resolver would say.
    fn address(&self, name: &str) -> IpAddr {
        let name = narrowgate_core::request::Host::parse(name).unwrap();
        self.names.address(&name, std::time::Instant::now()).unwrap().into()
    }

    async fn dial(&self, original: (IpAddr, u16)) -> TcpStream {
        TcpStream::connect(redirected(&self.rig, &self.names, original.into()).await).await.unwrap()
    }

    async fn dial_name(&self, name: &str, port: u16) -> TcpStream {
        self.dial((self.address(name), port)).await
    }
}

#[tokio::test]
async fn a_captured_connection_is_one_to_the_name_that_was_asked_for() {
    let sandbox = Captured::new().await;
    let mut raw = sandbox.dial_name("raw.test", 9000).await;
    raw.write_all(b"hello").await.unwrap();
    assert_eq!(&exactly::<5>(&mut raw).await, b"hello");

    let stream = sandbox.dial_name("api.test", 443).await;
    let mut client = Raw::new(sandbox.rig.handshake(stream, "api.test").await.unwrap());
    assert_eq!(client.ask("GET /ok/a").await.status, 200);
    client.ask("DELETE /ok/a").await.denied(403, "no_matching_rule");

    let mut plain = Raw::new(sandbox.dial_name("plain.test", 80).await);
    plain.send("GET /a HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    assert_eq!(plain.response().await.body, "hello");

    let policy_local = sandbox.dial(("198.18.0.1".parse().unwrap(), 80)).await;
    let mut client = Raw::new(policy_local);
    client.send("GET /v1/policy/current HTTP/1.1\r\nhost: policy.local\r\n\r\n").await;
    assert_eq!(client.response().await.json()["version"], 1);
    assert_eq!(sandbox.rig.upstream.lines(), ["GET /ok/a", "GET /a"]);
}

#[tokio::test]
async fn a_captured_client_that_names_another_host_than_it_resolved_is_refused() {
    let sandbox = Captured::new().await;
    let stream = sandbox.dial_name("api.test", 443).await;
    assert!(sandbox.rig.handshake(stream, "other.test").await.is_err());
    assert_eq!(sandbox.rig.shared.denials.last(1)[0].reason.as_str(), "request_ambiguous");
    let mut plain = Raw::new(sandbox.dial_name("plain.test", 80).await);
    plain.send("GET / HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
    plain.response().await.denied(400, "request_ambiguous");
    let mut plain = Raw::new(sandbox.dial(("198.18.0.1".parse().unwrap(), 80)).await);
    plain.send("GET http://api.test/ok/a HTTP/1.1\r\nhost: policy.local\r\n\r\n").await;
    plain.response().await.denied(400, "request_ambiguous");
    assert!(sandbox.rig.upstream.lines().is_empty());
}

#[tokio::test]
async fn a_denied_captured_client_reads_why_in_what_it_speaks() {
    let sandbox = Captured::new().await;
    for (ip, port, reason) in [
        (sandbox.address("other.test"), 80, "no_matching_rule"),
        ("203.0.113.7".parse().unwrap(), 8080, "no_matching_rule"),
        ("2001:4860::7".parse().unwrap(), 80, "no_matching_rule"),
        ("169.254.169.254".parse().unwrap(), 80, "destination_blocked"),
        // Synthetic, and nobody's.
        ("198.19.7.7".parse().unwrap(), 80, "dns_failed"),
    ] {
        let mut client = Raw::new(sandbox.dial((ip, port)).await);
        client.send("GET /secret?key=1 HTTP/1.1\r\nhost: whatever\r\n\r\n").await;
        let denial = client.response().await.denied(403, reason);
        assert_eq!((&denial["layer"], &denial["port"]), (&"l4".into(), &port.into()), "{ip}");
        assert!(!client.more().await, "the connection goes on");
        let record = sandbox.rig.shared.denials.last(1).remove(0);
        assert_eq!(denial["denial_id"], record.denial_id.as_str());
    }
    let before = sandbox.rig.shared.denials.last(100).len();
    let stream = sandbox.dial_name("other.test", 443).await;
    let mut client = Raw::new(sandbox.rig.handshake(stream, "other.test").await.unwrap());
    let denial = client.ask("POST /login").await.denied(403, "no_matching_rule");
    assert_eq!((&denial["layer"], &denial["host"]), (&"l4".into(), &"other.test".into()));
    assert_eq!(sandbox.rig.shared.denials.last(100).len(), before + 1, "one denial, however it is told");
    // Sent whole before anything is read.
    let mut upload = Raw::new(sandbox.dial_name("other.test", 80).await);
    upload.send("POST /a HTTP/1.1\r\nhost: other.test\r\ncontent-length: 1000000\r\n\r\n").await;
    upload.send(&"x".repeat(1_000_000)).await;
    upload.response().await.denied(403, "no_matching_rule");
}

#[tokio::test]
async fn a_denied_captured_client_that_speaks_no_http_is_reset() {
    let sandbox = Captured::new().await;
    for (says, port) in [(&b"SSH-2.0-OpenSSH_9.6\r\n"[..], 22), (b"\0\0\0\x08\x04\xd2\x16\x2f", 5432), (b"", 25)] {
        let mut stream = sandbox.dial_name("other.test", port).await;
        stream.write_all(says).await.unwrap();
        let started = std::time::Instant::now();
        let ended = stream.read_to_end(&mut Vec::new()).await.map_err(|e| e.kind());
        assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset), "{port}");
        assert!(started.elapsed() < Duration::from_secs(5), "{port}: {:?}", started.elapsed());
        let record = sandbox.rig.shared.denials.last(1).remove(0);
        assert_eq!((record.host.as_str(), record.port), ("other.test", port));
    }
}
