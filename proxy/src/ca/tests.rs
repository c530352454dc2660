#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rcgen::{IsCa, PublicKeyData};
use x509_parser::prelude::{GeneralName, ParsedExtension};

use super::*;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn long_name() -> Host {
    host(&format!("{}.{}.example.com", "a".repeat(60), "b".repeat(60)))
}

#[test]
fn a_directory_holds_one_authority_across_starts() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("ca");
    let first = CertificateAuthority::load_or_create(&dir).unwrap();
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca-key.pem"), mode("ca.pem"), mode("ca-bundle.pem")), (0o600, 0o644, 0o644));
    let bundle = fs::read_to_string(first.bundle_path()).unwrap();
    assert!(bundle.starts_with(first.ca_pem()));

    let second = CertificateAuthority::load_or_create(&dir).unwrap();
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(fs::read_to_string(second.bundle_path()).unwrap(), bundle);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 4, "nothing is left behind");
}

#[test]
fn starts_at_once_end_with_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let start = || CertificateAuthority::load_or_create(directory.path()).unwrap();
    let all: Vec<CertificateAuthority> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let key = all[0].issuer.key().subject_public_key_info();
    assert!(all.iter().all(|ca| ca.issuer.key().subject_public_key_info() == key));
}

#[test]
fn a_crash_between_key_and_certificate_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let first = CertificateAuthority::load_or_create(directory.path()).unwrap();
    fs::remove_file(directory.path().join("ca.pem")).unwrap();
    let second = CertificateAuthority::load_or_create(directory.path()).unwrap();
    let spki = |ca: &CertificateAuthority| ca.issuer.key().subject_public_key_info();
    assert_eq!(spki(&first), spki(&second));
}

#[test]
fn a_certificate_near_its_end_is_renewed_with_its_name_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let early = OffsetDateTime::now_utc() - Duration::days(700);
    let old = store::load_or_create(directory.path(), early).unwrap();
    let new = CertificateAuthority::load_or_create(directory.path()).unwrap();
    assert_ne!(old.pem, new.ca_pem());
    assert!(new.not_after - OffsetDateTime::now_utc() > Duration::days(700));
    // A client that has kept the old certificate still accepts new leaves, until the old one's own end.
    check_with_openssl(&new, &old.pem, &host("api.github.com"));
}

#[test]
fn what_is_wrong_with_the_files_is_said_and_nothing_is_replaced() {
    let check = |spoil: &dyn Fn(&Path), expect: &str| {
        let directory = tempfile::tempdir().unwrap();
        drop(CertificateAuthority::load_or_create(directory.path()).unwrap());
        spoil(directory.path());
        let listing = || {
            let mut files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
            files.sort();
            files.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
        };
        let before = listing();
        let error = CertificateAuthority::load_or_create(directory.path()).err().unwrap().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
        assert_eq!(before, listing());
    };
    let key = |dir: &Path| dir.join("ca-key.pem");
    check(&|dir| fs::set_permissions(key(dir), fs::Permissions::from_mode(0o640)).unwrap(), "mode 0640 lets others");
    check(&|dir| fs::write(key(dir), "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap(), "not a P-256 private key");
    check(&|dir| fs::remove_file(key(dir)).unwrap(), "missing, while ca.pem is there");
    check(&|dir| fs::write(dir.join("ca.pem"), "text").unwrap(), "not a certificate in PEM");
    check(
        &|dir| {
            let other = tempfile::tempdir().unwrap();
            drop(CertificateAuthority::load_or_create(other.path()).unwrap());
            fs::copy(other.path().join("ca.pem"), dir.join("ca.pem")).map(drop).unwrap();
        },
        "not the certificate of ca-key.pem",
    );
    check(
        &|dir| {
            let key = KeyPair::from_pem(&fs::read_to_string(key(dir)).unwrap()).unwrap();
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.is_ca = IsCa::NoCa;
            fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        },
        "not the certificate of an authority",
    );
}

#[test]
fn certificates_have_what_strict_verifiers_ask_for() {
    let directory = tempfile::tempdir().unwrap();
    let ca = CertificateAuthority::load_or_create(directory.path()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(ca.ca_pem().as_bytes()).unwrap();
    let root = pem.parse_x509().unwrap();
    let constraints = root.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca && constraints.value.path_len_constraint == Some(0));
    let usage = root.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    let subject_key = key_identifiers(&root).0.unwrap();

    for name in [host("api.github.com"), host("10.0.0.1"), host("[2001:db8::1]"), host("_srv.example.com"), long_name()]
    {
        let now = OffsetDateTime::now_utc();
        let (der, _) = ca.issue(&name, now).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&der).unwrap();
        let (own, authority) = key_identifiers(&leaf);
        assert!(own.is_some());
        assert_eq!(authority.as_ref(), Some(&subject_key));
        let serial = leaf.raw_serial();
        assert!(serial.len() == 20 && (0x40..0x80).contains(&serial[0]), "{serial:02x?}");
        let usage = leaf.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.server_auth && !extended.client_auth && !extended.any);
        assert!(!leaf.is_ca());
        let validity = leaf.validity();
        let length = validity.not_after.to_datetime() - validity.not_before.to_datetime();
        assert!(length <= Duration::days(30) && validity.not_before.to_datetime() < now);
        let alternative = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        match (name.ip(), &alternative[..]) {
            (None, [GeneralName::DNSName(dns)]) => assert_eq!(*dns, name.as_str()),
            (Some(std::net::IpAddr::V4(ip)), [GeneralName::IPAddress(bytes)]) => assert_eq!(*bytes, ip.octets()),
            (Some(std::net::IpAddr::V6(ip)), [GeneralName::IPAddress(bytes)]) => assert_eq!(*bytes, ip.octets()),
            (_, other) => panic!("{other:?}"),
        }
        assert!(leaf.subject().iter().count() > 0, "an empty subject would need a critical SAN");
        let common = leaf.subject().iter_common_name().next().map(|name| name.as_str().unwrap().len());
        assert!(common.is_none_or(|length| length <= 64));
        check_with_openssl(&ca, ca.ca_pem(), &name);
    }
}

