//! `cargo bench -p narrowgate-prover`: how long a verdict takes, as a table of medians, beside the SMT engine on the
//! same question in the same run.
//!
//! `-- NAME` runs the cases whose name contains it. The solver is the one that `NARROWGATE_SOLVER` names, or `cvc5`;
//! where there is none, its columns say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run should stop")]

mod cases;

use std::time::{Duration, Instant};

use cases::Case;
use narrowgate_core::compile::Compiled;
use narrowgate_prover::{Ceiling, Engine, Options, Solver, Verdict, prove};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    println!(
        "| case | size | verdict | solving | with lowering and replay | of the first | ceiling prepared | SMT engine | times as long |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, sizes, build) in cases::all() {
        let mut first = None;
        for size in sizes.iter().filter(|_| is_wanted(name)) {
            let row = measure(&build(*size));
            let ratio = row.solving.as_secs_f64() / first.get_or_insert(row.solving).as_secs_f64();
            let Row { verdict, solving, total, prepared, smt: (said, smt) } = row;
            let slower = smt.as_secs_f64() / solving.as_secs_f64();
            println!(
                "| {name} | {size} | {verdict} | {solving:.1?} | {total:.1?} | {ratio:.1}× | {prepared:.0?} | {said} {smt:.1?} | {slower:.0}× |"
            );
        }
    }
    if is_wanted("large") {
        large();
    }
    println!("\npeak memory of this process: {} MiB", status("VmHWM:") / 1024);
}

struct Row {
    verdict: String,
    solving: Duration,
    total: Duration,
    prepared: Duration,
    /// What the SMT engine says, and its median.
    smt: (String, Duration),
}

fn measure(case: &Case) -> Row {
    let policy = case.policy();
    let compiled = case.ceiling();
    let started = Instant::now();
    let ceiling = Ceiling::new(compiled).expect("a ceiling");
    let prepared = started.elapsed();
    let (verdict, solving, total) = repeat(&policy, &ceiling);
    Row { verdict, solving, total, prepared, smt: second_opinion(&policy, &ceiling) }
}

/// The SMT engine on the same question, without its solver's start.
fn second_opinion(policy: &Compiled, ceiling: &Ceiling) -> (String, Duration) {
    let program = std::env::var_os("NARROWGATE_SOLVER").unwrap_or_else(|| "cvc5".into());
    let (engine, solver) = (Some(Engine::Smt), Some(Solver::new(program)));
    let options = Options { engine, solver, timeout: Duration::from_secs(10), ..Options::default() };
    let (mut times, mut said) = (Vec::new(), String::new());
    let started = Instant::now();
    while times.is_empty() || (times.len() < 5 && started.elapsed() < Duration::from_millis(1500)) {
        let outcome = prove(policy, ceiling, &options);
        times.push(outcome.engine_time);
        said = word(&outcome.verdict);
    }
    (said, median(times))
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Within(_) => "within".to_owned(),
        Verdict::Exceeds(_) => "exceeds".to_owned(),
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => reason.code.to_owned(),
        Verdict::Disagree(_) => "disagree".to_owned(),
    }
}

/// Medians of many runs, as many as fit into a moment.
fn repeat(policy: &Compiled, ceiling: &Ceiling) -> (String, Duration, Duration) {
    let (mut solving, mut total) = (Vec::new(), Vec::new());
    let mut verdict = String::new();
    let started = Instant::now();
    while total.len() < 5 || (total.len() < 201 && started.elapsed() < Duration::from_millis(400)) {
        let start = Instant::now();
        let outcome = prove(policy, ceiling, &Options::default());
        total.push(start.elapsed());
        solving.push(outcome.engine_time);
        verdict = word(&outcome.verdict);
    }
    (verdict, median(solving), median(total))
}

/// A ceiling of a hundred thousand rules over ten thousand hosts, prepared once.
fn large() {
    const RULES: usize = 100_000;
    let at_first = status("VmRSS:");
    let started = Instant::now();
    let compiled = cases::large(RULES);
    let (read, with_cedar) = (started.elapsed(), status("VmRSS:"));
    let started = Instant::now();
    let ceiling = Ceiling::new(compiled.clone()).expect("a ceiling");
    let prepared = started.elapsed();
    // The first ones reuse memory that parsing gave back; what the last ones add is what they take.
    let mut more: Vec<Ceiling> = (0..24).map(|_| Ceiling::new(compiled.clone()).expect("a ceiling")).collect();
    let before = status("VmRSS:");
    more.extend((0..8).map(|_| Ceiling::new(compiled.clone()).expect("a ceiling")));
    let one = (status("VmRSS:") - before) / 8;
    drop((more, compiled));
    let each = |kib: u64| kib * 1024 / RULES as u64;
    println!(
        "\n{RULES} rules over 10,000 hosts: read and validated by Cedar in {read:.1?}, prepared in {prepared:.2?};"
    );
    println!("{} bytes a rule in Cedar, {} more prepared.", each(with_cedar - at_first), each(one));
    println!("\n| one proposal | verdict | solving | with lowering and replay |\n|---|---|---|---|");
    for (name, host, path) in [
        ("inside one rule", "h77.example.com", "/r3/docs/a"),
        ("not inside", "h77.example.com", "/other"),
        ("on a host of its own", "new.example.org", "/x"),
        ("on every host", "*.example.com", "/r3/docs/a"),
    ] {
        let (verdict, solving, total) = repeat(&cases::rules(&[(host, path)]), &ceiling);
        println!("| {name} | {verdict} | {solving:.1?} | {total:.1?} |");
    }
}

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a known line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
