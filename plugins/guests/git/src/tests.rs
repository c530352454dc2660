//! What git sends, what an attacker might, and what comes of it.

use narrowgate_plugin::testing::{self, check, check_example, check_vocabulary};
use narrowgate_plugin::{Body, Operation, Plugin, Refusal, Request, Value};

use crate::Git;

const A: &str = "1111111111111111111111111111111111111111";
const B: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";
const PACK: &str = "PACK\0\0\0\u{2}\0\0\0\0";

fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

/// The first command of a push, with capabilities.
fn first(old: &str, new: &str, name: &str, capabilities: &str) -> String {
    pkt(&format!("{old} {new} {name}\0{capabilities}"))
}

fn next(old: &str, new: &str, name: &str) -> String {
    pkt(&format!("{old} {new} {name}"))
}

fn post(path: &str, kind: &str, headers: &str, body: &str) -> String {
    format!("POST https://git.example/{path} HTTP/1.1\ncontent-type: {kind}\n{headers}\n{body}")
}

fn push(body: &str) -> String {
    post("acme/site.git/git-receive-pack", "application/x-git-receive-pack-request", "", body)
}

fn fetch(headers: &str, body: &str) -> String {
    post("acme/site.git/git-upload-pack", "application/x-git-upload-pack-request", headers, body)
}

fn get(url: &str) -> String {
    format!("GET https://git.example/{url} HTTP/1.1\n\n")
}

/// A push of one update to a ref, and its answer without what is the same everywhere.
#[track_caller]
fn check_push(body: &str, expect: &[&str]) {
    let operations = testing::classify::<Git>(push(body)).unwrap();
    let brief = |operation: &Operation| {
        let id = |name| operation.text_of(name).map(|id| format!(" {name}={}", &id[..1])).unwrap_or_default();
        let options = operation.texts_of("push_options").unwrap().join(",");
        let options = if options.is_empty() { options } else { format!(" options={options}") };
        let atomic = if operation.flag_of("atomic").unwrap() { " atomic" } else { "" };
        assert_eq!(operation.text_of("repository"), Some("acme/site"));
        let name = operation.text_of("ref").unwrap();
        format!("{} {name}{}{}{atomic}{options}", operation.action, id("old"), id("new"))
    };
    assert_eq!(operations.iter().map(brief).collect::<Vec<_>>(), expect, "{body:?}");
}

#[track_caller]
fn refused(body: &str, expect: &str) {
    check::<Git>(push(body), expect);
}

#[test]
fn the_vocabulary_loads() {
    check_vocabulary::<Git>();
}

#[test]
fn services_and_repositories() {
    check::<Git>(get("acme/site.git/info/refs?service=git-upload-pack"), "fetch repository=acme/site");
    check::<Git>(get("acme/site/info/refs?service=git-upload-pack"), "fetch repository=acme/site");
    check::<Git>(get("site/info/refs?service=git-receive-pack"), "push.advertise repository=site");
    check::<Git>(get("a/b/.git/info/refs?service=git-upload-pack"), "fetch repository=a/b/.git");
    check::<Git>(get("a.git.git/info/refs?service=git-upload-pack"), "fetch repository=a.git");
    let head = "HEAD https://git.example/acme/site.git/info/refs?service=git-upload-pack\n\n";
    check::<Git>(head, "fetch repository=acme/site");
    for dumb in
        ["a/info/refs", "a/HEAD", "a/objects/info/packs", "a/objects/pack/pack-1.pack", "a/git-upload-pack", "a"]
    {
        check::<Git>(get(dumb), "not-understood");
    }
    check::<Git>(get("info/refs?service=git-upload-pack"), "not-understood");
    check::<Git>(get("a/info/refs?service=git-upload-archive"), "not-understood");
    check::<Git>(get("a/info/refs?service=git-upload-pack&service=git-receive-pack"), "ambiguous");
    check::<Git>(get("a/info/refs?service=git-upload-pack&x=y"), "not-understood");
    check::<Git>(get("a%2Fb/info/refs?service=git-upload-pack"), "ambiguous");
    check::<Git>(get("a/git-receive-pack/"), "not-understood");
    check::<Git>(post("a/git-receive-pack?x", "application/x-git-receive-pack-request", "", "0000"), "not-understood");
    check::<Git>(post("a/git-receive-pack", "text/plain", "", "0000"), "malformed");
    check::<Git>(post("a/git-receive-pack", "application/x-git-upload-pack-request", "", "0000"), "malformed");
}

