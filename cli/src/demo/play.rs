//! The play itself: follows the agent's lines, checks each against what must happen next, takes the reviewer's part.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use narrowgate_core::wire::{ProposalStatus, ProposalView, Proposals};
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::SANDBOX;
use super::agent::WANTED;
use super::record::{abbreviated, one_time_word, trace, without};
use super::said::{Exchange, Said, Step};
use super::story::{Story, Tone};
use super::upstream::Upstream;
use crate::client::failure;
use crate::exit::Failure;
use crate::files;
use crate::output::plain;
use crate::rule;
use crate::stack::Stack;

/// No line of the agent takes longer; its own patience is shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the play stopped before its end.
pub(super) enum Stopped {
    /// A step that must happen did not.
    Missing { step: String, problem: String },
    /// The stage itself failed.
    Failure(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped::Failure(failure)
    }
}

/// Everything on stage.
pub(super) struct Play<'a> {
    pub(super) story: &'a mut Story,
    pub(super) stack: &'a Stack,
    pub(super) upstream: &'a Upstream,
    pub(super) binary: &'a Path,
}

/// The agent's process and what it says. It is killed when this is dropped.
struct Agent {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Play<'_> {
    pub(super) async fn run(mut self) -> Result<(), Stopped> {
        let secret = format!("demo-secret-{}", one_time_word());
        let mut agent = Agent::start(self.binary, self.stack, &secret)?;
        self.denied(&mut agent).await?;
        self.too_broad(&mut agent).await?;
        let chunk_id = self.narrow(&mut agent).await?;
        self.review(&chunk_id).await?;
        self.retry(&mut agent).await?;
        agent.finished().await?;
        self.evidence(&secret).await
    }

    async fn denied(&mut self, agent: &mut Agent) -> Result<(), Stopped> {
        self.story.act("Denied", "The agent may read the API. It needs to write one file.").await?;
        let read = agent.exchange(Step::AllowedRead, 200, false).await?;
        self.exchange(&read, "200 allowed", Tone::Good).await?;
        let denied = agent.exchange(Step::DeniedWrite, 403, true).await?;
        self.exchange(&denied, "403 denied", Tone::Bad).await?;
        let text = |key: &str| plain(denied.body.get(key).and_then(Value::as_str).unwrap_or_default());
        for member in ["detail", "reason", "rule_missing", "denial_id", "agent_guidance"] {
            if denied.body.get(member).is_none_or(Value::is_null) {
                return Err(missing("denied_write", format!("the denial has no `{member}`")));
            }
        }
        for member in ["policy", "reason", "denial_id"] {
            self.story.detail(format_args!("{} {}", format_args!("{member:<10}").dimmed(), text(member)))?;
        }
        let steps = denied.body.get("next_steps").and_then(Value::as_array).map_or(0, Vec::len);
        self.story.detail(format_args!(
            "{} {steps}, the last with the narrowest proposal, ready to post",
            "next_steps".dimmed()
        ))?;
        for expected in ["read_skill", "inspect_policy", "inspect_recent_denials"] {
            match agent.next(expected).await? {
                Said::Read { action, learned } if action == expected => {
                    self.story.event("read", json!({ "action": action, "learned": learned }))?;
                    self.story.line("agent", format_args!("reads {}", plain(&learned)), "", Tone::Plain).await?;
                }
                other => return Err(unexpected(expected, &other)),
            }
        }
        Ok(())
    }

    async fn too_broad(&mut self, agent: &mut Agent) -> Result<(), Stopped> {
        self.story.act("Too broad", "In a hurry, it asks for all of acme's repositories.").await?;
        let (operation, accepted, refused) = agent.proposed("too_broad").await?;
        self.proposal(&operation).await?;
        let (None, Some(reason)) = (accepted, refused) else {
            return Err(missing("too_broad", "a proposal outside the ceiling was not refused"));
        };
        let Some(curl) = curl_in(&reason).filter(|_| reason.starts_with("outside_org_ceiling")) else {
            return Err(missing("too_broad", format!("the refusal names no request outside the ceiling: {reason}")));
        };
        self.story.event("refused", json!({ "which": "too_broad", "reason": reason }))?;
        self.story
            .line("prover", "it would also let this through, which the ceiling does not:", "refused", Tone::Bad)
            .await?;
        self.story.detail(format_args!("{}", plain(curl).yellow()))?;
        Ok(())
    }

    async fn narrow(&mut self, agent: &mut Agent) -> Result<String, Stopped> {
        self.story.act("Narrow", "It posts the proposal that came with the denial.").await?;
        let (operation, accepted, refused) = agent.proposed("narrow").await?;
        self.proposal(&operation).await?;
        let Some(chunk_id) = accepted else {
            return Err(missing("narrow", format!("the narrow proposal was refused: {}", refused.unwrap_or_default())));
        };
        match agent.next("waiting").await? {
            Said::Waiting { chunk_id: waiting } if waiting == chunk_id => {}
            other => return Err(unexpected("waiting", &other)),
        }
        self.story.event("accepted", json!({ "chunk_id": chunk_id }))?;
        self.story
            .line(
                "prover",
                format_args!("every request that this allows is inside the ceiling: {}", plain(&chunk_id)),
                "pending",
                Tone::Good,
            )
            .await?;
        Ok(chunk_id)
    }

