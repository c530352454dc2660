#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// Arguments, parted by `␣`, and what is shown of them.
fn check(arguments: &str, expect: &str) {
    let arguments: Vec<&[u8]> = arguments.split('␣').map(str::as_bytes).collect();
    assert_eq!(CommandLine::redacted(&arguments).as_str(), expect, "{arguments:?}");
}

/// A word that no line may show.
const SECRET: &str = "hunter2hunter";

#[test]
fn what_is_no_secret_is_shown() {
    for line in [
        "curl␣-sS␣--max-time␣5␣https://api.example/repos/acme/site/contents/docs/a.md",
        "/usr/bin/git␣push␣-u␣origin␣main",
        "python3.12␣-u␣agent.py␣--verbose",
        "pip␣install␣--user␣requests==2.32.3",
        "mkdir␣-p␣build/out",
        "npm␣install␣left-pad@1.3.0",
        "ssh␣-p␣2222␣git@git.example",
        "git␣clone␣git@git.example:acme/site.git",
        "node␣/usr/lib/node_modules/npm/bin/npm-cli.js␣ci",
        "git␣commit␣--author=Jane␣-q",
        "/opt/MyApplication2/bin/serverProcess/components/ButtonGroup/main",
        "java␣-classpath␣/opt/app/lib␣Main",
        "gh␣auth␣login",
    ] {
        check(line, &line.replace('␣', " "));
    }
}

#[test]
fn secrets_are_left_out_wherever_they_are_said() {
    for (line, expect) in [
        // Options that carry them, in all the forms that clients take.
        ("curl␣-H␣Authorization: Bearer SECRET␣https://a.example/", "curl -H [redacted] https://a.example/"),
        ("curl␣-HAuthorization: Bearer SECRET", "curl -H[redacted]"),
        ("curl␣-sSH␣X-Anything: SECRET", "curl -sSH [redacted]"),
        ("curl␣--header=Authorization: SECRET", "curl --header=[redacted]"),
        ("curl␣--header␣Authorization: SECRET␣-v", "curl --header [redacted] -v"),
        ("curl␣--proxy-header␣X: SECRET", "curl --proxy-header [redacted]"),
        ("curl␣-u␣me:SECRET␣https://a.example/", "curl -u [redacted] https://a.example/"),
        ("curl␣-ume:SECRET", "curl -u[redacted]"),
        ("curl␣-sSLume:SECRET", "curl -sSLu[redacted]"),
        ("curl␣--user␣me:SECRET", "curl --user [redacted]"),
        ("curl␣-U␣me:SECRET", "curl -U [redacted]"),
        ("curl␣-b␣sid=SECRET", "curl -b [redacted]"),
        ("curl␣--cookie=sid=SECRET", "curl --cookie=[redacted]"),
        ("curl␣-d␣{\"password\": \"SECRET\"}", "curl -d [redacted]"),
        ("curl␣--data-raw␣code=SECRET", "curl --data-raw [redacted]"),
        ("curl␣--json␣{\"a\":\"SECRET\"}", "curl --json [redacted]"),
        ("curl␣-F␣file=SECRET", "curl -F [redacted]"),
        ("mysql␣-pSECRET␣db", "mysql -p[redacted] db"),
        ("docker␣login␣-p␣SECRET␣registry.example", "docker login -p [redacted] registry.example"),
        ("redis-cli␣-a␣SECRET", "redis-cli -a [redacted]"),
        ("tool␣--api-token␣SECRET␣run", "tool --api-token [redacted] run"),
        ("tool␣--token=SECRET", "tool --token=[redacted]"),
        ("tool␣-token␣SECRET", "tool -token [redacted]"),
        ("tool␣--PASSWORD␣-SECRET", "tool --PASSWORD [redacted]"),
        ("openssl␣enc␣-passin␣pass:SECRET", "openssl enc -passin [redacted]"),
        ("java␣-Djavax.net.ssl.keyStorePassword=SECRET␣Main", "java -Djavax.net.ssl.keyStorePassword=[redacted] Main"),
        // Assignments and headers as words of their own.
        ("env␣API_KEY=SECRET␣tool", "env API_KEY=[redacted] tool"),
        ("http␣GET␣a.example␣Authorization:SECRET", "http GET a.example Authorization:[redacted]"),
        ("http␣a.example␣X-Api-Key: SECRET", "http a.example 'X-Api-Key: [redacted]'"),
        ("git␣-c␣http.extraHeader=Authorization: Basic SECRET␣fetch", "git -c http.extraHeader=[redacted] fetch"),
        ("git␣config␣user.password␣SECRET", "git config user.password [redacted]"),
        ("npm␣config␣set␣//npm.example/:_authToken␣SECRET", "npm config set //npm.example/:_authToken [redacted]"),
        ("npm␣config␣set␣//npm.example/:_authToken=SECRET", "npm config set //npm.example/:_authToken=[redacted]"),
        // URLs.
        ("git␣clone␣https://me:SECRET@git.example/a.git", "git clone https://[redacted]@git.example/a.git"),
        ("git␣clone␣https://SECRET@git.example/a.git", "git clone https://[redacted]@git.example/a.git"),
        ("curl␣https://a.example/p?x=SECRET&y=1", "curl https://a.example/p?[redacted]"),
        ("curl␣a.example/p?SECRET", "curl a.example/p?[redacted]"),
        ("curl␣https://a.example/p#SECRET", "curl https://a.example/p#[redacted]"),
        ("curl␣-xhttp://me:SECRET@proxy.example:3128␣x", "curl -xhttp://[redacted]@proxy.example:3128 x"),
        ("mongosh␣mongodb+srv://me:SECRET@db.example/app", "mongosh mongodb+srv://[redacted]@db.example/app"),
        ("sshfs␣me:SECRET@host.example", "sshfs [redacted]@host.example"),
        // A command in an argument.
        (
            "sh␣-c␣curl -H 'Authorization: Bearer SECRET' https://a.example/",
            "sh -c 'curl -H [redacted] https://a.example/'",
        ),
        ("bash␣-lc␣curl -H\"X: SECRET\" a.example", "bash -lc 'curl -H[redacted] a.example'"),
        ("bash␣-c␣echo Authorization: Bearer SECRET | nc a.example 80", "bash -c 'echo Authorization: [redacted]'"),
        ("bash␣-c␣PASSWORD='a SECRET' tool && curl -u me:SECRET x", "bash -c PASSWORD=[redacted]"),
        ("bash␣-c␣sh -c \"curl -u me:SECRET x\"", "bash -c 'sh -c \"curl -u [redacted] x\"'"),
        ("bash␣-c␣curl -H 'Authorization: SECRET", "bash -c 'curl -H [redacted]'"),
        (
            "python3␣-c␣requests.get(u, headers={'Authorization': 'SECRET'})",
            "python3 -c 'requests.get(u, headers=[redacted]'",
        ),
    ] {
        let line = line.replace("SECRET", SECRET);
        let arguments: Vec<&[u8]> = line.split('␣').map(str::as_bytes).collect();
        let shown = CommandLine::redacted(&arguments);
        assert!(!shown.as_str().contains(SECRET), "{line}: {shown}");
        check(&line, expect);
    }
}

