#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Route, Snapshot};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::Process;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A permit as the pipeline gets it: from a policy with an opaque endpoint.
fn permit(host: &str, port: u16) -> Permit {
    let yaml = format!(
        "version: 1\nnetwork_policies:\n  any:\n    name: any\n    endpoints:\n      - {{ host: \"{host}\", port: {port} }}\n"
    );
    let policy = Policy::parse(&yaml, "policy.yaml", Role::Policy).unwrap();
    let compiled = Compiled::policy(&policy).unwrap();
    let process = Process { path: String::new(), sha256: String::new(), ancestors: Vec::new(), sandbox: "box".into() };
    let (host, port) = (Host::parse(host).unwrap(), Port::new(port).unwrap());
    match Snapshot::new(policy, compiled, 1).route(&process, &host, port, 0) {
        Route::Opaque(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn dialer(resolve: &[String], upstream_ca: Option<PathBuf>) -> Dialer {
    Dialer::new(resolve.iter().map(|entry| entry.parse().unwrap()).collect(), upstream_ca).unwrap()
}

#[tokio::test]
async fn a_blocked_address_is_not_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialer = dialer(&[], None);
    for host in ["localhost", "127.0.0.1", "169.254.169.254", "::1", "::", "fe80::1"] {
        let error = dialer.connect(&permit(host, port)).await.unwrap_err();
        // A machine without IPv6 may have no address to block.
        assert_eq!(error.reason(), Some(Reason::DestinationBlocked), "{host}: {error}");
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "nothing may have connected");
}

#[test]
fn one_blocked_address_condemns_the_answer() {
    let host = Host::parse("rebind.example").unwrap();
    let addresses = |texts: &[&str]| texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect();
    let looked = |texts: &[&str]| check(&host, Resolved::Looked(addresses(texts)));
    assert_eq!(looked(&["1.1.1.1", "2606:4700::1111"]).unwrap().len(), 2);
    for mixed in
        [&["1.1.1.1", "127.0.0.1"][..], &["1.1.1.1", "10.0.0.1"], &["::ffff:169.254.169.254"], &["64:ff9b::a00:1"]]
    {
        let error = looked(mixed).unwrap_err();
        assert!(matches!(error, DialError::Blocked { .. }), "{mixed:?}");
        assert_eq!(error.reason(), Some(Reason::DestinationBlocked));
    }
    // The literal that a policy names, and what no policy opens.
    let literal = |text: &str| check(&host, Resolved::Literal(SocketAddr::new(text.parse().unwrap(), 443)));
    literal("10.0.0.1").unwrap();
    literal("127.0.0.1").unwrap_err();
    literal("169.254.169.254").unwrap_err();
}

#[test]
fn what_is_blocked_for_good_is_known_before_resolving() {
    let dialer = dialer(&["localhost:8443:127.0.0.1:9999".into(), "127.0.0.1:8443:127.0.0.1:9999".into()], None);
    let ask = |host: &str, port| dialer.always_blocked(&Host::parse(host).unwrap(), Port::new(port).unwrap()).is_some();
    assert!(ask("localhost", 443) && ask("127.0.0.1", 443) && ask("metadata.google.internal", 80));
    assert!(!ask("localhost", 8443) && !ask("127.0.0.1", 8443), "the operator has said where these are");
    assert!(!ask("api.github.com", 443) && !ask("10.0.0.1", 443));
}

#[tokio::test]
async fn an_operators_address_is_dialled_for_its_host_and_port_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialer = dialer(&[format!("upstream.invalid:443:{address}")], None);
    let named = permit("upstream.invalid", 443);
    let (stream, accepted) = tokio::join!(dialer.connect(&named), listener.accept());
    assert!(stream.unwrap().nodelay().unwrap());
    accepted.unwrap();
    let error = dialer.connect(&permit("upstream.invalid", 8443)).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::DnsFailed), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_the_upstreams_fault() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error =
        dialer(&[format!("upstream.invalid:443:{address}")], None).connect(&permit("upstream.invalid", 443)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DialError::Connect { .. }) && error.reason().is_none(), "{error}");
}

#[tokio::test]
async fn an_upstream_proves_its_name() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["upstream.invalid".into()]).unwrap().self_signed(&key).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("upstream.pem");
    std::fs::write(&trusted, certificate.pem()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let resolve = ["upstream.invalid", "other.invalid"].map(|host| format!("{host}:443:{address}"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        }
    });

    let trusting = dialer(&resolve, Some(trusted));
    let mut stream = trusting.connect_tls(&permit("upstream.invalid", 443)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");

    let wrong_name = trusting.connect_tls(&permit("other.invalid", 443)).await.unwrap_err();
    assert!(matches!(wrong_name, DialError::Tls { .. }), "{wrong_name}");
    let untrusted = dialer(&resolve, None).connect_tls(&permit("upstream.invalid", 443)).await.unwrap_err();
    assert!(matches!(untrusted, DialError::Tls { .. }) && untrusted.reason().is_none(), "{untrusted}");
}

#[test]
fn a_file_without_certificates_is_said_to_be_so() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for (path, expect) in [(empty, "holds no certificate"), (directory.path().join("missing.pem"), "cannot be read")] {
        let error = Dialer::new(Vec::new(), Some(path.clone())).err().unwrap().to_string();
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains(expect), "{error}");
    }
}