#[test]
fn serials_do_not_repeat() {
    let random = SystemRandom::new();
    let serials: std::collections::HashSet<Vec<u8>> = (0..500).map(|_| serial(&random).unwrap().to_bytes()).collect();
    assert_eq!(serials.len(), 500);
}

#[test]
fn leaves_are_kept_renewed_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let ca = CertificateAuthority::load_or_create(directory.path()).unwrap();
    let name = host("api.github.com");
    let first = ca.server_config(&name).unwrap();
    assert!(Arc::ptr_eq(&first, &ca.server_config(&name).unwrap()));
    assert_eq!(first.alpn_protocols, [b"http/1.1"]);

    ca.leaves.lock().unwrap().by_host.get_mut(&name).unwrap().renew_at = OffsetDateTime::now_utc();
    let renewed = ca.server_config(&name).unwrap();
    assert!(!Arc::ptr_eq(&first, &renewed));

    let mut leaves = Leaves::default();
    let leaf = || Leaf { config: first.clone(), renew_at: OffsetDateTime::now_utc() + Duration::days(1), used: 0 };
    leaves.put(&name, leaf());
    for n in 0..LEAVES * 2 {
        leaves.put(&host(&format!("h{n}.example.com")), leaf());
        assert!(leaves.get(&name, OffsetDateTime::now_utc()).is_some(), "what is used stays, at {n}");
    }
    assert_eq!(leaves.by_host.len(), LEAVES);
}

/// The subject's and the authority's key identifiers.
fn key_identifiers(certificate: &x509_parser::prelude::X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (mut own, mut authority) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => {}
        }
    }
    (own, authority)
}

/// `openssl verify -x509_strict`, which is what Python 3.13 asks for, where `openssl` is installed.
fn check_with_openssl(ca: &CertificateAuthority, trusted: &str, name: &Host) {
    if Command::new("openssl").arg("version").output().is_err() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (root, leaf) = (directory.path().join("root.pem"), directory.path().join("leaf.pem"));
    let (der, _) = ca.issue(name, OffsetDateTime::now_utc()).unwrap();
    let mut pem = String::new();
    store::push_pem(&mut pem, &der);
    fs::write(&leaf, pem).unwrap();
    fs::write(&root, trusted).unwrap();
    let flag = if name.ip().is_some() { "-verify_ip" } else { "-verify_hostname" };
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver", "-CAfile"])
        .arg(&root)
        .args(["-no-CApath", "-no-CAstore", flag, name.as_str()])
        .arg(&leaf)
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}
