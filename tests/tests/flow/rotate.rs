//! A new signing key under traffic, and who may still speak after it: nothing drops, and the old key ends.

use std::fs;
use std::time::Duration;

use narrowgate_core::certificate::verify;
use narrowgate_core::compile::Compiled;
use narrowgate_core::dsse::TrustedKey;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::Schema;
use narrowgate_core::wire::{Bundle, Keys, RotateKey};
use narrowgate_prover::{Approval, Ceiling, Options, SigningKey, Verdict, prove};
use narrowgate_proxy::{GatewayClient, KeysError, StartError};
use narrowgate_tests::system::{DATABASE, HOST, System, eventually, rest_rule};
use serde_json::json;

async fn rotate(admin: &GatewayClient, overlap: u64) -> Keys {
    let body = RotateKey { overlap_seconds: Some(overlap) };
    admin.post("/v1/keys/rotate", &body).await.expect("a new key")
}

/// What a thief makes of a stolen key: a certificate for a policy that no ceiling bounds.
fn forged(stolen: &[u8], version: u64) -> Bundle {
    let yaml = "version: 1\nnetwork_policies: { all: { endpoints: [{ host: other.example.com, port: 443, protocol: rest, access: full }] } }\n";
    let policy = Policy::parse(yaml, "forged", Role::Policy).unwrap();
    let outcome = prove(&Compiled::policy(&policy).unwrap(), &Ceiling::open(), &Options::default());
    let Verdict::Within(proven) = outcome.verdict else { panic!("everything is inside nothing") };
    let approval =
        Approval { approver: "thief".into(), time: 0, expires: None, sandbox: "dev".into(), version, held: None };
    Bundle {
        sandbox: "dev".into(),
        version,
        policy_yaml: yaml.into(),
        policy_hash: proven.policy(),
        certificate: proven.certify(&SigningKey::from_pkcs8(stolen).unwrap(), &approval),
        plugins: Default::default(),
    }
}

/// A gateway's proxy finds this bundle in its cache when it next starts.
fn plant(system: &System, bundle: &Bundle) {
    fs::write(system.dir().join("proxy/bundle.json"), serde_json::to_vec(bundle).unwrap()).unwrap();
}

