//! The sandbox's own certificate authority: what lets the proxy read what an inspected connection says.
//!
//! One authority per sandbox, so that what one sandbox trusts opens nothing in another. The private key never leaves
//! its directory; leaf certificates and their one key live in memory only.
//!
//! Everything that a strict verifier asks for is in the certificates: key identifiers on both, critical key usage and
//! basic constraints with a path length of zero on the authority, SAN and `serverAuth` on leaves, random positive
//! serial numbers, no certificate older or younger than its issuer by more than the backdating. OpenSSL's
//! `-x509_strict` (which is Python 3.13's default), rustls' webpki and Go agree on that set.

mod java;
mod store;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use narrowgate_core::request::Host;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// How far back a validity starts: clocks in virtual machines lag.
const BACKDATED: Duration = Duration::hours(1);
/// Short, because nothing revokes a leaf; long enough that a day's clients see one certificate.
const LEAF_VALIDITY: Duration = Duration::days(7);
/// A leaf this close to its end is replaced by a new one.
const LEAF_RENEWAL: Duration = Duration::days(2);
/// How many hosts' certificates are kept; the least recently used goes first.
const LEAVES: usize = 1024;
/// Sessions kept per host. A sandbox is a handful of clients, and a cache per host is multiplied by the hosts.
const SESSIONS: usize = 32;
/// X.520's upper bound for a common name.
const COMMON_NAME_MAX: usize = 64;

/// What keeps the authority from being loaded, made or used.
#[derive(Debug, Error)]
pub enum CaError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody other than the owner may read the private key.
    #[error("{}: mode {mode:04o} lets others read the private key; `chmod 600` it, or remove it and ca.pem to start anew", path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate is there and its key is not.
    #[error("{}: missing, while ca.pem is there; restore the key, or remove ca.pem to start anew", path.display())]
    KeyMissing {
        /// Where the key should be.
        path: PathBuf,
    },
    /// A file is not what its name says.
    #[error("{}: {problem}; restore it, or remove ca.pem and ca-key.pem to start anew", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate could not be made.
    #[error("cannot issue a certificate for {subject:?}: {problem}")]
    Issue {
        /// Whom it was for.
        subject: String,
        /// What the library said.
        problem: String,
    },
}

/// The authority of one sandbox: `ca.pem`, `ca-key.pem` and `ca-bundle.{pem,jks}` in a directory, and the leaves in memory.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    not_after: OffsetDateTime,
    bundle: PathBuf,
    /// One key for all leaves: they all end in this process, so that a key each would separate nothing.
    leaf_key: KeyPair,
    provider: Arc<CryptoProvider>,
    random: SystemRandom,
    leaves: Mutex<Leaves>,
}

#[derive(Default)]
struct Leaves {
    by_host: HashMap<Host, Leaf>,
    clock: u64,
}

struct Leaf {
    config: Arc<ServerConfig>,
    renew_at: OffsetDateTime,
    used: u64,
}

impl CertificateAuthority {
    /// Loads the authority in `dir`, or makes one there; then writes `ca-bundle.pem` (and `.jks`), the authority with the system's
    /// roots. Two processes that start at once end with the same key.
    ///
    /// # Errors
    /// A file that cannot be read or written, a key that others may read, a pair that does not belong together. Nothing
    /// is replaced but a certificate that nears its end, and that one keeps its key and its name.
    pub fn load_or_create(dir: &Path) -> Result<Self, CaError> {
        let stored = store::load_or_create(dir, OffsetDateTime::now_utc())?;
        let bundle = store::write_bundles(dir, &stored.pem)?;
        let issue = |source: rcgen::Error| CaError::Issue { subject: "leaf key".into(), problem: source.to_string() };
        Ok(CertificateAuthority {
            issuer: Issuer::from_ca_cert_pem(&stored.pem, stored.key).map_err(issue)?,
            ca_pem: stored.pem,
            not_after: stored.not_after,
            bundle,
            leaf_key: KeyPair::generate().map_err(issue)?,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            random: SystemRandom::new(),
            leaves: Mutex::default(),
        })
    }

    /// The authority's certificate, for clients to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// `ca-bundle.pem`: the authority and the system's roots, for clients that take one file.
    pub fn bundle_path(&self) -> &Path {
        &self.bundle
    }

    /// How to be `host` to a client: HTTP/1.1 only, TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`CaError::Issue`], where the name does not fit a certificate.
    pub fn server_config(&self, host: &Host) -> Result<Arc<ServerConfig>, CaError> {
        let now = OffsetDateTime::now_utc();
        if let Some(config) = self.leaves.lock().unwrap_or_else(PoisonError::into_inner).get(host, now) {
            return Ok(config);
        }
        // Issued outside the lock; two first connections to one host may both issue, and the later one is kept.
        let (certificate, not_after) = self.issue(host, now)?;
        let config = Arc::new(self.configure(host, certificate)?);
        let leaf = Leaf { config: config.clone(), renew_at: not_after - LEAF_RENEWAL, used: 0 };
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner).put(host, leaf);
        Ok(config)
    }

    fn issue(&self, host: &Host, now: OffsetDateTime) -> Result<(CertificateDer<'static>, OffsetDateTime), CaError> {
        let failed = |problem: String| CaError::Issue { subject: host.to_string(), problem };
        let not_after = (now + LEAF_VALIDITY).min(self.not_after);
        let mut params = CertificateParams::default();
        params.not_before = now - BACKDATED;
        params.not_after = not_after;
        params.serial_number = Some(serial(&self.random).ok_or_else(|| failed("no randomness".into()))?);
        params.distinguished_name = subject(host.as_str());
        params.subject_alt_names = vec![match host.ip() {
            Some(ip) => SanType::IpAddress(ip),
            None => SanType::DnsName(Ia5String::try_from(host.as_str()).map_err(|e| failed(e.to_string()))?),
        }];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&self.leaf_key, &self.issuer).map_err(|e| failed(e.to_string()))?;
        Ok((leaf.der().clone(), not_after))
    }

    fn configure(&self, host: &Host, leaf: CertificateDer<'static>) -> Result<ServerConfig, CaError> {
        let failed = |e: rustls::Error| CaError::Issue { subject: host.to_string(), problem: e.to_string() };
        let key = PrivateKeyDer::Pkcs8(self.leaf_key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf], key)
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        Ok(config)
    }
}

impl Leaves {
    fn get(&mut self, host: &Host, now: OffsetDateTime) -> Option<Arc<ServerConfig>> {
        self.clock += 1;
        let leaf = self.by_host.get_mut(host).filter(|leaf| now < leaf.renew_at)?;
        leaf.used = self.clock;
        Some(leaf.config.clone())
    }

    fn put(&mut self, host: &Host, leaf: Leaf) {
        if self.by_host.len() >= LEAVES && !self.by_host.contains_key(host) {
            let oldest = self.by_host.iter().min_by_key(|(_, leaf)| leaf.used).map(|(host, _)| host.clone());
            oldest.and_then(|host| self.by_host.remove(&host));
        }
        self.by_host.insert(host.clone(), Leaf { used: self.clock, ..leaf });
    }
}

/// A name that is never empty: where `common_name` is too long for its field, the SAN alone says it.
fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Narrowgate");
    if common_name.len() <= COMMON_NAME_MAX {
        name.push(DnType::CommonName, common_name);
    }
    name
}

/// 20 octets, the most that RFC 5280 allows: positive, never shorter, 158 random bits.
fn serial(random: &SystemRandom) -> Option<SerialNumber> {
    let mut bytes = [0_u8; 20];
    random.fill(&mut bytes).ok()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Some(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
