//! A sandbox whose agent says nothing: denied connections become drafts, denied requests are observed.

use std::time::{Duration, Instant};

use narrowgate_core::observed::ObservedDenials;
use narrowgate_core::wire::{ProposalStatus, ProposalView, Reject};
use narrowgate_tests::system::{DATABASE, HOST, Program, System, rest_rule};
use serde_json::{Value, json};

const REPORTED: Duration = Duration::from_secs(15);

/// What was reported, once it satisfies this: the proxy tells every few seconds.
async fn drafts(system: &System, what: &str, holds: impl Fn(&[ProposalView]) -> bool) -> Vec<ProposalView> {
    let start = Instant::now();
    loop {
        let mut drafts = system.proposals().await;
        drafts.retain(|proposal| proposal.source == "l4_draft");
        if holds(&drafts) {
            return drafts;
        }
        assert!(start.elapsed() < REPORTED, "{what}: {drafts:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn observed(system: &System, what: &str, holds: impl Fn(&ObservedDenials) -> bool) -> ObservedDenials {
    let start = Instant::now();
    loop {
        let found: ObservedDenials = system.reviewer().get("/v1/sandboxes/dev/observed").await.expect("a list");
        if holds(&found) {
            return found;
        }
        assert!(start.elapsed() < REPORTED, "{what}: {found:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn denied(system: &System, authority: &str) {
    let (answer, _) = system.tunnel(authority).await;
    assert_eq!(answer.status, 403, "{authority}: {}", answer.text());
}

fn hits(drafts: &[ProposalView], at: usize) -> Option<u64> {
    drafts.get(at).and_then(|draft| draft.hit_count)
}

/// `narrowgate rule …` as the reviewer types it; what it prints.
fn rule(system: &System, args: &[&str]) -> String {
    let url = system.reviewer().url().to_owned();
    let token = system.dir().join("gateway/reviewer.token");
    let all = [&["rule"], args, &["--gateway", &url, "--token-file", token.to_str().unwrap()]].concat();
    let output = Program::run(&all);
    assert!(output.status.success(), "{all:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_connection_is_drafted_counted_approved_and_works() {
    let mut system = System::usual().await;
    let database = format!("{DATABASE}:5432");
    for _ in 0..3 {
        denied(&system, &database).await;
    }
    let first = drafts(&system, "three hits", |drafts| hits(drafts, 0) == Some(3)).await;
    assert_eq!((first.len(), first[0].status), (1, ProposalStatus::Pending), "{first:#?}");
    let own = std::env::current_exe().unwrap();
    assert_eq!(first[0].binary, own.to_str().unwrap());
    assert_eq!(first[0].operation["addRule"]["rule"]["endpoints"], json!([{ "host": DATABASE, "port": 5432 }]));

    // The gateway is away while it goes on, and comes back.
    system.stop_gateway().await;
    denied(&system, &database).await;
    system.start_gateway().await;
    denied(&system, &database).await;
    let all = drafts(&system, "five hits", |drafts| hits(drafts, 0) == Some(5)).await;
    assert_eq!(all.len(), 1, "folded: {all:#?}");
    assert_eq!((&all[0].chunk_id, &all[0].review_token), (&first[0].chunk_id, &first[0].review_token));
    let text = rule(&system, &["get", "dev"]);
    for part in ["l4_draft", "db.example.com:5432 [L4]", "5 times", "confidence", "Opaque"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    system.approve(&all[0].chunk_id).await;
    system.enforces(2).await;
    let (answer, mut tunnel) = system.tunnel(&database).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    tunnel.write(b"select 1").await;
    assert_eq!(tunnel.read().await, b"select 1");
    assert_eq!(system.proposals().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_request_is_observed_and_never_drafted() {
    let system = System::usual().await;
    let url = format!("https://{HOST}/repos/acme/site/docs/a.md?token=query-s3cret");
    for _ in 0..2 {
        assert_eq!(system.curl(&["-X", "PUT", &url]).await.status, 403);
    }
    let found = observed(&system, "two hits", |found| found.denials.first().is_some_and(|d| d.count == 2)).await;
    let [only] = &found.denials[..] else { panic!("{found:#?}") };
    assert_eq!((only.method.as_deref(), only.path.as_deref()), (Some("PUT"), Some("/repos/acme/site/docs/a.md")));
    assert!(system.proposals().await.is_empty());
    assert!(system.files_with("query-s3cret").is_empty());

    let text = rule(&system, &["get", "dev", "--observed"]);
    assert!(text.contains("api.example.com:443 [L7, PUT /repos/acme/site/docs/a.md]  2 times"), "{text}");
    let json: Value = serde_json::from_str(&rule(&system, &["get", "dev", "--observed", "--format", "json"])).unwrap();
    assert_eq!(json["denials"][0]["denial_id"], json!(only.denial_id));

    // Once an agent cites it, it is a proposal's and no longer here.
    let body = json!({ "intent_summary": "docs", "denial_ids": [only.denial_id], "operations": [
        { "addRule": { "ruleName": "docs", "rule": rest_rule("PUT", "/repos/acme/site/docs/a.md") } }] });
    assert_eq!(system.local("POST", "/v1/proposals", &body.to_string()).await.status, 202);
    observed(&system, "nothing", |found| found.denials.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_blocked_leaves_nothing() {
    let system = System::usual().await;
    for authority in ["169.254.169.254:80", "metadata.google.internal:80", "127.0.0.1:22", "[::1]:22", "localhost:22"] {
        denied(&system, authority).await;
    }
    // Told after the others, so that they were told if they ever are.
    denied(&system, &format!("{DATABASE}:5432")).await;
    drafts(&system, "the database", |drafts| drafts.len() == 1).await;
    assert_eq!(observed(&system, "a list", |_| true).await, ObservedDenials { denials: Vec::new(), dropped: 0 });
    assert_eq!(system.proposals().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_makes_way_and_goes_when_it_is_not_needed() {
    let system = System::usual().await;
    let binary = std::env::current_exe().unwrap();
    let database = format!("{DATABASE}:5432");
    denied(&system, &database).await;
    let draft = drafts(&system, "a draft", |drafts| drafts.len() == 1).await.remove(0);
    // The agent asks for the same: its own words take the draft's place.
    let same = json!({ "binaries": [{ "path": binary }], "endpoints": [{ "host": DATABASE, "port": 5432 }] });
    let agents = system.propose_accepted("database", same).await;
    assert_eq!(system.proposal(&draft.chunk_id).await.status, ProposalStatus::Superseded);
    // Rejected by a person, it does not keep the connection from being drafted again.
    let no = Reject { reason: "say what for".to_owned(), hints: Vec::new() };
    let _: ProposalView = system.reviewer().post(&format!("/v1/proposals/{agents}/reject"), &no).await.unwrap();
    denied(&system, &database).await;
    let again = drafts(&system, "another draft", |drafts| drafts.len() == 2).await.remove(1);
    assert_eq!(again.status, ProposalStatus::Pending);

    // What it asks for becomes allowed by a rule about something else.
    let wider = json!({ "endpoints": [{ "host": DATABASE, "port": 5432 }] });
    let id = system.propose_accepted("everybody", wider).await;
    assert_eq!(system.proposal(&again.chunk_id).await.status, ProposalStatus::Superseded, "it lets everybody in");
    system.approve(&id).await;
    system.enforces(2).await;
    let (answer, _) = system.tunnel(&database).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stops_tells_what_it_has() {
    let mut system = System::usual().await;
    denied(&system, &format!("{DATABASE}:5432")).await;
    drafts(&system, "the first, at once", |drafts| drafts.len() == 1).await;
    // Within the pause after the first report.
    denied(&system, &format!("{DATABASE}:5432")).await;
    denied(&system, &format!("{DATABASE}:5433")).await;
    system.stop_proxy().await;
    let mut all: Vec<(u16, u64)> = system
        .proposals()
        .await
        .iter()
        .map(|draft| {
            let port = draft.operation["addRule"]["rule"]["endpoints"][0]["port"].as_u64().unwrap();
            (u16::try_from(port).unwrap(), draft.hit_count.unwrap())
        })
        .collect();
    all.sort_unstable();
    assert_eq!(all, [(5432, 2), (5433, 1)]);
}
