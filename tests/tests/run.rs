//! `narrowgate run` as its users see it: the command's end is its own, what it finds inside, and who is asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use std::time::Duration;

use narrowgate_tests::system::{Confined, DATABASE, HOST, Program, Ran, System, binary, ended};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const POLICY: &str = "
version: 1
network_policies:
  api:
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-only }]
";

/// A gateway's port that nobody has at this moment, for a reviewer to know beforehand.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn asking() -> String {
    POLICY.replace("version: 1", "version: 1\non_miss: ask\nask_timeout: 30s")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_command_is_the_end() {
    let confined = Confined::new(POLICY).await;
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["no-such-command"], 127),
        (&["/etc/passwd"], 126),
        // What it leaves behind ends with it.
        (&["sh", "-c", "sleep 300 & exit 3"], 3),
    ] {
        let ran = confined.run(command).await;
        assert_eq!(ran.code, code, "{command:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{command:?}");
    }
    let ran = confined.run_with(&["--policy", "/nowhere"], &["true"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_the_commands() {
    let confined = Confined::new(POLICY).await;
    for signal in ["TERM", "HUP", "INT", "USR1"] {
        let script = format!("trap 'echo got it; exit 7' {signal}; echo ready; while :; do sleep 0.1; done");
        let mut narrowgate = confined.narrowgate(&["--quiet"]);
        let mut child =
            narrowgate.args(["bash", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "ready");
        let pid = child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.unwrap().success());
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "got it", "{signal}");
        assert_eq!(child.wait().await.unwrap().code(), Some(7), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_the_commands() {
    let confined = Confined::new(POLICY).await;
    let narrowgate = confined.narrowgate(&["--quiet"]);
    let words = narrowgate.as_std().get_args().map(|word| word.to_str().unwrap().to_owned());
    let inner = "test -t 0 && test -t 1 && test -t 2 && stty size && exit 5";
    let line: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    let line = format!("'{}' {} sh -c '{inner}'", binary().display(), line.join(" "));
    let mut script = Command::new("script");
    let ran = ended(script.args(["-qec", &line, "/dev/null"]).current_dir(confined.home())).await;
    assert_eq!(ran.code, 5, "{ran:?}");
}

/// What other runs of this user keep, tokens and keys, is nobody's to see, wherever this one keeps its own; nor is a log
/// that was named in a roundabout way.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_elsewhere_is_not_seen() {
    let confined = Confined::new(POLICY).await;
    let other =
        confined.narrowgate(&["--quiet"]).args(["sh", "-c", "echo up; exec sleep 60"]).stdout(Stdio::piped()).spawn();
    let mut other = other.unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "up");
    let runs = std::env::temp_dir().join(format!("narrowgate-{}", fs::metadata("/proc/self").unwrap().uid()));
    let kept = fs::read_dir(&runs).unwrap().any(|run| run.unwrap().path().join("reviewer.token").exists());
    assert!(kept, "{runs:?}");
    let data = confined.home().join("data");
    let log = data.join("../audit.jsonl");
    let look = format!(
        "ls -A {0} {1}; echo x > {2} 2>&- || echo covered",
        runs.display(),
        data.display(),
        confined.home().join("audit.jsonl").display()
    );
    let flags = ["--data", data.to_str().unwrap(), "--audit-log", log.to_str().unwrap()];
    let mut own = Command::new(binary());
    own.args(["run", "--quiet", "--policy"]).arg(confined.dir().join("policy.yaml")).args(flags);
    let ran = ended(own.args(["--", "sh", "-c", &look]).current_dir(confined.home())).await;
    let expect = format!("{}:\n\n{}:\ncovered\n", data.display(), runs.display());
    let other_order = format!("{1}:\n\n{0}:\ncovered\n", data.display(), runs.display());
    assert!(ran.stdout == expect || ran.stdout == other_order, "{ran:?}");
    other.kill().await.unwrap();
}

/// A reviewer's shell names a gateway: a line that says which policy to start with is about another.
#[tokio::test(flavor = "multi_thread")]
async fn the_line_wins_over_a_reviewers_environment() {
    let confined = Confined::new(POLICY).await;
    let nobody = confined.home().join("nobody.token");
    fs::write(&nobody, "ng_nobody\n").unwrap();
    let named = |mut command: Command| {
        command.env("NARROWGATE_GATEWAY", "http://127.0.0.1:1").env("NARROWGATE_TOKEN_FILE", &nobody);
        command.arg("true");
        command
    };
    let ran = ended(&mut named(confined.narrowgate(&["--quiet"]))).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut bare = Command::new(binary());
    bare.args(["run", "--quiet", "--"]);
    let ran = ended(&mut named(bare)).await;
    assert!(ran.code == 2 && ran.stderr.contains("unreachable"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_its_way_out_and_no_secret() {
    let confined = Confined::new(POLICY).await;
    let data = confined.home().join("data");
    let flags = ["--data", data.to_str().unwrap()];
    let run = async |script: &str| confined.run_with(&flags, &["bash", "-c", script]).await.stdout;

    assert!(run("cat /etc/narrowgate/skills/policy_advisor.md").await.starts_with("---\nname: "));
    for with in ["", "env -u http_proxy -u HTTP_PROXY -u all_proxy -u ALL_PROXY "] {
        assert!(
            run(&format!("{with}curl -sS http://policy.local/v1/policy/current")).await.contains("policy_yaml"),
            "{with:?}"
        );
    }
    assert!(run("curl -sS --socks5-hostname 127.0.0.1:3128 http://policy.local/v1/skill").await.starts_with("---"));
    let told = run(&format!("curl -sS --socks5-hostname 127.0.0.1:3128 https://{HOST}/hello")).await;
    assert!(told.contains(r#""target":"/hello""#), "{told}");
    // The variables name files that are there.
    for name in [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
        "AWS_CA_BUNDLE",
        "DENO_CERT",
    ] {
        assert!(run(&format!("head -1 ${name}")).await.starts_with("-----BEGIN CERTIFICATE"), "{name}");
    }
    // The database, the keys, the tokens of the sandbox and of those who decide are outside, and so is who they are.
    assert!(data.join("reviewer.token").exists());
    assert_eq!(run(&format!("ls -A {}; env | grep -c NARROWGATE_TOKEN_FILE", data.display())).await, "0\n");
    let outside = fs::read_to_string(data.join("reviewer.token")).unwrap();
    let searched =
        run(&format!("grep -rs '{}' . .. /etc /run /dev/shm /proc/*/environ 2>/dev/null | head -1", outside.trim()))
            .await;
    assert_eq!(searched, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_confined_where_the_policy_says_so_and_nowhere_is_that_ignored() {
    let policy = format!(
        "{}filesystem_policy:\n  include_workdir: true\n  read_only: [/usr, /bin, /lib, /lib64, /etc, /proc, /dev]\n  read_write: [/dev/null]\n",
        POLICY.trim_start()
    );
    let confined = Confined::new(&policy).await;
    let outside = confined.dir().join("elsewhere");
    fs::write(&outside, "secret").unwrap();
    let outside = outside.to_str().unwrap();
    for (script, code) in [
        ("echo mine > here && cat here".to_owned(), 0),
        ("cat /etc/passwd > /dev/null".to_owned(), 0),
        (format!("cat {outside}"), 1),
        (format!("echo x > {outside}"), 2),
        ("echo x > /tmp/there".to_owned(), 2),
        ("echo x > /etc/there".to_owned(), 2),
        (format!("curl -sS -o /dev/null https://{HOST}/"), 0),
    ] {
        let ran = confined.run(&["dash", "-c", &script]).await;
        assert_eq!(ran.code, code, "{script}: {ran:?}");
    }
    // Who confines nothing does not take such a policy.
    let (policy, data) = (confined.dir().join("policy.yaml"), confined.dir().join("up"));
    let up = ["up", "--policy", policy.to_str().unwrap(), "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let output = Program::run(&[&up[..], &["--gateway-listen", "127.0.0.1:0"]].concat());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && complaint.contains("filesystem_policy"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_runs_keep_and_what_is_logged_is_not_the_commands() {
    let confined = Confined::new(POLICY).await;
    let mut other = confined.narrowgate(&["--quiet"]);
    let mut other = other.args(["sh", "-c", "echo up; sleep 60"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "up");
    let log = confined.dir().join("audit.ocsf.jsonl");
    let script = format!(
        "cat ${{TMPDIR:-/tmp}}/narrowgate-*/*/* 2>/dev/null | wc -c; curl -sS -o /dev/null https://{HOST}/; \
         wc -c < {log}; (: > {log}) 2>/dev/null && echo emptied",
        log = log.display()
    );
    let ran = confined.run(&["bash", "-c", &script]).await;
    // Not even read: it is covered by a file that nobody may open.
    assert_eq!(ran.stdout, "0\n", "{ran:?}");
    assert!(!confined.audit().is_empty());
    other.kill().await.unwrap();
}

/// A run whose reviewer is at hand.
struct Reviewed {
    confined: Confined,
    data: String,
    gateway: String,
}

impl Reviewed {
    async fn new(policy: &str) -> Reviewed {
        let confined = Confined::new(policy).await;
        let data = confined.dir().join("data").display().to_string();
        Reviewed { confined, data, gateway: format!("127.0.0.1:{}", free_port()) }
    }

    /// Runs `command` and, once something waits, answers it with `answer`. What the reviewer was shown comes first.
    async fn run(&self, flags: &[&str], command: &[&str], answer: &[&str]) -> (Value, Ran) {
        let own = ["--data", &self.data, "--gateway-listen", &self.gateway];
        let mut narrowgate = self.confined.narrowgate(&[&own[..], flags].concat());
        let run = async { ended(narrowgate.args(command)).await };
        let review = async {
            let held = loop {
                let list = self.reviewer(&["held", "list", "--format", "json"]).await;
                let list: Value = serde_json::from_str(&list.stdout).unwrap_or_default();
                if let Some(held) = list["held"].get(0) {
                    break held.clone();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            let id = held["held_id"].as_str().unwrap();
            let answered = self.reviewer(&[&["held", "answer", id], answer].concat()).await;
            assert_eq!(answered.code, 0, "{answered:?}");
            held
        };
        let review = tokio::time::timeout(Duration::from_secs(30), review);
        let (ran, held) = tokio::join!(run, review);
        (held.unwrap_or_else(|_| panic!("nothing waited: {ran:?}")), ran)
    }

    async fn reviewer(&self, args: &[&str]) -> Ran {
        let token = format!("{}/reviewer.token", self.data);
        let url = format!("http://{}", self.gateway);
        ended(Command::new(binary()).args(args).args(["--gateway", &url, "--token-file", &token])).await
    }
}

fn put(path: &str) -> Vec<String> {
    let url = format!("https://{HOST}{path}");
    ["curl", "-sS", "-X", "PUT", "-d", "hello", "-w", " %{http_code}", &url].map(str::to_owned).to_vec()
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_reviewer_and_completes() {
    let reviewed = Reviewed::new(&asking()).await;
    let (held, ran) = reviewed.run(&[], &words(&put("/notes/a")), &["--once"]).await;
    assert!(ran.stdout.ends_with(" 200") && ran.stdout.contains(r#""body":5"#), "{ran:?}");
    assert_eq!((held["method"].as_str(), held["path"].as_str()), (Some("PUT"), Some("/notes/a")));
    let process = &held["process"];
    assert!(process["binary"].as_str().unwrap().ends_with("/curl"), "{held}");
    assert!(process["command"].as_str().unwrap().contains("curl"), "{held}");
    // Said where the command's output is not a terminal, and the deadline with it.
    assert!(ran.stderr.contains("waits for a reviewer until "), "{ran:?}");

    // Once was for that one. What is granted for good is granted in the next run too, and nothing waits.
    let (_, ran) = reviewed.run(&[], &words(&put("/notes/a")), &["--always"]).await;
    assert!(ran.stdout.ends_with(" 200"), "{ran:?}");
    let own = ["--data", &reviewed.data, "--gateway-listen", &reviewed.gateway];
    let ran = reviewed.confined.run_with(&own, &words(&put("/notes/a"))).await;
    assert!(ran.stdout.ends_with(" 200"), "{ran:?}");
}

/// Clients that know of no proxy: what they wait for is a connection that is slow.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_heard_of_a_proxy_waits_too() {
    let direct = |url: &str| {
        format!("curl -sS --noproxy '*' --max-time 25 -X PUT -d hello -w ' %{{http_code}}' {url}/notes/captured")
    };
    // By the shell itself: a socket that two programs have is nobody's.
    let bytes = format!(
        "exec 3<>/dev/tcp/{DATABASE}/5432 && printf hello >&3 && read -t 20 -N 5 -u 3 back && echo $back back || echo reset"
    );
    for (script, shown, yes, no) in [
        (
            direct(&format!("https://{HOST}")),
            ("l7", HOST, 443, "PUT", "/notes/captured"),
            "} 200",
            "denied_by_reviewer",
        ),
        (direct(&format!("http://{HOST}")), ("l7", HOST, 80, "PUT", "/notes/captured"), "} 200", "denied_by_reviewer"),
        (bytes, ("l4", DATABASE, 5432, "", ""), "hello back", "reset"),
    ] {
        let reviewed = Reviewed::new(&asking()).await;
        for (answer, says, arrived) in [("--once", yes, true), ("--no", no, false)] {
            let before = reviewed.confined.upstream.lines().len();
            let (held, ran) = reviewed.run(&[], &["bash", "-c", &script], &[answer]).await;
            let text = |member: &str| held[member].as_str().unwrap_or_default().to_owned();
            let (layer, host, port, method, path) = shown;
            assert_eq!((text("layer"), text("host")), (layer.to_owned(), host.to_owned()), "{script}: {held}");
            assert_eq!((text("method"), text("path")), (method.to_owned(), path.to_owned()), "{script}: {held}");
            assert_eq!(held["port"], port);
            assert!(ran.stdout.contains(says), "{script} {answer}: {ran:?}");
            let reached = reviewed.confined.upstream.lines().len() - before;
            assert_eq!(reached, usize::from(arrived && layer == "l7"), "{script} {answer}: {ran:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewers_no_fails_the_request_or_ends_the_command() {
    let reviewed = Reviewed::new(&asking()).await;
    let put = format!("{}; echo and went on", put("/notes/b").join(" "));
    let no = ["--no", "--reason", "not on a Friday"];
    let (_, ran) = reviewed.run(&[], &["sh", "-c", &put.replace(" %{http_code}", "%{http_code}")], &no).await;
    assert!(
        ran.code == 0 && ran.stdout.contains("denied_by_reviewer") && ran.stdout.contains("not on a Friday"),
        "{ran:?}"
    );
    assert!(ran.stdout.ends_with("403and went on\n") || ran.stdout.contains("and went on"), "{ran:?}");
    assert_eq!(ran.stderr.matches("narrowgate: denied").count(), 1, "once: {ran:?}");

    let command = format!("{}; sleep 30; echo and went on", put.replace(" %{http_code}", "%{http_code}"));
    let (_, ran) = reviewed.run(&["--on-user-denial", "kill"], &["sh", "-c", &command], &no).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("not on a Friday") && !ran.stdout.contains("went on\nand"), "{ran:?}");
    assert_eq!(reviewed.confined.upstream.lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_denies_later_is_told_once() {
    // A stream that is under way when its lease ends, in the last moment of the command.
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    let policy = POLICY.replace("access: read-only", &format!("access: read-only, expires_at: \"{end}\""));
    let confined = Confined::new(&policy).await;
    let url = format!("https://{HOST}/a/stream");
    let mut narrowgate = confined.narrowgate(&[]);
    let ran = ended(narrowgate.args(["curl", "-sS", "--max-time", "30", "-o", "/dev/null", &url])).await;
    assert_ne!(ran.code, 0, "{ran:?}");
    let told: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("narrowgate: denied")).collect();
    assert!(matches!(told[..], [one] if one.contains("lease_expired")), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_gateway_is_asked_and_learns_of_denials() {
    let system = System::start(POLICY, "permit (principal, action, resource);").await;
    let script = format!(
        "curl -sS https://{HOST}/hello; curl -sS -X DELETE https://{HOST}/hello; exec 3<>/dev/tcp/9.9.9.9/6379; read -t 5 -u 3"
    );
    let ran = ended(system.narrowgate(&[]).args(["bash", "-c", &script])).await;
    assert!(ran.stdout.contains(r#""target":"/hello""#) && ran.stdout.contains("no_matching_rule"), "{ran:?}");
    // What no agent asked for is there for a person: the connection as a draft, the request as observed.
    let drafts = system.proposals().await;
    let draft = drafts.iter().find(|proposal| proposal.source == "l4_draft").unwrap_or_else(|| panic!("{drafts:?}"));
    assert!(draft.operation.to_string().contains("9.9.9.9") && draft.binary.ends_with("/bash"), "{draft:?}");
    let observed: Value = system.reviewer().get("/v1/sandboxes/dev/observed").await.unwrap();
    assert!(observed.to_string().contains("DELETE"), "{observed}");
}