#[test]
fn what_looks_like_a_key_is_left_out() {
    for key in [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghijkl",
        "glpat-abcdefghijklmnop",
        "sk-proj-abcdefghijkl",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "npm_abcdefghijklmnop",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "q83vEjRWeJq83vEjRWeJq83vEjRWeJq83vEjRWeJ0w==",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "4111111111111111",
        "-----BEGIN PRIVATE KEY-----",
    ] {
        check(&format!("tool␣{key}␣end"), &format!("tool {HIDDEN} end"));
        if !key.contains([' ', '/']) {
            check(
                &format!("tool␣https://a.example/hooks/{key}/x"),
                &format!("tool https://a.example/hooks/{HIDDEN}/x"),
            );
            check(&format!("tool␣v={key}"), &format!("tool v={HIDDEN}"));
        }
    }
}

#[test]
fn nothing_moves_a_terminal_and_arguments_stay_apart() {
    check("tool␣a b␣␣c'd e", "tool 'a b' '' 'c'\\''d e'");
    check("tool␣\u{1b}[2Jx\r\n\u{7}", "tool '\\u{1b}[2Jx \\u{7}'");
    check("tool␣a\u{202e}gnp.exe\u{200b}", "tool a\\u{202e}gnp.exe\\u{200b}");
    let shown = CommandLine::redacted(&[b"tool", b"\xff\xfe"]);
    assert_eq!(shown.as_str(), "tool \u{fffd}\u{fffd}");
}

#[test]
fn a_long_line_is_cut_at_512_characters() {
    let long = vec![b'-'; 5000];
    let shown = CommandLine::redacted(&[b"tool", &long]);
    assert_eq!(shown.as_str().chars().count(), LONGEST);
    assert!(shown.as_str().ends_with('…'));
    let exact = CommandLine::redacted(&[&vec![b'.'; LONGEST]]);
    assert!(!exact.as_str().ends_with('…'));
    // Escapes do not grow it.
    assert_eq!(CommandLine::redacted(&[&[7; 400]]).as_str().chars().count(), LONGEST);
}

#[test]
fn no_bytes_are_too_strange() {
    // Deterministic, so that what fails once fails again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let pieces: [&[u8]; 14] = [
        b"-H",
        b"'",
        b"\"",
        b" ",
        b"://",
        b"@",
        b"?",
        b"=",
        b":",
        b"\\",
        b"token",
        b"\xff",
        "é\u{202e}".as_bytes(),
        b"\x1b",
    ];
    for _ in 0..20_000 {
        let arguments: Vec<Vec<u8>> = (0..random(5))
            .map(|_| (0..random(9)).flat_map(|_| pieces[random(pieces.len() as u64) as usize].to_vec()).collect())
            .collect();
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let shown = CommandLine::redacted(&arguments);
        assert!(shown.as_str().chars().count() <= LONGEST);
        assert!(!shown.as_str().contains(looks::is_invisible), "{arguments:?}");
    }
}
