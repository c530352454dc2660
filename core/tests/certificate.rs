//! Certificates and key sets: the exact bytes, and every way to bend them.
//!
//! `golden/*.json` are test vectors for other implementations: `docs/certificate.md` checks one with openssl alone.
//! `NARROWGATE_BLESS=1` rewrites them; whoever needs that has changed the format, and with it the version in its type.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, HEXLOWER};
use narrowgate_core::certificate::{self, Certified, Containment, PAYLOAD_TYPE, Statement, verify, verify_held};
use narrowgate_core::digest::Digest;
use narrowgate_core::dsse::{Envelope, Signature, TrustedKey, VerifyingKey, pre_authentication_encoding};
use narrowgate_core::keys::{self, KeySet};
use narrowgate_core::schema::{Plugin, Schema};
use narrowgate_core::vocabulary::Manifest;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// The group order of Ed25519, little-endian: adding it to a signature's second half keeps the equation true.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new(seed: u8) -> Signer {
        Signer(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn key(&self) -> VerifyingKey {
        VerifyingKey::from_bytes(self.0.public_key().as_ref().try_into().unwrap())
    }

    fn trusted(&self, until: Option<i64>) -> TrustedKey {
        TrustedKey { key: self.key(), until }
    }

    fn signature(&self, payload_type: &str, payload: &[u8]) -> Signature {
        let sig = self.0.sign(&pre_authentication_encoding(payload_type, payload));
        Signature { keyid: self.key().keyid(), sig: BASE64.encode(sig.as_ref()) }
    }

    fn seal(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: BASE64.encode(payload),
            signatures: vec![self.signature(payload_type, payload)],
        }
    }
}

fn policy() -> Digest {
    Digest::of(b"permit (principal, action, resource);")
}

/// The plugins that the statements assume.
fn assumed() -> Arc<Schema> {
    let plugin = |name: &str| {
        let manifest = json!({ "name": name, "version": "1", "doc": "A test.",
            "actions": [{ "name": "look", "group": "read", "methods": ["GET"], "doc": "Looks." }] });
        let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
        Plugin { vocabulary: manifest.try_into().unwrap(), digest: Digest::of(name.as_bytes()) }
    };
    Schema::with(["github", "zulip"].map(plugin)).unwrap()
}