#[test]
fn every_ref_of_a_push() {
    check_push(
        &[&first(NONE, A, "refs/heads/bot/x", " report-status agent=git/2.47.3"), "0000", PACK].concat(),
        &["ref.create refs/heads/bot/x new=1"],
    );
    check_push(
        &[
            &first(A, B, "refs/heads/bot/x", "report-status atomic object-format=sha1\n"),
            &next(A, B, "refs/heads/main\n"),
            &next(A, NONE, "refs/tags/v1"),
            "0000",
            PACK,
        ]
        .concat(),
        &[
            "ref.update refs/heads/bot/x old=1 new=2 atomic",
            "ref.update refs/heads/main old=1 new=2 atomic",
            "ref.delete refs/tags/v1 old=1 atomic",
        ],
    );
    check_push(&[&first(A, NONE, "refs/heads/x", ""), "0000"].concat(), &["ref.delete refs/heads/x old=1"]);
    check_push(&[&next(A, B, "refs/heads/x"), "0000", PACK].concat(), &["ref.update refs/heads/x old=1 new=2"]);
    check_push(
        &[&pkt(&format!("shallow {A}\n")), &first(A, B, "refs/heads/x", ""), "0000", PACK].concat(),
        &["ref.update refs/heads/x old=1 new=2"],
    );
    let (a, b) = ("1".repeat(64), "2".repeat(64));
    check_push(
        &[&first(&a, &b, "refs/heads/x", " object-format=sha256"), "0000", PACK].concat(),
        &["ref.update refs/heads/x old=1 new=2"],
    );
    refused("0000", "push.advertise repository=acme/site");
}

#[test]
fn push_options_by_name_alone() {
    let options = [&pkt("ci.skip\n"), &pkt("ci.variable=TOKEN=secret"), "0000"].concat();
    check_push(
        &[&first(A, B, "refs/heads/x", " push-options"), "0000", &options, PACK].concat(),
        &["ref.update refs/heads/x old=1 new=2 options=ci.skip,ci.variable"],
    );
    // Without the capability, what follows the flush is the pack.
    refused(&[&first(A, B, "refs/heads/x", ""), "0000", &options, PACK].concat(), "malformed");
    refused(&[&first(A, B, "refs/heads/x", " push-options"), "0000", PACK].concat(), "malformed");
    refused(
        &[&first(A, B, "refs/heads/x", " push-options"), "0000", &pkt("a\u{1}b"), "0000", PACK].concat(),
        "not-understood",
    );
}

#[test]
fn what_two_servers_read_two_ways() {
    let twice = [&first(A, B, "refs/heads/x", ""), &next(B, A, "refs/heads/x"), "0000", PACK].concat();
    refused(&twice, "ambiguous");
    // git reads capabilities wherever they stand, and of two NULs only what is between them.
    refused(
        &[&next(A, B, "refs/heads/x"), &first(A, B, "refs/heads/y", " atomic"), "0000", PACK].concat(),
        "malformed",
    );
    refused(&[&first(A, B, "refs/heads/x", " a\0 atomic"), "0000", PACK].concat(), "malformed");
    refused(&[&first(A, B, "refs/heads/x", " agent=x\tpush-options"), "0000", PACK].concat(), "malformed");
    refused(
        &[&first(A, B, "refs/heads/x", " object-format=sha1 object-format=sha256"), "0000", PACK].concat(),
        "ambiguous",
    );
    refused(&[&first(A, B, "refs/heads/x", " object-format=sha256"), "0000", PACK].concat(), "malformed");
    refused(&[&first(A, B, "refs/heads/x", " rename-everything"), "0000", PACK].concat(), "not-understood");
    refused(&[&first(A, B, "refs/heads/x", " atomic=no"), "0000", PACK].concat(), "not-understood");
    let after = [&first(NONE, A, "refs/heads/x", ""), "0000", &next(A, B, "refs/heads/main"), "0000", PACK].concat();
    refused(&after, "malformed");
    refused(&["0000", &first(A, B, "refs/heads/main", ""), "0000", PACK].concat(), "malformed");
    refused(&[&first(A, NONE, "refs/heads/x", ""), "0000", PACK].concat(), "malformed");
    refused(&[&first(A, B, "refs/heads/x", ""), "0000"].concat(), "malformed");
    refused(&[&first(A, B, "refs/heads/x", ""), &pkt(&format!("shallow {A}")), "0000", PACK].concat(), "malformed");
    refused(&[&pkt("push-cert\0 push-cert=nonce"), "0000"].concat(), "not-understood");
    refused(&[&pkt(&format!("shallow {A}")), "0000"].concat(), "malformed");
}

