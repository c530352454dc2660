//! A connection that the allowed program only lends its name to: another program opened it, goes on writing to it, and
//! sees to it that its own files cannot be read.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;

use narrowgate_tests::system::{Confined, HOST, Ran, ended};
use tokio::process::Command;

/// Only this program may ask.
const ALLOWED: &str = "/usr/bin/curl";
const PYTHON: &str = "/usr/bin/python3";
const NOBODY: u32 = 65534;

/// Asks on a connection that an idle curl has too, in one of several ways; prints the status and the reason.
const LEND: &str = r#"
import ctypes, os, re, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None)
trick, host = sys.argv[1], sys.argv[2]
if not os.path.exists("nothing"):
    os.mkfifo("nothing")

def connect():
    s = socket.create_connection(("127.0.0.1", 3128), 10)
    os.set_inheritable(s.fileno(), True)
    s.settimeout(3)
    return s

def lend():
    return subprocess.Popen(["/usr/bin/curl", "-K", "nothing"], close_fds=False)

def ask(s, wait=1.2):
    # Longer than a look at all processes is good for.
    time.sleep(wait)
    try:
        s.sendall(b"GET http://%s/lent HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (2 * (host.encode(),)))
        answer = b""
        while part := s.recv(4096):
            answer += part
        reason = re.search(rb'"reason":"(\w+)"', answer)
        print(answer.split(b" ")[1].decode(), reason.group(1).decode() if reason else "", flush=True)
    except (OSError, IndexError) as e:
        print("none", type(e).__name__, flush=True)

def ask_and_end(s):
    ask(s)
    libc.syscall(231, 0)

if trick == "unreadable":
    libc.prctl(4, 0, 0, 0, 0)
if trick == "exhausted":
    idle = []
    for left in range(int(sys.argv[3])):
        try:
            idle.append(connect())
            os.set_inheritable(idle[-1].fileno(), False)
        except OSError:
            break
    time.sleep(0.5)
    # One descriptor after the other is free again, from the first with which anybody is let in.
    answered = False
    while idle and not answered:
        idle.pop().close()
        time.sleep(0.05)
        s = connect()
        s.settimeout(0.3)
        s.sendall(b"GET http://%s/alone HTTP/1.1\r\nHost: %s\r\n\r\n" % (2 * (host.encode(),)))
        try:
            answered = bool(s.recv(1))
        except OSError:
            pass
        s.close()
    for _ in range(5):
        idle.append(connect())
        os.set_inheritable(idle[-1].fileno(), False)
    time.sleep(0.2)
    for _ in range(12):
        s = connect()
        s.settimeout(1)
        time.sleep(0.2)
        curl = lend()
        # Of two that have it, the allowed one is found first, and nothing may be left to look at the other.
        asking = os.fork()
        if asking == 0:
            ask(s, 1)
            os._exit(0)
        s.close()
        os.waitpid(asking, 0)
        curl.kill()
        idle.pop().close()
    sys.exit()
s = connect()
if trick == "hops":
    # Whoever has the connection ends as soon as it has a child that has it.
    lend()
    if os.fork():
        s.close()
        time.sleep(4)
        sys.exit()
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
    ask(s, 0)
    os._exit(0)
lend()
if trick == "leader ended":
    threading.Thread(target=ask_and_end, args=(s,)).start()
    libc.syscall(60, 0)
if trick == "own table":
    apart, closed = threading.Event(), threading.Event()
    def thread():
        # close_range with CLOSE_RANGE_UNSHARE, of a range that is empty.
        libc.syscall(436, 1 << 20, 1 << 20, 2)
        apart.set()
        closed.wait()
        ask_and_end(s)
    threading.Thread(target=thread).start()
    apart.wait()
    os.close(s.fileno())
    closed.set()
    time.sleep(20)
ask(s)
"#;

/// The sandbox of root, where these tests are root's, and that of somebody who is not.
fn users() -> Vec<Option<u32>> {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root { vec![None, Some(NOBODY)] } else { vec![None] }
}

struct Attack {
    confined: Confined,
    user: Option<u32>,
}

impl Attack {
    async fn new(user: Option<u32>) -> Attack {
        let policy = format!(
            "
version: 1
network_policies:
  lent:
    endpoints: [{{ host: {HOST}, port: 80, protocol: rest, access: read-only }}]
    binaries: [{{ path: {ALLOWED} }}]
"
        );
        let attack = Attack { confined: Confined::new(&policy).await, user };
        for directory in [attack.confined.dir().to_owned(), attack.confined.home()] {
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
            chown(&directory, user, user).unwrap();
        }
        attack
    }

    /// Runs the command confined, with so many descriptors for the supervisor.
    async fn run(&self, descriptors: u32, command: &[&str]) -> Ran {
        let narrowgate = self.confined.narrowgate(&["--quiet"]);
        let narrowgate = narrowgate.as_std();
        let mut line = match self.user {
            None => Command::new("sh"),
            Some(id) => {
                let mut setpriv = Command::new("setpriv");
                setpriv.args([&format!("--reuid={id}"), &format!("--regid={id}"), "--clear-groups", "sh"]);
                setpriv
            }
        };
        line.args(["-c", &format!("ulimit -n {descriptors}; exec \"$@\""), "sh"]);
        line.arg(narrowgate.get_program()).args(narrowgate.get_args()).args(command);
        let home = self.confined.home();
        ended(line.current_dir(&home).env("HOME", &home).env("LC_ALL", "C").kill_on_drop(true)).await
    }

    /// A copy of Python that may be executed and not be read, and is nobody's in the sandbox.
    fn execute_only(&self) -> PathBuf {
        let copy = self.confined.dir().join("python");
        fs::copy(PYTHON, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o111)).unwrap();
        copy
    }
}

/// What the script prints, a line for each request: the status, and why where it was denied.
async fn check(user: Option<u32>, trick: &str) -> Vec<String> {
    let attack = Attack::new(user).await;
    let python = if trick == "execute only" { attack.execute_only() } else { PathBuf::from(PYTHON) };
    let descriptors = if trick == "exhausted" { 128 } else { 1024 };
    let ran = attack.run(descriptors, &[python.to_str().unwrap(), "-c", LEND, trick, HOST, "110"]).await;
    let arrived = attack.confined.upstream.lines();
    let lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    assert_eq!(arrived.is_empty(), lines.iter().all(|line| !line.starts_with("200")), "{trick} as {user:?}: {ran:?}");
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_allowed_program_itself_is_answered() {
    for user in users() {
        let attack = Attack::new(user).await;
        let url = format!("http://{HOST}/its-own");
        let ran = attack.run(1024, &[ALLOWED, "-s", "-o", "/dev/null", "-w", "%{http_code}", &url]).await;
        assert_eq!(ran.stdout, "200", "{user:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lending_a_name_makes_it_nobodys() {
    let mut wrong = Vec::new();
    for user in users() {
        for trick in ["plain", "unreadable", "execute only", "leader ended", "own table", "hops"] {
            let lines = check(user, trick).await;
            if lines != ["403 request_ambiguous"] {
                wrong.push((user, trick, lines));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_without_descriptors_takes_nobodys_word() {
    for user in users() {
        let lines = check(user, "exhausted").await;
        assert!(lines.contains(&"403 request_ambiguous".to_owned()), "none came that far: {lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("200")), "as {user:?}: {lines:?}");
    }
}
