//! The certificates that the proxy makes are taken by clients with opinions.

use narrowgate_tests::system::{HOST, System};
use tokio::process::Command;

/// Python with the checks that it makes by default from 3.13 on: key identifiers, key usage, a critical basic constraint.
const PYTHON: &str = "
import ssl, sys, urllib.request
proxy, bundle, url = sys.argv[1:]
context = ssl.create_default_context(cafile=bundle)
context.verify_flags |= ssl.VERIFY_X509_STRICT | getattr(ssl, 'VERIFY_X509_PARTIAL_CHAIN', 0)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({'https': proxy}), urllib.request.HTTPSHandler(context=context))
print(opener.open(url, timeout=20).status)
";

#[tokio::test(flavor = "multi_thread")]
async fn python_checks_strictly() {
    let system = System::usual().await;
    let output = Command::new("python3")
        .args(["-c", PYTHON, &format!("http://{}", system.proxy_addr())])
        .arg(system.ca_bundle())
        .arg(format!("https://{HOST}/repos"))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .await
        .expect("python3 runs (`cargo xtask setup` installs it)");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "200", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(system.upstream.lines(), ["GET /repos"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_verifies_the_chain_and_sees_the_identifiers() {
    let system = System::usual().await;
    let connect = |host: &str| {
        let mut command = Command::new("openssl");
        command.args([
            "s_client",
            "-x509_strict",
            "-verify_return_error",
            "-verify_hostname",
            host,
            "-servername",
            host,
        ]);
        command.args(["-proxy", &system.proxy_addr().to_string(), "-connect", &format!("{host}:443"), "-CAfile"]);
        command.arg(system.ca_bundle()).stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    };
    let output = connect(HOST).output().await.expect("openssl runs (`cargo xtask setup` installs it)");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}{}", String::from_utf8_lossy(&output.stderr));

    let pem = said.split_inclusive("-----END CERTIFICATE-----").next().unwrap_or_default();
    let begin = pem.find("-----BEGIN CERTIFICATE-----").expect("the leaf");
    let file = system.dir().join("leaf.pem");
    std::fs::write(&file, &pem[begin..]).unwrap();
    let leaf = Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&file).output().await.unwrap();
    let leaf = String::from_utf8_lossy(&leaf.stdout).into_owned();
    for part in [
        "Subject Key Identifier",
        "Authority Key Identifier",
        "Subject Alternative Name",
        HOST,
        "Server Authentication",
    ] {
        assert!(leaf.contains(part), "{part}: {leaf}");
    }
    // Only the sandbox's own bundle makes it trusted.
    let mut stranger = connect(HOST);
    stranger.args(["-no-CAfile", "-CAfile"]).arg(system.upstream.ca_file());
    let output = stranger.output().await.unwrap();
    assert!(!output.status.success() || !String::from_utf8_lossy(&output.stdout).contains("Verify return code: 0"));
}
