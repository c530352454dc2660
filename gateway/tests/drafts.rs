//! What a proxy tells of its denials: what becomes a draft, what is only observed, and how long either stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::path::Path;

use common::{System, rule};
use narrowgate_core::credentials::Credentials;
use narrowgate_gateway::{Config, Mode};
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePool;
use tempfile::TempDir;

/// Databases for whoever asks, a shell on one machine, and one host that needs no person.
const CEILING: &str = r#"
permit (principal, action in Action::"read", resource) when { resource.host == "api.github.com" };
permit (principal, action == Action::"PUT", resource) when { resource.host == "api.github.com" };
permit (principal, action, resource) when { resource.host like "*db.example.com" };
permit (principal, action, resource) when { resource.host == "10.0.0.7" && resource.port == 22 };
@review("auto")
permit (principal, action, resource) when { resource.host == "auto.example.com" };
"#;
const CREDENTIALS: &str = "version: 1\ncredentials: [{ name: master, host: db.example.com }]\n";
const PSQL: &str = "/usr/bin/psql";

fn config(dir: &Path, mode: Mode, ceiling: &str) -> Config {
    Config {
        ceiling: Some((ceiling.to_owned(), "ceiling.cedar".to_owned())),
        mode,
        credentials: Credentials::parse(CREDENTIALS, "credentials.yaml").unwrap(),
        ..common::config(dir)
    }
}

async fn start(mode: Mode) -> (System, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), mode, CEILING);
    let system = System::start_in(dir, config).await;
    let token = system.sandbox("dev").await;
    (system, token)
}

/// The same data under another ceiling.
async fn restart(system: System, ceiling: &str) -> System {
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let dir: TempDir = dir;
    let config = config(dir.path(), Mode::Manual, ceiling);
    System::start_in(dir, config).await
}

fn l4(host: &str, port: u16, binary: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({"layer": "l4", "host": host, "port": port, "binary": binary, "reason": "no_matching_rule", "count": 1,
           "first_seen": now, "last_seen": now, "denial_id": "d_1"})
}

fn l7(host: &str, method: &str, path: &str) -> Value {
    let mut denial = l4(host, 443, "/usr/bin/curl");
    denial["layer"] = json!("l7");
    denial["method"] = json!(method);
    denial["path"] = json!(path);
    denial
}

fn with(mut denial: Value, member: &str, value: Value) -> Value {
    denial[member] = value;
    denial
}

async fn post(system: &System, token: &str, report: &str, denials: &[Value]) -> (u16, Value) {
    let body = json!({"report": report, "denials": denials, "dropped": 0});
    system.call("POST", "/v1/sandboxes/dev/denials", token, Some(body)).await
}

/// Tells these; the drafts that were made.
async fn tell(system: &System, token: &str, denials: &[Value]) -> Vec<String> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let name = format!("r_{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let (status, answer) = post(system, token, &name, denials).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_value(answer["chunk_ids"].clone()).unwrap()
}

/// Tells one; its only draft.
async fn drafted(system: &System, token: &str, denial: Value) -> String {
    let ids = tell(system, token, &[denial]).await;
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0].clone()
}

async fn show(system: &System, id: &str) -> Value {
    system.get(&format!("/v1/proposals/{id}")).await
}

async fn observed(system: &System) -> Vec<Value> {
    system.get("/v1/sandboxes/dev/observed").await["denials"].as_array().unwrap().clone()
}

