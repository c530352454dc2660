//! Real clients under `narrowgate run`, as they come: no flag, no configuration of theirs says anything about a proxy, an
//! authority or a resolver.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use narrowgate_tests::system::{Confined, HOST, OTHER, Ran};

/// One host may be read, as may the registries; one host has an SSH port.
const POLICY: &str = "
version: 1
network_policies:
  api:
    endpoints:
      - { host: api.example.com, port: 443, protocol: rest, access: read-only }
      - { host: api.example.com, port: 80, protocol: rest, access: read-only }
  git:
    endpoints:
      - host: other.example.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: /git/site.git/info/refs }
          - allow: { method: POST, path: /git/site.git/git-upload-pack }
  registries:
    endpoints:
      - { host: registry.npmjs.org, port: 443, protocol: rest, access: read-only }
      - { host: pypi.org, port: 443, protocol: rest, access: read-only }
      - { host: files.pythonhosted.org, port: 443, protocol: rest, access: read-only }
  shell:
    endpoints:
      - { host: shell.example.com, port: 22, protocol: tcp }
";

async fn confined() -> Confined {
    let mut confined = Confined::new(POLICY).await;
    let https = confined.upstream.https();
    for registry in ["registry.npmjs.org", "pypi.org", "files.pythonhosted.org"] {
        confined.reach(&format!("{registry}:443"), https);
    }
    confined
}

