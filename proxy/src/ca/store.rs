//! The authority's three files.
//!
//! The key is the authority: it is written first, once, and never replaced. The certificate is derived from it, so that
//! a crash between the two, or a certificate near its end, is mended by issuing it again with the same name and key,
//! and clients that trust the old one trust its leaves still.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData};
use ring::rand::SystemRandom;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};

use super::{BACKDATED, CaError, java, serial, subject};
use crate::files::{sync_directory, write_atomic, write_temporary};

/// Long enough that a sandbox outlives no restart of its proxy, short enough that a forgotten certificate in somebody's
/// trust store is not a gift for a decade. Each start renews it when it nears its end.
const VALIDITY: Duration = Duration::days(730);
/// What must be left of it at a start.
const RENEWAL: Duration = Duration::days(180);

/// What the files hold.
pub(super) struct Stored {
    pub(super) key: KeyPair,
    pub(super) pem: String,
    pub(super) not_after: OffsetDateTime,
}

/// Reads the pair in `dir`, making what is missing.
pub(super) fn load_or_create(dir: &Path, now: OffsetDateTime) -> Result<Stored, CaError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file(dir))?;
    let (key_path, ca_path) = (dir.join("ca-key.pem"), dir.join("ca.pem"));
    let certificate = read_certificate(&ca_path)?;
    let key = match read_key(&key_path)? {
        Some(key) => key,
        None if certificate.is_some() => return Err(CaError::KeyMissing { path: key_path }),
        None => create_key(&key_path)?,
    };
    if let Some((pem, der)) = certificate {
        let not_after = check(&der, &key).map_err(|problem| CaError::Malformed { path: ca_path.clone(), problem })?;
        if not_after - now > RENEWAL {
            return Ok(Stored { key, pem, not_after });
        }
    }
    let (pem, not_after) = issue(&key, now)?;
    write_atomic(&ca_path, pem.as_bytes(), 0o644).map_err(file(&ca_path))?;
    Ok(Stored { key, pem, not_after })
}

/// Writes the authority and what the system trusts, in that order, as clients want it: `ca-bundle.pem`, and for Java
/// `ca-bundle.jks`.
pub(super) fn write_bundles(dir: &Path, ca_pem: &str) -> Result<PathBuf, CaError> {
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a system root could not be read");
    }
    let own = CertificateDer::from_pem_slice(ca_pem.as_bytes()).ok();
    // Our own environment may point the system's roots at this very file; it does not grow with each start.
    let system: Vec<_> = native.certs.iter().filter(|root| Some(*root) != own.as_ref()).collect();
    let mut pem = ca_pem.to_owned();
    system.iter().for_each(|root| push_pem(&mut pem, root));
    // In two lists a certificate may stand twice, which Java's aliases do not admit.
    let distinct: BTreeSet<&[u8]> = own.iter().chain(system).map(AsRef::as_ref).collect();
    let distinct: Vec<CertificateDer<'_>> = distinct.into_iter().map(CertificateDer::from).collect();
    write_if_new(&dir.join("ca-bundle.jks"), &java::trust_store(distinct.iter()))?;
    let path = dir.join("ca-bundle.pem");
    write_if_new(&path, pem.as_bytes())?;
    Ok(path)
}

fn write_if_new(path: &Path, bytes: &[u8]) -> Result<(), CaError> {
    if fs::read(path).ok().as_deref() == Some(bytes) {
        return Ok(());
    }
    write_atomic(path, bytes, 0o644).map_err(file(path))
}

fn read_key(path: &Path) -> Result<Option<KeyPair>, CaError> {
    let mut opened = match File::open(path) {
        Ok(opened) => opened,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file(path)(e)),
    };
    // Asked of the open file: what is checked is what is read.
    let mode = opened.metadata().map_err(file(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CaError::KeyExposed { path: path.into(), mode });
    }
    let mut pem = String::new();
    opened.read_to_string(&mut pem).map_err(file(path))?;
    // The library's error is not shown: it could quote the key.
    let malformed =
        |_| CaError::Malformed { path: path.into(), problem: "not a P-256 private key in PKCS#8 PEM".into() };
    KeyPair::from_pem_and_sign_algo(&pem, &rcgen::PKCS_ECDSA_P256_SHA256).map(Some).map_err(malformed)
}

fn create_key(path: &Path) -> Result<KeyPair, CaError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(|e| CaError::Issue { subject: "authority key".into(), problem: e.to_string() })?;
    let temporary = write_temporary(path, key.serialize_pem().as_bytes(), 0o600).map_err(file(path))?;
    // A link, unlike a rename, fails where the name exists: of two processes, one wins and both use its key.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(file(&temporary))?;
    match linked {
        Ok(()) => sync_directory(path).map_err(file(path)).map(|()| key),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or_else(|| CaError::KeyMissing { path: path.into() })
        }
        Err(e) => Err(file(path)(e)),
    }
}

fn read_certificate(path: &Path) -> Result<Option<(String, CertificateDer<'static>)>, CaError> {
    let pem = match fs::read_to_string(path) {
        Ok(pem) => pem,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file(path)(e)),
    };
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CaError::Malformed { path: path.into(), problem: "not a certificate in PEM".into() })?;
    Ok(Some((pem, der)))
}

/// When a certificate ends, given that it is `key`'s and an authority's.
fn check(der: &CertificateDer<'_>, key: &KeyPair) -> Result<OffsetDateTime, String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| "not a certificate".to_owned())?;
    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err("not the certificate of ca-key.pem".into());
    }
    if !certificate.is_ca() {
        return Err("not the certificate of an authority".into());
    }
    Ok(certificate.validity().not_after.to_datetime())
}

fn issue(key: &KeyPair, now: OffsetDateTime) -> Result<(String, OffsetDateTime), CaError> {
    let spki = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let tag: String = HEXLOWER.encode(spki.as_ref()).chars().take(12).collect();
    // A name of its own, so that two sandboxes' authorities in one trust store are never mixed up.
    let name = format!("Narrowgate sandbox CA {tag}");
    let failed = |problem: String| CaError::Issue { subject: name.clone(), problem };
    let mut params = CertificateParams::default();
    params.not_before = now - BACKDATED;
    params.not_after = now + VALIDITY;
    params.serial_number = Some(serial(&SystemRandom::new()).ok_or_else(|| failed("no randomness".into()))?);
    params.distinguished_name = subject(&name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.self_signed(key).map_err(|e| failed(e.to_string()))?;
    Ok((certificate.pem(), params.not_after))
}

pub(super) fn push_pem(out: &mut String, der: &CertificateDer<'_>) {
    out.push_str("-----BEGIN CERTIFICATE-----\n");
    let text = BASE64.encode(der);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END CERTIFICATE-----\n");
}

fn file(path: &Path) -> impl Fn(io::Error) -> CaError {
    let path = path.to_owned();
    move |source| CaError::File { path: path.clone(), source }
}
