//! What a proof attempt comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use narrowgate_core::compile::{Compiled, Origin};
use narrowgate_core::digest::Digest;
use narrowgate_core::request::{Operation, QueryValue, Request};

use crate::ceiling::Ceiling;
use crate::engine::Engine;
use crate::prove::Proven;
use crate::replay::confirms;

/// A verdict and what it took.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The answer.
    pub verdict: Verdict,
    /// Which engine the verdict is from.
    pub engine: Engine,
    /// How long solving took, without parsing and lowering. The exact engine's is without replay, the SMT engine's with
    /// compiling and replay and without starting the solver; of both engines it is the sum.
    pub engine_time: Duration,
    /// How long the solver took until it was ready; zero where none was started.
    pub solver_start: Duration,
    /// How many request environments were looked at, all of them for [`Verdict::Within`].
    pub environments_checked: usize,
    /// What the verdict is about.
    pub digests: Digests,
}

/// The exact inputs of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// The candidate's Cedar.
    pub policy: Digest,
    /// The ceiling's Cedar.
    pub ceiling: Digest,
    /// The Cedar schema.
    pub schema: Digest,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Digest>,
}

/// Whether the candidate is inside the ceiling. Only the first opens a door.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is.
    Within(Proven),
    /// It is not.
    Exceeds(Box<Counterexample>),
    /// A policy uses what the engine does not model.
    Unsupported(Reason),
    /// The engine gave up.
    Inconclusive(Reason),
    /// Asked both, one engine says within and the other shows a counterexample: a defect, and never an approval.
    Disagree(Box<Disagreement>),
}

/// Two engines that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disagreement {
    /// What the exact engine says.
    pub exact: String,
    /// What the SMT engine says.
    pub smt: String,
    /// The same as a reason, `engines_disagree`.
    pub reason: Reason,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable and in snake case: `unsupported_construct`, `no_environments`, `resource_limit`, `timeout`,
    /// `cancelled`, `spurious_counterexample`, `engines_disagree`; from the SMT engine also `forbid_can_fail`,
    /// `solver_missing`, `solver_failed`, `solver_unknown`.
    pub code: &'static str,
    /// For a person, naming policy and construct.
    pub message: String,
}

/// A request that the candidate allows and the ceiling does not, confirmed by Cedar's authorizer. Only [`crate::prove`]
/// makes one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Counterexample {
    /// The request.
    pub request: Request,
    /// The id of the candidate's Cedar policy that allows it.
    pub policy_id: String,
    /// The candidate's rule that allows it; `None` for hand-written Cedar.
    pub rule: Option<Origin>,
    /// The decoded query: each key with its values, of which there are several where a key repeats.
    pub query: BTreeMap<String, Vec<String>>,
    /// Where a plugin showed how the operation is asked for: what goes with the request.
    pub content: Option<Content>,
}

/// What goes with a request, for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
}

impl Counterexample {
    /// The request as a command for a shell.
    pub fn curl(&self) -> String {
        let mut out = curl(&self.request);
        let Some(content) = &self.content else { return out };
        for (name, value) in &content.headers {
            out.push_str(&format!(" -H {}", quote(&format!("{name}: {value}"))));
        }
        match content.body.as_deref().map(std::str::from_utf8) {
            Some(Ok(text)) if !text.contains(|c: char| c.is_control() && c != '\n') && text.len() <= 1024 => {
                out.push_str(&format!(" --data-binary {}", quote(text)));
            }
            Some(_) => out.push_str(" --data-binary @body"),
            None => {}
        }
        out
    }

    /// The same counterexample as a plugin would be asked for it. `None` where Cedar's authorizer does not confirm that
    /// this request too is allowed by the candidate and not by the ceiling.
    pub fn shown_as(
        &self,
        request: Request,
        content: Content,
        candidate: &Compiled,
        ceiling: &Ceiling,
    ) -> Option<Counterexample> {
        if !confirms(&request, candidate, ceiling.compiled(), ceiling.side()) {
            return None;
        }
        let Operation::Http { target, .. } = &request.operation else { return None };
        let query = target.query.keys().map(|key| match target.query.get(key) {
            QueryValue::One(value) => (key.to_owned(), vec![value.to_owned()]),
            QueryValue::Repeated | QueryValue::Absent => (key.to_owned(), Vec::new()),
        });
        let query = query.collect();
        Some(Counterexample { request, query, content: Some(content), ..self.clone() })
    }
}

/// A request as a command for a shell.
pub(crate) fn curl(request: &Request) -> String {
    let Request { host, port, operation, .. } = request;
    let host = if host.as_str().contains(':') { format!("[{host}]") } else { host.to_string() };
    match operation {
        Operation::Connect => format!("curl {}", quote(&format!("telnet://{host}:{port}"))),
        Operation::Http { method, target, .. } => {
            let origin = match port.get() {
                443 => format!("https://{host}"),
                80 => format!("http://{host}"),
                port => format!("https://{host}:{port}"),
            };
            let url = quote(&format!("{origin}{}", target.to_uri_string()));
            match method.as_str() {
                "GET" => format!("curl {url}"),
                "HEAD" => format!("curl --head {url}"),
                plain if plain.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                    format!("curl -X {plain} {url}")
                }
                odd => format!("curl -X {} {url}", quote(odd)),
            }
        }
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
