//! A rule for one program is no rule for another.

use narrowgate_tests::system::{HOST, System};

fn policy(binary: &str) -> String {
    format!(
        "
version: 1
network_policies:
  one_program:
    binaries: [{{ path: \"{binary}\" }}]
    endpoints: [{{ host: {HOST}, port: 443, protocol: rest, access: read-only }}]
"
    )
}

fn curl() -> String {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join("curl")).find(|file| file.is_file());
    found.expect("curl").canonicalize().unwrap().to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_that_asks_is_the_program_that_is_meant() {
    let open = "permit (principal, action, resource);";
    let system = System::start(&policy(&curl()), open).await;
    let allowed = system.curl(&["https://api.example.com/a"]).await;
    assert_eq!(allowed.status, 200, "{allowed:#?}");
    // This test is another program, and says so in no header that would help it.
    let refused = system.connect(HOST).await.request("GET", "/a", HOST, "").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    let own = std::env::current_exe().unwrap().canonicalize().unwrap();
    assert_eq!(refused.json()["binary"], own.to_string_lossy().as_ref());

    // An exact path matches an ancestor's too: curl is this test's child.
    let system = System::start(&policy(&own.to_string_lossy()), open).await;
    assert_eq!(system.curl(&["https://api.example.com/a"]).await.status, 200);
    assert_eq!(system.connect(HOST).await.request("GET", "/a", HOST, "").await.status, 200);
}