#[test]
fn packets_are_counted_strictly() {
    let whole = [&first(A, B, "refs/heads/x", ""), "0000", PACK].concat();
    for end in 0..whole.len() - PACK.len() {
        // A body of no bytes is none.
        let expect = if end == 0 { "needs-body" } else { "malformed" };
        refused(&whole[..end], expect);
    }
    let long_line = format!("{A} {B} refs/heads/x");
    for length in ["0001", "0002", "0003", "0004", "ffff", "fff1", "00zz", "+05b", "-001", " 05b", "0x5b"] {
        refused(&[length, &long_line, "0000", PACK].concat(), "malformed");
    }
    refused(
        &[&next(A, B, "refs/heads/x").to_uppercase().replace("REFS/HEADS/X", "refs/heads/x"), "0000", PACK].concat(),
        {
            "ref.update repository=acme/site ref=refs/heads/x atomic=false push_options=[] old=1111111111111111111111111111111111111111 \
         new=2222222222222222222222222222222222222222"
        },
    );
}

#[test]
fn a_truncated_push_is_decided_by_its_commands() {
    let whole = [&first(A, B, "refs/heads/x", " push-options"), "0000", &pkt("ci.skip"), "0000", PACK].concat();
    let commands = whole.len() - PACK.len();
    for end in 0..=whole.len() {
        let request = Request { body: Body::Truncated(whole.as_bytes()[..end].to_vec()), ..push_request() };
        match Git::classify(&request) {
            Ok(operations) => assert!(end >= commands && operations.len() == 1, "{end}"),
            Err(Refusal::NeedsBody(_)) => assert!(end < commands, "{end}"),
            Err(other) => panic!("{end}: {other}"),
        }
    }
    let deletes = [&first(A, NONE, "refs/heads/x", ""), "0000"].concat();
    let request = Request { body: Body::Truncated(deletes.into_bytes()), ..push_request() };
    assert!(matches!(Git::classify(&request), Err(Refusal::Malformed(_))), "nothing follows deletions");
}

#[test]
fn a_pack_of_any_length_is_not_waited_for() {
    let body = |refs| {
        let refs = (0..refs).map(|n| next(NONE, A, &format!("refs/heads/{}/{n}", "x".repeat(200))));
        [refs.collect::<String>(), "0000".into(), PACK.into(), "x".repeat(1 << 20)].concat()
    };
    assert_eq!(testing::classify::<Git>(push(&body(16))).map(|operations| operations.len()), Ok(16));
    refused(&body(17), "not-understood");
}

#[test]
fn a_truncated_fetch_is_decided_by_its_first_want() {
    let (want, have) = (pkt(&format!("want {A}\n")), pkt(&format!("have {B}\n")));
    let command = [pkt("command=fetch"), pkt("agent=x"), "0001".into()].concat();
    for (version, decides, rest) in
        [("0", &want, format!("0000{have}{have}")), ("2", &command, format!("{want}{have}"))]
    {
        let whole = [decides.as_str(), &rest].concat();
        for end in 0..=whole.len() {
            let request = Request::https("POST", "git.example")
                .segments_of("a/git-upload-pack")
                .header("content-type", "application/x-git-upload-pack-request")
                .header("git-protocol", &format!("version={version}"));
            let request = Request { body: Body::Truncated(whole.as_bytes()[..end].to_vec()), ..request };
            match Git::classify(&request) {
                Ok(operations) => assert!(end >= decides.len() && operations.len() == 1, "{version} {end}"),
                Err(Refusal::NeedsBody(_)) => assert!(end < decides.len(), "{version} {end}"),
                Err(other) => panic!("{version} {end}: {other}"),
            }
        }
    }
}