/// The client gets the answer where it may, and reads in the denial why not where it may not.
fn check(client: &str, allowed: &Ran, refused: &Ran) {
    assert!(allowed.stdout.contains(r#""target":"/hello""#), "{client}: {allowed:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("no_matching_rule") || said.contains("no rule allows"), "{client}: {refused:?}");
}

/// With the proxy that the environment names, and captured where the client knows of none.
fn ways(command: &[&str]) -> Vec<Vec<String>> {
    let with: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let names =
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "JAVA_TOOL_OPTIONS"];
    let mut without = vec!["env".to_owned()];
    without.extend(names.iter().flat_map(|name| ["-u".to_owned(), (*name).to_owned()]));
    without.extend(with.clone());
    vec![with, without]
}

/// Runs the client with the last word replaced by a URL that it may read, and by one that it may not.
async fn reads(confined: &Confined, client: &str, command: &[&str]) {
    for way in ways(command) {
        let run = async |url: String| {
            let mut words: Vec<&str> = way.iter().map(String::as_str).collect();
            words.push(&url);
            confined.run(&words).await
        };
        for scheme in ["https", "http"] {
            let allowed = run(format!("{scheme}://{HOST}/hello")).await;
            let elsewhere = run(format!("{scheme}://{OTHER}/hello")).await;
            check(client, &allowed, &elsewhere);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl() {
    reads(&confined().await, "curl", &["curl", "--silent", "--show-error"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_urllib() {
    const SCRIPT: &str = "
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
except urllib.error.HTTPError as e:
    print(e.read().decode())
";
    reads(&confined().await, "urllib", &["python3", "-c", SCRIPT]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_requests() {
    const SCRIPT: &str = "import sys, requests; print(requests.get(sys.argv[1], timeout=10).text)";
    reads(&confined().await, "requests", &["python3", "-c", SCRIPT]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_fetch() {
    const SCRIPT: &str = "
fetch(process.argv[1]).then(r => r.text()).then(console.log, e => { console.error(e); process.exit(1) });
";
    reads(&confined().await, "node", &["node", "-e", SCRIPT]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn java_http_client() {
    const SOURCE: &str = "
import java.net.URI;
import java.net.http.*;
public class Get {
    public static void main(String[] args) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0])).build();
        System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
";
    let confined = confined().await;
    let source = confined.home().join("Get.java");
    fs::write(&source, SOURCE).unwrap();
    let compiled = Command::new("javac").arg(&source).status().expect("javac (`cargo xtask setup` installs it)");
    assert!(compiled.success());
    let run = async |url: &str| confined.run(&["java", "Get", url]).await;
    let allowed = run(&format!("https://{HOST}/hello")).await;
    check("java", &allowed, &run(&format!("https://{OTHER}/hello")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_over_https() {
    let confined = confined().await;
    let bare = confined.upstream.repositories().join("site.git");
    let seed = confined.dir().join("seed");
    let git = |dir: &std::path::Path, args: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=Agent", "-c", "user.email=agent@example.com"])
            .args(args)
            .current_dir(dir)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{args:?}");
    };
    fs::create_dir(&seed).unwrap();
    git(&seed, &["init", "--quiet", "--initial-branch", "main"]);
    fs::write(seed.join("README.md"), "hello\n").unwrap();
    git(&seed, &["add", "."]);
    git(&seed, &["commit", "--quiet", "-m", "first"]);
    git(&seed, &["clone", "--quiet", "--bare", ".", &bare.to_string_lossy()]);
    for (at, way) in ways(&["git", "clone", "--quiet"]).iter().enumerate() {
        let clone = async |repository: &str, to: &str| {
            let url = format!("https://{OTHER}/git/{repository}.git");
            let words: Vec<&str> = way.iter().map(String::as_str).chain([url.as_str(), to]).collect();
            confined.run(&words).await
        };
        let to = format!("clone{at}");
        let cloned = clone("site", &to).await;
        assert_eq!(cloned.code, 0, "{cloned:?}");
        assert_eq!(fs::read_to_string(confined.home().join(to).join("README.md")).unwrap(), "hello\n");
        let refused = clone("secret", "secret").await;
        assert!(refused.code != 0 && refused.stderr.contains("403"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_install() {
    let confined = confined().await;
    let package = confined.dir().join("tiny-greeting");
    fs::create_dir(&package).unwrap();
    fs::write(package.join("package.json"), r#"{"name":"tiny-greeting","version":"1.0.0","main":"index.js"}"#).unwrap();
    fs::write(package.join("index.js"), "module.exports = 'hello from a package';\n").unwrap();
    let packed = Command::new("npm").args(["pack", "--silent"]).current_dir(&package).stdout(Stdio::null()).status();
    assert!(packed.expect("npm (`cargo xtask setup` installs it)").success());
    let tarball = "https://registry.npmjs.org/tiny-greeting/-/tiny-greeting-1.0.0.tgz";
    let version = serde_json::json!({ "name": "tiny-greeting", "version": "1.0.0", "dist": { "tarball": tarball } });
    let metadata = serde_json::json!({
        "name": "tiny-greeting", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version },
    });
    let serve = |path: &str, bytes: &[u8]| confined.upstream.serve_file("registry.npmjs.org", path, bytes);
    serve("/tiny-greeting", metadata.to_string().as_bytes());
    serve("/tiny-greeting/-/tiny-greeting-1.0.0.tgz", &fs::read(package.join("tiny-greeting-1.0.0.tgz")).unwrap());
    fs::write(confined.home().join("package.json"), r#"{"name":"mine","version":"1.0.0"}"#).unwrap();
    let installed = confined.run(&["npm", "install", "tiny-greeting"]).await;
    assert_eq!(installed.code, 0, "{installed:?}");
    let used = confined.run(&["node", "-p", "require('tiny-greeting')"]).await;
    assert_eq!(used.stdout, "hello from a package\n", "{used:?}");
    assert!(confined.upstream.lines().contains(&"GET /tiny-greeting".to_owned()), "{:?}", confined.upstream.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_install() {
    const WHEEL: &str = "
import zipfile
with zipfile.ZipFile('tiny_greeting-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('tiny_greeting.py', 'HELLO = \"hello from a wheel\"\\n')
    info = 'tiny_greeting-1.0.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny-greeting\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
";
    let confined = confined().await;
    let made = confined.python_outside(WHEEL, &[]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let name = "tiny_greeting-1.0-py3-none-any.whl";
    let wheel = fs::read(confined.home().join(name)).unwrap();
    confined.upstream.serve_file("files.pythonhosted.org", &format!("/packages/{name}"), &wheel);
    let page = format!(
        "<!DOCTYPE html><html><body><a href=\"https://files.pythonhosted.org/packages/{name}\">{name}</a></body></html>"
    );
    confined.upstream.serve_file("pypi.org", "/simple/tiny-greeting/", page.as_bytes());
    let installed = confined.run(&["python3", "-m", "pip", "install", "--target", "here", "tiny-greeting"]).await;
    assert_eq!(installed.code, 0, "{installed:?}");
    let used = confined
        .run(&["env", "PYTHONPATH=here", "python3", "-c", "import tiny_greeting; print(tiny_greeting.HELLO)"])
        .await;
    assert_eq!(used.stdout, "hello from a wheel\n", "{used:?}");
}

/// A server from PyPI in a directory of this build: Debian's package of OpenSSH's would start one on the machine for good.
fn ssh_server() -> std::path::PathBuf {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("asyncssh-2.21.0");
    if !directory.exists() {
        let unfinished = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "asyncssh==2.21.0", "--target"])
            .arg(unfinished.path())
            .status();
        assert!(installed.is_ok_and(|status| status.success()), "pip installs asyncssh");
        // Another run of this test may have come first.
        let _ = fs::rename(unfinished.keep(), &directory);
    }
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn openssh() {
    const SERVER: &str = "
import asyncio, asyncssh, sys
async def handle(process):
    process.stdout.write('you said: ' + process.command + '\\n')
    process.exit(0)
async def main():
    server = await asyncssh.listen('127.0.0.1', 0, server_host_keys=[sys.argv[1]], authorized_client_keys=sys.argv[2],
                                   process_factory=handle)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
";
    let mut confined = confined().await;
    let home = confined.home();
    let file = |name: &str| home.join(name).display().to_string();
    for key in ["host_key", "key"] {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &file(key)]).status();
        assert!(made.expect("ssh-keygen (`cargo xtask setup` installs it)").success());
    }
    let mut server = Command::new("python3")
        .args(["-c", SERVER, &file("host_key"), &file("key.pub")])
        .env("PYTHONPATH", ssh_server())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
    confined.reach("shell.example.com:22", at);
    confined.reach("elsewhere.example.com:22", at);
    // Whose key it is the host's is for the user to know, with any way out.
    let host_key = fs::read_to_string(home.join("host_key.pub")).unwrap();
    fs::write(home.join("known_hosts"), format!("* {host_key}")).unwrap();
    let known = format!("UserKnownHostsFile={}", file("known_hosts"));
    let ssh = async |host: &str| {
        confined.run(&["ssh", "-i", &file("key"), "-o", &known, "-o", "BatchMode=yes", host, "hello"]).await
    };
    let allowed = ssh("shell.example.com").await;
    let refused = ssh("elsewhere.example.com").await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(allowed.stdout, "you said: hello\n", "{allowed:?}");
    assert!(refused.code == 255 && refused.stdout.is_empty(), "{refused:?}");
}
