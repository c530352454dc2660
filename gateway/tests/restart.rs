//! What a restart keeps, and what keeps a gateway from starting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use common::{CEILING, System, config, put, read, rule};
use narrowgate_gateway::{Config, Gateway};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let approved = system.submit("dev", &token, put("docs", "/repos/acme/docs/**")).await.unwrap();
    assert_eq!(system.approve(&approved, &system.review_token(&approved).await).await.0, 200);
    let pending = system.submit("dev", &token, rule("git", "PUT", "/repos/acme/src/**", "/usr/bin/git")).await.unwrap();
    let state = async |system: &System| {
        let mut state = Vec::new();
        for path in [
            "/v1/keys",
            "/v1/proposals",
            "/v1/sandboxes",
            "/v1/sandboxes/dev/bundle",
            "/v1/sandboxes/dev/history",
            "/v1/ceiling",
        ] {
            state.push(system.get(path).await);
        }
        (state, system.admin.clone(), system.reviewer.clone())
    };
    let before = state(&system).await;
    let review_token = system.review_token(&pending).await;
    let system = system.restart().await;
    assert_eq!(state(&system).await, before);
    assert_eq!(
        system.call("GET", "/v1/sandboxes/dev/bundle", &token, None).await.0,
        200,
        "the sandbox's token is still good"
    );
    assert_eq!(system.approve(&pending, &review_token).await.0, 200, "and so is what the reviewer saw");
}

/// Dropped, not shut down: what a killed process leaves in the files.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_sudden_end() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    assert_eq!(system.approve(&id, &system.review_token(&id).await).await.0, 200);
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("data")).unwrap();
    for (path, _) in system.stored() {
        fs::copy(&path, copy.path().join("data").join(path.file_name().unwrap())).unwrap();
    }
    let expect = system.bundle("dev").await;
    let config = config(copy.path());
    let again = System::start_in(copy, config).await;
    assert_eq!(again.bundle("dev").await, expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_that_does_not_contain_what_is_in_force_is_refused() {
    let system = System::start().await;
    system.sandbox("dev").await;
    let before = system.bundle("dev").await;
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let narrow = CEILING
        .replace("{ method: GET, path: '/**' }", "{ method: GET, path: '/repos/other/x' }")
        .replace("acme", "none");
    let refused = refused(Config { ceiling: Some((narrow, "narrow.yaml".into())), ..config(dir.path()) }).await;
    assert!(refused.contains("sandbox \"dev\": outside_org_ceiling") && refused.contains("curl"), "{refused}");
    // Nothing was changed by the attempt.
    let config = config(dir.path());
    assert_eq!(System::start_in(dir, config).await.bundle("dev").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wider_ceiling_makes_a_new_version() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    let (old, seen) = (system.bundle("dev").await, system.review_token(&id).await);
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let wide = CEILING.replace(
        "'/repos/acme/**' }",
        "'/repos/acme/**' }\n          - allow: { method: PATCH, path: '/repos/acme/**' }",
    );
    let config = Config { ceiling: Some((wide, "wide.yaml".into())), ..config(dir.path()) };
    let system = System::start_in(dir, config.clone()).await;
    let new = system.bundle("dev").await;
    assert_eq!((&new["version"], &new["policy_hash"]), (&json!(2), &old["policy_hash"]));
    assert_ne!(new["certificate"], old["certificate"], "what is served is certified for the ceiling of now");
    let (status, answer) = system.approve(&id, &seen).await;
    assert_eq!(
        (status, &answer["error"]),
        (409, &json!("stale_review_token")),
        "it was reviewed under another ceiling"
    );
    assert_eq!(system.approve(&id, &answer["proposal"]["review_token"]).await.0, 200);
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let system = System::start_in(dir, config).await;
    assert_eq!(system.bundle("dev").await["version"], 3, "once is enough");
}

async fn refused(config: Config) -> String {
    Gateway::start(config).await.err().expect("must not start").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let given = || config(dir.path());
    let exposed = refused(Config { listen: ([0, 0, 0, 0], 0).into(), ..given() }).await;
    assert!(exposed.contains("0.0.0.0:0 is not a loopback address"), "{exposed}");
    for (text, file) in [
        ("version: [", "c.yaml"),
        ("permit(principal, action, resource) when { nonsense };", "c.cedar"),
        ("", "c.cedar"),
    ] {
        let ceiling = refused(Config { ceiling: Some((text.into(), file.into())), ..given() }).await;
        assert!(ceiling.starts_with("the ceiling: "), "{ceiling}");
    }
    let missing = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let tls = refused(Config { tls: Some(missing), ..given() }).await;
    assert!(tls.contains("cert.pem"), "{tls}");
    assert!(!dir.path().join("data").exists(), "nothing half-written");

    let gateway = Gateway::start(given()).await.unwrap();
    let in_use = refused(given()).await;
    assert!(in_use.contains("in use by another gateway"), "{in_use}");
    let other = tempfile::tempdir().unwrap();
    let port = refused(Config { listen: gateway.addr(), ..config(other.path()) }).await;
    assert!(port.starts_with(&format!("cannot listen on {}", gateway.addr())), "{port}");
    gateway.shutdown().await;

    let key = dir.path().join("data/signing.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let readable = refused(given()).await;
    assert!(readable.contains("signing.key") && readable.contains("mode 644"), "{readable}");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, b"not a key").unwrap();
    let damaged = refused(given()).await;
    assert!(damaged.contains("does not hold an Ed25519 key"), "{damaged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_is_the_handle_on_its_token() {
    let system = System::start().await;
    let (old, path) = (system.reviewer.clone(), system.gateway.reviewer_token_path());
    // Taken away: still good, and no new one appears.
    fs::remove_file(&path).unwrap();
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let gateway = Gateway::start(config(dir.path())).await.unwrap();
    assert!(!path.exists());
    let addr = gateway.addr();
    assert_eq!(common::call(addr, "GET", "/v1/proposals", Some(&old), None).await.0, 200);
    gateway.shutdown().await;
    // Another one put there: it replaces the old one.
    let other = tempfile::tempdir().unwrap();
    let donor = Gateway::start(config(other.path())).await.unwrap();
    let new = read(donor.reviewer_token_path());
    fs::copy(donor.reviewer_token_path(), &path).unwrap();
    let gateway = Gateway::start(config(dir.path())).await.unwrap();
    let addr = gateway.addr();
    assert_eq!(common::call(addr, "GET", "/v1/proposals", Some(&new), None).await.0, 200);
    assert_eq!(common::call(addr, "GET", "/v1/proposals", Some(&old), None).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls() {
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&files.0, cert.pem()).unwrap();
    fs::write(&files.1, signing_key.serialize_pem()).unwrap();
    let config = Config { tls: Some(files), ..config(dir.path()) };
    let gateway = Gateway::start(config).await.unwrap();
    assert!(gateway.url().starts_with("https://127.0.0.1:"));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(gateway.addr()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}
