//! What confinement costs: `narrowgate run -- true` against `true`, and what the proxy of an idle sandbox holds.
//!
//! `cargo bench --workspace --bench run`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use narrowgate_tests::system::{Confined, System};

/// The two kinds of start take turns, so that a noisy machine is noisy for both.
const ROUNDS: usize = 41;
const POLICY: &str = "
version: 1
network_policies:
  api:
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-only }]
";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let confined = Confined::new(POLICY).await;
        let system = System::start(POLICY, "permit (principal, action, resource);").await;
        let own = || confined.narrowgate(&[]).into_std();
        let remote = || system.narrowgate(&[]).into_std();
        for (what, narrowgate) in
            [("gateway of its own", &own as &dyn Fn() -> Command), ("a gateway elsewhere", &remote)]
        {
            starts(what, narrowgate);
            memory(what, narrowgate);
        }
    });
}

fn starts(what: &str, narrowgate: &dyn Fn() -> Command) {
    let (mut bare, mut confined) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(timed(&mut Command::new("true")));
        confined.push(timed(narrowgate().arg("true")));
    }
    let (bare, confined) = (median(bare), median(confined));
    println!(
        "start, {what}: {confined:.1?} over {bare:.1?} bare: {:.1?} more (median of {ROUNDS}; the bound is 100ms)",
        confined.saturating_sub(bare)
    );
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let taken = start.elapsed();
    assert!(ended.status.success(), "{ended:?}");
    taken
}

/// Resident, as the kernel counts it: the program's own pages and those of its file that it has touched.
fn memory(what: &str, narrowgate: &dyn Fn() -> Command) {
    let mut child = narrowgate().args(["sleep", "60"]).stdin(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_secs(3));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    println!(
        "memory, {what}: {:.1} MiB resident, {:.1} of it the program's own, {:.1} of its file (the bound is 30)",
        field("VmRSS:"),
        field("RssAnon:"),
        field("RssFile:")
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
