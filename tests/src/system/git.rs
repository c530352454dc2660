//! Git at both ends: repositories behind a real smart-HTTP server, and a client whose only way out is the proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::System;

/// Requests below this path are git's.
pub(super) const PATH: &str = "/git/";

/// What one run of git came to.
#[derive(Debug)]
pub struct Git {
    /// Whether it did what it was told.
    pub ok: bool,
    /// What it prints.
    pub stdout: String,
    /// What it complains about, and what servers say.
    pub stderr: String,
}

impl System {
    /// A bare repository with a branch `main` of one commit, at `/git/NAME.git` of the upstream.
    pub async fn repository(&self, name: &str) -> PathBuf {
        let bare = self.upstream.repositories().join(format!("{name}.git"));
        let seed = self.dir().join(format!("seed-{name}"));
        fs::create_dir_all(&seed).expect("a directory");
        let run = async |dir: &Path, args: &[&str]| {
            let git = git(dir, args, &[]).await;
            assert!(git.ok, "{args:?}: {git:#?}");
        };
        run(&seed, &["init", "--quiet", "--initial-branch", "main"]).await;
        fs::write(seed.join("README.md"), "hello\n").expect("a file");
        run(&seed, &["add", "."]).await;
        run(&seed, &["commit", "--quiet", "-m", "first"]).await;
        run(&seed, &["clone", "--quiet", "--bare", ".", &bare.to_string_lossy()]).await;
        // As the server of an organisation does that lets its members push.
        run(&bare, &["config", "http.receivepack", "true"]).await;
        bare
    }

    /// Runs git in `dir`, through the proxy.
    pub async fn git(&self, dir: &Path, args: &[&str]) -> Git {
        let proxy = format!("http.proxy=http://{}", self.proxy_addr());
        let roots = format!("http.sslCAInfo={}", self.ca_bundle().display());
        git(dir, args, &[&proxy, &roots]).await
    }
}

/// Runs git with these settings and nobody's else.
async fn git(dir: &Path, args: &[&str], settings: &[&str]) -> Git {
    let output = Command::new("git")
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "Agent")))
        .envs(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "agent@example.com")))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("git runs (`cargo xtask setup` installs it)");
    Git {
        ok: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Has `git http-backend`, which is a CGI program, answer one request.
pub(super) async fn serve(root: &Path, request: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", format!("/{}", request.uri.path().strip_prefix(PATH).unwrap_or_default()))
        .env("QUERY_STRING", request.uri.query().unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string());
    for (name, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        command.envs(header(name).map(|value| (variable, value)));
    }
    let mut backend = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("git runs");
    let mut input = backend.stdin.take().expect("a pipe");
    let write = async {
        // It may have seen enough.
        let _ = input.write_all(body).await;
        drop(input);
    };
    let (output, ()) = tokio::join!(backend.wait_with_output(), write);
    answer(&output.expect("git ran").stdout)
}

/// A CGI program's output as a response.
fn answer(output: &[u8]) -> Response<Full<Bytes>> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a CGI program's headers end");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or_default()),
            _ => response.header(name, value),
        };
    }
    response.body(Full::new(Bytes::copy_from_slice(&output[end + 4..]))).expect("a response")
}