    /// What `narrowgate rule get` and `rule approve` do.
    async fn review(&mut self, chunk_id: &str) -> Result<(), Stopped> {
        self.story.act("Reviewed", "A person sees exactly what would be in force, and approves exactly that.").await?;
        let client = self.stack.reviewer()?;
        let pending: Proposals =
            client.get(&format!("/v1/proposals?sandbox={SANDBOX}&status=pending")).await.map_err(failure)?;
        let [shown] = pending.proposals.as_slice() else {
            return Err(missing(
                "review",
                format!("{} proposals are pending, one was expected", pending.proposals.len()),
            ));
        };
        if shown.chunk_id != chunk_id || shown.validation_result != "within" {
            return Err(missing("review", "the pending proposal is not the one that was accepted"));
        }
        self.story.event("shown", json!({ "proposal": public(shown) }))?;
        self.story.line("reviewer", format_args!("narrowgate rule get {SANDBOX}"), "", Tone::Plain).await?;
        self.story.block(&rule::text::proposal(shown))?;
        self.story
            .line(
                "reviewer",
                format_args!("narrowgate rule approve {SANDBOX} --chunk-id {chunk_id}"),
                "approved",
                Tone::Good,
            )
            .await?;
        let rule::approve::Approval::Done(now) = rule::approve::approve(&client, shown, None).await? else {
            return Err(missing("review", "the proposal changed between being shown and being approved"));
        };
        if now.status != ProposalStatus::Approved || now.activated_version != Some(2) {
            return Err(missing("review", format!("after the approval it is {}", now.status.as_str())));
        }
        self.story.event("approved", json!({ "proposal": public(&now) }))?;
        Ok(())
    }

    async fn retry(&mut self, agent: &mut Agent) -> Result<(), Stopped> {
        match agent.next("decided").await? {
            Said::Decided { status, policy_reloaded: true } if status == "approved" => {
                self.story.event("reloaded", json!({ "version": self.stack.version() }))?;
                self.story
                    .line("proxy", "checked the signed certificate, swapped the policy", "version 2", Tone::Good)
                    .await?;
            }
            other => return Err(unexpected("decided", &other)),
        }
        self.story.act("Done", "The same request, on the same connection; and nothing beside it.").await?;
        let granted = agent.exchange(Step::GrantedWrite, 201, false).await?;
        if granted.earlier_on_connection != 2 {
            return Err(missing("granted_write", "it was not sent on the connection that was denied before"));
        }
        self.exchange(&granted, "201 created", Tone::Good).await?;
        let back = agent.exchange(Step::ReadBack, 200, false).await?;
        self.exchange(&back, "200 as written", Tone::Good).await?;
        let sibling = agent.exchange(Step::DeniedSibling, 403, true).await?;
        self.exchange(&sibling, "403 denied", Tone::Bad).await?;
        Ok(())
    }

    /// What is left when everybody has gone: the upstream's view, the audit log, and no secret anywhere.
    async fn evidence(&mut self, secret: &str) -> Result<(), Stopped> {
        self.story.act("On record", "What the upstream saw, and every decision with its policy version.").await?;
        let seen = self.upstream.seen();
        let expected = [
            "GET /repos/acme/site/contents/docs/intro.md".to_owned(),
            format!("PUT {WANTED}"),
            format!("GET {WANTED}"),
        ];
        if seen != expected {
            return Err(missing("upstream", format!("it saw {seen:?}, and should have seen {expected:?}")));
        }
        self.story.event("upstream", json!({ "seen": seen }))?;
        self.story.line("upstream", "saw three requests; neither of the two denied ones", "", Tone::Plain).await?;
        let searched = without(secret, self.stack.data())?;
        self.story.event("secret", json!({ "files_searched": searched, "found": false }))?;
        self.story
            .line("secret", format_args!("the agent's credential is in none of {searched} files"), "", Tone::Plain)
            .await?;
        self.story.line("audit", "audit.ocsf.jsonl, in its short form:", "", Tone::Plain).await?;
        let trace = trace(&files::read(&self.stack.data().join("audit.ocsf.jsonl"))?)?;
        for (expected, what) in
            [("ALLOWED", "an allowed request"), ("DENIED", "a denied request"), ("CONFIG:LOADED", "the reload")]
        {
            if !trace.iter().any(|line| line.contains(expected)) {
                return Err(missing("audit", format!("the log has no line for {what} ({expected})")));
            }
        }
        for line in &trace {
            self.story.event("trace", json!({ "line": line }))?;
            let tone = match line {
                _ if line.contains(" DENIED ") => Tone::Bad,
                _ if line.contains(" ALLOWED ") => Tone::Good,
                _ => Tone::Plain,
            };
            self.story.text(format_args!("    {}", tone.paint(&abbreviated(&plain(line)))))?;
        }
        Ok(())
    }