fn push_request() -> Request {
    Request::https("POST", "git.example")
        .segments_of("acme/site.git/git-receive-pack")
        .header("content-type", "application/x-git-receive-pack-request")
}

#[test]
fn names_of_refs() {
    for good in ["refs/heads/x", "refs/tags/v1.0", "refs/heads/a@b", "refs/heads/ü", "refs/pull/1/head", "refs/stash"]
    {
        check_push(&[&next(A, B, good), "0000", PACK].concat(), &[&format!("ref.update {good} old=1 new=2")]);
    }
    for bad in [
        "HEAD",
        "main",
        "refs",
        "refs/",
        "refs//x",
        "refs/heads/../x",
        "refs/heads/.x",
        "refs/heads/x.lock",
        "refs/a.lock/b",
        "refs/heads/x.",
        "refs/heads/x/",
        "refs/heads/a b",
        "refs/heads/a~1",
        "refs/heads/a^",
        "refs/heads/a:b",
        "refs/heads/a?",
        "refs/heads/*",
        "refs/heads/[a",
        "refs/heads/a\\b",
        "refs/heads/@{x",
        "refs/heads/a\u{7f}",
        "refs/heads/a\r",
        "refs/heads/a\n",
        "Refs/heads/x",
        "",
    ] {
        refused(&[&next(A, B, &format!("{bad}\n")), "0000", PACK].concat(), "malformed");
    }
    let latin = [b"0058".as_slice(), A.as_bytes(), b" ", B.as_bytes(), b" ", b"\xff", b"0000"].concat();
    assert!(Git::classify(&push_request().body(latin)).is_err());
}

#[test]
fn ids_of_objects() {
    let short = &A[1..];
    for (old, new) in [
        (short, B),
        (A, short),
        (&"G".repeat(40), B),
        (A, &"b".repeat(64)),
        (&"A".repeat(40), B),
        (NONE, NONE),
        ("", B),
    ] {
        refused(&[&next(old, new, "refs/heads/x"), "0000", PACK].concat(), "malformed");
    }
    let (long_a, long_b) = ("1".repeat(64), "2".repeat(64));
    refused(
        &[&next(A, B, "refs/heads/x"), &next(&long_a, &long_b, "refs/heads/y"), "0000", PACK].concat(),
        "malformed",
    );
}

