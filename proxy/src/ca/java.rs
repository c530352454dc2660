//! A trust store as Java reads it, since Java's clients take no PEM.
//!
//! The JKS format of trusted certificates, as `sun.security.provider.JavaKeyStore` documents it: every Java since 1.2
//! reads it, also where the store's type is said to be PKCS #12. The rejected alternative, a PKCS #12 library, would bring
//! a second stack of cryptography for a file that holds nothing secret.

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use rustls::pki_types::CertificateDer;

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
/// The tag of an entry that is a certificate without a key.
const TRUSTED: u32 = 2;
/// The password that every Java assumes of its own store; it keeps accidents out and nobody else.
const PASSWORD: &str = "changeit";
/// What the digest over the file is salted with, in every implementation.
const SALT: &[u8] = b"Mighty Aphrodite";

/// The bytes of a store with these certificates. The same certificates give the same bytes.
pub(super) fn trust_store<'a>(certificates: impl ExactSizeIterator<Item = &'a CertificateDer<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(MAGIC.to_be_bytes());
    out.extend(VERSION.to_be_bytes());
    out.extend(u32::try_from(certificates.len()).unwrap_or(u32::MAX).to_be_bytes());
    for certificate in certificates {
        out.extend(TRUSTED.to_be_bytes());
        // Aliases must differ; a digest does, and says which certificate it is.
        text(&mut out, &HEXLOWER.encode(digest(&SHA256, certificate).as_ref()));
        // The time it was added, which nobody asks for.
        out.extend(0_u64.to_be_bytes());
        text(&mut out, "X.509");
        out.extend(u32::try_from(certificate.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(certificate);
    }
    let mut check = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in PASSWORD.encode_utf16() {
        check.update(&unit.to_be_bytes());
    }
    check.update(SALT);
    check.update(&out);
    out.extend_from_slice(check.finish().as_ref());
    out
}

/// A length of two bytes, and ASCII.
fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
