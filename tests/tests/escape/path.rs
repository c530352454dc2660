//! Paths and queries that two servers could read differently.

use narrowgate_tests::system::HOST;

use crate::system;

/// What was sent, and what arrives; `None` where nothing may.
const CASES: [(&str, Option<&str>); 44] = [
    ("/public/a", Some("/public/a")),
    ("/public", Some("/public")),
    ("/public/", Some("/public/")),
    ("/public/a?x=1", Some("/public/a?x=1")),
    ("/%70ublic/%61", Some("/public/a")),
    ("/public/./a", Some("/public/a")),
    ("/public/b/../a", Some("/public/a")),
    ("/public/b/%2e%2e/a", Some("/public/a")),
    ("/public/a%c3%a9", Some("/public/a%C3%A9")),
    ("/public/..", None),
    ("/public/../secret", None),
    ("/public/%2e%2e/secret", None),
    ("/public/%2E./secret", None),
    ("/public/.%2e/secret", None),
    ("/public/%252e%252e/secret", None),
    ("/public/%25%32%65%25%32%65/secret", None),
    ("/public/..%2fsecret", None),
    ("/public/..%5csecret", None),
    ("/public\\..\\secret", None),
    ("/public//../secret", None),
    ("//public/a", None),
    ("/public//a", None),
    ("/../public/a", None),
    ("/public/..;/secret", None),
    ("/public/a;v=1", None),
    ("/public/a%00", None),
    ("/public/a%0d%0aX:%201", None),
    ("/public/a#b", None),
    ("/PUBLIC/a", None),
    ("/publica", None),
    ("/secret?x=/public/", None),
    ("/public/private/a", None),
    ("/public/./private/a", None),
    ("/public/%70rivate/a", None),
    ("/public/private", None),
    ("/public/x/../private/a", None),
    ("*", None),
    ("public/a", None),
    ("/search?scope=mine", Some("/search?scope=mine")),
    ("/search?sc%6fpe=mine&page=2", Some("/search?scope=mine&page=2")),
    ("/search?scope=all", None),
    ("/search?scope=mine&scope=all", None),
    ("/search?scope=all&sc%6fpe=mine", None),
    ("/search?scope=mine;scope=all", None),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_what_was_decided() {
    let system = system().await;
    for (sent, arrives) in CASES {
        system.upstream.forget();
        let mut client = system.connect(HOST).await;
        client.write(format!("GET {sent} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
        let status = client.answer().await.map(|answer| answer.status);
        let lines = system.upstream.lines();
        match arrives {
            Some(target) => assert_eq!((status, lines), (Some(200), vec![format!("GET {target}")]), "{sent}"),
            None => {
                assert_eq!(lines, Vec::<String>::new(), "{sent}");
                assert!(matches!(status, None | Some(400 | 403)), "{sent}: {status:?}");
            }
        }
    }
}

/// The same through curl, which sends what it is given and is what an agent has at hand.
#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_no_further() {
    let system = system().await;
    for path in ["/public/../secret", "/public/%2e%2e/secret", "//secret", "/secret;x", "/public%2f..%2fsecret"] {
        let answer = system.curl(&[&format!("https://{HOST}{path}")]).await;
        assert!(matches!(answer.status, 400 | 403), "{path}: {answer:#?}");
    }
    assert_eq!(system.upstream.lines(), Vec::<String>::new());
}
