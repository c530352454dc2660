//! What the proxy costs a request: kept-alive HTTPS through it, against the same requests straight to the upstream.
//!
//! `cargo bench -p narrowgate-tests --bench proxy`. Clients, proxy, gateway and upstream share the machine and this
//! process, so the ratio says more than the figure; every request is decided by Cedar and written to the audit log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark stops where it fails"
)]

use std::time::{Duration, Instant};

use narrowgate_tests::system::{Client, HOST, System};

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
    println!("resident: {before} KiB before, {} KiB after (clients and upstream included)", resident());
}

struct Figures {
    per_second: f64,
    latencies: Vec<Duration>,
}

async fn run(system: &System, connections: usize, proxied: bool) -> Figures {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(match proxied {
            true => system.connect(HOST).await,
            false => {
                let plain = Client::plain(system.upstream.https()).await;
                plain.tls(HOST, system.upstream.ca_file()).await.expect("TLS with the upstream")
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
                    let answer = client.request("GET", TARGET, HOST, "").await;
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
