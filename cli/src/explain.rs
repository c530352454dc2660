//! `narrowgate explain`: which rule decides a request, and why. The same code decides here and in the proxy.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Decision, Snapshot};
use narrowgate_core::denial::DeniedOperation;
use narrowgate_core::policy::Role;
use narrowgate_core::request::{Authority, Host, Method, Operation, Port, Process, Request, Target};
use narrowgate_plugins::{Body, Plugins, RequestFacts, Scheme};
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

use crate::exit::{Ended, Exit, Failure};
use crate::files;
use crate::output::{self, Format, plain};
use crate::plugins::Given;

/// Which rule of a policy decides a request, and why
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A policy in the rule language
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// 'PUT https://HOST/PATH', or 'CONNECT HOST:PORT' for opaque bytes
    #[arg(long, value_name = "REQUEST")]
    request: String,
    /// The calling executable; without it the process is unidentified, which matches only rules that name no binary
    #[arg(long, value_name = "PATH", default_value = "")]
    binary: String,
    /// An executable that it descends from; repeatable, nearest first
    #[arg(long = "ancestor", value_name = "PATH")]
    ancestors: Vec<String>,
    /// A header, for a plugin to look at; repeatable
    #[arg(long = "header", value_name = "'NAME: VALUE'", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The body, for a plugin to look at, without content encoding
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[command(flatten)]
    plugins: Given,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A request line as a person types it.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    method: &'a str,
    authority: Authority,
    /// Path and query as typed; none for CONNECT.
    target: Option<&'a str>,
}

impl Explain {
    pub(crate) fn run(self) -> Ended {
        let policy = files::policy(&self.policy)?;
        let plugins = self.plugins.load(None)?;
        let compiled = Compiled::policy_over(&policy, Role::Policy, plugins.schema())
            .map_err(|error| Failure::invalid(format!("{}: {error}", self.policy.display())))?;
        let snapshot = Snapshot::new(policy, compiled, 1);
        let request = self.request(&snapshot)?;
        let operations = self.operations(&snapshot, &plugins, &request)?;
        let canonical = canonical(&request);
        let said: Vec<DeniedOperation> =
            operations.iter().filter_map(|request| request.operation.meaning()).map(DeniedOperation::of).collect();
        let (exit, mut text, mut value) = match snapshot.decide_all(&operations) {
            Decision::Allow(permit) => (
                Exit::Done,
                format!(
                    "{}  {}\n  policy  {}\n  rule    {}",
                    "allowed".green().bold(),
                    plain(&canonical),
                    permit.policy(),
                    plain(permit.rule())
                ),
                json!({ "decision": "allowed", "request": canonical, "policy": permit.policy(), "rule": permit.rule() }),
            ),
            Decision::Deny(refusal) => {
                let reason = refusal.reason.as_str();
                let mut text = format!("{}  {}\n  reason  {reason}", "denied".red().bold(), plain(&canonical));
                for (name, value) in [("policy", &refusal.policy), ("rule", &refusal.rule)] {
                    if let Some(value) = value {
                        text.push_str(&format!("\n  {name:<6}  {}", plain(value)));
                    }
                }
                let value: Value = json!({ "decision": "denied", "request": canonical, "reason": reason, "policy": refusal.policy, "rule": refusal.rule });
                (Exit::Refused, text, value)
            }
        };
        for operation in &said {
            let attributes = serde_json::to_string(&operation.attributes).unwrap_or_default();
            text.push_str(&format!("\n  means   {} {}", plain(&operation.action), plain(&attributes)));
        }
        if let (Some(value), false) = (value.as_object_mut(), said.is_empty()) {
            value.insert("operations".to_owned(), json!(said));
        }
        match self.format {
            Format::Text => output::line(text)?,
            Format::Json => output::json(&value)?,
        }
        Ok(exit)
    }

    /// The request as it is decided: as what it means, where a plugin says that.
    fn operations(&self, snapshot: &Snapshot, plugins: &Plugins, request: &Request) -> Result<Vec<Request>, Failure> {
        let plugin = snapshot.plugin(&request.host, request.port).and_then(|name| plugins.get(name));
        let (Some(plugin), Operation::Http { method, target, .. }) = (plugin, &request.operation) else {
            return Ok(vec![request.clone()]);
        };
        let facts = RequestFacts {
            method,
            scheme: if self.request.contains("https://") { Scheme::Https } else { Scheme::Http },
            host: &request.host,
            port: request.port,
            target,
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
            body: self.body(plugin.vocabulary().body_limit(method))?,
        };
        let meanings = plugin.classify(&facts).map_err(|failure| Failure::refused(failure.to_string()))?;
        let operation = |meaning| {
            let (method, target) = (method.clone(), target.clone());
            Operation::Http { method, target, meaning: Some(Arc::new(meaning)) }
        };
        Ok(meanings.into_iter().map(|said| Request { operation: operation(said), ..request.clone() }).collect())
    }

