//! The command's way out: a proxy at the doors of its namespace, with a gateway of its own or somebody else's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use narrowgate_core::policy::{Filesystem, Policy};
use narrowgate_proxy::held::Event;
use narrowgate_proxy::{Config, Doors, GatewayClient, Proxy};
use tempfile::TempDir;
use tokio::sync::mpsc::Sender;

use super::Run;
use crate::args::Remote;
use crate::client::segment;
use crate::exit::Failure;
use crate::stack::{Listen, Setup, Stack};
use crate::{files, plugins};

/// What is known before anything is started.
pub(super) enum Plan {
    /// Gateway and proxy, here.
    Own(Box<Setup>, Kept),
    /// The proxy alone.
    Remote(Box<Config>, Kept, PathBuf),
}

/// Where things are kept.
pub(super) enum Kept {
    /// For the next run too.
    For(PathBuf),
    /// Until the command ends.
    Until(TempDir),
}

/// What lies beside a token where the token is a gateway's own.
const OF_A_GATEWAY: [&str; 4] = ["narrowgate.db", "narrowgate.lock", "reviewer.token", "admin.token"];
/// Where `up` keeps such things if nobody says otherwise.
const USUAL_DATA: &str = ".narrowgate";

impl Kept {
    pub(super) fn path(&self) -> &Path {
        match self {
            Kept::For(path) => path,
            Kept::Until(dir) => dir.path(),
        }
    }

    fn new(given: Option<PathBuf>) -> Result<Kept, Failure> {
        match given {
            Some(path) => {
                files::private_dir(&path)?;
                let path =
                    path.canonicalize().map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))?;
                Ok(Kept::For(path))
            }
            None => {
                let dir = tempfile::Builder::new().prefix("run-").tempdir_in(own_directory()?);
                dir.map(Kept::Until).map_err(|error| Failure::undecided(format!("no temporary directory: {error}")))
            }
        }
    }
}

/// One directory for what all runs of this user keep, which nobody else can have made.
fn own_directory() -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::invalid(format!("{}: {error}", path.display()));
    let process = Path::new("/proc/self");
    let user = fs::metadata(process).map_err(|error| failed(process, error))?.uid();
    let path = std::env::temp_dir().join(format!("narrowgate-{user}"));
    files::private_dir(&path)?;
    let found = fs::symlink_metadata(&path).map_err(|error| failed(&path, error))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        let problem = "not a directory of yours that nobody else can read; remove it, or give --data";
        return Err(Failure::invalid(format!("{}: {problem}", path.display())));
    }
    Ok(path)
}

/// What was started.
pub(super) enum WayOut {
    Own(Box<Stack>),
    Remote(Box<Proxy>),
}

impl Plan {
    /// Reads what the line names.
    pub(super) fn new(run: &mut Run, remote: &Remote, observer: Sender<Event>) -> Result<Plan, Failure> {
        segment("--sandbox", &run.sandbox)?;
        let elsewhere = elsewhere(run, remote)?;
        let kept = Kept::new(run.data.take())?;
        let plugins = run.plugins.load(Some(&plugins::cache(kept.path())))?;
        // A log that ends with the command is nobody's.
        let lasting = matches!(kept, Kept::For(_)).then(|| kept.path().join("audit.ocsf.jsonl"));
        let audit_log = run.audit_log.take().or(lasting);
        if let Some((client, token)) = elsewhere {
            let mut config = Config::new(run.sandbox.clone(), client, kept.path());
            config.resolve = std::mem::take(&mut run.resolve);
            config.upstream_ca = run.upstream_ca.take();
            config.audit_log = audit_log;
            config.plugins = plugins;
            config.observer = Some(observer);
            config.confines = true;
            return Ok(Plan::Remote(Box::new(config), kept, token));
        }
        let policy = match &run.policy {
            Some(path) => files::policy(path)?,
            None => Policy::empty(),
        };
        let setup = Setup {
            data: kept.path().to_owned(),
            sandbox: run.sandbox.clone(),
            policy,
            ceiling: match &run.ceiling {
                None if run.quiet => None,
                given => files::optional_ceiling(given.as_deref(), plugins.schema())?,
            },
            mode: run.mode,
            credentials: files::credentials(run.credentials.as_deref())?,
            lease: run.lease,
            plugins,
            // A solver is a program that this process would start, from where the command may be able to write.
            solver: None,
            listen: Listen::At(([127, 0, 0, 1], 0).into()),
            gateway_listen: run.gateway_listen,
            resolve: std::mem::take(&mut run.resolve),
            upstream_ca: run.upstream_ca.take(),
            audit_log,
            observer: Some(observer),
        };
        Ok(Plan::Own(Box::new(setup), kept))
    }

