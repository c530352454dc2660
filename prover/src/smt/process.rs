//! The solver's process: the one place in the prover that does input and output.
//!
//! A solver is not trusted to end, to answer in time or to answer sensibly. It is killed when the session is dropped,
//! its standard error is drained and cut, every answer is followed by a mark that it must echo, and after anything
//! unexpected it is asked nothing more. That it might lie is why witnesses are replayed and why there is a second
//! engine.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cedar_policy_symcc::SmtLibScript as _;
use cedar_policy_symcc::solver::{Decision, DecisionWithModel, Solver as SymccSolver, SolverError};
use narrowgate_core::digest::Digest;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::facts::{Facts, Strength};
use crate::engine::Solver;

/// The longest answer, model included, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;
/// How much of the solver's standard error is kept, in bytes.
const KEPT_OF_STDERR: usize = 2048;
/// How long a killed solver may take to be gone before it is left to the system.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// A running solver, as `cedar-policy-symcc` asks it.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// What is written before the next question.
    script: Vec<u8>,
    /// What is known of requests besides what the schema says.
    pub(super) facts: Facts,
    pub(super) strength: Strength,
    /// What part of the time that is left a question may take: one in so many.
    pub(super) patience: u32,
    deadline: Instant,
    marks: u64,
    /// Questions that had no model, by their text. Most repeat from method to method.
    unsat: HashSet<Digest>,
}

impl Session {
    /// Starts the solver. It must be called on a runtime.
    pub(super) fn start(solver: &Solver, deadline: Instant) -> Result<Session, SolverError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut command = Command::new(&solver.program);
        command.args(&solver.args).args(["--lang=smt2", "--strings-exp"]);
        // A solver that outlives this process ends itself.
        command.arg(format!("--tlimit-per={}", left.as_millis().max(1)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(SolverError::Solver("the solver has no pipes".to_owned()));
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        // Read to its end whatever it says: a full pipe would stop the solver.
        tokio::spawn(async move {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
                let Ok(mut kept) = kept.lock() else { return };
                let room = KEPT_OF_STDERR.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
            }
        });
        Ok(Session {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            stderr: said,
            script: Vec::new(),
            facts: Facts::default(),
            strength: Strength::Related,
            patience: 1,
            deadline,
            marks: 0,
            unsat: HashSet::new(),
        })
    }

    /// Asks for the solver's name and version, such as `cvc5/1.3.1`.
    pub(super) async fn begin(&mut self) -> Result<String, SolverError> {
        let name = self.ask("(get-info :name)\n").await?;
        let version = self.ask("(get-info :version)\n").await?;
        Ok(format!("{}/{}", quoted(&name)?, quoted(&version)?))
    }

    /// Kills the solver and waits until it is gone.
    pub(super) async fn end(&mut self) {
        // Where the time is up, dropping the session has killed it and the system reaps it.
        let _ = tokio::time::timeout(GONE_WITHIN, self.child.kill()).await;
    }

    /// Sends commands and reads what they print, up to the mark after it.
    async fn ask(&mut self, commands: &str) -> Result<String, SolverError> {
        self.marks += 1;
        let mark = format!("narrowgate-{}", self.marks);
        let sent = async {
            self.stdin.write_all(commands.as_bytes()).await?;
            self.stdin.write_all(format!("(echo \"{mark}\")\n").as_bytes()).await?;
            self.stdin.flush().await
        };
        if let Err(error) = sent.await {
            return Err(self.broken(&format!("it takes no input ({error})")).await);
        }
        let mut answer = String::new();
        loop {
            let mut line = Vec::new();
            let room = u64::try_from(LONGEST_ANSWER.saturating_sub(answer.len())).unwrap_or(0);
            let read = (&mut self.stdout).take(room).read_until(b'\n', &mut line).await?;
            if read == 0 {
                let why = if room == 0 { "its answer is longer than 16 MiB" } else { "it ended" };
                return Err(self.broken(why).await);
            }
            let line = String::from_utf8(line).map_err(|_| unrecognized("bytes that are not UTF-8"))?;
            if line.trim().trim_matches('"') == mark {
                return Ok(answer);
            }
            answer.push_str(&line);
        }
    }

    async fn broken(&mut self, why: &str) -> SolverError {
        let _ = tokio::time::timeout(GONE_WITHIN, self.child.kill()).await;
        let status = match self.child.try_wait() {
            Ok(Some(status)) => format!(" ({status})"),
            _ => String::new(),
        };
        let said = self.stderr.lock().map(|said| String::from_utf8_lossy(&said).trim().to_owned()).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        SolverError::Solver(format!("the solver does not answer: {why}{status}{said}"))
    }

    /// The question that was written, with what is known of requests.
    fn question(&mut self) -> Result<String, SolverError> {
        let script = String::from_utf8(std::mem::take(&mut self.script))
            .map_err(|_| SolverError::Solver("the question is not UTF-8".to_owned()))?;
        let facts = self.facts.of(&script, self.strength);
        Ok(format!("{script}{facts}"))
    }

    async fn decide(&mut self, question: &str) -> Result<Decision, SolverError> {
        let digest = Digest::of(question.as_bytes());
        if self.unsat.contains(&digest) {
            return Ok(Decision::Unsat);
        }
        let left = self.deadline.saturating_duration_since(Instant::now()) / self.patience.max(1);
        let left = left.as_millis().max(1);
        let rest = question.strip_prefix("(reset)\n").unwrap_or(question);
        let answer = self.ask(&format!("(reset)\n(set-option :tlimit-per {left})\n{rest}(check-sat)\n")).await?;
        match answer.trim() {
            "sat" => Ok(Decision::Sat),
            "unsat" => {
                self.unsat.insert(digest);
                Ok(Decision::Unsat)
            }
            "unknown" => Ok(Decision::Unknown),
            other => Err(unrecognized(other)),
        }
    }
}

impl SymccSolver for Session {
    fn smtlib_input(&mut self) -> &mut (dyn AsyncWrite + Unpin + Send) {
        &mut self.script
    }

    async fn enable_models(&mut self) -> Result<(), SolverError> {
        Ok(self.smtlib_input().set_option("produce-models", "true").await?)
    }

    async fn check_sat(&mut self) -> Result<Decision, SolverError> {
        let question = self.question()?;
        self.decide(&question).await
    }

    async fn check_sat_with_model(&mut self) -> Result<DecisionWithModel, SolverError> {
        let question = self.question()?;
        match self.decide(&question).await? {
            Decision::Unsat => Ok(DecisionWithModel::Unsat),
            Decision::Unknown => Ok(DecisionWithModel::Unknown),
            Decision::Sat => {
                let model = self.ask("(get-model)\n").await?;
                if model.trim_start().starts_with("(error") {
                    return Err(unrecognized(&model));
                }
                Ok(DecisionWithModel::Sat { model })
            }
        }
    }
}

fn unrecognized(text: &str) -> SolverError {
    let cut: String = text.trim().chars().take(200).collect();
    SolverError::UnrecognizedSolverOutput(cut)
}

/// The text in `(:name "cvc5")`, where it is one that may stand in a certificate.
fn quoted(info: &str) -> Result<&str, SolverError> {
    let text = info.split('"').nth(1).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(unrecognized(info));
    }
    Ok(text)
}