async fn database(system: &System) -> SqlitePool {
    let file = std::fs::read_dir(system.dir.path().join("data")).unwrap();
    let file = file.map(|file| file.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "db")).unwrap();
    SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_connection_becomes_a_draft_of_exactly_that() {
    let (system, token) = start(Mode::Manual).await;
    let denial = with(with(l4("db.example.com", 5432, PSQL), "count", json!(5)), "denial_id", json!("d_5"));
    let id = drafted(&system, &token, denial).await;
    let view = show(&system, &id).await;
    assert_eq!(
        (&view["status"], &view["source"], &view["binary"]),
        (&json!("pending"), &json!("l4_draft"), &json!(PSQL))
    );
    let rule = &view["operation"]["addRule"]["rule"];
    assert_eq!(rule["endpoints"], json!([{"host": "db.example.com", "port": 5432}]));
    assert_eq!(rule["binaries"], json!([{"path": PSQL}]));
    assert_eq!((&view["hit_count"], &view["confidence"]), (&json!(5), &json!(0.69)), "{view:#}");
    assert_eq!((&view["denial_ids"], &view["evidence"][0]["layer"]), (&json!(["d_5"]), &json!("l4")));
    assert_eq!(view["first_seen"], view["last_seen"]);
    let notes = view["notes"].to_string();
    assert!(notes.contains("Opaque") && notes.contains("a database") && notes.contains("credentials"), "{notes}");
    // The sandbox sees its draft, and nothing of the credentials.
    let (_, own) = system.call("GET", &format!("/v1/proposals/{id}"), &token, None).await;
    assert_eq!(own["hit_count"], 5, "{own}");
    assert!(!own.to_string().contains("credential") && !own.to_string().contains("master"), "{own}");
    assert!(observed(&system).await.is_empty());
    // In force once a person says so.
    let (status, answer) = system.approve(&id, &view["review_token"]).await;
    assert_eq!((status, &answer["status"]), (200, &json!("approved")), "{answer}");
    assert!(system.bundle("dev").await["policy_yaml"].as_str().unwrap().contains("db.example.com"));
    assert_eq!(show(&system, &id).await["hit_count"], 5);
}

