//! `narrowgate demo`: the whole loop on this machine, no network, no set-up.
//!
//! Only `api.github.com` is played ([`upstream`]). The proxy terminates TLS, the agent is a process of its own
//! ([`agent`]) whom the proxy identifies, the prover proves, and the reviewer's part is done over the gateway's API as
//! `narrowgate rule` does it. Every step is checked; the demo fails where one did not happen.

pub(crate) mod agent;
mod play;
mod record;
mod said;
mod story;
mod upstream;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use narrowgate_core::credentials::Credentials;
use narrowgate_core::policy::{Policy, Role};
use serde_json::json;
use tempfile::TempDir;

use crate::exit::{Ended, Exit, Failure};
use crate::output::Format;
use crate::runtime::{Stop, block_on, log};
use crate::stack::{Listen, Mode, Setup, Stack, within_grace};

use play::{Play, Stopped};
use story::Story;
use upstream::{HOST, Upstream};

const POLICY: &str = include_str!("policy.yaml");
const CEILING: &str = include_str!("ceiling.cedar");
/// The sandbox's name.
const SANDBOX: &str = "demo";

/// The whole loop on this machine: denied, asked, proven, approved, done
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep the directory with the policy, the audit log and the certificate
    #[arg(long)]
    keep: bool,
    /// json: one event a line, the last one says whether every step happened
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Demo {
    pub(crate) fn run(self) -> Ended {
        log("off");
        block_on(async move {
            let mut story = Story::new(self.format);
            let stop = Stop::listen()?;
            let folder = Folder::new(self.keep)?;
            let played = tokio::select! {
                played = perform(&mut story, folder.path()) => played,
                _ = stop.signalled() => return Ok(Exit::Interrupted),
            };
            let kept = folder.kept();
            match played {
                Ok(()) => {
                    story.done(kept)?;
                    Ok(Exit::Done)
                }
                Err(Stopped::Missing { step, problem }) => {
                    story.failed(&step, &problem, kept)?;
                    Ok(Exit::Refused)
                }
                Err(Stopped::Failure(Failure::BrokenPipe)) => Err(Failure::BrokenPipe),
                Err(Stopped::Failure(failure)) => {
                    story.failed("set-up", &failure.to_string(), kept)?;
                    Ok(Exit::Refused)
                }
            }
        })
    }
}

/// Sets the stage, plays, and clears it again.
async fn perform(story: &mut Story, folder: &Path) -> Result<(), Stopped> {
    story.text(opening())?;
    let binary = std::env::current_exe().and_then(|path| path.canonicalize()).map_err(Failure::undecided)?;
    let policy = POLICY.replace("@BINARY@", &binary.to_string_lossy());
    let upstream_ca = folder.join("upstream-ca.pem");
    let upstream = Upstream::start(&upstream_ca).await?;
    let data = folder.join("data");
    std::fs::write(folder.join("policy.yaml"), &policy).map_err(Failure::undecided)?;
    std::fs::write(folder.join("ceiling.cedar"), CEILING).map_err(Failure::undecided)?;
    let any_port = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    let stack = Stack::start(Setup {
        plugins: narrowgate_plugins::Plugins::none(),
        audit_log: Some(data.join("audit.ocsf.jsonl")),
        data,
        sandbox: SANDBOX.to_owned(),
        policy: Policy::parse(&policy, "policy.yaml", Role::Policy).map_err(Failure::undecided)?,
        ceiling: Some((CEILING.to_owned(), "ceiling.cedar".to_owned())),
        mode: Mode::Manual,
        credentials: Credentials::none(),
        lease: Duration::ZERO,
        // The same on every machine.
        solver: None,
        listen: Listen::At(any_port),
        gateway_listen: any_port,
        resolve: vec![
            crate::proxy::resolve_entry(&format!("{HOST}:443:{}", upstream.addr())).map_err(Failure::undecided)?,
        ],
        upstream_ca: Some(upstream_ca),
        observer: None,
    })
    .await?;
    story.event(
        "ready",
        json!({ "proxy": stack.proxy_url(), "gateway": stack.gateway_url(), "version": stack.version() }),
    )?;
    let played = Play { story, stack: &stack, upstream: &upstream, binary: &binary }.run().await;
    within_grace(stack.shutdown()).await;
    played
}

fn opening() -> String {
    use owo_colors::OwoColorize as _;
    format!(
        "{}  an agent is denied, asks for exactly what it lacks, and gets it: proven, approved, enforced.\n{}\n\n  {}\n  {}",
        "narrowgate demo".bold(),
        "Everything is real but api.github.com, which an HTTPS server on this machine plays.".dimmed(),
        "policy    this one program may read api.github.com",
        "ceiling   reading api.github.com, and PUT below /repos/acme/site/contents/docs/: no approval goes beyond",
    )
}

/// The demo's directory; removed at the end unless it is to be kept.
enum Folder {
    Passing(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn new(keep: bool) -> Result<Folder, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("narrowgate-demo-")
            .tempdir()
            .map_err(|error| Failure::undecided(format!("no temporary directory: {error}")))?;
        Ok(if keep { Folder::Kept(folder.keep()) } else { Folder::Passing(folder) })
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Passing(folder) => folder.path(),
            Folder::Kept(path) => path,
        }
    }

    fn kept(&self) -> Option<&Path> {
        match self {
            Folder::Passing(_) => None,
            Folder::Kept(path) => Some(path),
        }
    }
}