    /// As much of the body as the proxy would show to a plugin that reads up to `limit` bytes of it.
    fn body(&self, limit: Option<usize>) -> Result<Body, Failure> {
        let Some(path) = &self.body else { return Ok(Body::Absent) };
        let bytes = std::fs::read(path).map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))?;
        Ok(match bytes.get(..limit.unwrap_or(0)) {
            Some(start) if start.len() < bytes.len() => Body::Truncated(start.to_vec().into()),
            _ => Body::Complete(bytes.into()),
        })
    }

    fn request(&self, snapshot: &Snapshot) -> Result<Request, Failure> {
        let asked = parse(&self.request)?;
        let Authority { host, port } = asked.authority;
        let process = Process {
            path: self.binary.clone(),
            sha256: String::new(),
            ancestors: self.ancestors.clone(),
            sandbox: String::new(),
        };
        let operation = match asked.target {
            None => Operation::Connect,
            Some(raw) => {
                // The proxy's own reading: an endpoint may allow what is refused by default, such as %2F.
                let options = snapshot.path_options(&host, port);
                let named = |error| Failure::refused(format!("no single reading (request_ambiguous): {error}"));
                Operation::Http {
                    method: Method::parse(asked.method).map_err(named)?,
                    target: Target::parse(raw, &options).map_err(named)?,
                    meaning: None,
                }
            }
        };
        Ok(Request { process, host, port, operation, now: jiff::Timestamp::now().as_second() })
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?}: expected NAME: VALUE"))?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn parse(text: &str) -> Result<Asked<'_>, Failure> {
    let wrong = |problem: &dyn std::fmt::Display| {
        Failure::invalid(format!(
            "--request {text:?}: {problem}; expected 'PUT https://HOST/PATH' or 'CONNECT HOST:PORT'"
        ))
    };
    let (method, rest) = text.trim().split_once(' ').ok_or_else(|| wrong(&"no method"))?;
    let rest = rest.trim_start();
    if method == "CONNECT" {
        let authority = Authority::parse(rest, None).map_err(|error| wrong(&error))?;
        return Ok(Asked { method, authority, target: None });
    }
    let (rest, port) = match rest.split_once("://") {
        Some(("https", rest)) => (rest, 443),
        Some(("http", rest)) => (rest, 80),
        Some((scheme, _)) => return Err(wrong(&format!("scheme {scheme:?} is neither https nor http"))),
        None => return Err(wrong(&"the URL has no scheme")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = Authority::parse(authority, Port::new(port)).map_err(|error| wrong(&error))?;
    let target = if target.is_empty() { "/" } else { target };
    Ok(Asked { method, authority, target: Some(target) })
}

/// The request as it was decided, without its query.
fn canonical(request: &Request) -> String {
    let place = authority(&request.host, request.port);
    match &request.operation {
        Operation::Connect => format!("CONNECT {place}"),
        Operation::Http { method, target, .. } => format!("{} {place}{}", method.as_str(), target.path.as_str()),
    }
}

fn authority(host: &Host, port: Port) -> String {
    Authority { host: host.clone(), port }.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn request_lines() {
        let cases = [
            ("GET https://api.example/a?b=c", Some(("GET", "api.example:443", Some("/a?b=c")))),
            ("GET http://api.example", Some(("GET", "api.example:80", Some("/")))),
            ("GET https://API.example:8443/x", Some(("GET", "api.example:8443", Some("/x")))),
            ("CONNECT api.example:22", Some(("CONNECT", "api.example:22", None))),
            ("CONNECT api.example", None),
            ("GET api.example/a", None),
            ("https://api.example/", None),
            ("GET ftp://api.example/", None),
            ("GET https://user@api.example/", None),
        ];
        for (text, expected) in cases {
            let found = parse(text).ok();
            let found = found.as_ref().map(|asked| (asked.method, asked.authority.to_string(), asked.target));
            assert_eq!(found, expected.map(|(method, place, target)| (method, place.to_owned(), target)), "{text}");
        }
    }
}
