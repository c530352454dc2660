//! Running the real binary, in a directory of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A policy that may read one API.
pub(crate) const POLICY: &str = "\
version: 1
network_policies:
  api:
    name: api
    binaries: [{ path: /usr/bin/curl }]
    endpoints:
      - host: api.example
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: \"/**\" }
          - allow: { method: PUT, path: \"/v1/docs/**\" }
";

/// A ceiling that holds it.
pub(crate) const WIDE: &str = "\
permit (principal, action in [Action::\"GET\", Action::\"HEAD\", Action::\"PUT\"], resource)
when { resource.host == \"api.example\" && resource.port == 443 };
";

/// A ceiling that does not: writes are for one file.
pub(crate) const NARROW: &str = "\
permit (principal, action in [Action::\"GET\", Action::\"HEAD\"], resource)
when { resource.host == \"api.example\" && resource.port == 443 };
permit (principal, action == Action::\"PUT\", resource)
when { resource.host == \"api.example\" && resource.port == 443 && context.path == \"/v1/docs/a.md\" };
";

/// Times differ from run to run.
pub(crate) fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.split_once("took") {
            Some((head, _)) => format!("{head}took          [time]"),
            None => line.to_owned(),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A directory with files, and the binary run in it.
pub(crate) struct Dir(TempDir);

impl Dir {
    /// With `policy.yaml`, `wide.cedar` and `narrow.cedar` in it.
    pub(crate) fn new() -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        dir.write("policy.yaml", POLICY);
        dir.write("wide.cedar", WIDE);
        dir.write("narrow.cedar", NARROW);
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.join(name)).unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_narrowgate"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["NARROWGATE_GATEWAY", "NARROWGATE_TOKEN_FILE", "NARROWGATE_LOG"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let ran = self.run(args);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{args:?}: {error}\n{}{}", ran.out, ran.err))
    }

    /// Starts a service and waits until its output has a line that contains `ready`.
    pub(crate) fn service(&self, args: &[&str], ready: &str) -> Service {
        let mut child = self.command(args).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.contains(ready) {
                // Reads on, so that the service never waits for a full pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Service { child, said };
            }
        }
        let _ = child.wait();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        panic!("{args:?} ended early: {said}{err}");
    }

    /// `narrowgate up` on ports of the system's choice, with the demo data in `data`.
    pub(crate) fn up(&self, more: &[&str]) -> Service {
        let mut args = vec![
            "up",
            "--policy",
            "policy.yaml",
            "--data",
            "data",
            "--listen",
            "127.0.0.1:0",
            "--gateway-listen",
            "127.0.0.1:0",
        ];
        args.extend(more);
        self.service(&args, "Ctrl-C")
    }
}

/// A running service; killed if the test forgets it.
pub(crate) struct Service {
    child: Child,
    pub(crate) said: String,
}

impl Service {
    /// The URL behind a word of what it said, such as `gateway`.
    pub(crate) fn url(&self, word: &str) -> String {
        let line = self.said.lines().find(|line| line.contains(word) && line.contains("http://")).unwrap();
        let url = line.split_whitespace().find(|part| part.starts_with("http://")).unwrap();
        url.trim_end_matches(',').to_owned()
    }

    /// Sends a signal and returns the exit code, within ten seconds.
    pub(crate) fn stop(&mut self, signal: &str) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "it does not stop on {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
