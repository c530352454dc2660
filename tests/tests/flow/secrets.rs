//! A secret in a query, a header or a body is the upstream's to see, and nobody else's to keep.

use narrowgate_tests::system::{HOST, System, rest_rule};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_no_response_log_or_database() {
    let system = System::usual().await;
    let secret = ["query-s3cret-1", "header-s3cret-2", "body-s3cret-3", "fragment-s3cret-4", "user-s3cret-5"];
    let header = format!("Authorization: Bearer {}", secret[1]);
    let mut answers = String::new();
    for (method, path) in [("GET", "/a"), ("PUT", "/repos/acme/site/docs/a.md"), ("PUT", "/a/%2f"), ("get", "/")] {
        let url = format!("https://{HOST}{path}?token={}", secret[0]);
        let mut args = vec!["-X", method, "-H", &header];
        if method == "PUT" {
            args.extend(["-d", secret[2]]);
        }
        args.push(&url);
        let answer = system.curl(&args).await;
        if method != "GET" {
            answers += &format!("{}{}", answer.headers, answer.body);
        }
    }
    // Refused before any rule is looked at; the refusals quote what they refuse, but not this.
    let mut client = system.connect(HOST).await;
    let refused = client.request("GET", &format!("/a?token={}&%zz", secret[0]), HOST, "").await;
    answers += &format!("{}{}", refused.head, refused.text());
    let mut client = system.connect(HOST).await;
    let refused = client.request("GET", &format!("/a?x=1#{}", secret[3]), HOST, "").await;
    answers += &format!("{}{}", refused.head, refused.text());
    let (refused, _) = system.tunnel(&format!("u:{}@{HOST}:443", secret[4])).await;
    answers += &format!("{}{}", refused.head, refused.text());

    let denials = system.local("GET", "/v1/denials?last=100", "").await;
    answers += &denials.text();
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    answers += &serde_json::to_string(&system.approve(&id).await).unwrap();
    for secret in secret {
        assert!(!answers.contains(secret), "{secret} in {answers}");
        assert_eq!(system.files_with(secret), Vec::<std::path::PathBuf>::new(), "{secret}");
    }
    assert_eq!(system.upstream.lines(), [format!("GET /a?token={}", secret[0])], "what was allowed arrived whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_stored_hashed() {
    let system = System::usual().await;
    system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    for token in system.tokens() {
        let files = system.files_with(&token);
        let own = files.iter().all(|file| file.extension().is_some_and(|extension| extension == "token"));
        assert!(own, "{files:?}");
    }
}

/// The proxy's own authority can vouch for any name; its key and the gateway's are for nobody else to read.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens_are_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let system = System::usual().await;
    let mut private = 0;
    for folder in ["gateway", "proxy"] {
        for entry in std::fs::read_dir(system.dir().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read(&path).unwrap();
            let secret = name.ends_with(".token")
                || name.ends_with(".key")
                || name.ends_with(".db")
                || text.windows(11).any(|window| window == b"PRIVATE KEY");
            if secret {
                private += 1;
                let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
            }
        }
    }
    assert!(private >= 4, "{private} private files found; there are more");
}
