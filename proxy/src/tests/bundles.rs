//! Which policies are enforced: table of what is wrong with a bundle, and what that says.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use narrowgate_core::certificate::{Containment, PAYLOAD_TYPE, Statement};
use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::dsse::{Envelope, Signature, TrustedKey, VerifyingKey, pre_authentication_encoding};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::wire::Bundle;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::rig::{POLICY, enforced};
use crate::bundle::{open, succeeds};

/// Signs as the gateway does.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    pub(super) fn new(seed: u8) -> Signer {
        Signer(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(super) fn key(&self) -> VerifyingKey {
        VerifyingKey::from_bytes(self.0.public_key().as_ref().try_into().unwrap())
    }

    pub(super) fn bundle(&self, policy: &str, version: u64) -> Bundle {
        self.certify(policy, version, |_| {})
    }

    pub(super) fn certify(&self, policy: &str, version: u64, change: impl FnOnce(&mut Containment)) -> Bundle {
        let parsed = Policy::parse(policy, "test", Role::Policy).unwrap();
        let hash = Compiled::policy(&parsed).unwrap().digest();
        let mut proven = Containment {
            verdict: "within".to_owned(),
            ceiling: Digest::of(b"ceiling"),
            schema: narrowgate_core::schema::Schema::standard().digest(),
            plugins: BTreeMap::new(),
            engines: vec!["exact".to_owned()],
            environments_checked: 8,
            sandbox: "box".to_owned(),
            version,
            approver: "test".to_owned(),
            approved_at: 0,
            expires_at: None,
            held: None,
        };
        change(&mut proven);
        let payload = Statement::new(hash, proven).to_bytes();
        let sig = BASE64.encode(self.0.sign(&pre_authentication_encoding(PAYLOAD_TYPE, &payload)).as_ref());
        Bundle {
            sandbox: "box".to_owned(),
            version,
            policy_yaml: policy.to_owned(),
            policy_hash: hash,
            certificate: Envelope {
                payload_type: PAYLOAD_TYPE.to_owned(),
                payload: BASE64.encode(&payload),
                signatures: vec![Signature { keyid: self.key().keyid(), sig }],
            },
            plugins: BTreeMap::new(),
        }
    }
}

#[test]
fn a_proven_policy_is_enforced() {
    let signer = Signer::new(1);
    let enforced =
        open(&signer.bundle(POLICY, 7), &[signer.key().into()], "box", narrowgate_core::schema::Schema::standard(), 0)
            .unwrap();
    assert_eq!((enforced.snapshot.version(), enforced.expires), (7, None));
}

#[test]
fn what_is_not_proven_is_not_enforced() {
    let signer = Signer::new(1);
    let good = signer.bundle(POLICY, 7);
    let wider = POLICY.replace("/ok/**", "/**");
    let with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        bundle
    };
    let other_key = Signer::new(2).bundle(POLICY, 7);
    for (bundle, problem) in [
        (with(&|b| b.policy_yaml = wider.clone()), "was proven"),
        (with(&|b| b.policy_hash = Digest::of(b"x")), "certificate is for policy"),
        (with(&|b| b.version = 8), "version 7 of sandbox"),
        (with(&|b| b.sandbox = "other".to_owned()), "serves \"box\""),
        (with(&|b| b.certificate.signatures.clear()), "not signed"),
        (with(&|b| b.certificate.payload = other_key.certificate.payload.replace('A', "B")), ""),
        (with(&|b| b.plugins = [("p".to_owned(), Digest::of(b"p"))].into()), "plugins"),
        (other_key.clone(), "not signed"),
        (signer.certify(POLICY, 7, |c| c.sandbox = "other".to_owned()), "sandbox \"other\""),
        (signer.certify(POLICY, 7, |c| c.version = 6), "version 6"),
        (signer.certify(POLICY, 7, |c| c.verdict = "exceeds".to_owned()), "certifies nothing"),
        (signer.certify(POLICY, 7, |c| c.environments_checked = 0), "certifies nothing"),
        (signer.certify(POLICY, 7, |c| c.schema = Digest::of(b"s")), "schema"),
        (signer.certify(POLICY, 7, |c| c.expires_at = Some(100)), "expired"),
        (signer.certify(POLICY, 7, |c| c.plugins = [("p".to_owned(), Digest::of(b"p"))].into()), "assumes plugin p@"),
    ] {
        let error = open(&bundle, &[signer.key().into()], "box", narrowgate_core::schema::Schema::standard(), 100)
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem), "{problem}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn a_replaced_key_s_policy_ends_with_its_key() {
    let signer = Signer::new(1);
    let keys = |until| [TrustedKey { key: signer.key(), until }];
    for (until, expires_at, ends) in
        [(None, None, None), (Some(50), None, Some(50)), (Some(50), Some(40), Some(40)), (Some(50), Some(60), Some(50))]
    {
        let bundle = signer.certify(POLICY, 7, |c| c.expires_at = expires_at);
        assert_eq!(
            open(&bundle, &keys(until), "box", narrowgate_core::schema::Schema::standard(), 39).unwrap().expires,
            ends,
            "{until:?} {expires_at:?}"
        );
    }
    let retired =
        open(&signer.bundle(POLICY, 7), &keys(Some(50)), "box", narrowgate_core::schema::Schema::standard(), 50)
            .unwrap_err()
            .to_string();
    assert!(retired.contains("retired at 1970-01-01T00:00:50Z"), "{retired}");
}

#[test]
fn versions_only_grow() {
    let signer = Signer::new(1);
    let current = enforced(POLICY, 5);
    for (version, policy, ok) in [
        (6, POLICY.to_owned(), true),
        (5, POLICY.to_owned(), true),
        (5, POLICY.replace("/ok/**", "/**"), false),
        (4, POLICY.to_owned(), false),
        (0, POLICY.to_owned(), false),
    ] {
        let bundle = signer.bundle(&policy, version);
        assert_eq!(
            succeeds(&bundle, Some((current.snapshot.version(), current.snapshot.digest()))).is_ok(),
            ok,
            "version {version}"
        );
        assert!(succeeds(&bundle, None).is_ok());
    }
}
