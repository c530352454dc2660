//! The prover's two engines, and Cedar's authorizer, on one question.

use std::path::PathBuf;
use std::time::Duration;

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::Request;
pub use narrowgate_prover::Solver;
use narrowgate_prover::{Ceiling, Engine, Options, Reason, Verdict, prove};

/// What the engines came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// Both say that the candidate is inside the ceiling.
    Within,
    /// Both show a request that is not.
    Exceeds,
    /// The exact engine has an answer and the SMT engine none, for this reason.
    SmtSilent(Reason),
    /// The exact engine has none.
    ExactSilent(Reason),
}

/// The solver to test with: `NARROWGATE_SOLVER`, or `cvc5` on the `PATH`, or what `cargo xtask tools` installed.
pub fn solver() -> Solver {
    if let Some(given) = std::env::var_os("NARROWGATE_SOLVER") {
        return Solver::new(given);
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|folder| folder.join("cvc5")).find(|program| program.is_file())
    });
    let installed = || {
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share"));
        let program = data.or_else(home)?.join("narrowgate/tools/bin/cvc5");
        program.is_file().then_some(program)
    };
    Solver::new(on_path.or_else(installed).expect("an SMT solver: `cargo xtask tools` installs one"))
}

/// Panics where one engine says within and the other shows a counterexample, where Cedar's authorizer does not confirm
/// a counterexample, or where it finds one among `samples` that `within` denies.
pub fn engines_agree(candidate: &Compiled, ceiling: &Ceiling, samples: &[Request], solver: &Solver) -> Agreement {
    let limited = |engine, timeout| {
        let options = Options { engine: Some(engine), solver: Some(solver.clone()), timeout, ..Options::default() };
        prove(candidate, ceiling, &options).verdict
    };
    let context = || format!("--- candidate\n{}\n--- ceiling\n{}", candidate.text(), ceiling.compiled().text());
    let globs = candidate.globs().union(ceiling.compiled().globs());
    let exceeds = |r: &Request| is_allowed(candidate, r, &globs) && !is_allowed(ceiling.compiled(), r, &globs);
    let exact = limited(Engine::Exact, Duration::from_secs(10));
    // What it has no answer to in this time it mostly has none to in a minute.
    let smt = limited(Engine::Smt, Duration::from_secs(3));
    for verdict in [&exact, &smt] {
        match verdict {
            Verdict::Exceeds(found) => assert!(exceeds(&found.request), "{:?}\n{}", found.request, context()),
            Verdict::Within(_) => {
                let missed = samples.iter().find(|request| exceeds(request));
                assert!(missed.is_none(), "within, but for {missed:?}\n{}", context());
            }
            Verdict::Unsupported(_) | Verdict::Inconclusive(_) | Verdict::Disagree(_) => {}
        }
    }
    match (&exact, &smt) {
        (Verdict::Within(_), Verdict::Within(_)) => Agreement::Within,
        (Verdict::Exceeds(_), Verdict::Exceeds(_)) => Agreement::Exceeds,
        (Verdict::Within(_), Verdict::Exceeds(found)) | (Verdict::Exceeds(found), Verdict::Within(_)) => {
            panic!("one says within, one shows {:?}\nexact {exact:?}\n{}", found.request, context())
        }
        (Verdict::Unsupported(reason) | Verdict::Inconclusive(reason), _) => Agreement::ExactSilent(reason.clone()),
        (_, Verdict::Unsupported(reason) | Verdict::Inconclusive(reason)) => Agreement::SmtSilent(reason.clone()),
        (Verdict::Disagree(_), _) | (_, Verdict::Disagree(_)) => unreachable!("one engine is asked at a time"),
    }
}
