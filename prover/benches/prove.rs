//! `cargo bench -p narrowgate-prover`: how long a verdict takes, as a table of medians.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run should stop")]

use std::time::{Duration, Instant};

use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::{Ceiling, Options, Verdict, prove};

fn main() {
    println!("| case | ceiling | verdict | solving | with lowering | ceiling prepared | against the first |");
    println!("|---|---|---|---|---|---|---|");
    for (case, policy, bound, sizes) in cases() {
        let mut first = None;
        for size in sizes {
            let ceiling_text = bound(size);
            let started = Instant::now();
            let ceiling = Ceiling::new(compiled(&ceiling_text)).expect("a ceiling");
            let prepared = started.elapsed();
            let policy = compiled(&policy(size));
            let (verdict, solving, total) = measure(&policy, &ceiling);
            let first = *first.get_or_insert(solving);
            let ratio = solving.as_secs_f64() / first.as_secs_f64();
            println!("| {case} | {size} | {verdict} | {solving:.1?} | {total:.1?} | {prepared:.0?} | {ratio:.1}× |");
        }
    }
}

type Text = Box<dyn Fn(usize) -> String>;

fn cases() -> Vec<(&'static str, Text, Text, Vec<usize>)> {
    let one = |host: &'static str, path: &'static str| -> Text { Box::new(move |_| document([rule(host, path)])) };
    let site = || one("api.example.com", "/repos/acme/site/contents/docs/**");
    let union = |line: fn(usize) -> String, last: &'static [(&'static str, &'static str)]| -> Text {
        Box::new(move |size| document((0..size).map(line).chain(last.iter().map(|(host, path)| rule(host, path)))))
    };
    let other_hosts = |n: usize| rule(&format!("h{n}.example.com"), "/**");
    let same_host = |n: usize| rule("api.example.com", &format!("/repos/acme/r{n}/**"));
    let wild = |n: usize| rule("api.example.com", &format!("/repos/*/d{n}/*.md"));
    let stripes = |n: usize| rule("api.example.com", &format!("/*{}*/*{}*/**", n % 7, n / 7));
    let sizes = || vec![10, 100, 1000];
    let covering: &[(&str, &str)] = &[("api.example.com", "/repos/acme/site/contents/**")];
    vec![
        ("other hosts, inside", site(), union(other_hosts, covering), sizes()),
        ("other hosts, not inside", site(), union(other_hosts, &[]), sizes()),
        ("same host, inside", site(), union(same_host, covering), sizes()),
        ("same host, not inside", site(), union(same_host, &[]), sizes()),
        (
            "same host, union of three",
            site(),
            union(
                same_host,
                &[
                    ("api.example.com", "/repos/acme/site/contents/docs"),
                    ("api.example.com", "/repos/acme/site/contents/docs/*"),
                    ("api.example.com", "/repos/*/site/contents/*/*/**"),
                ],
            ),
            sizes(),
        ),
        ("several wildcards, inside", one("api.example.com", "/repos/*/d5/a*.md"), union(wild, &[]), sizes()),
        ("several wildcards, not inside", one("api.example.com", "/repos/*/*/a*.md"), union(wild, &[]), sizes()),
        ("overlapping in two dimensions", one("api.example.com", "/*/*"), union(stripes, &[]), vec![8, 16, 32]),
        (
            "many against many, inside",
            Box::new(move |size| document((0..size / 10).map(same_host))),
            union(same_host, &[]),
            sizes(),
        ),
        (
            "many against many, one outside",
            Box::new(move |size| document((0..size / 10).map(same_host).chain([rule("api.example.com", "/x")]))),
            union(same_host, &[]),
            sizes(),
        ),
    ]
}

fn rule(host: &str, path: &str) -> String {
    format!(
        "{{ host: \"{host}\", port: 443, protocol: rest, rules: [{{ allow: {{ method: PUT, path: \"{path}\" }} }}] }}"
    )
}

fn document(endpoints: impl IntoIterator<Item = String>) -> String {
    let mut out = "version: 1\nnetwork_policies:\n  p:\n    name: p\n    endpoints:\n".to_owned();
    for endpoint in endpoints {
        out.push_str(&format!("      - {endpoint}\n"));
    }
    out
}

fn compiled(text: &str) -> Compiled {
    Compiled::policy(&Policy::parse(text, "bench.yaml", Role::Ceiling).expect("a policy")).expect("Cedar")
}

fn measure(policy: &Compiled, ceiling: &Ceiling) -> (&'static str, Duration, Duration) {
    let (mut solving, mut total) = (Vec::new(), Vec::new());
    let mut verdict = "";
    let started = Instant::now();
    while total.len() < 5 || (total.len() < 201 && started.elapsed() < Duration::from_millis(400)) {
        let start = Instant::now();
        let outcome = prove(policy, ceiling, &Options::default());
        total.push(start.elapsed());
        solving.push(outcome.engine_time);
        verdict = match outcome.verdict {
            Verdict::Within(_) => "within",
            Verdict::Exceeds(_) => "exceeds",
            Verdict::Unsupported(_) => "unsupported",
            Verdict::Inconclusive(_) => "inconclusive",
            Verdict::Disagree(_) => "disagree",
        };
    }
    (verdict, median(solving), median(total))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