#[test]
fn fetches_by_version() {
    let read = "fetch repository=acme/site";
    let (want, have) = (pkt(&format!("want {A} multi_ack_detailed agent=git/2.47.3\n")), pkt(&format!("have {B}\n")));
    let two = "git-protocol: version=2\n";
    check::<Git>(fetch("", &[&want, "0000", &pkt("done\n")].concat()), read);
    check::<Git>(fetch("git-protocol: version=1\n", &[&want, "0000", &have, &pkt("done\n")].concat()), read);
    check::<Git>(fetch("", &[&want, &pkt("deepen 1\n"), "0000"].concat()), read);
    check::<Git>(fetch("", "0000"), read);
    check::<Git>(fetch(two, "0000"), read);
    check::<Git>(
        fetch(two, &[&pkt("command=ls-refs\n"), &pkt("agent=x"), "0001", &pkt("peel\n"), "0000"].concat()),
        read,
    );
    check::<Git>(fetch(two, &[&pkt("agent=x"), &pkt("command=fetch"), "0001", &want, "0000"].concat()), read);

    check::<Git>(fetch("", &[&first(A, B, "refs/heads/main", ""), "0000", PACK].concat()), "malformed");
    check::<Git>(fetch("", &have), "malformed");
    check::<Git>(fetch("", &[&want, "0000", &pkt("done\n"), &next(A, B, "refs/heads/main")].concat()), "malformed");
    check::<Git>(fetch("", &[&pkt("command=ls-refs\n"), "0000"].concat()), "malformed");
    check::<Git>(fetch(two, &[&want, "0000"].concat()), "not-understood");
    check::<Git>(fetch(two, &[&pkt("command=push\n"), "0000"].concat()), "not-understood");
    check::<Git>(fetch(two, &[&pkt("command=fetch"), &pkt("command=ls-refs"), "0001", "0000"].concat()), "ambiguous");
    check::<Git>(fetch(two, &[&pkt("command=fetch"), "0001", "0000", &pkt("command=x"), "0000"].concat()), "malformed");
    check::<Git>(fetch("", &[have.as_str(), &pkt("done\n")].concat()), "malformed");
    check::<Git>(fetch("", &[&want, &pkt("delete refs/heads/main"), "0000"].concat()), "malformed");
    check::<Git>(fetch("", &["0000", &want, "0000", &pkt("done\n")].concat()), "malformed");
    check::<Git>(fetch(two, &[&pkt("command=ls-refs\n"), "0000"].concat()), read);
    check::<Git>(fetch(two, &[&pkt("command=ls-refs\n"), &pkt("agent=x"), "0000", &want].concat()), "malformed");
    check::<Git>(fetch(two, &[&pkt("agent=x"), "0001"].concat()), "malformed");
    check::<Git>(fetch(two, &[&pkt("command=fetch"), "0001", "0001", "0000"].concat()), "malformed");
    check::<Git>(fetch("git-protocol: version=3\n", "0000"), "not-understood");
    check::<Git>(fetch("git-protocol: version=1:version=2\n", "0000"), "ambiguous");
    check::<Git>(fetch("git-protocol: version=1\ngit-protocol: version=2\n", "0000"), "ambiguous");
}

