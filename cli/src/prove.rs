//! `narrowgate prove`: is this policy inside that ceiling?

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use narrowgate_core::compile::Compiled;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::finding::Finding;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::wire::Bundle;
use narrowgate_prover::{
    Approval, Ceiling, Change, Engine, Evidence, Grounds, Options, Outcome, Proven, Reason, Repair, Report, SigningKey,
    Verdict, findings, prove, repair,
};
use owo_colors::OwoColorize as _;

use crate::candidate::Candidate;
use crate::exit::{Ended, Exit, Failure};
use crate::files::{self, Readers};
use crate::output::{self, FileFormat};
use crate::plugins::Given;
use crate::rule;
use crate::solver;
use crate::source::Source;
use crate::verdict::Explained;

/// Prove that a policy is inside a ceiling, or show a request that is not
#[derive(Debug, Args)]
pub(crate) struct Prove {
    /// The upper bound: Cedar (.cedar), or the rule language
    #[arg(long, value_name = "FILE")]
    ceiling: PathBuf,
    /// The policy to prove
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// A policy that --policy is laid over: what is proved is both, and --policy's entries replace those of the same key
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// A proposal (JSON, as an agent posts it) whose operations are applied before proving
    #[arg(long, value_name = "FILE")]
    proposal: Option<PathBuf>,
    /// For which hosts there are credentials, as a gateway takes it: what the change would put at risk is noted
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Denial records (JSON, as http://policy.local/v1/denials lists them) that the new rules should be no broader than
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    plugins: Given,
    /// Which engine decides; by default the exact one, and the SMT engine where that has no answer and there is a solver
    #[arg(long, value_enum)]
    engine: Option<Asked>,
    /// How long it may take, such as 10s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    #[arg(long, value_enum, default_value_t)]
    format: FileFormat,
    /// Where to write the policy with its signed certificate, if it is within
    #[arg(long, value_name = "OUT", requires = "key")]
    certificate: Option<PathBuf>,
    /// The Ed25519 signing key (PKCS#8), as a gateway's signing.key; made if the file does not exist
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// Automata; complete on what the rule language compiles to
    Exact,
    /// Cedar's symbolic compiler and an SMT solver (cvc5)
    Smt,
    /// The two as a check of each other; exit code 4 where they disagree
    Both,
}

impl Prove {
    pub(crate) fn run(self) -> Ended {
        let (name, bound) = (self.ceiling.display().to_string(), files::read(&self.ceiling)?);
        let schema = self.plugins.schema()?;
        let ceiling = Ceiling::parse_over(&bound, &name, &schema).map_err(Failure::invalid)?;
        let bound = Source::of(name, bound, ceiling.compiled());
        let candidate = Candidate::read(&self.policy, self.baseline.as_deref(), self.proposal.as_deref())?;
        let compile = |policy: &Policy| {
            Compiled::policy_over(policy, Role::Policy, &schema)
                .map_err(|error| Failure::invalid(format!("{}: {error}", self.policy.display())))
        };
        let compiled = compile(&candidate.policy)?;
        let engine = self.engine.map(|asked| match asked {
            Asked::Exact => Engine::Exact,
            Asked::Smt => Engine::Smt,
            Asked::Both => Engine::Both,
        });
        let solver = if engine == Some(Engine::Exact) { None } else { solver::find()? };
        let options = Options { timeout: self.timeout, engine, solver, ..Options::default() };
        let mut outcome = prove(&compiled, &ceiling, &options);
        if let Verdict::Exceeds(found) = &mut outcome.verdict
            && let Some(shown) = self.plugins.illustrated(found, &compiled, &ceiling)?
        {
            **found = shown;
        }
        let evidence = self.evidence()?;
        let change = Change {
            before: &candidate.before,
            before_compiled: &compile(&candidate.before)?,
            after: &candidate.policy,
            after_compiled: &compiled,
        };
        let noted = findings(&change, &evidence, &files::credentials(self.credentials.as_deref())?, &options);
        let report = Report::new(&outcome, &compiled).with_findings(noted);
        let report = repaired(report, &outcome, &candidate, &ceiling, &evidence, &options);
        if let (Verdict::Within(proven), Some(out), Some(key)) = (&outcome.verdict, &self.certificate, &self.key) {
            certify(proven, &candidate.policy, out, key)?;
        }
        let exit = match &outcome.verdict {
            Verdict::Within(_) => Exit::Done,
            Verdict::Exceeds(_) => Exit::Refused,
            Verdict::Unsupported(_) | Verdict::Inconclusive(_) => Exit::Undecided,
            Verdict::Disagree(_) => Exit::Disagreed,
        };
        let explained = Explained { candidate: &candidate, ceiling: &ceiling, bound: &bound, outcome: &outcome };
        match self.format {
            FileFormat::Json => output::json(&report)?,
            FileFormat::Sarif => output::json(&explained.sarif(&report, exit)?)?,
            FileFormat::Text => {
                // Without a change there is no news: what a policy grants is in the policy.
                let is_change = self.baseline.is_some() || self.proposal.is_some() || self.evidence.is_some();
                let noted =
                    if is_change || self.credentials.is_some() { findings_text(&report) } else { String::new() };
                output::line(text(&outcome, &report, &self.ceiling) + &noted)?;
                if let Some(shown) = explained.text() {
                    output::line(format!("\n{shown}"))?;
                }
            }
        }
        Ok(exit)
    }