    async fn exchange(&self, exchange: &Exchange, outcome: &str, tone: Tone) -> Result<(), Failure> {
        self.story.event(
            "request",
            json!({
                "step": exchange.step, "method": exchange.method, "path": exchange.path, "status": exchange.status,
                "decision": exchange.decision, "earlier_on_connection": exchange.earlier_on_connection,
                "denial": exchange.decision.as_ref().map(|_| &exchange.body),
            }),
        )?;
        self.story.line("agent", format_args!("{:<4}{}", exchange.method, exchange.path), outcome, tone).await
    }

    async fn proposal(&self, operation: &Value) -> Result<(), Failure> {
        self.story.event("proposed", json!({ "operation": operation }))?;
        let lines = rule::text::operation(operation);
        // The first names the rule and the binary; what is asked for are the endpoints.
        for (at, line) in lines.iter().skip(1).enumerate() {
            self.story.line(if at == 0 { "agent" } else { "" }, line, "", Tone::Plain).await?;
        }
        Ok(())
    }
}

impl Agent {
    fn start(binary: &Path, stack: &Stack, secret: &str) -> Result<Agent, Failure> {
        let failed = |problem: &dyn std::fmt::Display| Failure::undecided(format!("the agent's process: {problem}"));
        let mut child = Command::new(binary)
            .arg("demo-agent")
            .env_remove("NARROWGATE_GATEWAY")
            .env_remove("NARROWGATE_TOKEN_FILE")
            .envs(stack.agent_env())
            .env("NARROWGATE_DEMO_SECRET", secret)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let stdout = child.stdout.take().ok_or_else(|| failed(&"it has no standard output"))?;
        Ok(Agent { child, lines: BufReader::new(stdout).lines() })
    }

    /// The next thing it says; a failure it reports ends the play.
    async fn next(&mut self, step: &str) -> Result<Said, Stopped> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .map_err(|_| missing(step, format!("the agent said nothing for {PATIENCE:?}")))?
            .map_err(Failure::undecided)?
            .ok_or_else(|| missing(step, "the agent ended early"))?;
        match serde_json::from_str(&line)
            .map_err(|error| missing(step, format!("the agent said something odd: {error}")))?
        {
            Said::Failed { step, problem } => Err(missing(&step, problem)),
            said => Ok(said),
        }
    }

    async fn exchange(&mut self, step: Step, status: u16, denied: bool) -> Result<Exchange, Stopped> {
        let name = serde_json::to_value(step).unwrap_or_default();
        let name = name.as_str().unwrap_or("request");
        match self.next(name).await? {
            Said::Exchange(exchange) if exchange.step == step => {
                let by_proxy = exchange.decision.as_deref() == Some("denied");
                if exchange.status != status || by_proxy != denied {
                    let Exchange { method, path, body, .. } = &exchange;
                    let got = exchange.status;
                    return Err(missing(name, format!("{method} {path} was answered {got}, not {status}: {body}")));
                }
                Ok(exchange)
            }
            other => Err(unexpected(name, &other)),
        }
    }

    async fn proposed(&mut self, expected: &str) -> Result<(Value, Option<String>, Option<String>), Stopped> {
        match self.next(expected).await? {
            Said::Proposed { which, operation, accepted, refused } if which == expected => {
                Ok((operation, accepted, refused))
            }
            other => Err(unexpected(expected, &other)),
        }
    }

    async fn finished(&mut self) -> Result<(), Stopped> {
        let status = self.child.wait().await.map_err(Failure::undecided)?;
        if status.success() { Ok(()) } else { Err(missing("agent", format!("its process ended with {status}"))) }
    }
}

pub(super) fn missing(step: &str, problem: impl std::fmt::Display) -> Stopped {
    Stopped::Missing { step: step.to_owned(), problem: problem.to_string() }
}

fn unexpected(step: &str, said: &Said) -> Stopped {
    missing(step, format!("the agent said something else: {}", serde_json::to_string(said).unwrap_or_default()))
}

/// The command in a refusal, between backquotes.
fn curl_in(reason: &str) -> Option<&str> {
    let (_, quoted) = reason.split_once('`')?;
    quoted.split_once('`').map(|(command, _)| command).filter(|command| command.starts_with("curl "))
}

/// A proposal without what only its reviewer may quote.
fn public(view: &ProposalView) -> ProposalView {
    ProposalView { review_token: None, ..view.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_shows() {
        for (reason, expected) in [
            (
                "outside_org_ceiling: it would allow `curl -X PUT 'https://a.example/b'`, which",
                Some("curl -X PUT 'https://a.example/b'"),
            ),
            ("not_proven: `too_large`", None),
            ("outside_org_ceiling", None),
        ] {
            assert_eq!(curl_in(reason), expected, "{reason}");
        }
    }
}