fn pinned(system: &System) -> Keys {
    serde_json::from_slice(&fs::read(system.dir().join("proxy/gateway-keys.json")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_drops_while_keys_are_replaced() {
    let system = System::usual().await;
    let database = json!({ "endpoints": [{ "host": DATABASE, "port": 5432 }] });
    let id = system.propose_accepted("database", database).await;
    system.approve(&id).await;
    system.enforces(2).await;
    let (answer, mut tunnel) = system.tunnel(&format!("{DATABASE}:5432")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut kept = system.connect(HOST).await;
    let admin = system.admin();

    let replacing = async {
        let mut keyids = Vec::new();
        for version in 3..=5 {
            keyids.push(rotate(&admin, 60).await.keys[0].keyid.clone());
            system.enforces(version).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        keyids
    };
    let mut served = 0;
    let traffic = async {
        loop {
            assert_eq!(kept.request("GET", "/repos", HOST, "").await.status, 200, "request {served}");
            tunnel.write(b"ping").await;
            assert_eq!(tunnel.read().await, b"ping", "round {served}");
            served += 1;
        }
    };
    let keyids = tokio::select! {
        keyids = replacing => keyids,
        () = traffic => unreachable!("traffic does not end"),
    };
    assert!(served >= 20, "{served} rounds");
    // What was asked while it happened was asked of each of the keys.
    let bundle = system.bundle().await;
    assert_eq!((bundle.version, &bundle.certificate.signatures[0].keyid), (5, &keyids[2]));
    let pins = pinned(&system);
    assert_eq!((pins.sequence, pins.keys.len(), &pins.keys[0].keyid), (4, 4, &keyids[2]));
    let changes: Vec<_> = system.audit().iter().map(|line| line["unmapped"]["change"].clone()).collect();
    assert_eq!(changes.iter().filter(|change| **change == "keys_replaced").count(), 3, "{changes:?}");
    assert_eq!(changes.iter().filter(|change| **change == "refused").count(), 0, "{changes:?}");
    // An approval goes on as before, under the new key.
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    system.approve(&id).await;
    system.enforces(6).await;
    assert_eq!(system.bundle().await.certificate.signatures[0].keyid, keyids[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_after_a_new_key_keeps_it() {
    let mut system = System::usual().await;
    let keys = rotate(&system.admin(), 60).await;
    system.enforces(2).await;
    let bundle = system.bundle().await;
    system.stop_proxy().await;
    system.stop_gateway().await;
    system.start_gateway().await;
    system.start_proxy().await;
    assert_eq!(system.version(), 2);
    let again: Keys = system.sandbox().get("/v1/keys").await.unwrap();
    assert_eq!(again.keys, keys.keys);
    assert_eq!(system.bundle().await.certificate, bundle.certificate, "nothing was to be signed anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_was_off_within_the_overlap_follows_by_itself() {
    let mut system = System::usual().await;
    system.stop_proxy().await;
    rotate(&system.admin(), 60).await;
    rotate(&system.admin(), 60).await;
    system.start_proxy().await;
    assert_eq!((system.version(), pinned(&system).sequence), (3, 3));
    assert_eq!(system.curl(&["https://api.example.com/repos"]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_was_off_for_longer_says_so_and_is_enrolled_anew() {
    let mut system = System::usual().await;
    system.stop_proxy().await;
    rotate(&system.admin(), 1).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let refused = system.try_start_proxy().await.unwrap_err();
    assert!(matches!(&refused, StartError::Keys(KeysError::NotFollowed { .. })), "{refused:?}");
    let refused = refused.to_string();
    for said in ["was replaced", "gateway-keys.json", "narrowgate key list", "enrol this proxy anew"] {
        assert!(refused.contains(said), "{said}: {refused}");
    }
    // The operator's part.
    fs::remove_file(system.dir().join("proxy/gateway-keys.json")).unwrap();
    system.start_proxy().await;
    assert_eq!((system.version(), pinned(&system).sequence), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_was_cut_off_for_longer_keeps_what_it_has_and_takes_nothing_new() {
    let mut system = System::usual().await;
    let admin_token = system.tokens()[1].clone();
    system.stop_gateway().await;
    let elsewhere = system.gateway_elsewhere().await;
    let admin = GatewayClient::new(&elsewhere.url(), &admin_token).unwrap();
    rotate(&admin, 1).await;
    elsewhere.shutdown().await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    system.start_gateway().await;
    assert_eq!(system.bundle().await.version, 2);
    let refused = || {
        let lines = system.audit();
        lines.into_iter().find(|line| line["unmapped"]["change"] == "refused")
    };
    eventually("the refusal is in the audit log", || refused().is_some()).await;
    let message = refused().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("was replaced") && message.contains("enrol this proxy anew"), "{message}");
    assert_eq!(system.version(), 1);
    assert_eq!(system.curl(&["https://api.example.com/repos"]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_is_worth_nothing_once_its_time_is_over() {
    let mut system = System::usual().await;
    let stolen = fs::read(system.dir().join("gateway/signing.key")).unwrap();
    rotate(&system.admin(), 3).await;
    system.enforces(2).await;
    let ends = pinned(&system).keys[1].not_after.unwrap();
    assert_ne!(fs::read(system.dir().join("gateway/signing.key")).unwrap(), stolen);
    system.stop_proxy().await;
    system.stop_gateway().await;
    let theirs = forged(&stolen, 99);
    let keys: Vec<TrustedKey> = pinned(&system).keys.iter().map(|key| key.trusted().unwrap()).collect();
    let holds = |at| verify(&theirs.certificate, &keys, theirs.policy_hash, Schema::standard(), at);
    assert!(holds(ends - 1).is_ok(), "within the overlap a thief can sign");
    assert!(holds(ends).unwrap_err().to_string().contains("was retired at"));
    plant(&system, &theirs);
    while jiff::Timestamp::now().as_second() < ends {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // With no gateway to ask, everything hangs on the pinned keys.
    let refused = system.try_start_proxy().await.unwrap_err();
    assert!(matches!(&refused, StartError::Gateway(_)), "{refused:?}");
    system.start_gateway().await;
    system.start_proxy().await;
    assert_eq!(system.version(), 2, "and the gateway's own version is taken");
    assert_eq!(system.curl(&["-X", "PUT", "https://other.example.com/x"]).await.status, 0, "refused at CONNECT");
}

/// What the overlap means: a policy that the old key signed is in force until its end, and not a moment longer.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_key_signed_ends_with_it() {
    let mut system = System::start(
        "version: 1\nnetwork_policies: { database: { endpoints: [{ host: db.example.com, port: 5432 }] } }\n",
        "permit (principal, action, resource);",
    )
    .await;
    let old = fs::read(system.dir().join("gateway/signing.key")).unwrap();
    let first = system.bundle().await;
    rotate(&system.admin(), 4).await;
    system.enforces(2).await;
    let keys: Vec<TrustedKey> = pinned(&system).keys.iter().map(|key| key.trusted().unwrap()).collect();
    let (now, ends) = (jiff::Timestamp::now().as_second(), keys[1].until.unwrap());
    let holds = |at| verify(&first.certificate, &keys, first.policy_hash, Schema::standard(), at).is_ok();
    assert!(holds(now) && holds(ends - 1) && !holds(ends));

    system.stop_proxy().await;
    system.stop_gateway().await;
    let policy = Policy::parse(&first.policy_yaml, "again", Role::Policy).unwrap();
    let compiled = Compiled::policy(&policy).unwrap();
    let Verdict::Within(proven) = prove(&compiled, &Ceiling::open(), &Options::default()).verdict else { panic!() };
    let approval =
        Approval { approver: "ann".into(), time: now, expires: None, sandbox: "dev".into(), version: 3, held: None };
    let certificate = proven.certify(&SigningKey::from_pkcs8(&old).unwrap(), &approval);
    plant(&system, &Bundle { version: 3, certificate, ..first });
    system.start_proxy().await;
    assert_eq!(system.version(), 3, "still trusted");
    let (answer, mut tunnel) = system.tunnel(&format!("{DATABASE}:5432")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(tunnel.ends_within(Duration::from_secs(10)).await, "the tunnel outlived the key");
    assert!(jiff::Timestamp::now().as_second() >= ends);
    eventually("nothing is in force", || system.version() == 0).await;
    let (answer, _) = system.tunnel(&format!("{DATABASE}:5432")).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (403, &json!("policy_unavailable")));
    let last = system.audit().into_iter().rfind(|line| line["unmapped"]["change"] == "revoked").unwrap();
    assert!(last["message"].as_str().unwrap().contains("came to its end"), "{last}");
}