    /// The records in the file, all of them cited.
    fn evidence(&self) -> Result<Evidence, Failure> {
        let Some(path) = &self.evidence else { return Ok(Evidence::none()) };
        let named = |error: &dyn std::fmt::Display| Failure::invalid(format!("{}: {error}", path.display()));
        let mut value: serde_json::Value = serde_json::from_str(&files::read(path)?).map_err(|error| named(&error))?;
        if let Some(list) = value.get_mut("denials") {
            value = list.take();
        }
        let records: Vec<DenialRecord> = serde_json::from_value(value)
            .map_err(|error| named(&format!("expected a list of denial records, or {{\"denials\": […]}}: {error}")))?;
        let cited: Vec<String> = records.iter().map(|record| record.denial_id.clone()).collect();
        Ok(Evidence::new(&cited, &records))
    }
}

/// The report, with what of the rule would fit where it exceeds.
fn repaired(
    report: Report,
    outcome: &Outcome,
    candidate: &Candidate,
    ceiling: &Ceiling,
    evidence: &Evidence,
    options: &Options,
) -> Report {
    let Verdict::Exceeds(found) = &outcome.verdict else { return report };
    let Some(at) = &found.rule else { return report };
    let proposed = candidate.proposed();
    let base = proposed.as_ref().map(|(base, _)| *base);
    let repair = repair(&candidate.policy, at, ceiling, &Grounds { base, evidence: &evidence.denials() }, options);
    let operations = match (&repair, &proposed) {
        (Repair::Rule(repaired), Some((base, operations))) => repaired.operations(operations, base),
        _ => None,
    };
    report.with_repair(&repair, &operations.unwrap_or_default())
}

/// Writes the policy and its certificate as one bundle, which `narrowgate verify` checks. It is for no sandbox
/// (name "", version 0), so that no proxy can be made to load it.
fn certify(proven: &Proven, policy: &Policy, out: &Path, key: &Path) -> Result<(), Failure> {
    let approval = Approval {
        approver: "narrowgate prove".to_owned(),
        time: jiff::Timestamp::now().as_second(),
        expires: None,
        sandbox: String::new(),
        version: 0,
        held: None,
    };
    let bundle = Bundle {
        sandbox: String::new(),
        version: 0,
        policy_yaml: policy.to_yaml(),
        policy_hash: proven.policy(),
        certificate: proven.certify(&signing_key(key)?, &approval),
        plugins: proven.plugins().clone(),
    };
    let mut text = serde_json::to_string_pretty(&bundle).map_err(Failure::undecided)?;
    text.push('\n');
    files::write(out, text.as_bytes(), Readers::Anyone)
}

fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::invalid(format!("signing key {}: {error}", path.display()));
    match files::read_secret(path) {
        Ok(bytes) => SigningKey::from_pkcs8(&bytes).map_err(|error| named(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (bytes, key) = SigningKey::generate().map_err(|error| named(&error))?;
            files::write(path, &bytes, Readers::Owner)?;
            output::remark(format!("new signing key {}", path.display()));
            Ok(key)
        }
        Err(error) => Err(named(&error)),
    }
}

fn text(outcome: &Outcome, report: &Report, ceiling: &Path) -> String {
    let ceiling = ceiling.display();
    let head = match &outcome.verdict {
        Verdict::Within(_) => {
            format!("{}  every request that the policy allows, {ceiling} allows too", "within".green().bold())
        }
        Verdict::Exceeds(_) => {
            format!("{}  the policy allows a request that {ceiling} does not", "exceeds".red().bold())
        }
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => {
            let word = if matches!(outcome.verdict, Verdict::Unsupported(_)) { "unsupported" } else { "inconclusive" };
            format!("{}  {} ({})", word.yellow().bold(), reason.message, reason.code)
        }
        Verdict::Disagree(disagreement) => {
            let Reason { code, message } = &disagreement.reason;
            format!("{}  {message} ({code}); please report it, and approve nothing", "disagree".red().bold())
        }
    };
    let mut lines = vec![head];
    if let Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) = &outcome.verdict {
        match reason.code {
            "solver_missing" => lines.push(format!("  {}", solver::HOW)),
            "unsupported_construct" | "resource_limit" if outcome.engine == Engine::Exact => {
                lines.push(format!("  the SMT engine may have an answer: --engine smt; {}", solver::HOW));
            }
            _ => {}
        }
    }
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
    if let Some(witness) = &report.counterexample {
        field("such as", output::plain(&witness.curl));
        let binary = if witness.binary.is_empty() {
            "an unidentified binary".to_owned()
        } else {
            output::plain(&witness.binary)
        };
        field("run by", binary);
    }
    if let Some(rule) = &report.rule {
        let mut place = format!("/network_policies/{}", output::plain(&rule.policy));
        for (name, number) in [("endpoints", rule.endpoint), ("rules", rule.rule)] {
            if let Some(number) = number {
                place.push_str(&format!("/{name}/{number}"));
            }
        }
        field("allowed by", place);
    }
    if report.counterexample.is_some() {
        let shown = serde_json::to_value(report).map(|report| rule::text::repair(&report)).unwrap_or_default();
        for (at, line) in shown.into_iter().enumerate() {
            field(if at == 0 { "would fit" } else { "" }, line);
        }
    }
    field("checked", format!("{} request environments", outcome.environments_checked));
    if outcome.engine != Engine::Exact {
        field("engine", outcome.engine.to_string());
    }
    field("took", format!("{:.1} µs", outcome.engine_time.as_secs_f64() * 1e6));
    lines.join("\n")
}

/// What is noted, a line each; the pointers are into the policy that would be in force.
fn findings_text(report: &Report) -> String {
    let line = |finding: &Finding| {
        let place = format!("{} at {}", finding.name, finding.at);
        format!("\n  {:<14}{}: {}", "finding", output::plain(&place), output::plain(&finding.detail))
    };
    report.findings.iter().map(line).collect()
}

/// `10s`, `500ms`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?}: expected a number and a unit, such as 10s or 500ms"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(|| format!("{text:?}: too long")),
        _ => Err(format!("{text:?}: expected a unit (ms, s or m) after the number, such as 10s")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("10", None),
            ("s", None),
            ("1h", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text).ok(), expected.map(Duration::from_millis), "{text}");
        }
    }
}
