//! What asking a plugin costs, a fresh instance included, and what hostile plugins cost those who ask others.
//!
//! `cargo bench --workspace --bench classify`; every row's ratio is against the first row of its table.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark stops where it fails")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Asked, Guest, HOST, root};
use narrowgate_plugins::{Body, Host, Plugin, PluginFile};
use tokio::runtime::Builder;

fn main() {
    // Cargo asks a benchmark to run as a test, too, and then nothing is to be measured.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    calls();
    neighbours();
}

fn calls() {
    println!("{:<44} {:>12} {:>12} {:>8}", "classify", "median", "p99", "ratio");
    let guest = Guest::new().load();
    let with_body = |length: usize| Asked { body: Body::Complete(Bytes::from(vec![b'x'; length])), ..Asked::put() };
    let mut rows = vec![
        ("WAT guest, no body".to_owned(), guest.clone(), Asked::put()),
        ("WAT guest, 64 KiB body".to_owned(), guest.clone(), with_body(65_536)),
        ("WAT guest, 4 MiB body".to_owned(), guest, with_body(4_194_304)),
    ];
    for (file, method, host, target, body) in SHIPPED {
        let path = root().join("plugins/guests/dist").join(file);
        let Ok(read) = PluginFile::read(&path) else { continue };
        let body = body.map_or(Body::Absent, |body| Body::Complete(Bytes::from_static(body.as_bytes())));
        let asked = Asked { body, ..Asked::new(method, host, target) };
        rows.push((
            format!("{file}, {method} {}", target.get(..24).unwrap_or(target)),
            HOST.load(&read).unwrap(),
            asked,
        ));
    }
    let mut first = None;
    for (name, plugin, asked) in rows {
        let facts = asked.facts();
        if let Err(failure) = plugin.classify(&facts) {
            println!("{name:<44} {failure}");
            continue;
        }
        let (median, p99) = quantiles(3000, || drop(black_box(plugin.classify(black_box(&facts)))));
        let first = *first.get_or_insert(median);
        let ratio = median.as_secs_f64() / first.as_secs_f64();
        println!("{name:<44} {median:>12.2?} {p99:>12.2?} {ratio:>8.2}");
    }
}

/// Shipped plugins, where they have been built: file, and a request that they understand.
const SHIPPED: [(&str, &str, &str, &str, Option<&str>); 4] = [
    ("github.wasm", "GET", "api.github.com", "/repos/acme/site/contents/docs/a.md", None),
    ("github.wasm", "PUT", "api.github.com", "/repos/acme/site/contents/docs/a.md", Some(r#"{"branch": "main"}"#)),
    ("notes.wasm", "GET", "notes.example", "/v1/notebooks/plans/notes/7", None),
    ("notes.wasm", "DELETE", "notes.example", "/v1/notebooks/plans/notes/7", None),
];

/// Requests to a good plugin on an async runtime, while so many to a hostile one are under way.
fn neighbours() {
    println!("\n{:<44} {:>12} {:>12} {:>8}", "classify_async beside hostile requests", "median", "p99", "ratio");
    let host = Host::new().unwrap();
    let (good, hostile) = (Guest::new().load_on(&host), Guest::file("endless_loop").load_on(&host));
    let mut first = None;
    for (name, body, hostiles) in [
        ("none", 0, 0),
        ("4 without body (fuel)", 0, 4),
        ("4 with 4 MiB body (deadline)", 4_194_304, 4),
        ("none, again", 0, 0),
    ] {
        let (median, p99) = beside(&good, &hostile, body, hostiles);
        let first = *first.get_or_insert(p99);
        println!("{name:<44} {median:>12.2?} {p99:>12.2?} {:>8.2}", p99.as_secs_f64() / first.as_secs_f64());
    }
    println!("(the ratio is of the p99s)");
}

fn beside(good: &Plugin, hostile: &Plugin, body: usize, hostiles: usize) -> (Duration, Duration) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    for _ in 0..hostiles {
        let (hostile, done) = (hostile.clone(), done.clone());
        let body = Body::Complete(Bytes::from(vec![b'x'; body]));
        runtime.spawn(async move {
            let asked = Asked { body, ..Asked::put() };
            while !done.load(Ordering::Relaxed) {
                let answer = hostile.classify_async(&asked.facts());
                assert!(answer.await.is_err());
            }
        });
    }
    let mut times = Vec::new();
    for _ in 0..2000 {
        // As a request does, it comes in over the runtime and finds other work there.
        let good = good.clone();
        times.push(runtime.block_on(async move {
            tokio::time::sleep(Duration::from_micros(200)).await;
            let task = async move {
                let begun = Instant::now();
                assert!(good.classify_async(&Asked::put().facts()).await.is_ok());
                begun.elapsed()
            };
            tokio::spawn(task).await.unwrap()
        }));
    }
    done.store(true, Ordering::Relaxed);
    drop(runtime);
    median_and_p99(times)
}

fn quantiles(times: usize, mut run: impl FnMut()) -> (Duration, Duration) {
    let mut timed = || {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    for _ in 0..times / 10 {
        timed();
    }
    median_and_p99((0..times).map(|_| timed()).collect())
}

fn median_and_p99(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    (at(50), at(99))
}
