//! Holders that see to it that nobody can tell what they hold, and readers that cannot look.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::namespace::{Inside, kinds};
use super::*;

const NOBODY: u32 = 65534;

/// Connects, starts a `sleep` that has the connection too, and goes on having it in one of several ways.
const LEND: &str = r#"
import ctypes, os, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None)
trick = sys.argv[1]
s = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
os.set_inheritable(s.fileno(), True)
if trick != "alone":
    subprocess.Popen(["sleep", "20"], close_fds=False)
def go_on():
    s.sendall(b"\n")
    time.sleep(20)
def elsewhere(begin):
    begin()
    gone.wait()
    go_on()
gone = threading.Event()
if trick in ("unreadable", "alone"):
    libc.prctl(4, 0, 0, 0, 0)
if trick == "leader ended":
    threading.Thread(target=go_on).start()
    libc.syscall(60, 0)
if trick in ("own table", "own table, unreadable"):
    apart = threading.Event()
    # close_range with CLOSE_RANGE_UNSHARE, of a range that is empty.
    begin = lambda: (libc.syscall(436, 1 << 20, 1 << 20, 2), apart.set())
    threading.Thread(target=elsewhere, args=(begin,), daemon=True).start()
    apart.wait()
    os.close(s.fileno())
    if trick != "own table":
        libc.prctl(4, 0, 0, 0, 0)
    gone.set()
    time.sleep(20)
    os._exit(0)
go_on()
"#;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What `identify` says to a thread that is an ordinary user, or to this one.
fn identify_as(user: Option<u32>, inside: &Inside) -> (Identity, Option<Evidence>) {
    let look = || {
        if let Some(id) = user {
            let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(uid, uid, uid).unwrap();
        }
        let (identity, evidence) = inside.identify();
        // It stands when it is looked at again, by the same reader.
        assert!(evidence.as_ref().is_none_or(|evidence| evidence.stands() && evidence.is_complete()), "{identity:?}");
        (identity, evidence)
    };
    std::thread::scope(|scope| scope.spawn(look).join().unwrap())
}

/// The client does `trick`, in namespaces made by `user`, who also asks who it is.
fn check(user: Option<u32>, kind: &str, python: &Path, trick: &str) -> Identity {
    let mut unshare = Command::new("unshare");
    if let Some(id) = user {
        unshare.uid(id).gid(id);
    }
    let client = [python.to_str().unwrap(), "-c", LEND, trick, "PORT"];
    let mut inside = Inside::start_with(unshare, kind, "127.0.0.1", &client);
    inside.ready();
    identify_as(user, &inside).0
}

/// As whom to make sandboxes and look, and of which kinds.
fn readers() -> Vec<(Option<u32>, &'static str)> {
    let own = kinds().into_iter().map(|kind| (None, kind));
    let nobodys = ["-Urn", "-Urnmpf"].map(|kind| (Some(NOBODY), kind));
    own.chain(nobodys.into_iter().filter(|_| is_root())).collect()
}

fn python() -> std::path::PathBuf {
    fs::canonicalize("/usr/bin/python3").expect("the system's Python, which is whoever's")
}

#[test]
fn a_lent_name_is_nobodys_however_the_lender_hides() {
    for (user, kind) in readers() {
        for trick in ["plain", "unreadable", "leader ended", "own table", "own table, unreadable"] {
            match check(user, kind, &python(), trick) {
                Identity::Ambiguous(why) => assert!(why.contains("share"), "{trick}, {kind}, {user:?}: {why}"),
                other => panic!("{trick}, {kind}, {user:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_read_makes_every_client_ambiguous() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("python");
    fs::copy(python(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o111)).unwrap();
    for (user, kind) in readers() {
        for trick in ["plain", "leader ended", "own table"] {
            let Identity::Ambiguous(why) = check(user, kind, &copy, trick) else { panic!("{trick}, {kind}, {user:?}") };
            let expected = if user.is_some() { "hides its files" } else { "share" };
            assert!(why.contains(expected), "{trick}, {kind}, {user:?}: {why}");
        }
    }
}

/// A program that keeps others from reading its memory, an agent of keys for example, is who it is all the same.
#[test]
fn an_unreadable_program_alone_is_known() {
    for (user, kind) in readers() {
        match check(user, kind, &python(), "alone") {
            Identity::Known(process) => assert_eq!(process.path, python().to_str().unwrap(), "{kind}, {user:?}"),
            other => panic!("{kind}, {user:?}: {other:?}"),
        }
    }
}

/// Without a namespace, threads are looked at where the first one has no files.
#[test]
fn threads_are_looked_at_outside_of_a_sandbox() {
    for trick in ["plain", "leader ended"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut child = Command::new(python()).args(["-c", LEND, trick, &port]).stdin(Stdio::null()).spawn().unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        std::io::Read::read_exact(&mut server, &mut [0]).unwrap();
        match identify(peer, server.local_addr().unwrap(), "box") {
            Identity::Ambiguous(why) => assert!(why.contains("share"), "{trick}: {why}"),
            other => panic!("{trick}: {other:?}"),
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
