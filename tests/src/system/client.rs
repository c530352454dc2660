//! An HTTP/1.1 client that writes exactly the bytes it is told to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::System;

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    /// Read, and not yet asked for.
    ahead: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the headers, as they came.
    pub head: String,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; names are matched in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl System {
    /// A tunnel to `authority`, asked for as is; the answer to `CONNECT` and, where it is 200, the tunnel.
    pub async fn tunnel(&self, authority: &str) -> (Answer, Client) {
        let mut client = Client::plain(self.proxy_addr()).await;
        client.write(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await;
        let answer = client.answer_to("CONNECT").await.expect("an answer to CONNECT");
        (answer, client)
    }

    /// A TLS connection through the proxy to `host`, as a client in the sandbox.
    pub async fn connect(&self, host: &str) -> Client {
        let (answer, client) = self.tunnel(&format!("{host}:443")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        client.tls(host, &self.ca_bundle()).await.expect("a TLS connection")
    }
}

impl System {
    /// A stream to `host` and `port` over SOCKS5: the reply's code, 0 for success, and the stream.
    pub async fn socks(&self, host: &str, port: u16) -> (u8, Client) {
        let mut client = Client::plain(self.proxy_addr()).await;
        client.write(&[5, 1, 0]).await;
        assert_eq!(client.exactly(2).await, [5, 0]);
        let name = u8::try_from(host.len()).expect("a name is short");
        client.write(&[&[5, 1, 0, 3, name], host.as_bytes(), &port.to_be_bytes()].concat()).await;
        let reply = client.exactly(10).await;
        (reply[1], client)
    }
}

impl Client {
    /// A bare TCP connection.
    pub async fn plain(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Client { stream: Box::new(stream), ahead: Vec::new() }
    }

    /// TLS inside it, for `name`, trusting the certificates in `roots`.
    ///
    /// # Errors
    /// What the handshake fails with.
    pub async fn tls(self, name: &str, roots: &Path) -> std::io::Result<Client> {
        let mut store = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(roots).expect("a PEM file") {
            store.add(certificate.expect("a certificate")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(store)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, self.stream);
        let stream = timeout(PATIENCE, handshake).await.expect("a handshake in time")?;
        Ok(Client { stream: Box::new(stream), ahead: Vec::new() })
    }

    /// Sends a request with a body and reads the answer.
    pub async fn request(&mut self, method: &str, target: &str, host: &str, body: &str) -> Answer {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.write(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{body}").as_bytes()).await;
        self.answer_to(method).await.expect("an answer")
    }

    /// Reads the response to a request of `method`, which may take minutes.
    ///
    /// # Panics
    /// Where the connection ends first.
    pub async fn patient_answer(&mut self, method: &str) -> Answer {
        self.read_answer(method).await.expect("the connection goes on")
    }

    /// Writes bytes as they are. A peer that has had enough is no failure here; reading tells.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Says that no more will be written: half of the connection is closed.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads so many bytes, however long they take to come.
    ///
    /// # Panics
    /// Where the connection ends first.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        self.take(length).await.expect("the connection goes on")
    }

    /// Reads a response to a request of any method but HEAD and CONNECT; `None` where the connection ends first.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET").await
    }

    /// Reads the response to a request of `method`.
    pub async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        timeout(PATIENCE, self.read_answer(method)).await.expect("an answer in time")
    }

    /// Reads whatever comes next; empty at the end.
    pub async fn read(&mut self) -> Vec<u8> {
        if self.ahead.is_empty() {
            timeout(PATIENCE, self.fill()).await.expect("bytes in time");
        }
        std::mem::take(&mut self.ahead)
    }

    /// Reads until the other side ends the connection, whichever way; `false` where it does not within `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> bool {
        timeout(limit, async {
            while self.fill().await {
                self.ahead.clear()
            }
        })
        .await
        .is_ok()
    }

    async fn read_answer(&mut self, method: &str) -> Option<Answer> {
        let end = loop {
            match self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(at) => break at,
                None if !self.fill().await => return None,
                None => {}
            }
        };
        let head = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let status =
            head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {head}"));
        let mut answer = Answer { status, head, body: Vec::new() };
        if method == "HEAD" || (method == "CONNECT" && status == 200) || matches!(status, 100..200 | 204 | 304) {
            return Some(answer);
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = self.take(length.parse().expect("a length")).await?;
        } else if answer.header("transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(self.line().await?.trim(), 16).expect("a chunk's size");
                let chunk = self.take(size).await?;
                self.line().await?;
                if size == 0 {
                    break;
                }
                answer.body.extend(chunk);
            }
        } else {
            while self.fill().await {}
            answer.body = std::mem::take(&mut self.ahead);
        }
        Some(answer)
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.ahead.drain(..length).collect())
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let line = self.ahead.drain(..at + 2).collect::<Vec<u8>>();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// More bytes; `false` at the end, or where the connection broke.
    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.ahead.extend_from_slice(&buffer[..length]);
                true
            }
        }
    }
}
