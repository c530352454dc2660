//! Which engine is asked, what each answers, and what two answers come to.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::verdict::{Counterexample, Reason};

/// An engine, or both as a check of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Automata and search: complete on what the rule language compiles to, and on much of what is written by hand.
    Exact,
    /// Cedar's own symbolic compiler with an SMT solver.
    Smt,
    /// The exact engine and the SMT engine, which must agree.
    Both,
}

impl Engine {
    /// `exact`, `smt` or `both`.
    pub fn as_str(self) -> &'static str {
        match self {
            Engine::Exact => "exact",
            Engine::Smt => "smt",
            Engine::Both => "both",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An SMT solver's program: one that reads SMT-LIB from its standard input and takes cvc5's options. The prover looks
/// for none itself; whoever calls it says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solver {
    /// The program: a path, or a name that the system looks up.
    pub program: PathBuf,
    /// What stands before the options that the prover adds.
    pub args: Vec<OsString>,
}

impl Solver {
    /// A program without arguments of its own.
    pub fn new(program: impl Into<PathBuf>) -> Solver {
        Solver { program: program.into(), args: Vec::new() }
    }
}

/// What one engine says.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Within,
    /// Replayed through Cedar's authorizer, whichever engine found it.
    Exceeds(Box<Counterexample>),
    Unsupported(Reason),
    Inconclusive(Reason),
}

impl Answer {
    /// For a message about two engines.
    fn said(&self) -> String {
        match self {
            Answer::Within => "within".to_owned(),
            Answer::Exceeds(found) => format!("exceeds, such as by `{}`", found.curl()),
            Answer::Unsupported(reason) | Answer::Inconclusive(reason) => {
                format!("no answer ({}: {})", reason.code, reason.message)
            }
        }
    }
}

/// What two engines come to.
#[derive(Debug)]
pub(crate) enum Joint {
    /// The answer, and whose it is.
    Agreed(Answer, Engine),
    /// One says within, the other shows a request that is not.
    Disagree { exact: String, smt: String },
}

/// Both must say within. A counterexample stands by itself, for Cedar's authorizer confirmed it; but where the other
/// engine says within, one of the two is wrong about more than this question.
pub(crate) fn join(exact: Answer, smt: Answer) -> Joint {
    let (exact_said, smt_said) = (exact.said(), smt.said());
    match (exact, smt) {
        (Answer::Within, Answer::Within) => Joint::Agreed(Answer::Within, Engine::Both),
        // The exact engine prefers requests that a person recognises.
        (found @ Answer::Exceeds(_), Answer::Exceeds(_)) => Joint::Agreed(found, Engine::Both),
        (Answer::Within, Answer::Exceeds(_)) | (Answer::Exceeds(_), Answer::Within) => {
            Joint::Disagree { exact: exact_said, smt: smt_said }
        }
        (found @ Answer::Exceeds(_), _) => Joint::Agreed(found, Engine::Exact),
        (_, found @ Answer::Exceeds(_)) => Joint::Agreed(found, Engine::Smt),
        (exact, smt) => {
            let silent = if matches!(smt, Answer::Within) { exact } else { smt };
            let (Answer::Unsupported(reason) | Answer::Inconclusive(reason)) = silent else {
                return Joint::Disagree { exact: exact_said, smt: smt_said };
            };
            let message = format!("not proven by both: exact engine: {exact_said}; SMT engine: {smt_said}");
            Joint::Agreed(Answer::Inconclusive(Reason { code: reason.code, message }), Engine::Both)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::collections::BTreeMap;

    use narrowgate_core::request::{Host, Operation, Port, Process, Request};

    use super::*;

    fn answer(word: &str) -> Answer {
        let reason = |code| Reason { code, message: "why".to_owned() };
        match word {
            "within" => Answer::Within,
            "exceeds" => {
                let request = Request {
                    process: Process::default(),
                    host: Host::parse("example.com").unwrap(),
                    port: Port::HTTPS,
                    operation: Operation::Connect,
                    now: 0,
                };
                let (policy_id, query) = ("p".to_owned(), BTreeMap::new());
                Answer::Exceeds(Box::new(Counterexample { request, policy_id, rule: None, query, content: None }))
            }
            "unsupported" => Answer::Unsupported(reason("unsupported_construct")),
            _ => Answer::Inconclusive(reason("solver_unknown")),
        }
    }

    #[test]
    fn only_two_yeses_are_a_yes() {
        let cases = [
            ("within", "within", "within by both"),
            ("exceeds", "exceeds", "exceeds by both"),
            ("within", "exceeds", "disagree"),
            ("exceeds", "within", "disagree"),
            ("exceeds", "inconclusive", "exceeds by exact"),
            ("unsupported", "exceeds", "exceeds by smt"),
            ("within", "inconclusive", "solver_unknown"),
            ("within", "unsupported", "unsupported_construct"),
            ("unsupported", "within", "unsupported_construct"),
            ("inconclusive", "within", "solver_unknown"),
            ("unsupported", "inconclusive", "solver_unknown"),
        ];
        for (exact, smt, expect) in cases {
            let got = match join(answer(exact), answer(smt)) {
                Joint::Agreed(Answer::Within, engine) => format!("within by {engine}"),
                Joint::Agreed(Answer::Exceeds(_), engine) => format!("exceeds by {engine}"),
                Joint::Agreed(Answer::Unsupported(reason) | Answer::Inconclusive(reason), _) => reason.code.to_owned(),
                Joint::Disagree { .. } => "disagree".to_owned(),
            };
            assert_eq!(got, expect, "exact: {exact}, smt: {smt}");
        }
    }
}
