//! The second engine: Cedar's own symbolic compiler and an SMT solver.
//!
//! It shares nothing with the exact engine but the policies' text and which of them to ask about: another team's
//! reading of Cedar, another way to a proof. It sees more of Cedar and less of requests, so what holds for every
//! canonical request is told to it (`facts`). Each permit of the candidate is asked about by itself, in each request
//! environment, against what of the ceiling may cover it (`slice`) and every forbid. No model means within; a model
//! is made a request and replayed (`model`), and where that fails the answer is `spurious_counterexample`. A solver
//! that is missing, dies, hangs, answers `unknown` or answers nonsense has proven nothing (`process`).

mod admit;
mod ask;
mod facts;
mod model;
mod operation;
mod process;
mod regex;
mod script;
mod slice;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cedar_policy_symcc::CedarSymCompiler;
use cedar_policy_symcc::solver::SolverError;
use narrowgate_core::compile::Compiled;

use self::ask::Asker;
use self::process::Session;
use crate::ceiling::Ceiling;
use crate::engine::{Answer, Solver};
use crate::side::Side;
use crate::verdict::Reason;

/// The symbolic compiler, as certificates name it.
pub(crate) const COMPILER: &str = "cedar-policy-symcc/0.8.1";

/// How often a caller's change of mind is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The compiler and its encoder recurse over policies. `narrowgate_core` limits how deep those are.
const STACK: usize = 256 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) candidate: &'a Compiled,
    pub(crate) ceiling: &'a Ceiling,
    /// The candidate as the exact engine reads it, where it does.
    pub(crate) side: Option<&'a Side>,
}

/// What it may cost.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
    pub(crate) cancel: Option<Arc<AtomicBool>>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) answer: Answer,
    /// Compiling and solving.
    pub(crate) time: Duration,
    /// Until the solver was ready.
    pub(crate) startup: Duration,
    pub(crate) environments_checked: usize,
    /// For certificates: the solver's name and version and the compiler's.
    pub(crate) label: String,
}

/// Asks the solver. It runs on a thread of its own, so that a caller may be on an asynchronous runtime or not.
pub(crate) fn decide(question: &Question<'_>, solver: Option<&Solver>, limits: &Limits) -> Attempt {
    let Some(solver) = solver else {
        return Attempt::without(reason("solver_missing", "the SMT engine has no solver; none was found or given"));
    };
    std::thread::scope(|scope| {
        let run = || on_a_runtime(question, solver, limits);
        let thread = std::thread::Builder::new().name("smt".to_owned()).stack_size(STACK).spawn_scoped(scope, run);
        match thread.map(|thread| thread.join()) {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(_)) => Attempt::without(reason("solver_failed", "a defect in the SMT engine: it panicked")),
            Err(error) => Attempt::without(reason("solver_failed", &format!("no thread for the SMT engine: {error}"))),
        }
    })
}

fn on_a_runtime(question: &Question<'_>, solver: &Solver, limits: &Limits) -> Attempt {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(question, solver, limits)),
        Err(error) => Attempt::without(reason("solver_failed", &format!("no runtime for the SMT engine: {error}"))),
    }
}

async fn run(question: &Question<'_>, solver: &Solver, limits: &Limits) -> Attempt {
    let started = Instant::now();
    let mut session = match Session::start(solver, limits.deadline) {
        Ok(session) => session,
        Err(error) => return Attempt::without(unstarted(solver, &error)),
    };
    let begun = tokio::select! {
        biased;
        begun = session.begin() => begun.map_err(|error| unstarted(solver, &error)),
        over = over(limits) => Err(over),
    };
    let label = match begun {
        Ok(label) => label,
        Err(reason) => {
            session.end().await;
            return Attempt::without(reason);
        }
    };
    let startup = started.elapsed();
    let mut smt = match CedarSymCompiler::new(session) {
        Ok(smt) => smt,
        Err(error) => return Attempt::without(reason("solver_failed", &error.to_string())),
    };
    let mut asker = Asker::new(question, limits);
    let answer = tokio::select! {
        biased;
        answer = asker.run(&mut smt) => answer,
        over = over(limits) => Answer::Inconclusive(over),
    };
    smt.solver_mut().end().await;
    let time = started.elapsed().saturating_sub(startup);
    let label = format!("{label} via {COMPILER}");
    Attempt { answer, time, startup, environments_checked: asker.environments_checked(), label }
}

impl Attempt {
    fn without(reason: Reason) -> Attempt {
        Attempt {
            answer: Answer::Inconclusive(reason),
            time: Duration::ZERO,
            startup: Duration::ZERO,
            environments_checked: 0,
            label: String::new(),
        }
    }
}

/// Resolves once the time is up or the caller gave up.
async fn over(limits: &Limits) -> Reason {
    loop {
        if let Some(over) = limits.over() {
            return over;
        }
        let left = limits.deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}

impl Limits {
    /// Why to stop, if so.
    fn over(&self) -> Option<Reason> {
        if self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Some(reason("cancelled", "the caller gave up"));
        }
        (Instant::now() >= self.deadline).then(|| reason("timeout", &format!("no answer within {:?}", self.timeout)))
    }
}

fn reason(code: &'static str, message: &str) -> Reason {
    Reason { code, message: message.to_owned() }
}

fn unstarted(solver: &Solver, error: &SolverError) -> Reason {
    let program = solver.program.display();
    match error {
        SolverError::Io(io) if io.kind() == std::io::ErrorKind::NotFound => {
            reason("solver_missing", &format!("there is no SMT solver {program}"))
        }
        SolverError::Io(io) => reason("solver_failed", &format!("{program} could not be started: {io}")),
        other => reason("solver_failed", &format!("{program} did not begin as an SMT solver: {other}")),
    }
}