    /// What the command must not see, once everything is started.
    ///
    /// # Errors
    /// Something of it cannot be found, and could not be covered.
    pub(super) fn hidden(&self) -> Result<Vec<PathBuf>, Failure> {
        let (kept, audit_log) = match self {
            Plan::Own(setup, kept) => (kept, &setup.audit_log),
            Plan::Remote(config, kept, _) => (kept, &config.audit_log),
        };
        // With what this run keeps, what other runs of this user keep, those that are yet to come included.
        let mut hidden = vec![kept.path().to_owned(), own_directory()?];
        hidden.extend(audit_log.clone());
        let usual = Path::new(USUAL_DATA);
        hidden.extend(usual.is_dir().then(|| usual.to_owned()));
        if let Plan::Remote(_, _, token) = self {
            // With a sandbox's token may lie those of the ones who decide.
            let beside = token.parent().filter(|dir| OF_A_GATEWAY.iter().any(|name| dir.join(name).exists()));
            hidden.push(beside.map_or_else(|| token.clone(), Path::to_owned));
        }
        let hidden = hidden.iter().map(|path| found(path)).collect::<Result<Vec<_>, _>>()?;
        // What lies in another is gone with that.
        let is_apart = |path: &&PathBuf| !hidden.iter().any(|other| other != *path && path.starts_with(other));
        let mut apart: Vec<PathBuf> = hidden.iter().filter(is_apart).cloned().collect();
        apart.sort();
        apart.dedup();
        Ok(apart)
    }

    /// Starts it at the doors.
    pub(super) async fn start(self, doors: Doors) -> Result<(WayOut, Kept), Failure> {
        match self {
            Plan::Own(mut setup, kept) => {
                setup.listen = Listen::Inside(doors);
                Ok((WayOut::Own(Box::new(Stack::start(*setup).await?)), kept))
            }
            Plan::Remote(config, kept, _) => {
                let proxy = Proxy::start_within(*config, doors).await.map_err(Failure::invalid)?;
                Ok((WayOut::Remote(Box::new(proxy)), kept))
            }
        }
    }
}

/// A path without links and dots: of a file that may be made yet, in the directory that it will be in.
fn found(path: &Path) -> Result<PathBuf, Failure> {
    let found = path.canonicalize().or_else(|error| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            parent.canonicalize().map(|parent| parent.join(name))
        }
        _ => Err(error),
    });
    found.map_err(|error| Failure::invalid(format!("{}: {error}", path.display())))
}

/// The gateway that the line or the environment names, and the token's file; `None` for one of its own. What the line
/// says wins over the environment.
fn elsewhere(run: &Run, remote: &Remote) -> Result<Option<(GatewayClient, PathBuf)>, Failure> {
    match run.own_gateway {
        Some(own) if remote.on_line => {
            let flag = own.replace('_', "-");
            Err(Failure::invalid(format!(
                "--{flag} is for a gateway of its own, and --gateway names another: give one of the two"
            )))
        }
        None if remote.gateway.is_some() => Ok(Some((remote.client()?, remote.token_file.clone().unwrap_or_default()))),
        _ => Ok(None),
    }
}

impl WayOut {
    fn proxy(&self) -> &Proxy {
        match self {
            WayOut::Own(stack) => stack.proxy(),
            WayOut::Remote(proxy) => proxy,
        }
    }

    /// Where it listens inside: host and port.
    pub(super) fn address(&self) -> (String, u16) {
        let addr = self.proxy().addr();
        (addr.ip().to_string(), addr.port())
    }

    /// What of the file system the policy leaves to the command.
    pub(super) fn filesystem(&self) -> Option<Filesystem> {
        self.proxy().filesystem()
    }

    /// How a reviewer gets at the gateway, where it is this process's.
    pub(super) fn reviewer_env(&self) -> Option<Vec<(&'static str, String)>> {
        match self {
            WayOut::Own(stack) => Some(stack.reviewer_env()),
            WayOut::Remote(_) => None,
        }
    }

    pub(super) async fn shutdown(self) {
        match self {
            WayOut::Own(stack) => stack.shutdown().await,
            WayOut::Remote(proxy) => proxy.shutdown().await,
        }
    }
}
