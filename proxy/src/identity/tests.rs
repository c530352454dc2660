#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use narrowgate_core::digest::Digest;

use super::*;

mod namespace;
mod untold;

fn identify(peer: SocketAddr, local: SocketAddr, sandbox: &str) -> Identity {
    super::identify(peer, local, sandbox, None).0
}

/// A client that runs `script` in bash with the connection as file 3, and the server's end of it.
struct Client {
    child: Child,
    server: TcpStream,
}

impl Client {
    fn start(shell: &Path, script: &str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = Command::new(shell);
        command.args(["--norc", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; {script}")]).stdin(Stdio::null());
        let child = loop {
            match command.spawn() {
                // A fork of another test holds the file that we have just written, until its exec.
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                child => break child.expect("bash, with which these tests connect"),
            }
        };
        let (server, _) = listener.accept().unwrap();
        Client { child, server }
    }

    /// Waits until the client has written a line.
    fn ready(&mut self) {
        let mut byte = [0];
        while byte[0] != b'\n' {
            std::io::Read::read_exact(&mut self.server, &mut byte).unwrap();
        }
    }

    fn identity(&self) -> Identity {
        identify(self.server.peer_addr().unwrap(), self.server.local_addr().unwrap(), "box")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.server.write_all(b"\n");
        let _ = self.server.shutdown(std::net::Shutdown::Both);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bash() -> std::path::PathBuf {
    fs::canonicalize("/bin/bash").expect("bash, with which these tests connect")
}

#[test]
fn a_child_is_known_by_its_live_executable_and_its_parents() {
    let mut client = Client::start(&bash(), "echo >&3; read -r -u 3");
    client.ready();
    let own = std::env::current_exe().unwrap();
    let Identity::Known(process) = client.identity() else { panic!("{:?}", client.identity()) };
    assert_eq!(process.path, bash().to_str().unwrap());
    assert_eq!(process.sha256, Digest::of(&fs::read(bash()).unwrap()).hex());
    assert_eq!(process.ancestors.first().map(String::as_str), own.to_str());
    assert_eq!(process.sandbox, "box");
}

#[test]
fn forked_children_with_the_same_executable_are_one_client() {
    let mut client = Client::start(&bash(), "( echo >&3; read -r -u 3 ) & wait");
    client.ready();
    let Identity::Known(process) = client.identity() else { panic!("{:?}", client.identity()) };
    assert_eq!(process.path, bash().to_str().unwrap());
    // Bash is the parent of one holder only, and so no ancestor of the client.
    let own = std::env::current_exe().unwrap();
    assert_eq!(process.ancestors.first().map(String::as_str), own.to_str());
}

#[test]
fn a_socket_shared_with_another_executable_is_ambiguous() {
    let mut client = Client::start(&bash(), "sleep 60 & echo >&3; read -r -u 3; kill $!");
    client.ready();
    // The fork becomes `sleep` a moment later.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        match client.identity() {
            Identity::Ambiguous(why) if why.contains("share") => {
                assert!(why.contains("sleep") || why.contains("coreutils"), "{why}");
                break;
            }
            other => assert!(std::time::Instant::now() < deadline, "{other:?}"),
        }
    }
}

#[test]
fn a_deleted_or_replaced_executable_is_not_known_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let shell = directory.path().join("shell");
    fs::copy(bash(), &shell).unwrap();
    let mut client = Client::start(&shell, "echo >&3; read -r -u 3");
    client.ready();
    assert!(matches!(client.identity(), Identity::Known(process) if process.path == shell.to_str().unwrap()));

    // Another file of the same name: the kernel calls the running one deleted, and the name means the other.
    let other = directory.path().join("other");
    fs::copy(bash(), &other).unwrap();
    fs::rename(&other, &shell).unwrap();
    assert!(matches!(client.identity(), Identity::Ambiguous(_)), "{:?}", client.identity());

    // A file that is really called what the kernel calls a deleted one.
    let decoy = directory.path().join("shell (deleted)");
    fs::copy(bash(), &decoy).unwrap();
    assert!(matches!(client.identity(), Identity::Ambiguous(_)), "{:?}", client.identity());

    fs::remove_file(&shell).unwrap();
    assert!(matches!(client.identity(), Identity::Ambiguous(_)), "{:?}", client.identity());
}

#[test]
fn a_symbolic_link_is_known_by_its_target() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("curl");
    std::os::unix::fs::symlink(bash(), &link).unwrap();
    let mut client = Client::start(&link, "echo >&3; read -r -u 3");
    client.ready();
    let Identity::Known(process) = client.identity() else { panic!("{:?}", client.identity()) };
    assert_eq!(process.path, bash().to_str().unwrap());
}

#[test]
fn a_connection_over_mapped_addresses_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let Ok(client) = TcpStream::connect(format!("[::ffff:127.0.0.1]:{port}")) else {
        return; // a kernel without IPv6
    };
    let (server, peer) = listener.accept().unwrap();
    let identity = identify(peer, server.local_addr().unwrap(), "box");
    let own = std::env::current_exe().unwrap();
    assert!(matches!(&identity, Identity::Known(p) if Some(p.path.as_str()) == own.to_str()), "{identity:?}");
    drop(client);
}

#[test]
fn nobody_here_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    let local = server.local_addr().unwrap();
    assert!(matches!(identify("203.0.113.9:4000".parse().unwrap(), local, "box"), Identity::Unknown(_)));
    // The server's end is not a client of itself.
    drop(client);
    assert!(matches!(identify(peer, local, "box"), Identity::Unknown(_)));
}

#[test]
fn digests_follow_the_content() {
    let directory = tempfile::tempdir().unwrap();
    let shell = directory.path().join("shell");
    let mut bytes = fs::read(bash()).unwrap();
    for _ in 0..2 {
        // Trailing bytes do not matter to the loader, and do to the digest.
        bytes.push(0);
        let _ = fs::remove_file(&shell);
        fs::copy(bash(), &shell).unwrap();
        fs::write(&shell, &bytes).unwrap();
        let mut client = Client::start(&shell, "echo >&3; read -r -u 3");
        client.ready();
        let Identity::Known(process) = client.identity() else { panic!("{:?}", client.identity()) };
        assert_eq!(process.sha256, Digest::of(&bytes).hex());
    }
}

#[test]
fn a_client_that_keeps_starting_programs_stays_one_client() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let client = std::net::TcpStream::connect(local).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        for _ in 0..100 {
            let identity = identify(client.local_addr().unwrap(), local, "dev");
            if !matches!(identity, Identity::Known(_)) {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{identity:?}");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn evidence_falls_with_an_exec_and_with_a_second_holder() {
    for (script, falls) in [("exec sleep 60", true), ("sleep 60 & read -r -u 3", false)] {
        let mut client = Client::start(&bash(), &format!("echo >&3; read -r -u 3; {script}"));
        client.ready();
        let (peer, local) = (client.server.peer_addr().unwrap(), client.server.local_addr().unwrap());
        let evidence = super::identify(peer, local, "box", None).1.unwrap();
        assert!(evidence.stands() && evidence.is_complete());
        client.server.write_all(b"\n").unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while evidence.is_complete() {
            assert!(std::time::Instant::now() < deadline, "{script}");
        }
        assert_eq!(!evidence.stands(), falls, "{script}");
    }
}
