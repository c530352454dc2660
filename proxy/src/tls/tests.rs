#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::process::Stdio;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::*;

struct Fixture {
    ca: CertificateAuthority,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        Fixture { ca: CertificateAuthority::load_or_create(directory.path()).unwrap(), directory }
    }

    fn client(&self, alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// What both ends say when the `CONNECT` was for `expected` and the client asks for `asked`.
    async fn handshake(
        &self,
        expected: &str,
        asked: &str,
        alpn: &[&[u8]],
    ) -> (Result<TlsStream<DuplexStream>, TlsReject>, io::Result<tokio_rustls::client::TlsStream<DuplexStream>>) {
        let (near, far) = duplex(64 * 1024);
        let expected = Host::parse(expected).unwrap();
        let name = ServerName::try_from(asked.to_owned()).unwrap();
        let client = async {
            let mut stream = self.client(alpn).connect(name, near).await?;
            stream.write_all(b"ping").await?;
            stream.flush().await?;
            Ok(stream)
        };
        tokio::join!(accept(far, &expected, &self.ca), client)
    }
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_the_host_it_asked_for() {
    let fixture = Fixture::new();
    let names = [("api.github.com", "api.github.com"), ("API.github.com.", "api.github.com"), ("10.0.0.1", "10.0.0.1")];
    for (expected, asked) in names.into_iter().chain([("[2001:db8::1]", "2001:db8::1")]) {
        let (server, client) = fixture.handshake(expected, asked, &[b"h2", b"http/1.1"]).await;
        assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "{expected}");
        let mut bytes = [0; 4];
        server.unwrap().read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
    }
}

#[tokio::test]
async fn another_server_name_than_the_connects_is_refused() {
    let fixture = Fixture::new();
    let cases = [
        ("api.github.com", "evil.example"),
        ("api.github.com", "github.com"),
        ("api.github.com", "api.github.com.evil.example"),
        ("api.github.com", "10.0.0.1"), // an address is asked for by no name
        ("10.0.0.1", "api.github.com"),
    ];
    for (expected, asked) in cases {
        let (server, client) = fixture.handshake(expected, asked, &[]).await;
        let reject = server.err().unwrap();
        assert!(reject.is_ambiguous() && reject.to_string().contains("asks for"), "{reject}");
        assert!(client.unwrap_err().to_string().contains("AccessDenied"), "{expected} {asked}");
    }
}

#[tokio::test]
async fn a_client_of_http2_alone_is_refused() {
    let (server, client) = Fixture::new().handshake("api.github.com", "api.github.com", &[b"h2"]).await;
    assert!(matches!(server, Err(TlsReject::Handshake(_))));
    client.unwrap_err();
}

#[tokio::test]
async fn what_is_not_tls_is_said_to_be_so() {
    let fixture = Fixture::new();
    let host = Host::parse("api.github.com").unwrap();
    for bytes in [&b"GET / HTTP/1.1\r\nHost: api.github.com\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n", &[0; 64]] {
        let (mut near, far) = duplex(1024);
        near.write_all(bytes).await.unwrap();
        let reject = accept(far, &host, &fixture.ca).await.err().unwrap();
        assert!(matches!(reject, TlsReject::NotTls), "{reject:?}");
    }
    let (near, far) = duplex(1024);
    drop(near);
    assert!(matches!(accept(far, &host, &fixture.ca).await, Err(TlsReject::Closed)));
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    let fixture = Fixture::new();
    let (mut near, far) = duplex(1024);
    near.write_all(&[0x16, 0x03, 0x01]).await.unwrap(); // the beginning of a hello
    let host = Host::parse("api.github.com").unwrap();
    let reject =
        accept_before(Instant::now() + Duration::from_millis(20), far, &host, &fixture.ca).await.err().unwrap();
    assert!(matches!(reject, TlsReject::TimedOut));
}

/// OpenSSL's client with its strictest checks, over a socket, where `openssl` is installed.
#[tokio::test]
async fn openssl_accepts_the_handshake() {
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let fixture = Fixture::new();
    let host = Host::parse("api.github.com").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let client = tokio::process::Command::new("openssl")
            .args(["s_client", "-connect", &listener.local_addr().unwrap().to_string(), version, "-quiet"])
            .args(["-servername", "api.github.com", "-verify_hostname", "api.github.com", "-x509_strict"])
            .args(["-verify_return_error", "-verify", "2", "-no-CApath", "-no-CAstore", "-CAfile"])
            .arg(fixture.directory.path().join("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = accept(stream, &host, &fixture.ca).await.unwrap();
        stream.write_all(b"hello from the proxy").await.unwrap();
        stream.shutdown().await.unwrap();
        let output = client.wait_with_output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"hello from the proxy", "{version}: {error}");
    }
}
