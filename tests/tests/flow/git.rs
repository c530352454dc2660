//! Pushes in git's own words: which refs of which repository, with a real client and a real server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use narrowgate_tests::system::{Chosen, Git, System, shipped};
use serde_json::Value;

const FETCH: &str = "{ allow: { action: \"git::fetch\", where: { repository: git/site } } }";
const PUSH: &str = "{ allow: { action: \"git::push.advertise\" } }, \
    { allow: { action: \"git::ref.create\", where: { ref: \"refs/heads/bot/**\" } } }, \
    { allow: { action: \"git::ref.update\", where: { ref: \"refs/heads/bot/**\" } } }";

/// A system whose agent may do this with git, and a clone.
async fn cloned(rules: &[&str]) -> (System, PathBuf, PathBuf) {
    let endpoint = format!("{{ host: api.example.com, port: 443, protocol: git, rules: [{}] }}", rules.join(", "));
    let policy = format!("version: 1\nnetwork_policies:\n  code: {{ endpoints: [{endpoint}] }}\n");
    let chosen = Chosen { plugins: shipped(&["git"]), ..Chosen::default() };
    let system = System::start_with(&policy, "permit (principal, action, resource);", chosen).await;
    let bare = system.repository("site").await;
    let url = "https://api.example.com/git/site.git";
    let clone = system.git(system.dir(), &["clone", url, "work"]).await;
    assert!(clone.ok, "{clone:#?}");
    let work = system.dir().join("work");
    assert_eq!(fs::read_to_string(work.join("README.md")).unwrap(), "hello\n");
    (system, work, bare)
}

/// A commit of a file of so many bytes that do not become fewer.
async fn commit(system: &System, work: &Path, bytes: usize) {
    let mut state = 88_172_645_463_325_252_u64;
    let noise = (0..bytes).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    fs::write(work.join("noise"), noise.collect::<Vec<u8>>()).unwrap();
    for args in [&["add", "."][..], &["commit", "--quiet", "-m", "more"]] {
        let git = system.git(work, args).await;
        assert!(git.ok, "{git:#?}");
    }
}

/// The refs that the server has, read without git's protocol.
fn refs(bare: &Path) -> Vec<String> {
    let output = Command::new("git").args(["for-each-ref", "--format=%(refname)"]).current_dir(bare).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// That a push was denied, in words that git prints; the proposal that they carry.
fn denied(push: &Git, action: &str) -> Value {
    assert!(!push.ok, "{push:#?}");
    let expect = format!("({action}) for /");
    assert!(push.stderr.contains(&expect), "lacks {expect:?}: {}", push.stderr);
    assert!(push.stderr.contains("denial: d_"), "{}", push.stderr);
    let (_, proposal) = push.stderr.split_once("POST http://policy.local/v1/proposals ").expect("where to ask");
    // Whatever git pads its lines with.
    serde_json::Deserializer::from_str(proposal).into_iter().next().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_fetch_only_a_push_is_denied_before_it_begins() {
    let (system, work, bare) = cloned(&[FETCH]).await;
    let fetch = system.git(&work, &["fetch"]).await;
    assert!(fetch.ok, "{fetch:#?}");
    commit(&system, &work, 10).await;
    let push = system.git(&work, &["push", "origin", "HEAD:refs/heads/bot/x"]).await;
    denied(&push, "git::push.advertise");
    assert!(push.stderr.contains("remote error: no rule allows GET"), "{}", push.stderr);
    assert_eq!(refs(&bare), ["refs/heads/main"]);
    let other = system.git(system.dir(), &["clone", "https://api.example.com/git/other.git"]).await;
    denied(&other, "git::fetch");
    assert!(!system.upstream.lines().iter().any(|line| line.contains("other")), "{:?}", system.upstream.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_let_in_as_a_whole_or_not_at_all() {
    let (system, work, bare) = cloned(&[FETCH, PUSH]).await;
    // Small ones in one piece; large ones after a probe, in chunks, with most of the pack unread when they are decided.
    for (round, bytes) in [10, 3 << 20].into_iter().enumerate() {
        commit(&system, &work, bytes).await;
        let bot = format!("HEAD:refs/heads/bot/{round}");
        for refs in [&["HEAD:refs/heads/main"][..], &[&bot, "HEAD:refs/heads/main"]] {
            let before = self::refs(&bare);
            let push = system.git(&work, &[&["push", "origin"], refs].concat()).await;
            denied(&push, "git::ref.update");
            let rejected = push.stderr.matches("[remote rejected]").count();
            assert_eq!(rejected, refs.len(), "{}", push.stderr);
            assert!(push.stderr.contains("remote unpack failed: narrowgate: denied"), "{}", push.stderr);
            assert_eq!(self::refs(&bare), before, "nothing of it arrived");
        }
        let push = system.git(&work, &["push", "origin", &bot]).await;
        assert!(push.ok, "{push:#?}");
        assert!(refs(&bare).contains(&format!("refs/heads/bot/{round}")), "{:?}", refs(&bare));
        let check = Command::new("git").args(["fsck", "--strict"]).current_dir(&bare).output().unwrap();
        assert!(check.status.success(), "{check:?}");
    }
    let lines = system.upstream.lines();
    let posts = lines.iter().filter(|line| line.starts_with("POST") && line.ends_with("git-receive-pack")).count();
    assert!((2..=6).contains(&posts), "the two allowed ones, and probes: {lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_prints_is_enough_to_ask_for_it() {
    let (system, work, bare) = cloned(&[FETCH, PUSH]).await;
    commit(&system, &work, 10).await;
    let push = system.git(&work, &["push", "origin", "HEAD:refs/heads/release"]).await;
    let proposal = denied(&push, "git::ref.create").to_string();
    let posted = system.local("POST", "/v1/proposals", &proposal).await;
    assert_eq!(posted.status, 202, "{}", posted.text());
    let id = posted.json()["accepted_chunk_ids"][0].as_str().unwrap_or_else(|| panic!("{}", posted.text())).to_owned();
    system.approve(&id).await;
    system.enforces(2).await;
    let push = system.git(&work, &["push", "origin", "HEAD:refs/heads/release"]).await;
    assert!(push.ok, "{push:#?}");
    let other = system.git(&work, &["push", "origin", "HEAD:refs/heads/released"]).await;
    denied(&other, "git::ref.create");
    assert_eq!(refs(&bare), ["refs/heads/main", "refs/heads/release"]);
}
