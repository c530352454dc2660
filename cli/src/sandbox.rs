//! `narrowgate sandbox`: the sandboxes that a gateway knows.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use narrowgate_core::wire::{CreateSandbox, CreatedSandbox, SandboxView, Sandboxes};
use serde_json::json;

use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit, Failure};
use crate::files::{self, Readers};
use crate::output::{self, Format, plain};
use crate::runtime::block_on;

/// Create, list, show or delete sandboxes
#[derive(Debug, Args)]
pub(crate) struct Sandbox {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a sandbox with a baseline policy; prints its token, once (admin)
    Create {
        /// Letters, digits, `-`, `_` and `.`
        name: String,
        /// The baseline policy; it must be inside the gateway's ceiling
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        /// Write the token to this file (mode 0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        write_token: Option<PathBuf>,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// All sandboxes
    List {
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// One sandbox
    Show {
        name: String,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Delete a sandbox, its versions and its proposals; its proxy denies everything from then on (admin)
    Delete { name: String },
}

impl Sandbox {
    pub(crate) fn run(self, remote: &Remote) -> Ended {
        match self.verb {
            Verb::Create { name, policy, write_token, format } => create(remote, name, &policy, write_token, format),
            Verb::List { format } => list(remote, format),
            Verb::Show { name, format } => show(remote, &name, format),
            Verb::Delete { name } => delete(remote, &name),
        }
    }
}

fn create(
    remote: &Remote,
    name: String,
    policy: &std::path::Path,
    write_token: Option<PathBuf>,
    format: Format,
) -> Ended {
    segment("sandbox", &name)?;
    // Read here for the sake of messages with this file's lines; the gateway parses and proves it again.
    files::policy(policy)?;
    let body = CreateSandbox { name, policy_yaml: files::read(policy)? };
    let client = remote.client()?;
    block_on(async move {
        let made: CreatedSandbox = client.post("/v1/sandboxes", &body).await.map_err(failure)?;
        let token = match &write_token {
            Some(path) => {
                files::write(path, format!("{}\n", made.token).as_bytes(), Readers::Owner)?;
                None
            }
            None => Some(made.token.as_str()),
        };
        match format {
            Format::Json => output::json(
                &json!({ "name": made.name, "version": made.version, "token": token, "token_file": write_token }),
            )?,
            Format::Text => {
                output::line(format!("sandbox {} created, version {}", made.name, made.version))?;
                match (token, &write_token) {
                    (Some(token), _) => output::line(format!("token (shown this once): {token}"))?,
                    (None, Some(path)) => output::line(format!("token written to {}", path.display()))?,
                    (None, None) => {}
                }
            }
        }
        Ok(Exit::Done)
    })
}

fn list(remote: &Remote, format: Format) -> Ended {
    let client = remote.client()?;
    block_on(async move {
        let found: Sandboxes = client.get("/v1/sandboxes").await.map_err(failure)?;
        match format {
            Format::Json => output::json(&found)?,
            Format::Text if found.sandboxes.is_empty() => output::line("no sandboxes")?,
            Format::Text => {
                let wide = found.sandboxes.iter().map(|s| s.name.len()).max().unwrap_or(0).max(4);
                output::line(format!("{:wide$}  VERSION  PENDING  CREATED", "NAME"))?;
                for s in &found.sandboxes {
                    output::line(format!(
                        "{:wide$}  {:>7}  {:>7}  {}",
                        plain(&s.name),
                        s.version,
                        s.pending,
                        plain(&s.created_at)
                    ))?;
                }
            }
        }
        Ok(Exit::Done)
    })
}

fn show(remote: &Remote, name: &str, format: Format) -> Ended {
    let path = format!("/v1/sandboxes/{}", segment("sandbox", name)?);
    let client = remote.client()?;
    block_on(async move {
        let found: SandboxView = client.get(&path).await.map_err(failure)?;
        match format {
            Format::Json => output::json(&found)?,
            Format::Text => output::line(format!(
                "{}\n  version   {}\n  policy    {}\n  pending   {}\n  created   {}",
                plain(&found.name),
                found.version,
                found.policy_hash,
                found.pending,
                plain(&found.created_at)
            ))?,
        }
        Ok(Exit::Done)
    })
}

fn delete(remote: &Remote, name: &str) -> Ended {
    let path = format!("/v1/sandboxes/{}", segment("sandbox", name)?);
    let client = remote.client()?;
    let name = name.to_owned();
    block_on(async move {
        client.delete(&path).await.map_err(failure)?;
        output::line(format!("sandbox {name} deleted"))?;
        Ok::<_, Failure>(Exit::Done)
    })
}