/// A proof says which plugins it assumes to label truthfully, and holds for no others.
#[test]
fn a_certificate_holds_for_its_plugins_alone() {
    let (signer, statement) = (Signer::new(1), good());
    let envelope = signer.seal(PAYLOAD_TYPE, &statement.to_bytes());
    let keys = [signer.trusted(None)];
    let check = |schema: &Schema, expect: &str| {
        let error = verify(&envelope, &keys, policy(), schema, 1_750_000_000).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(Schema::standard(), "assumes plugin github@sha256:");
    let all = assumed();
    let one = Schema::with(all.plugins().values().take(1).cloned()).unwrap();
    check(&one, "assumes plugin zulip@sha256:");
    let mut changed: Vec<Plugin> = all.plugins().values().cloned().collect();
    changed[0].digest = Digest::of(b"another build");
    check(&Schema::with(changed).unwrap(), "have the policy proven again");
}

fn statement(schema: Digest) -> Statement {
    let proven = Containment {
        verdict: "within".to_owned(),
        ceiling: Digest::of(b"ceiling"),
        schema,
        plugins: BTreeMap::from([
            ("zulip".to_owned(), Digest::of(b"zulip")),
            ("github".to_owned(), Digest::of(b"github")),
        ]),
        engines: vec!["exact 0.1.0".to_owned()],
        environments_checked: 12,
        sandbox: "dev".to_owned(),
        version: 7,
        approver: "\u{e9}ve \"\u{1f511}\"\n</script>".to_owned(),
        approved_at: 1_700_000_000,
        expires_at: Some(1_800_000_000),
        held: None,
    };
    Statement::new(policy(), proven)
}

fn good() -> Statement {
    statement(assumed().digest())
}

#[track_caller]
fn refused(envelope: &Envelope, keys: &[TrustedKey], problem: &str) {
    match verify(envelope, keys, policy(), &assumed(), 1_750_000_000) {
        Ok(_) => panic!("verifies: {problem}"),
        Err(error) => assert!(error.to_string().contains(problem), "{problem:?} is not in {error:?}"),
    }
}

/// The vector as it is committed, or as it is now where it is to be rewritten.
fn golden(name: &str, now: Value) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("NARROWGATE_BLESS").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn vector(signers: &[&Signer], payload_type: &str, payload: &[u8]) -> Value {
    let mut envelope = signers[0].seal(payload_type, payload);
    envelope.signatures = signers.iter().map(|signer| signer.signature(payload_type, payload)).collect();
    let keys: Vec<Value> =
        signers.iter().map(|s| json!({"public_key": s.key().to_base64(), "keyid": s.key().keyid()})).collect();
    json!({
        "keys": keys,
        "payload": str::from_utf8(payload).unwrap(),
        "pre_authentication_encoding": HEXLOWER.encode(&pre_authentication_encoding(payload_type, payload)),
        "envelope": envelope,
    })
}

#[test]
fn the_bytes_of_a_certificate_are_the_committed_ones() {
    let signer = Signer::new(7);
    let payload = statement(Digest::of(b"schema")).to_bytes();
    let now = vector(&[&signer], PAYLOAD_TYPE, &payload);
    assert_eq!(golden("certificate.json", now.clone()), now);
}

#[test]
fn the_bytes_of_a_key_set_are_the_committed_ones() {
    let (old, new) = (Signer::new(7), Signer::new(8));
    let set = KeySet::first(&old.key(), 1_700_000_000).next(&new.key(), 1_750_000_000, 604_800);
    let now = vector(&[&old, &new], keys::PAYLOAD_TYPE, &set.to_bytes());
    assert_eq!(golden("key-set.json", now.clone()), now);
}

#[test]
fn a_certificate_holds_and_names_its_signer() {
    let (signer, other) = (Signer::new(1), Signer::new(2));
    let envelope = signer.seal(PAYLOAD_TYPE, &good().to_bytes());
    let keys = [other.trusted(None), signer.trusted(Some(1_760_000_000))];
    let Certified { statement, signer: by } = verify(&envelope, &keys, policy(), &assumed(), 1_750_000_000).unwrap();
    assert_eq!((statement, by), (good(), signer.trusted(Some(1_760_000_000))));
}

#[test]
fn whose_signature_counts() {
    let (known, unknown) = (Signer::new(1), Signer::new(2));
    let payload = good().to_bytes();
    let by = |signers: &[&Signer]| Envelope {
        signatures: signers.iter().map(|s| s.signature(PAYLOAD_TYPE, &payload)).collect(),
        ..known.seal(PAYLOAD_TYPE, &payload)
    };
    let keys = [known.trusted(None)];
    // DSSE: signatures by keys that nobody here knows are no reason to refuse, and none to accept.
    for envelope in [by(&[&known]), by(&[&unknown, &known]), by(&[&known, &unknown]), by(&[&known, &known])] {
        assert!(verify(&envelope, &keys, policy(), &assumed(), 1_750_000_000).is_ok());
    }
    for envelope in [by(&[]), by(&[&unknown]), by(&[&unknown, &unknown])] {
        refused(&envelope, &keys, "not signed by a key that is trusted here");
    }
    refused(&by(&[&known]), &[], "not signed by a key");
    refused(&by(&[&unknown, &unknown, &unknown, &unknown, &known]), &keys, "more than 4 signatures");
    // The key id is a hint: a wrong one harms nothing and a right one helps nothing.
    let mut renamed = by(&[&known]);
    renamed.signatures[0].keyid = unknown.key().keyid();
    assert!(verify(&renamed, &keys, policy(), &assumed(), 1_750_000_000).is_ok());
    let mut posing = by(&[&unknown]);
    posing.signatures[0].keyid = known.key().keyid();
    refused(&posing, &keys, "not signed by a key");
    // Signed before the signature was taken off and another payload's put on.
    let mut swapped = by(&[&known]);
    swapped.signatures = known.seal(PAYLOAD_TYPE, b"{}").signatures;
    refused(&swapped, &keys, "not signed by a key");
}

#[test]
fn a_retired_key_counts_until_its_time_and_not_a_second_longer() {
    let (old, new) = (Signer::new(1), Signer::new(2));
    let payload = good().to_bytes();
    let envelope = old.seal(PAYLOAD_TYPE, &payload);
    let keys = [new.trusted(None), old.trusted(Some(1_750_000_000))];
    assert!(verify(&envelope, &keys, policy(), &assumed(), 1_749_999_999).is_ok());
    refused(&envelope, &keys, "retired at 2025-06-15T15:06:40Z");
    // With the new key's signature beside it, that one counts.
    let mut both = envelope;
    both.signatures.push(new.signature(PAYLOAD_TYPE, &payload));
    assert_eq!(verify(&both, &keys, policy(), &assumed(), 1_750_000_000).unwrap().signer, keys[0]);
    assert_eq!(
        verify(&both, &keys, policy(), &assumed(), 1_749_999_999).unwrap().signer,
        keys[0],
        "the one that is trusted longest"
    );
}

#[test]
fn another_kind_of_document_is_no_certificate() {
    let signer = Signer::new(1);
    let payload = good().to_bytes();
    let keys = [signer.trusted(None)];
    for kind in
        [keys::PAYLOAD_TYPE, "application/json", "", "application/vnd.in-toto+json ", "Application/vnd.in-toto+json"]
    {
        // As it was signed, and with the label exchanged afterwards.
        let sealed = signer.seal(kind, &payload);
        refused(&sealed, &keys, "payloadType");
        refused(&Envelope { payload_type: PAYLOAD_TYPE.to_owned(), ..sealed }, &keys, "not signed by a key");
    }
    // The bare payload signed, without its type.
    let bare = BASE64.encode(signer.0.sign(&payload).as_ref());
    let mut envelope = signer.seal(PAYLOAD_TYPE, &payload);
    envelope.signatures[0].sig = bare;
    refused(&envelope, &keys, "not signed by a key");
}

#[test]
fn a_certificate_for_one_held_request_is_for_nothing_else() {
    let signer = Signer::new(1);
    let keys = [signer.trusted(None)];
    let mut held = good();
    held.predicate.held = Some("h_1".to_owned());
    let (in_force, held) = (good().to_bytes(), held.to_bytes());
    for (payload, wanted, holds) in [
        (&in_force, None, true),
        (&in_force, Some("h_1"), false),
        (&held, None, false),
        (&held, Some("h_1"), true),
        (&held, Some("h_2"), false),
        (&held, Some(""), false),
    ] {
        let envelope = signer.seal(PAYLOAD_TYPE, payload);
        let verified = match wanted {
            None => verify(&envelope, &keys, policy(), &assumed(), 1_750_000_000),
            Some(id) => verify_held(&envelope, &keys, policy(), &assumed(), 1_750_000_000, id),
        };
        match holds {
            true => drop(verified.unwrap()),
            false => {
                assert!(matches!(verified, Err(certificate::CertificateError::OtherPurpose { .. })), "{verified:?}")
            }
        }
    }
}

#[test]
fn one_spelling_of_base64_and_one_of_a_signature() {
    let signer = Signer::new(1);
    let keys = [signer.trusted(None)];
    // A payload whose base64 has all of padding, `+` or `/`, and spare bits.
    let mut statement = good();
    let payload = (0..).find_map(|n| {
        statement.predicate.approver = format!("{n} \u{fbff}\u{7ef}?>~");
        let bytes = statement.to_bytes();
        let text = BASE64.encode(&bytes);
        (text.ends_with("==") && text.contains(['+', '/'])).then_some(bytes)
    });
    let good = signer.seal(PAYLOAD_TYPE, &payload.unwrap());
    assert!(verify(&good, &keys, policy(), &assumed(), 1_750_000_000).is_ok());
    let variants = |text: &str| {
        let bytes = BASE64.decode(text.as_bytes()).unwrap();
        let spare = text.trim_end_matches('=');
        let (head, last) = spare.split_at(spare.len() - 1);
        let next = |c: char| char::from(c as u8 + 1);
        [
            BASE64URL.encode(&bytes),
            BASE64_NOPAD.encode(&bytes),
            format!("{text}="),
            format!("{text}\n"),
            format!(" {text}"),
            format!("{head}{}{}", next(last.chars().next().unwrap()), &text[spare.len()..]),
        ]
    };
    for (n, payload) in variants(&good.payload).into_iter().enumerate() {
        refused(&Envelope { payload, ..good.clone() }, &keys, if n == 5 { "" } else { "not standard base64" });
    }
    for sig in variants(&good.signatures[0].sig).into_iter().filter(|sig| *sig != good.signatures[0].sig) {
        let mut envelope = good.clone();
        envelope.signatures[0].sig = sig;
        refused(&envelope, &keys, "not signed by a key");
    }
    // The other solution of the same equation: S plus the group's order.
    let (mut sig, order) =
        (BASE64.decode(good.signatures[0].sig.as_bytes()).unwrap(), HEXLOWER.decode(ORDER.as_bytes()).unwrap());
    let mut carry = 0_u16;
    for (byte, add) in sig[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        (*byte, carry) = (carry as u8, carry >> 8);
    }
    let mut envelope = good.clone();
    envelope.signatures[0].sig = BASE64.encode(&sig);
    refused(&envelope, &keys, "not signed by a key");
}

/// The signer is trusted, and what it signed is still to be read in one way only.
#[test]
fn a_signed_payload_has_one_reading() {
    let signer = Signer::new(1);
    let text = String::from_utf8(good().to_bytes()).unwrap();
    let hex = policy().hex();
    let sha512 = format!("\"sha256\":\"{hex}\",\"sha512\":\"00\"");
    let schema = assumed().digest().to_string();
    let subject = format!("{{\"name\":\"policy\",\"digest\":{{\"sha256\":\"{hex}\"}}}}");
    let edit = |from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    for (payload, problem) in [
        // Members that are unknown, twice, absent, in another order or of another type.
        (edit("\"version\":7", "\"version\":7,\"note\":\"\""), "not a statement"),
        (edit("\"_type\"", "\"extra\":1,\"_type\""), "not a statement"),
        (edit("\"verdict\":\"within\"", "\"verdict\":\"exceeds\",\"verdict\":\"within\""), "not a statement"),
        (edit("\"version\":7", "\"version\":7,\"version\":8"), "not a statement"),
        (edit("\"name\":\"policy\",", ""), "not a statement"),
        (edit(",\"expires_at\":1800000000", ""), "not in canonical form"),
        (
            edit("\"version\":7,", "").replace("\"approved_at\"", "\"version\":7,\"approved_at\""),
            "not in canonical form",
        ),
        (edit("\"version\":7", "\"version\":7.0"), "not a statement"),
        (edit("\"version\":7", "\"version\":\"7\""), "not a statement"),
        (edit("\"version\":7", "\"version\":-7"), "not a statement"),
        (edit("\"plugins\":{", &format!("\"plugins\":{{\"github\":\"{schema}\",")), "not in canonical form"),
        (
            edit(&format!("\"sha256\":\"{hex}\""), &format!("\"sha256\":\"00\",\"sha256\":\"{hex}\"")),
            "not in canonical form",
        ),
        // The same JSON, written otherwise.
        (format!(" {text}"), "not in canonical form"),
        (format!("{text}\n"), "not in canonical form"),
        (edit("\"version\":7", "\"version\": 7"), "not in canonical form"),
        (edit("\"dev\"", "\"d\\u0065v\""), "not in canonical form"),
        (edit("\u{e9}ve", "\\u00e9ve"), "not in canonical form"),
        (edit("</script>", "<\\/script>"), "not in canonical form"),
        (format!("{text}{text}"), "not a statement"),
        (format!("\u{feff}{text}"), "not a statement"),
        (String::new(), "not a statement"),
        ("null".to_owned(), "not a statement"),
        ("[".repeat(100_000), "not a statement"),
        // Other statements.
        (edit("Statement/v1", "Statement/v0.1"), "not a containment statement"),
        (edit("containment:v1", "containment:v2"), "not a containment statement"),
        (edit("\"verdict\":\"within\"", "\"verdict\":\"exceeds\""), "certifies nothing"),
        (edit("\"verdict\":\"within\"", "\"verdict\":\"Within\""), "certifies nothing"),
        (edit("\"environments_checked\":12", "\"environments_checked\":0"), "certifies nothing"),
        // The subject: one policy with one digest.
        (edit(&subject, ""), "not exactly one subject"),
        (edit(&subject, &format!("{subject},{subject}")), "not exactly one subject"),
        (edit(&format!("\"sha256\":\"{hex}\""), &sha512), "one digest"),
        (edit(&format!("\"sha256\":\"{hex}\""), "\"sha512\":\"00\""), "one digest"),
        (edit(&format!("\"sha256\":\"{hex}\""), ""), "one digest"),
        (edit("\"name\":\"policy\"", "\"name\":\"ceiling\""), "not a policy"),
        (edit(&hex, &hex.to_uppercase()), "is for policy"),
        (edit(&hex, &Digest::of(b"wider").hex()), "is for policy"),
        // Over something else, or over.
        (edit(&schema, &Digest::of(b"other").to_string()), "another schema"),
        (edit("\"expires_at\":1800000000", "\"expires_at\":1750000000"), "expired"),
        (edit("\"expires_at\":1800000000", "\"expires_at\":-1"), "expired"),
    ] {
        refused(&signer.seal(PAYLOAD_TYPE, payload.as_bytes()), &[signer.trusted(None)], problem);
    }
    let invalid = [text.as_bytes(), b"\xff"].concat();
    refused(&signer.seal(PAYLOAD_TYPE, &invalid), &[signer.trusted(None)], "not a statement");
    let forever = text.replace("\"expires_at\":1800000000", "\"expires_at\":null");
    let envelope = signer.seal(PAYLOAD_TYPE, forever.as_bytes());
    assert!(verify(&envelope, &[signer.trusted(None)], policy(), &assumed(), i64::MAX).is_ok());
}

#[test]
fn an_envelope_has_one_reading_too() {
    let text = serde_json::to_string(&Signer::new(1).seal(PAYLOAD_TYPE, &good().to_bytes())).unwrap();
    assert!(serde_json::from_str::<Envelope>(&text).is_ok());
    for (from, to) in [
        ("{\"payloadType\"", "{\"payloadtype\":\"x\",\"payloadType\""),
        ("{\"payloadType\"", "{\"payloadType\":\"x\",\"payloadType\""),
        ("{\"payloadType\"", "{\"payload\":\"\",\"payloadType\""),
        ("\"keyid\"", "\"cert\":\"\",\"keyid\""),
        ("\"keyid\"", "\"sig\":\"\",\"keyid\""),
        ("\"signatures\"", "\"signature\""),
    ] {
        let bent = text.replacen(from, to, 1);
        assert_ne!(bent, text);
        assert!(serde_json::from_str::<Envelope>(&bent).is_err(), "{bent}");
    }
}

/// A chain of key sets as a gateway makes them: each signed by the key before and by its own.
fn chain(signers: &[&Signer], every: i64, overlap: i64) -> Vec<Envelope> {
    let mut set = KeySet::first(&signers[0].key(), 0);
    let mut sets = vec![signers[0].seal(keys::PAYLOAD_TYPE, &set.to_bytes())];
    for (n, pair) in signers.windows(2).enumerate() {
        set = set.next(&pair[1].key(), (n as i64 + 1) * every, overlap);
        let payload = set.to_bytes();
        let mut envelope = pair[0].seal(keys::PAYLOAD_TYPE, &payload);
        envelope.signatures.push(pair[1].signature(keys::PAYLOAD_TYPE, &payload));
        sets.push(envelope);
    }
    sets
}

#[test]
fn keys_are_followed_while_the_key_that_announces_them_is_trusted() {
    let signers = [1, 2, 3].map(Signer::new);
    let [first, second, third] = &signers;
    let sets = chain(&[first, second, third], 100, 150);
    assert_eq!(KeySet::enrol(&sets[2]).unwrap().sequence(), 3);
    for (pinned, key, now, expect) in [
        (1, first, 200, Ok(Some(3))),
        (1, first, 249, Ok(Some(3))),
        // The first key's time is over: what it announces may be anybody's.
        (1, first, 250, Err("was replaced")),
        (2, second, 250, Ok(Some(3))),
        (2, second, 349, Ok(Some(3))),
        (2, second, 350, Err("was replaced")),
        (3, third, 9999, Ok(None)),
        // Pinned before key sets were numbered.
        (0, first, 200, Ok(Some(3))),
        (0, second, 200, Err("not signed by key")),
        // Another gateway's, or a fork of this one's.
        (1, third, 200, Err("not signed by key")),
        (2, first, 200, Err("not signed by key")),
        // A gateway that was restored from a backup has nothing newer.
        (9, first, 200, Ok(None)),
    ] {
        let found = KeySet::newest(&sets, pinned, &key.key(), now);
        match (found, expect) {
            (Ok(set), Ok(expect)) => assert_eq!(set.map(|set| set.sequence()), expect, "{pinned} at {now}"),
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{pinned} at {now}: {error}"),
            (found, expect) => panic!("{pinned} at {now}: {found:?}, not {expect:?}"),
        }
    }
    let set = KeySet::newest(&sets, 1, &first.key(), 200).unwrap().unwrap();
    assert_eq!(set.trusted(), [third.trusted(None), second.trusted(Some(350)), first.trusted(Some(250))]);
    // A gap: what lies between was pruned, and is not to be skipped.
    let gap = KeySet::newest(&sets[2..], 1, &first.key(), 200).unwrap_err().to_string();
    assert!(gap.contains("key set 3 does not follow key set 1"), "{gap}");
    let misordered = [sets[2].clone(), sets[1].clone()];
    assert!(KeySet::newest(&misordered, 1, &first.key(), 200).is_err());
}

#[test]
fn who_may_announce_a_key() {
    let signers = [1, 2, 3].map(Signer::new);
    let [old, current, thief] = &signers;
    let first = KeySet::first(&old.key(), 0);
    let honest = first.next(&current.key(), 100, 1000);
    let sealed = |set: &KeySet, by: &[&Signer]| {
        let payload = set.to_bytes();
        let signatures = by.iter().map(|s| s.signature(keys::PAYLOAD_TYPE, &payload)).collect();
        Envelope { signatures, ..old.seal(keys::PAYLOAD_TYPE, &payload) }
    };
    let follow = |envelope: &Envelope, sequence, key: &Signer| {
        KeySet::follow(envelope, sequence, &key.key(), 500).map(|set| set.sequence()).map_err(|e| e.to_string())
    };
    assert_eq!(follow(&sealed(&honest, &[old, current]), 1, old), Ok(2));
    let forged = first.next(&thief.key(), 100, 1000);
    for (envelope, sequence, key, problem) in [
        // The old key alone cannot announce a key that nobody holds, nor a new key itself.
        (sealed(&honest, &[old]), 1, old, "not signed by key"),
        (sealed(&honest, &[current]), 1, old, "not signed by key"),
        (sealed(&honest, &[]), 1, old, "not signed by key"),
        (sealed(&forged, &[thief]), 1, old, "not signed by key"),
        (sealed(&forged, &[thief, current]), 1, old, "not signed by key"),
        // Within the overlap the old key's certificates count, its announcements do not.
        (sealed(&honest.next(&thief.key(), 200, 1000), &[old, thief]), 2, current, "not signed by key"),
        (sealed(&forged, &[old, thief]), 2, current, "key set 2 does not follow key set 2"),
        (sealed(&first, &[old]), 1, old, "key set 1 does not follow key set 1"),
        (sealed(&honest, &[old, current]), u64::MAX, old, "does not follow"),
        // No overlap: the key was given up as stolen, and announces nothing.
        (sealed(&first.next(&current.key(), 100, 0), &[old, current]), 1, old, "was replaced"),
        (sealed(&first.next(&current.key(), 100, -5), &[old, current]), 1, old, "was replaced"),
    ] {
        let refused = follow(&envelope, sequence, key).unwrap_err();
        assert!(refused.contains(problem), "{problem}: {refused}");
    }
    // A certificate's payload cannot be a key set's, whoever signed it.
    let relabelled =
        Envelope { payload_type: keys::PAYLOAD_TYPE.to_owned(), ..old.seal(PAYLOAD_TYPE, &first.to_bytes()) };
    assert!(KeySet::enrol(&relabelled).unwrap_err().to_string().contains("not signed by key"));
    let wrong_type = old.seal(PAYLOAD_TYPE, &first.to_bytes());
    assert!(KeySet::enrol(&wrong_type).unwrap_err().to_string().contains("payloadType"));
}

#[test]
fn a_key_set_has_one_reading() {
    let (old, new) = (Signer::new(1), Signer::new(2));
    let set = KeySet::first(&old.key(), 0).next(&new.key(), 100, 1000);
    let text = String::from_utf8(set.to_bytes()).unwrap();
    let (current, retired) = (
        format!("{{\"public_key\":\"{}\",\"not_after\":null}}", new.key().to_base64()),
        format!("{{\"public_key\":\"{}\",\"not_after\":1100}}", old.key().to_base64()),
    );
    let list = format!("[{current},{retired}]");
    assert!(text.ends_with(&format!("{list}}}")), "{text}");
    let edit = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let many = (0..17).map(|n| {
        format!(
            "{{\"public_key\":\"{}\",\"not_after\":{}}}",
            Signer::new(n).key().to_base64(),
            if n == 0 { "null" } else { "1" }
        )
    });
    let many = many.collect::<Vec<_>>().join(",");
    for (payload, problem) in [
        (format!("{text} "), "not in canonical form"),
        (edit("\"sequence\":2", "\"sequence\":2,\"sequence\":3"), "not a key set"),
        (edit("\"sequence\":2", "\"sequence\":2,\"threshold\":1"), "not a key set"),
        (edit("\"sequence\":2", "\"sequence\":0"), "not a key set of this version"),
        (edit("keys:v1", "keys:v2"), "not a key set of this version"),
        (edit(&current, &current.replace('=', "")), "32 bytes"),
        (edit(&current, "{\"public_key\":\"\",\"not_after\":null}"), "32 bytes"),
        (edit(&list, "[]"), "not exactly one current key"),
        (edit(&list, &format!("[{retired}]")), "not exactly one current key"),
        (edit(&list, &format!("[{retired},{current}]")), "not exactly one current key"),
        (edit("1100", "null"), "not exactly one current key"),
        (edit(&list, &format!("[{current},{retired},{retired}]")), "one twice"),
        (edit(&list, &format!("[{many}]")), "more than 16"),
    ] {
        let error = KeySet::enrol(&new.seal(keys::PAYLOAD_TYPE, payload.as_bytes())).unwrap_err().to_string();
        assert!(error.contains(problem), "{problem}: {error}");
    }
    let padded =
        Envelope { payload: format!("{}=", BASE64.encode(text.as_bytes())), ..new.seal(keys::PAYLOAD_TYPE, b"") };
    assert!(KeySet::enrol(&padded).is_err());
}

#[test]
fn sets_stay_small_and_keep_what_still_counts() {
    let signers: Vec<Signer> = (0..40).map(Signer::new).collect();
    let mut set = KeySet::first(&signers[0].key(), 0);
    for (n, signer) in signers.iter().enumerate().skip(1) {
        set = set.next(&signer.key(), n as i64 * 10, 25);
    }
    // At 390 the keys of 370, 380 and 390 count, and the one that was current until 360+25.
    let ends: Vec<_> = set.trusted().iter().map(|key| key.until).collect();
    assert_eq!(ends, [None, Some(415), Some(405), Some(395)]);
    let mut set = KeySet::first(&signers[0].key(), 0);
    for signer in &signers[1..] {
        set = set.next(&signer.key(), 1, 1000);
    }
    assert_eq!((set.sequence(), set.trusted().len()), (40, 16));
    assert_eq!(KeySet::enrol(&signers[39].seal(keys::PAYLOAD_TYPE, &set.to_bytes())).unwrap(), set);
}

/// What the schema's digest is about is checked at every verification, so that the vector's cannot be a live one.
#[test]
fn the_committed_certificate_certifies_nothing_here() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/certificate.json");
    let committed: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let envelope: Envelope = serde_json::from_value(committed["envelope"].clone()).unwrap();
    let key = VerifyingKey::from_base64(committed["keys"][0]["public_key"].as_str().unwrap()).unwrap();
    let error = verify(&envelope, &[key.into()], policy(), &assumed(), 1_750_000_000).unwrap_err();
    assert_eq!(error, certificate::CertificateError::OtherSchema);
}
