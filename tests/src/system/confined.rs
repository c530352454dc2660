//! A command under `narrowgate run`, as a person starts it: the real binary, a real upstream, and what it left in the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::{DATABASE, GITHUB, HOST, OTHER, Upstream, binary};

/// No command of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An upstream, a policy, and a directory for all of it.
pub struct Confined {
    dir: TempDir,
    /// What the requests reach in the end.
    pub upstream: Upstream,
    resolve: Vec<String>,
}

/// What one command came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code, as `narrowgate run` gave it on; -1 where that was killed.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it and `narrowgate` complain about.
    pub stderr: String,
}

impl Confined {
    /// Commands that may do what `policy` says.
    pub async fn new(policy: &str) -> Confined {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let upstream = Upstream::start(dir.path()).await;
        fs::write(dir.path().join("policy.yaml"), policy).expect("a file");
        fs::create_dir(dir.path().join("home")).expect("a directory");
        let mut confined = Confined { dir, upstream, resolve: Vec::new() };
        let (https, http, echo) = (confined.upstream.https(), confined.upstream.http(), confined.upstream.echo());
        for host in [HOST, OTHER, GITHUB] {
            confined.reach(&format!("{host}:443"), https);
            confined.reach(&format!("{host}:80"), http);
        }
        confined.reach(&format!("{DATABASE}:5432"), echo);
        confined
    }

    /// The proxy finds `destination`, a `HOST:PORT`, at this address.
    pub fn reach(&mut self, destination: &str, at: std::net::SocketAddr) {
        self.resolve.push(format!("{destination}:{at}"));
    }

    /// The directory of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the command starts, its home.
    pub fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// `narrowgate run` with `flags`, which says what it has to say, ready to be given a command's words.
    pub fn narrowgate(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["run", "--policy"]).arg(self.dir().join("policy.yaml"));
        command.arg("--upstream-ca").arg(self.upstream.ca_file());
        command.arg("--audit-log").arg(self.dir().join("audit.ocsf.jsonl"));
        command.args(self.resolve.iter().flat_map(|entry| ["--resolve", entry])).args(flags).arg("--");
        command.current_dir(self.home()).env("HOME", self.home()).env("LC_ALL", "C").kill_on_drop(true);
        for name in ["NARROWGATE_GATEWAY", "NARROWGATE_TOKEN_FILE"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `command` confined, to its end.
    pub async fn run(&self, command: &[&str]) -> Ran {
        self.run_with(&[], command).await
    }

    /// The same with more flags for `narrowgate run`.
    pub async fn run_with(&self, flags: &[&str], command: &[&str]) -> Ran {
        let mut narrowgate = self.narrowgate(&[&["--quiet"], flags].concat());
        ended(narrowgate.args(command)).await
    }

    /// Runs a Python script confined.
    pub async fn python(&self, script: &str, args: &[&str]) -> Ran {
        self.run(&[&["python3", "-c", script], args].concat()).await
    }

    /// Runs the same script without any confinement: what an attack comes to where nothing stops it.
    pub async fn python_outside(&self, script: &str, args: &[&str]) -> Ran {
        ended(Command::new("python3").args(["-c", script]).args(args).current_dir(self.home()).kill_on_drop(true)).await
    }

    /// The audit log as it stands.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir().join("audit.ocsf.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }
}

/// Runs a command to its end, with nothing to read.
pub async fn ended(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output();
    let output: Output = tokio::time::timeout(PATIENCE, output).await.expect("it ends").expect("it starts");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
