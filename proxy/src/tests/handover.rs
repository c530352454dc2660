//! A connection that changes hands: decided by who has it when the request comes.

use std::process::Stdio;
use std::time::Duration;

use super::guests::{echo, endpoints, rig};
use super::rig::{POLICY, Rig};

/// Two requests on one connection. The second program is the one that `exec` makes of the first.
const SCRIPT: &str = r#"
exec 3<>/dev/tcp/127.0.0.1/$1
request='GET http://plain.test/%s HTTP/1.1\r\nhost: plain.test\r\n\r\n'
printf "$request" first >&3
while read -r -u 3 line && [ "$line" != $'\r' ]; do echo "$line"; done
read -r -u 3 -N 5 body
sleep "$2" 3>&-
exec "$3" --norc -c 'printf "$1" second >&3; read -r -u 3 line; echo "$line"' other "$request"
"#;

#[tokio::test]
async fn a_program_does_not_inherit_the_rights_of_the_one_that_connected() {
    let rig = Rig::new().await;
    // A copy: whoever runs these tests may have bash as an ancestor, which counts.
    let bash = rig.dir.path().join("first");
    std::fs::copy("/bin/bash", &bash).unwrap();
    let policy = POLICY.replace("  raw:\n", "    binaries:\n      - { path: BASH }\n  raw:\n");
    assert_ne!(policy, POLICY);
    rig.enforce(&policy.replace("BASH", bash.to_str().unwrap()), 2);
    // Another program: the same bytes under another name.
    let other = rig.dir.path().join("other");
    std::fs::copy(&bash, &other).unwrap();
    // Before and after the time at which all of /proc is searched anyway.
    for (pause, second, status) in [("0", &other, "403"), ("0.4", &other, "403"), ("0", &bash, "200")] {
        let before = rig.upstream.seen().len();
        let mut command = tokio::process::Command::new(&bash);
        command.args(["--norc", "-c", SCRIPT, "bash", &rig.proxy.addr().port().to_string(), pause]).arg(second);
        let command = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(10), command);
        let said = output.await.ok().map(|output| String::from_utf8_lossy(&output.unwrap().stdout).into_owned());
        let expected = if status == "200" { 2 } else { 1 };
        assert!(said.as_ref().is_some_and(|said| said.contains(&format!("HTTP/1.1 {status} "))), "{said:?}");
        assert_eq!(rig.upstream.seen().len() - before, expected, "{said:?}: {}", rig.audit());
        if status == "403" {
            let denial = rig.shared.denials.last(1).pop().unwrap();
            let denial = serde_json::to_value(&denial).unwrap().to_string();
            assert!(denial.contains(other.to_str().unwrap()), "{denial}");
        }
    }
}

/// One request, whose body begins with one program and ends with the one that `exec` makes of it.
const HALVES: &str = r#"
exec 3<>/dev/tcp/127.0.0.1/$1
printf 'POST http://plain.test/any HTTP/1.1\r\nhost: plain.test\r\ncontent-length: 5\r\n\r\nhel' >&3
sleep 0.2 3>&-
exec "$2" --norc -c 'printf lo >&3; read -r -u 3 line; echo "$line"'
"#;

#[tokio::test]
async fn a_body_that_another_program_ends_has_no_author() {
    let rig = rig([echo("problem")]).await;
    rig.enforce(&endpoints(&["{ host: plain.test, port: 80, protocol: acme, access: full }"]), 2);
    let (first, other) = (rig.dir.path().join("first"), rig.dir.path().join("other"));
    for copy in [&first, &other] {
        std::fs::copy("/bin/bash", copy).unwrap();
    }
    for (second, status) in [(&other, "403"), (&first, "200")] {
        let mut command = tokio::process::Command::new(&first);
        command.args(["--norc", "-c", HALVES, "bash", &rig.proxy.addr().port().to_string()]).arg(second);
        let command = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(10), command).await.expect("an answer").unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("HTTP/1.1 {status} ")), "{said:?}: {}", rig.audit());
    }
    assert_eq!(rig.upstream.lines(), ["POST /any"]);
    assert_eq!(rig.upstream.seen()[0].body, "hello");
}
