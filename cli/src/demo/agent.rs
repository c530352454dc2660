//! The demo's agent: a process of its own that knows only its environment (`HTTPS_PROXY`, `SSL_CERT_FILE`) and what
//! answers tell it. It never sees the gateway, the ceiling or the reviewer.

use std::time::Duration;

use clap::Args;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::said::{Exchange, Said, Step};
use super::upstream::HOST;
use super::wire::{Answer, Api, Local};
use crate::exit::{Ended, Exit, Failure};
use crate::output;
use crate::runtime::block_on;

const READABLE: &str = "/repos/acme/site/contents/docs/intro.md";
/// What the agent wants to write.
pub(super) const WANTED: &str = "/repos/acme/site/contents/docs/changelog.md";
const SIBLING: &str = "/repos/acme/site/contents/docs/security.md";
const TEXT: &str = "# Changelog\n\n- asked for exactly this file\n";

/// The demo's agent process
#[derive(Debug, Args)]
pub(crate) struct DemoAgent {
    /// A credential, which no log may ever hold
    #[arg(long, env = "NARROWGATE_DEMO_SECRET", hide_env_values = true)]
    secret: String,
}

/// Where the agent stood when it could not go on.
struct Stuck {
    step: &'static str,
    problem: String,
}

impl DemoAgent {
    pub(crate) fn run(self) -> Ended {
        block_on(async move {
            match work(&self.secret).await {
                Ok(()) => Ok(Exit::Done),
                Err(Trouble::Mute(failure)) => Err(failure),
                Err(Trouble::Stuck(Stuck { step, problem })) => {
                    say(&Said::Failed { step: step.to_owned(), problem })?;
                    Ok(Exit::Refused)
                }
            }
        })
    }
}

/// Either the work is stuck, which can be said, or saying is impossible.
enum Trouble {
    Stuck(Stuck),
    Mute(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Mute(failure)
    }
}

/// The whole errand: one connection to the API from the first read to the last.
async fn work(secret: &str) -> Result<(), Trouble> {
    let local = Local::from_env().map_err(at("environment"))?;
    let mut api = Api::connect(HOST, 443, secret).await.map_err(at("connect"))?;
    exchange(&mut api, Step::AllowedRead, "GET", READABLE, None).await?;
    let denial = exchange(&mut api, Step::DeniedWrite, "PUT", WANTED, Some(TEXT)).await?;

    let steps = follow(&local, &denial).await?;
    propose(&local, "too_broad", too_broad(&denial)).await?;
    let chunk_id = propose(&local, "narrow", narrow(&steps)?).await?;
    let chunk_id = chunk_id.ok_or_else(|| stuck("narrow proposal", "it was not accepted"))?;
    say(&Said::Waiting { chunk_id: chunk_id.clone() })?;
    wait(&local, &chunk_id).await?;

    exchange(&mut api, Step::GrantedWrite, "PUT", WANTED, Some(TEXT)).await?;
    let back = exchange(&mut api, Step::ReadBack, "GET", WANTED, None).await?;
    let content = back.get("content").and_then(Value::as_str).unwrap_or_default();
    if BASE64.decode(content.as_bytes()).ok().as_deref() != Some(TEXT.as_bytes()) {
        return Err(stuck("read back", "the upstream has another text than was written"));
    }
    exchange(&mut api, Step::DeniedSibling, "PUT", SIBLING, Some(TEXT)).await?;
    Ok(())
}

/// One request to the API; returns the answer's body.
async fn exchange(api: &mut Api, step: Step, method: &str, path: &str, write: Option<&str>) -> Result<Value, Trouble> {
    let body = write.map(|text| json!({ "message": "docs: changelog", "content": BASE64.encode(text.as_bytes()) }));
    let earlier_on_connection = api.requests();
    let answer = api.send(method, path, body.as_ref()).await.map_err(|problem| stuck("request to the API", problem))?;
    let Answer { status, decision, body } = answer;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    say(&Said::Exchange(Exchange {
        step,
        method: method.to_owned(),
        path: path.to_owned(),
        status,
        decision,
        body: body.clone(),
        earlier_on_connection,
    }))?;
    Ok(body)
}

