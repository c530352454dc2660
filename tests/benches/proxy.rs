//! What the proxy costs a request: kept-alive HTTPS through it, against the same requests straight to the upstream.
//!
//! `cargo bench -p narrowgate-tests --bench proxy`. Clients, proxy, gateway and upstream share the machine and this
//! process, so the ratio says more than the figure; every request is decided by Cedar and written to the audit log.
//!
//! With the github plugin the same requests are decided as operations, in the same run; what that costs is told in the
//! processor time of the whole process, of which the clients' and the upstream's part is the same in both. Then four
//! clients at once send what a plugin that never ends must read, and others are timed beside them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark stops where it fails"
)]

#[path = "../../plugins/tests/common/mod.rs"]
mod guests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guests::Guest;
use narrowgate_plugins::{PluginRef, Plugins};
use narrowgate_tests::system::{Chosen, Client, GITHUB, HOST, OTHER, System};

const REQUESTS: usize = 2000;
const TARGET: &str = "/repos/acme/site/contents/docs/a.md";

#[tokio::main]
async fn main() {
    let system = System::usual().await;
    let before = resident();
    println!("{:<34} {:>10} {:>10} {:>10} {:>8}", "", "req/s", "median", "p99", "ratio");
    for connections in [1, 8, 32] {
        let direct = run(&system, connections, false).await;
        let proxied = run(&system, connections, true).await;
        row(&format!("straight to the upstream, {connections} conn."), &direct, &direct);
        row(&format!("through the proxy, {connections} conn."), &proxied, &direct);
    }
    plugins().await;
    println!("resident: {before} KiB before, {} KiB after (clients and upstream included)", resident());
}

/// The same host and requests, by method and path and by what the github plugin says of them.
async fn plugins() {
    let at = |protocol: &str, grant: &str| format!("{{ host: {GITHUB}, port: 443, protocol: {protocol}, {grant} }}");
    let start = async |endpoints: &[String]| {
        let plugins = with_hog();
        let policy = format!("version: 1\nnetwork_policies:\n  all: {{ endpoints: [{}] }}\n", endpoints.join(", "));
        let chosen = Chosen { plugins, ..Chosen::default() };
        System::start_with(&policy, "permit (principal, action, resource);", chosen).await
    };
    let rule = "rules: [{ allow: { action: \"github::contents.read\", where: { owner: acme, repo: site } } }]";
    let hog = format!("{{ host: {OTHER}, port: 443, protocol: hog, access: full }}");
    let rest =
        start(&[at("rest", "rules: [{ allow: { method: GET, path: /repos/acme/site/** } }]"), hog.clone()]).await;
    let github = start(&[at("github", rule), hog]).await;
    // In turns, so that what else the machine does is the same for both.
    let (mut by_path, mut by_meaning) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        for (system, costs) in [(&rest, &mut by_path), (&github, &mut by_meaning)] {
            let begun = processor_time();
            let figures = run_at(system, GITHUB, 8, true).await;
            costs.push(((processor_time() - begun) / REQUESTS as u32, figures.per_second));
        }
    }
    let median = |mut costs: Vec<(Duration, f64)>| {
        costs.sort_unstable_by_key(|(cost, _)| *cost);
        costs[costs.len() / 2]
    };
    let ((path, path_rate), (meaning, meaning_rate)) = (median(by_path), median(by_meaning));
    println!("processor time a request, clients and upstream included: {path:.1?} by path, {meaning:.1?} by meaning");
    println!(
        "the plugin's share of it: {:.1} %; rate {:.2} of that by path",
        100.0 * (1.0 - path.as_secs_f64() / meaning.as_secs_f64()),
        meaning_rate / path_rate
    );

    let alone = run_at(&github, GITHUB, 2, true).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut hostile = Vec::new();
    for _ in 0..4 {
        let (mut client, stop) = (github.connect(OTHER).await, Arc::clone(&stop));
        hostile.push(tokio::spawn(async move {
            let mut denied = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.request("GET", "/", OTHER, "").await;
                assert_eq!(answer.status, 403, "{}", answer.text());
                denied += 1;
            }
            denied
        }));
    }
    let beside = run_at(&github, GITHUB, 2, true).await;
    stop.store(true, Ordering::Relaxed);
    let mut denied = 0;
    for task in hostile {
        denied += task.await.expect("no panic");
    }
    let p99 = |figures: &Figures| figures.latencies[(figures.latencies.len() - 1) * 99 / 100];
    println!(
        "p99 of 2 connections: {:.1?} alone, {:.1?} beside 4 hostile ones ({denied} denied): {:.2}",
        p99(&alone),
        p99(&beside),
        p99(&beside).as_secs_f64() / p99(&alone).as_secs_f64()
    );
}

/// The shipped github plugin, and one that never ends.
fn with_hog() -> Plugins {
    let mut describes = guests::manifest();
    (describes.name, describes.hosts) = ("hog".to_owned(), vec![OTHER.to_owned()]);
    let hog = Guest { describes, ..Guest::file("endless_loop") }.file_of();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hog.wasm");
    std::fs::write(&path, hog.bytes()).expect("a file");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/guests/dist/github.wasm");
    let refs = [shipped, path].map(|path| PluginRef { path, pin: None });
    Plugins::load(&refs, None).expect("they load")
}

/// This process's, of all its threads.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    // The kernel's USER_HZ, which is 100 on every architecture that this runs on.
    Duration::from_millis(ticks * 10)
}

struct Figures {
    per_second: f64,
    latencies: Vec<Duration>,
}

async fn run(system: &System, connections: usize, proxied: bool) -> Figures {
    run_at(system, HOST, connections, proxied).await
}

async fn run_at(system: &System, host: &'static str, connections: usize, proxied: bool) -> Figures {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(match proxied {
            true => system.connect(host).await,
            false => {
                let plain = Client::plain(system.upstream.https()).await;
                plain.tls(host, system.upstream.ca_file()).await.expect("TLS with the upstream")
            }
        });
    }
    let each = REQUESTS / connections;
    let start = Instant::now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(each);
                for _ in 0..each {
                    let asked = Instant::now();
                    let answer = client.request("GET", TARGET, host, "").await;
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    latencies.push(asked.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no panic"));
    }
    let per_second = latencies.len() as f64 / start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    system.upstream.forget();
    Figures { per_second, latencies }
}

fn row(name: &str, figures: &Figures, base: &Figures) {
    let at = |share: f64| figures.latencies[((figures.latencies.len() - 1) as f64 * share) as usize];
    let ratio = figures.per_second / base.per_second;
    println!("{name:<34} {:>10.0} {:>10.1?} {:>10.1?} {ratio:>8.2}", figures.per_second, at(0.5), at(0.99));
}

/// KiB of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
