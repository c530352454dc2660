//! What one decision costs, and that it does not grow with rules for other hosts.
//!
//! `cargo bench -p narrowgate-core`; every row's ratio is against the first row of the same run.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark stops where it fails")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Decision, Snapshot};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::{Authority, Method, Operation, PathOptions, Process, Request, Target};

fn main() {
    let mut first: Option<Duration> = None;
    println!("{:<44} {:>12} {:>8}", "policy", "median", "ratio");
    for (name, others, same) in [
        ("1 rule", 0, 1),
        ("1 rule, 100 on other hosts", 100, 1),
        ("1 rule, 1,000 on other hosts", 1000, 1),
        ("10 rules on the host", 0, 10),
        ("100 rules on the host", 0, 100),
    ] {
        let snapshot = snapshot(others, same);
        let request = request();
        assert!(matches!(snapshot.decide(&request), Decision::Allow(_)));
        let median = median(|| drop(black_box(snapshot.decide(black_box(&request)))));
        let first = *first.get_or_insert(median);
        println!("{name:<44} {median:>12.2?} {:>8.2}", median.as_secs_f64() / first.as_secs_f64());
    }
}

fn snapshot(others: usize, same: usize) -> Snapshot {
    let mut text = "version: 1\nnetwork_policies:\n".to_owned();
    let hosts = (0..others).map(|n| (format!("h{n}.example.com"), 1)).chain([("api.github.com".to_owned(), same)]);
    for (n, (host, rules)) in hosts.enumerate() {
        write!(
            text,
            "  e{n}:\n    endpoints:\n      - host: {host}\n        port: 443\n        protocol: rest\n        rules:\n"
        )
        .unwrap();
        for rule in 0..rules {
            writeln!(text, "          - allow: {{ method: PUT, path: /repos/acme/r{rule}/contents/** }}").unwrap();
        }
    }
    let policy = Policy::parse(&text, "bench", Role::Policy).unwrap();
    let compiled = Compiled::policy(&policy).unwrap();
    Snapshot::new(policy, compiled, 1)
}

fn request() -> Request {
    let Authority { host, port } = Authority::parse("api.github.com:443", None).unwrap();
    let target = Target::parse("/repos/acme/r0/contents/docs/a.md?ref=main", &PathOptions::default()).unwrap();
    let process = Process { path: "/usr/bin/curl".into(), ..Process::default() };
    Request {
        process,
        host,
        port,
        operation: Operation::Http { method: Method::parse("PUT").unwrap(), target, meaning: None },
        now: 1,
    }
}

fn median(mut run: impl FnMut()) -> Duration {
    const BATCH: u32 = 200;
    let mut samples: Vec<Duration> = (0..51)
        .map(|_| {
            let start = Instant::now();
            (0..BATCH).for_each(|_| run());
            start.elapsed() / BATCH
        })
        .collect();
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}