#[test]
fn large_files() {
    let batch = |body: &str| {
        post("acme/site.git/info/lfs/objects/batch", "application/vnd.git-lfs+json; charset=utf-8", "", body)
    };
    check::<Git>(batch(r#"{"operation":"download","objects":[]}"#), "lfs.download repository=acme/site");
    check::<Git>(
        batch(r#"{"operation":"upload","ref":{"name":"refs/heads/x"},"objects":[]}"#),
        "lfs.upload repository=acme/site ref=refs/heads/x",
    );
    check::<Git>(batch(r#"{"operation":"download","Operation":"upload"}"#), "ambiguous");
    check::<Git>(batch(r#"{"operation":"download","\u006fperation":"upload"}"#), "ambiguous");
    check::<Git>(batch(r#"{"Operation":"download"}"#), "ambiguous");
    check::<Git>(batch(r#"{"operation":"verify"}"#), "malformed");
    check::<Git>(
        batch(r#"{"operation":"upload","ref":{"name":"refs/heads/x","Name":"refs/heads/main"}}"#),
        "ambiguous",
    );
    check::<Git>(batch(r#"{"operation":"upload","ref":{"name":"../x"}}"#), "malformed");
    let utf16 = batch(r#"{"operation":"download"}"#).replace("utf-8", "utf-16");
    check::<Git>(utf16, "ambiguous");
    check::<Git>(batch("[]"), "malformed");
    check::<Git>(batch(""), "needs-body");
    check::<Git>(post("a/info/lfs/locks/verify", "application/vnd.git-lfs+json", "", "{}"), "not-understood");
    check::<Git>(post("a/info/lfs/objects/batch", "application/json", "", "{}"), "malformed");
}

#[test]
fn what_git_sent() {
    let expect = [
        ("attack-capabilities-on-second-command", "malformed"),
        ("attack-command-after-flush", "malformed"),
        ("attack-lfs-case", "ambiguous"),
        ("attack-one-ref-twice", "ambiguous"),
        ("attack-push-cert", "not-understood"),
        ("attack-push-in-fetch", "malformed"),
        ("attack-ref-with-dots", "malformed"),
        ("attack-truncated-packet", "malformed"),
        ("attack-two-services", "ambiguous"),
        ("dumb-info-refs", "not-understood"),
        ("dumb-object", "not-understood"),
        ("fetch-advertise", "fetch"),
        ("fetch-v0-clone", "fetch"),
        ("fetch-v0-haves", "fetch"),
        ("fetch-v0-shallow", "fetch"),
        ("fetch-v2-clone", "fetch"),
        ("fetch-v2-haves", "fetch"),
        ("fetch-v2-ls-refs", "fetch"),
        ("fetch-v2-partial", "fetch"),
        ("lfs-download", "lfs.download refs/heads/main"),
        ("lfs-upload", "lfs.upload"),
        ("push-advertise", "push.advertise"),
        ("push-create", "ref.create refs/heads/main"),
        (
            "push-create-update-delete",
            "ref.delete refs/heads/bot/a + ref.update refs/heads/main + ref.create refs/heads/bot/b",
        ),
        ("push-delete", "ref.delete refs/heads/bot/x"),
        ("push-forced", "ref.update refs/heads/main"),
        ("push-from-shallow", "ref.update refs/heads/main"),
        ("push-options", "ref.update refs/heads/main"),
        ("push-probe", "push.advertise"),
        ("push-sha256", "ref.create refs/heads/main"),
        ("push-two-refs-atomic", "ref.update refs/heads/main + ref.create refs/heads/bot/x"),
    ];
    let brief = |operation: &Operation| match operation.text_of("ref") {
        Some(name) => format!("{} {name}", operation.action),
        None => operation.action.clone(),
    };
    let cases = testing::cases(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    let answers: Vec<_> = (cases.iter())
        .map(|(name, case)| match testing::classify::<Git>(case) {
            Ok(operations) => (name.as_str(), operations.iter().map(brief).collect::<Vec<_>>().join(" + ")),
            refusal => (name.as_str(), testing::brief(&refusal)),
        })
        .collect();
    let expect: Vec<_> = expect.into_iter().map(|(name, answer)| (name, answer.to_owned())).collect();
    assert_eq!(answers, expect);
}

#[test]
fn examples_read_back() {
    let of = |action| Operation::new(action).text("repository", "acme/site");
    let pushed =
        |action, name| of(action).text("ref", name).flag("atomic", true).texts("push_options", vec!["ci.skip".into()]);
    for operation in [
        of("fetch"),
        of("push.advertise"),
        pushed("ref.create", "refs/heads/bot/x").text("new", A),
        pushed("ref.update", "refs/tags/v1").text("old", "a".repeat(64)).text("new", "b".repeat(64)),
        pushed("ref.delete", "refs/heads/bot/x").text("old", B),
        of("lfs.download").text("ref", "refs/heads/main"),
        of("lfs.upload"),
    ] {
        check_example::<Git>(&operation);
    }
    let declared: Vec<_> = Git::describe().actions.into_iter().map(|action| action.name).collect();
    assert_eq!(
        declared,
        ["fetch", "push.advertise", "ref.create", "ref.update", "ref.delete", "lfs.download", "lfs.upload"]
    );
}

#[test]
fn suggestions_outlive_the_commits() {
    let body = [&first(A, B, "refs/heads/bot/x", ""), &next(A, NONE, "refs/heads/y"), "0000", PACK].concat();
    let denied = testing::classify::<Git>(push(&body)).unwrap();
    let suggestions = Git::suggest(&push_request(), &denied);
    let texts = |name| suggestions.iter().map(|suggestion| suggestion.operation.text_of(name)).collect::<Vec<_>>();
    assert_eq!(texts("ref"), [Some("refs/heads/bot/x"), Some("refs/heads/bot/**"), Some("refs/heads/y")]);
    assert_eq!(texts("new"), [None; 3]);
    for suggestion in &suggestions {
        let operations = Git::classify(&Git::example(suggestion).unwrap()).unwrap();
        assert_eq!(operations.len(), 1);
        assert_eq!(operations[0].action, suggestion.operation.action);
        assert_eq!(operations[0].value("repository"), Some(&Value::Text("acme/site".into())));
    }
}