/// Reads everything that the denial's next steps point to; returns those steps.
async fn follow(local: &Local, denial: &Value) -> Result<Vec<Value>, Trouble> {
    let steps = denial.get("next_steps").and_then(Value::as_array).cloned().unwrap_or_default();
    for step in &steps {
        let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
        let action = text("action");
        if !matches!(action, "read_skill" | "inspect_policy" | "inspect_recent_denials") {
            continue;
        }
        let answer = local.get(text("url"), Duration::from_secs(10)).await.map_err(at("next_steps"))?;
        if answer.status != 200 {
            return Err(stuck("next_steps", format!("{action}: {} answered {}", text("url"), answer.status)));
        }
        say(&Said::Read { action: action.to_owned(), learned: learned(action, &answer.body) })?;
    }
    Ok(steps)
}

fn learned(action: &str, body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    match action {
        "inspect_policy" => format!("the policy, version {}", value.get("version").unwrap_or(&Value::Null)),
        "inspect_recent_denials" => {
            let denials = value.get("denials").and_then(Value::as_array).map_or(0, Vec::len);
            format!("its denials: {denials}")
        }
        _ => {
            let title = String::from_utf8_lossy(body);
            let title = title.lines().find_map(|line| line.strip_prefix("name: ")).unwrap_or("the skill").to_owned();
            format!("the skill \"{title}\"")
        }
    }
}

/// What an agent in a hurry asks for: the whole organisation, for ever.
fn too_broad(denial: &Value) -> Value {
    let binary = denial.get("binary").cloned().unwrap_or_default();
    json!({
        "intent_summary": "Write to acme's repositories.",
        "denial_ids": [denial.get("denial_id")],
        "operations": [{ "addRule": { "ruleName": "acme_write", "rule": {
            "name": "acme-write",
            "binaries": [{ "path": binary }],
            "endpoints": [{ "host": HOST, "port": 443, "protocol": "rest",
                "rules": [{ "allow": { "method": "PUT", "path": "/repos/acme/**" } }] }],
        } } }],
    })
}

/// The proposal that came with the denial, in the agent's own words.
fn narrow(steps: &[Value]) -> Result<Value, Trouble> {
    let submit = steps.iter().find(|step| step.get("action").and_then(Value::as_str) == Some("submit_proposal"));
    let mut body = submit
        .and_then(|step| step.get("body"))
        .cloned()
        .ok_or_else(|| stuck("next_steps", "there is no proposal to submit in the denial"))?;
    if let Some(members) = body.as_object_mut() {
        members.insert("intent_summary".into(), json!("Write docs/changelog.md in acme/site."));
    }
    Ok(body)
}

async fn propose(local: &Local, which: &str, body: Value) -> Result<Option<String>, Trouble> {
    let answer = local.post("/v1/proposals", &body).await.map_err(at("proposal"))?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 202 {
        return Err(stuck("proposal", format!("policy.local answered {} {value}", answer.status)));
    }
    let first = |key: &str| value.get(key)?.get(0)?.as_str().map(str::to_owned);
    let (accepted, refused) = (first("accepted_chunk_ids"), first("rejection_reasons"));
    let operation = body.pointer("/operations/0").cloned().unwrap_or_default();
    say(&Said::Proposed { which: which.to_owned(), operation, accepted: accepted.clone(), refused })?;
    Ok(accepted)
}

async fn wait(local: &Local, chunk_id: &str) -> Result<(), Trouble> {
    let url = format!("http://policy.local/v1/proposals/{chunk_id}/wait?timeout=30");
    let answer = local.get(&url, Duration::from_secs(40)).await.map_err(at("wait"))?;
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let status = value.get("status").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let policy_reloaded = value.get("policy_reloaded").and_then(Value::as_bool).unwrap_or(false);
    say(&Said::Decided { status, policy_reloaded })?;
    Ok(())
}

fn say(said: &Said) -> Result<(), Failure> {
    output::json_line(said)
}

fn stuck(step: &'static str, problem: impl std::fmt::Display) -> Trouble {
    Trouble::Stuck(Stuck { step, problem: problem.to_string() })
}

fn at(step: &'static str) -> impl Fn(String) -> Trouble {
    move |problem| stuck(step, problem)
}