/// What a denial leads to.
enum Leads {
    /// A pending draft.
    Draft,
    /// A proposal that the gateway refused, for this reason.
    Refused(&'static str),
    /// An observation; for connections, with why there is no draft.
    Observed(&'static str),
    /// Nothing at all.
    Nothing,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_denial_leads_to() {
    use Leads::{Draft, Nothing, Observed, Refused};
    for (case, denial, leads) in [
        ("a name", l4("db.example.com", 5432, PSQL), Draft),
        ("an address", l4("10.0.0.7", 22, "/usr/bin/ssh"), Draft),
        ("an interpreter", l4("db.example.com", 5432, "/usr/bin/python3"), Draft),
        ("a lease that ended", with(l4("db.example.com", 1, PSQL), "reason", json!("lease_expired")), Draft),
        ("outside the ceiling", l4("db.example.org", 5432, PSQL), Refused("outside_org_ceiling")),
        ("nobody", l4("db.example.com", 5432, ""), Observed("could not be identified")),
        ("beside inspected rules", l4("api.github.com", 443, PSQL), Observed("invalid")),
        ("a request", l7("db.example.com", "GET", "/a"), Observed("")),
        ("metadata, by address", l4("169.254.169.254", 80, PSQL), Nothing),
        ("metadata, by name", l4("metadata.google.internal", 80, PSQL), Nothing),
        ("loopback", l4("127.0.0.1", 22, PSQL), Nothing),
        ("localhost", l4("localhost", 22, PSQL), Nothing),
        ("mapped metadata", l4("::ffff:169.254.169.254", 80, PSQL), Nothing),
        ("a person's no", with(l4("db.example.com", 5432, PSQL), "reason", json!("denied_by_reviewer")), Nothing),
        ("a deny rule", with(l4("db.example.com", 5432, PSQL), "reason", json!("deny_rule")), Nothing),
        ("blocked", with(l4("db.example.com", 5432, PSQL), "reason", json!("destination_blocked")), Nothing),
        ("no host", l4("", 80, PSQL), Nothing),
        ("a wildcard", l4("*.example.com", 80, PSQL), Nothing),
        ("port 0", l4("db.example.com", 0, PSQL), Nothing),
        ("a control character", l4("db.example.com", 80, "/bin/a\u{1b}[2J"), Nothing),
        ("a request without a path", with(l7("db.example.com", "GET", "/a"), "path", Value::Null), Nothing),
        ("a connection with a path", with(l7("db.example.com", "GET", "/a"), "layer", json!("l4")), Nothing),
        ("none", with(l4("db.example.com", 5432, PSQL), "count", json!(0)), Nothing),
    ] {
        let (system, token) = start(Mode::Manual).await;
        let ids = tell(&system, &token, &[denial]).await;
        let (found, seen) =
            (system.get("/v1/proposals?sandbox=dev").await["proposals"].clone(), observed(&system).await);
        let (status, reason) = (found[0]["status"].as_str(), found[0]["rejection_reason"].as_str().unwrap_or_default());
        match leads {
            Draft => {
                assert!(status == Some("pending") && seen.is_empty() && ids.len() == 1, "{case}: {found} {seen:?}")
            }
            Refused(why) => {
                assert!(
                    status == Some("rejected") && reason.starts_with(why) && seen.is_empty(),
                    "{case}: {found} {seen:?}"
                );
            }
            Observed(why) => {
                assert!(found == json!([]) && seen.len() == 1, "{case}: {found} {seen:?}");
                let said = seen[0]["not_drafted"].as_str().unwrap_or_default();
                assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{case}: {said}");
            }
            Nothing => assert!(found == json!([]) && seen.is_empty(), "{case}: {found} {seen:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_of_the_same_only_counts_and_a_repeated_report_does_not() {
    let (system, token) = start(Mode::Manual).await;
    let denial = || l4("db.example.com", 5432, PSQL);
    let id = drafted(&system, &token, denial()).await;
    let before = show(&system, &id).await;
    let earlier = with(with(denial(), "first_seen", json!("2026-01-01T00:00:00Z")), "count", json!(4));
    for _ in 0..3 {
        assert_eq!(post(&system, &token, "r_same", std::slice::from_ref(&earlier)).await.0, 200);
    }
    let after = show(&system, &id).await;
    assert_eq!((&before["hit_count"], &after["hit_count"]), (&json!(1), &json!(5)));
    assert_eq!(after["first_seen"], "2026-01-01T00:00:00Z");
    assert!(after["confidence"].as_f64() > before["confidence"].as_f64());
    // What would be granted is what it was, and so is what says so.
    assert_eq!((&before["review_token"], &before["operation"]), (&after["review_token"], &after["operation"]));
    // Another port, another program: another draft.
    assert_eq!(
        tell(&system, &token, &[denial(), l4("db.example.com", 5433, PSQL), l4("db.example.com", 5432, "/bin/nc")])
            .await
            .len(),
        2
    );

    let system = restart(system, CEILING).await;
    assert!(tell(&system, &token, &[denial()]).await.is_empty());
    let view = show(&system, &id).await;
    assert_eq!((&view["hit_count"], &view["status"]), (&json!(7), &json!("pending")));
    assert_eq!(post(&system, &token, "r_same", &[earlier]).await.0, 200);
    assert_eq!(show(&system, &id).await["hit_count"], 7, "also after a restart");
    // A person approves by the token that they saw before all of that.
    assert_eq!(system.approve(&id, &before["review_token"]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_no_holds_for_seven_days() {
    let (system, token) = start(Mode::Manual).await;
    let denial = || l4("db.example.com", 5432, PSQL);
    let id = drafted(&system, &token, denial()).await;
    let no = json!({"reason": "use the replica", "hints": ["wrong_endpoint"]});
    assert_eq!(system.call("POST", &format!("/v1/proposals/{id}/reject"), &system.reviewer, Some(no)).await.0, 200);
    for _ in 0..3 {
        assert!(tell(&system, &token, &[denial()]).await.is_empty());
    }
    let view = show(&system, &id).await;
    assert_eq!((&view["status"], &view["hit_count"]), (&json!("rejected"), &json!(4)));
    assert_eq!(system.get("/v1/proposals?sandbox=dev").await["proposals"].as_array().unwrap().len(), 1);

    let database = database(&system).await;
    for (days, again) in [(6, 0), (2, 1)] {
        sqlx::query("UPDATE proposals SET decided_at = decided_at - ? WHERE id = ?")
            .bind(days * 24 * 3600)
            .bind(&id)
            .execute(&database)
            .await
            .unwrap();
        assert_eq!(tell(&system, &token, &[denial()]).await.len(), again, "{days}");
    }
    // The new one counts for itself; the old one keeps what it had.
    assert_eq!(show(&system, &id).await["hit_count"], 5);
}

/// Nothing that an agent does makes a person's no forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_persons_no_outlives_any_number_of_other_denials() {
    let (system, token) = start(Mode::Manual).await;
    let denial = || l4("db.example.com", 5432, PSQL);
    let id = drafted(&system, &token, denial()).await;
    let no = json!({"reason": "use the replica", "hints": []});
    assert_eq!(system.call("POST", &format!("/v1/proposals/{id}/reject"), &system.reviewer, Some(no)).await.0, 200);
    let refused = drafted(&system, &token, l4("new.example.com", 5432, PSQL)).await;
    for round in 0..9 {
        let denials: Vec<Value> = (0..250).map(|n| l7("api.github.com", "GET", &format!("/{round}/{n}"))).collect();
        tell(&system, &token, &denials).await;
    }
    let database = database(&system).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM observed").fetch_one(&database).await.unwrap();
    assert_eq!(rows, 2001, "what a person rejected is kept besides the others");
    assert_eq!(show(&system, &refused).await["hit_count"], Value::Null, "what the gateway refused is not");
    assert!(tell(&system, &token, &[denial()]).await.is_empty(), "the no holds");
    assert_eq!(show(&system, &id).await["hit_count"], 2, "and is counted on");
    // After seven days it is what any other denial is.
    for sql in [
        "UPDATE proposals SET decided_at = decided_at - 7 * 24 * 3600",
        "UPDATE observed SET last_seen = last_seen - 60 WHERE draft IS NOT NULL",
    ] {
        sqlx::query(sql).execute(&database).await.unwrap();
    }
    let denials: Vec<Value> = (0..250).map(|n| l7("api.github.com", "GET", &format!("/again/{n}"))).collect();
    tell(&system, &token, &denials).await;
    assert_eq!(show(&system, &id).await["hit_count"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ceilings_no_holds_as_long_as_it_is_that_ceiling() {
    let (system, token) = start(Mode::Manual).await;
    let denial = || l4("new.example.com", 5432, PSQL);
    for _ in 0..3 {
        tell(&system, &token, &[denial()]).await;
    }
    let refused = system.get("/v1/proposals?sandbox=dev").await["proposals"].clone();
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    assert!(refused[0]["rejection_reason"].as_str().unwrap().starts_with("outside_org_ceiling"), "{refused}");
    assert_eq!((&refused[0]["hit_count"], &refused[0]["hints"]), (&json!(3), &json!(["outside_org_ceiling"])));

    let wider =
        format!("{CEILING}permit (principal, action, resource) when {{ resource.host == \"new.example.com\" }};");
    let system = restart(system, &wider).await;
    let id = drafted(&system, &token, denial()).await;
    assert_eq!(show(&system, &id).await["status"], "pending");
}

fn opaque(name: &str, host: &str, ports: &[u16], binary: Option<&str>) -> Value {
    let mut rule = json!({"endpoints": [{"host": host, "ports": ports}]});
    if let Some(binary) = binary {
        rule["binaries"] = json!([{"path": binary}]);
    }
    json!({"addRule": {"ruleName": name, "rule": rule}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_proposal_takes_a_drafts_place_and_never_the_other_way() {
    for (case, operation, takes) in [
        ("the same", opaque("a", "db.example.com", &[5432], Some(PSQL)), true),
        ("more ports", opaque("a", "db.example.com", &[5431, 5432], Some(PSQL)), true),
        ("any program", opaque("a", "db.example.com", &[5432], None), true),
        ("another port", opaque("a", "db.example.com", &[5433], Some(PSQL)), false),
        ("another program", opaque("a", "db.example.com", &[5432], Some("/bin/nc")), false),
        ("another host", opaque("a", "other-db.example.com", &[5432], Some(PSQL)), false),
        ("another place that ends alike", opaque("a", "db.example.com", &[15432], Some(PSQL)), false),
    ] {
        let (system, token) = start(Mode::Manual).await;
        let denial = || l4("db.example.com", 5432, PSQL);
        let draft = drafted(&system, &token, denial()).await;
        let agents = system.submit("dev", &token, operation).await.unwrap();
        let view = show(&system, &draft).await;
        let expect = if takes { "superseded" } else { "pending" };
        assert_eq!(view["status"], expect, "{case}: {view:#}");
        // What is denied from now on is no draft beside the agent's.
        assert!(tell(&system, &token, &[denial()]).await.is_empty(), "{case}");
        assert_eq!(show(&system, &agents).await["status"], "pending", "{case}");
        let seen = observed(&system).await;
        assert_eq!(seen.len(), usize::from(takes), "{case}: {seen:?}");
        if takes {
            assert_eq!(seen[0]["not_drafted"], "a proposal about the same waits for a decision", "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_goes_when_what_it_asks_for_is_allowed() {
    let (system, token) = start(Mode::Manual).await;
    let denial = || l4("db.example.com", 5432, PSQL);
    let draft = drafted(&system, &token, denial()).await;
    let other = drafted(&system, &token, l4("other-db.example.com", 5433, PSQL)).await;
    let wider = system.submit("dev", &token, opaque("a", "*db.example.com", &[5432], Some(PSQL))).await.unwrap();
    assert_eq!(system.approve(&wider, &system.review_token(&wider).await).await.0, 200);
    // Nobody looked at it.
    let database = database(&system).await;
    let (status, by): (String, String) = sqlx::query_as("SELECT status, decided_by FROM proposals WHERE id = ?")
        .bind(&draft)
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!((status.as_str(), by.as_str()), ("rejected", "gateway"));
    let view = show(&system, &draft).await;
    assert!(view["rejection_reason"].as_str().unwrap().starts_with("redundant"), "{view:#}");
    assert_eq!(show(&system, &other).await["status"], "pending", "and no other");
    // What was denied before, and is only told now, leaves nothing.
    assert!(tell(&system, &token, &[denial()]).await.is_empty());
    assert!(observed(&system).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_applies_a_draft_by_itself() {
    let (system, token) = start(Mode::Auto).await;
    let id = drafted(&system, &token, with(l4("auto.example.com", 443, PSQL), "count", json!(1_000_000))).await;
    let view = show(&system, &id).await;
    assert_eq!((&view["status"], &system.bundle("dev").await["version"]), (&json!("pending"), &json!(1)), "{view:#}");
    assert!(view["not_automatic"].as_str().unwrap().contains("a person decides"), "{view:#}");
    // An agent that asks for a read there is not asked about, so that it is not the ceiling that prevents it.
    let mut read = rule("r", "GET", "/a", PSQL);
    read["addRule"]["rule"]["endpoints"][0]["host"] = json!("auto.example.com");
    let mut body = common::proposal(read);
    body["evidence"][0] = json!({"denial_id": "d_1", "time": "2026-11-20T21:00:00Z", "layer": "l7", "host": "auto.example.com",
        "port": 443, "method": "GET", "path": "/a", "binary": PSQL, "reason": "no_matching_rule"});
    let (_, answer) = system.call("POST", "/v1/sandboxes/dev/proposals", &token, Some(body)).await;
    assert_eq!(answer["rejection_reasons"], json!([]), "{answer}");
    assert_eq!(system.bundle("dev").await["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_change_connections_are_observed_only() {
    let (system, token) = start(Mode::Locked).await;
    assert!(tell(&system, &token, &[l4("db.example.com", 5432, PSQL)]).await.is_empty());
    let seen = observed(&system).await;
    assert_eq!(seen.len(), 1);
    assert!(seen[0]["not_drafted"].as_str().unwrap().starts_with("locked"), "{seen:?}");
    assert_eq!(system.get("/v1/proposals?sandbox=dev").await["proposals"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_observed_until_somebody_proposes_a_rule() {
    let (system, token) = start(Mode::Manual).await;
    let leaky = l7("api.github.com", "PUT", "/repos/acme/site/contents/a.md?token=hunter2");
    let other = l7("api.github.com", "DELETE", "/repos/acme/site");
    assert!(tell(&system, &token, &[leaky.clone(), other, leaky]).await.is_empty());
    let seen = observed(&system).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    let put = seen.iter().find(|d| d["method"] == "PUT").unwrap();
    assert_eq!((&put["path"], &put["count"]), (&json!("/repos/acme/site/contents/a.md"), &json!(2)));
    for (file, bytes) in system.stored() {
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", file.display());
    }
    assert_eq!(system.get("/v1/proposals?sandbox=dev").await["proposals"], json!([]), "never drafted");
    // The usual proposal cites exactly this denial.
    system.submit("dev", &token, rule("docs", "PUT", "/repos/acme/site/contents/a.md", "/usr/bin/curl")).await.unwrap();
    let left = observed(&system).await;
    assert_eq!((left.len(), &left[0]["method"]), (1, &json!("DELETE")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_fills_neither_the_inbox_nor_the_disk() {
    let (system, token) = start(Mode::Manual).await;
    for round in 0..3 {
        let denials: Vec<Value> = (0..200).map(|n| l4(&format!("h{n}-db.example.com"), 5432, PSQL)).collect();
        let made = tell(&system, &token, &denials).await.len();
        assert_eq!(made, [32, 18, 0][round], "{round}");
    }
    assert_eq!(system.get("/v1/proposals?sandbox=dev&status=pending").await["proposals"].as_array().unwrap().len(), 50);
    // An agent that asks has room.
    assert!(system.submit("dev", &token, opaque("a", "db.example.com", &[1], Some(PSQL))).await.is_ok());
    for round in 0..12 {
        let denials: Vec<Value> = (0..250).map(|n| l7("api.github.com", "GET", &format!("/{round}/{n}"))).collect();
        tell(&system, &token, &denials).await;
    }
    let database = database(&system).await;
    let (rows, drafts): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(draft) FROM observed").fetch_one(&database).await.unwrap();
    assert!(rows <= 2050, "{rows}");
    assert_eq!(drafts, 50, "what pending drafts count stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_sandbox_tells_and_only_it_and_reviewers_read() {
    let (system, token) = start(Mode::Manual).await;
    let body = json!({"name": "two", "policy_yaml": common::BASELINE});
    let (_, created) = system.call("POST", "/v1/sandboxes", &system.admin, Some(body)).await;
    let other = created["token"].as_str().unwrap();
    let denials = [l4("db.example.com", 5432, PSQL)];
    for (who, expect) in [(other, 404), (&system.reviewer, 403), (&system.admin, 403), (&token, 200)] {
        assert_eq!(post(&system, who, "r_a", &denials).await.0, expect);
    }
    for (who, expect) in [(other, 404), (&*system.reviewer, 200), (&*system.admin, 403), (&*token, 200)] {
        assert_eq!(system.call("GET", "/v1/sandboxes/dev/observed", who, None).await.0, expect);
    }
    assert_eq!(system.call("GET", "/v1/sandboxes/none/observed", &system.reviewer, None).await.0, 404);
    for (report, denials) in [("", vec![]), ("a b", vec![]), ("r", vec![l4("db.example.com", 1, PSQL); 257])] {
        assert_eq!(post(&system, &token, report, &denials).await.0, 400, "{report:?}");
    }
    assert_eq!(post(&system, &token, "r_b", &[json!({"layer": "l4"})]).await.0, 400);
    // What is left out is counted.
    let bad = with(l4("*", 1, PSQL), "count", json!(3));
    assert_eq!(post(&system, &token, "r_c", &[bad]).await.0, 200);
    assert_eq!(system.get("/v1/sandboxes/dev/observed").await["dropped"], 3);
}
