//! Clients in other namespaces: network alone, and with user, mount and pid namespaces.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdin, ChildStdout};

use super::*;

/// Listens in the network namespace that it is started in, starts a client there, and says who connected. Then a line is
/// what the client wrote, and a line written here goes to it.
const SERVER: &str = r#"
use strict; use IO::Socket::INET;
$| = 1;
socket(my $any, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
my $up = pack("a16 s x22", "lo", 0x49);
ioctl($any, 0x8914, $up) or die "lo up: $!";
for (["lo:1", "198.18.0.8"], ["lo:2", "198.18.0.9"]) {
    my $address = pack("a16 S n a4 x16", $_->[0], AF_INET, 0, inet_aton($_->[1]));
    ioctl($any, 0x8916, $address) or die "address: $!";
}
my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => shift @ARGV, LocalPort => 0) or die "listen: $!";
my $port = $listener->sockport;
my $client = fork;
if (!$client) { open STDIN, "<", "/dev/null"; open STDOUT, ">&", \*STDERR; s/PORT/$port/ for @ARGV; exec @ARGV or die "exec: $!"; }
my $connection = $listener->accept or die "accept: $!";
printf "%s:%d %s:%d\n", $connection->peerhost, $connection->peerport, $connection->sockhost, $connection->sockport;
while (sysread($connection, my $byte, 1)) { last if $byte eq "\n"; }
print "ready\n";
while (<STDIN>) { syswrite($connection, "\n"); }
kill "KILL", $client;
"#;

/// A client in namespaces of its own.
pub(super) struct Inside {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Inside {
    /// In new namespaces as `unshare` names them: `client`, in whose words `PORT` is where it connects to at `address`.
    fn start(namespaces: &str, address: &str, client: &[&str]) -> Inside {
        Inside::start_with(Command::new("unshare"), namespaces, address, client)
    }

    pub(super) fn start_with(mut command: Command, namespaces: &str, address: &str, client: &[&str]) -> Inside {
        command.args([namespaces, "--", "perl", "-e", SERVER, address]).args(client);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("unshare, of util-linux");
        let (input, mut output) = (server.stdin.take().unwrap(), BufReader::new(server.stdout.take().unwrap()));
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let (peer, local) = line.trim().split_once(' ').expect("namespaces, which these tests need");
        let (peer, local) = (peer.parse().unwrap(), local.parse().unwrap());
        Inside { server, input, output, peer, local }
    }

    /// A shell that has the connection as file 3, runs `script`, and says when it is ready.
    fn shell(namespaces: &str, shell: &str, script: &str) -> Inside {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/PORT; {script}");
        let mut inside = Inside::start(namespaces, "127.0.0.1", &[shell, "--norc", "-c", &script]);
        inside.ready();
        inside
    }

    pub(super) fn ready(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }

    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// The process that stands for the sandbox.
    fn pid(&self) -> i32 {
        i32::try_from(self.server.id()).unwrap()
    }

    pub(super) fn identify(&self) -> (Identity, Option<Evidence>) {
        super::super::identify(self.peer, self.local, "box", Some(self.pid()))
    }

    fn known(&self) -> (Process, Evidence) {
        match self.identify() {
            (Identity::Known(process), Some(evidence)) => (process, evidence),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The server ends its client when its input ends.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A sandbox of root's, and one that anybody can make; both with what `run` uses besides.
pub(super) fn kinds() -> Vec<&'static str> {
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    let kinds = ["-Urn", "-Urnm", "-Urnmi"];
    if is_root { [&["-n", "-nm"], &kinds[..]].concat() } else { kinds.to_vec() }
}

fn shell_path() -> String {
    bash().to_str().unwrap().to_owned()
}

#[test]
fn a_client_in_another_network_namespace_is_known_there_and_only_there() {
    for kind in kinds() {
        let inside = Inside::shell(kind, &shell_path(), "echo >&3; read -r -u 3");
        let (process, evidence) = inside.known();
        assert_eq!(process.path, shell_path(), "{kind}");
        assert_eq!(process.sha256, Digest::of(&fs::read(bash()).unwrap()).hex(), "{kind}");
        let perl = fs::canonicalize("/usr/bin/perl").unwrap();
        assert_eq!(process.ancestors.first().map(String::as_str), perl.to_str(), "{kind}: {:?}", process.ancestors);
        assert!(
            process.ancestors.iter().any(|a| Some(a.as_str()) == std::env::current_exe().unwrap().to_str()),
            "{kind}"
        );
        assert!(evidence.stands() && evidence.is_complete(), "{kind}");
        // The pid is the outer one, and so is what is read by it.
        let execution = evidence.execution().unwrap();
        assert_eq!(Entry::new(execution.pid).unwrap().stat().unwrap().ppid, inside.pid(), "{kind}");
        assert!(evidence.command().unwrap().as_str().contains("--norc -c 'exec 3<>/dev/tcp/127.0.0.1/"), "{kind}");
        // Our own table has no such connection, and an equal one there is another's.
        assert!(matches!(identify(inside.peer, inside.local, "box"), Identity::Unknown(_)), "{kind}");
    }
}

#[test]
fn a_client_with_a_pid_namespace_of_its_own_is_known_by_its_outer_pid() {
    // `unshare -f` stays outside of the new pid namespace, and inside of all others.
    let inside = Inside::shell("-Urnmpf", &shell_path(), "echo $$ >&3; read -r -u 3");
    let (process, evidence) = inside.known();
    assert_eq!(process.path, shell_path());
    let pid = evidence.execution().unwrap().pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let inner: Vec<&str> = status.lines().find(|line| line.starts_with("NSpid:")).unwrap().split_whitespace().collect();
    assert_eq!(inner[1], pid.to_string());
    assert_ne!(inner.last(), Some(&pid.to_string().as_str()), "{inner:?}");
}

#[test]
fn a_connection_to_an_address_that_is_not_here_is_looked_up_as_it_was_asked_for() {
    let client = r#"use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => "198.18.0.9", PeerPort => PORT,
        LocalAddr => "198.18.0.8") or die $!; syswrite($s, "\n"); sleep 60;"#;
    let mut inside = Inside::start("-Urn", "198.18.0.9", &["perl", "-e", client]);
    inside.ready();
    assert_ne!(inside.peer.ip(), inside.local.ip());
    let (process, _) = inside.known();
    assert_eq!(fs::canonicalize(process.path).unwrap(), fs::canonicalize("/usr/bin/perl").unwrap());
    let (elsewhere, _) = super::super::identify(inside.peer, inside.local, "box", None);
    assert!(matches!(elsewhere, Identity::Unknown(why) if why.contains("not this machine")));
}

#[test]
fn forked_children_are_one_client_and_the_oldest_answers_for_it() {
    for kind in kinds() {
        let inside = Inside::shell(kind, &shell_path(), "( ( echo >&3; read -r -u 3 ) & wait ) & wait");
        let (process, evidence) = inside.known();
        assert_eq!(process.path, shell_path());
        assert_eq!(evidence.owners.len(), 3, "{kind}: {:?}", evidence.owners);
        let execution = evidence.execution().unwrap();
        let first = Entry::new(execution.pid).unwrap().stat().unwrap();
        assert_eq!((first.ppid, first.starttime), (inside.pid(), execution.started), "{kind}");
    }
}

#[test]
fn a_socket_shared_with_another_executable_is_ambiguous_there_too() {
    for kind in kinds() {
        let inside = Inside::shell(kind, &shell_path(), "sleep 60 & echo >&3; read -r -u 3; kill $!");
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        loop {
            match inside.identify().0 {
                Identity::Ambiguous(why) if why.contains("share") => break,
                other => assert!(std::time::Instant::now() < deadline, "{kind}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_a_client_becomes_is_seen_at_once() {
    for kind in kinds() {
        let mut inside = Inside::shell(kind, &shell_path(), "echo >&3; read -r -u 3; exec sleep 60");
        let (_, evidence) = inside.known();
        let before = evidence.execution().unwrap();
        inside.go_on();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while evidence.stands() {
            assert!(std::time::Instant::now() < deadline, "{kind}");
        }
        let (process, evidence) = inside.known();
        assert_ne!(process.path, shell_path(), "{kind}");
        // The same process, which is somebody else by its executable and command line.
        assert_eq!(evidence.execution(), Some(before), "{kind}");
        assert_eq!(evidence.command().unwrap().as_str(), "sleep 60", "{kind}");
    }
}

#[test]
fn a_search_during_execs_finds_one_of_both_and_never_a_mixture() {
    let directory = tempfile::tempdir().unwrap();
    let (digests, shells) = two_shells(directory.path());
    // Each becomes the other, over and over, with the socket.
    let turn = r#"i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; exec "$1" --norc -c "$T" x "$2" "$1""#;
    let begin = format!(
        "exec 3<>/dev/tcp/127.0.0.1/PORT; echo >&3; export T='{turn}'; exec '{0}' --norc -c \"$T\" x '{1}' '{0}'",
        shells[0], shells[1]
    );
    let mut inside = Inside::start("-Urn", "127.0.0.1", &[&shells[1], "--norc", "-c", &begin]);
    inside.ready();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        match inside.identify() {
            (Identity::Known(process), _) => {
                let at = shells.iter().position(|shell| *shell == process.path).expect("one of both");
                assert_eq!(process.sha256, digests[at]);
                seen.insert(at);
            }
            // It changed every time that it was looked at.
            (Identity::Ambiguous(why), _) => assert!(why.contains("keep changing"), "{why}"),
            (Identity::Unknown(why), _) => panic!("{why}"),
        }
    }
    assert_eq!(seen.len(), 2, "both are seen");
}

/// The digests and paths of two executables of different content.
fn two_shells(directory: &Path) -> ([String; 2], [String; 2]) {
    let mut bytes = fs::read(bash()).unwrap();
    let mut make = |name: &str| {
        bytes.push(0);
        let path = directory.join(name);
        fs::copy(bash(), &path).unwrap();
        fs::write(&path, &bytes).unwrap();
        (Digest::of(&bytes).hex(), path.to_str().unwrap().to_owned())
    };
    let (one, other) = (make("one"), make("other"));
    ([one.0, other.0], [one.1, other.1])
}

#[test]
fn a_replaced_or_deleted_executable_is_not_known_by_its_name_there() {
    for kind in kinds() {
        let directory = tempfile::tempdir().unwrap();
        let shell = directory.path().join("shell");
        fs::copy(bash(), &shell).unwrap();
        let inside = Inside::shell(kind, shell.to_str().unwrap(), "echo >&3; read -r -u 3");
        let (process, evidence) = inside.known();
        assert_eq!(process.path, shell.to_str().unwrap());
        let other = directory.path().join("other");
        fs::copy(bash(), &other).unwrap();
        fs::rename(&other, &shell).unwrap();
        assert!(!evidence.stands(), "{kind}");
        assert!(matches!(inside.identify().0, Identity::Ambiguous(_)), "{kind}: {:?}", inside.identify());
    }
}

#[test]
fn a_file_that_exists_only_inside_has_its_name_there() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().to_str().unwrap();
    // The sandbox is set up by its own first process, as `run` does it, and then runs the client.
    let client = format!(
        "mount -t tmpfs none '{here}' && cp '{}' '{here}/tool' && exec '{here}/tool' --norc -c 'exec 3<>/dev/tcp/127.0.0.1/PORT; echo >&3; read -r -u 3'",
        shell_path()
    );
    let mut inside = Inside::start("-Urnm", "127.0.0.1", &["sh", "-c", &client]);
    inside.ready();
    let (process, _) = inside.known();
    assert_eq!(process.path, format!("{here}/tool"));
    assert!(!directory.path().join("tool").exists(), "it is not here");
}

#[test]
fn a_mount_namespace_of_ones_own_makes_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let tool = directory.path().join("tool");
    fs::copy(bash(), &tool).unwrap();
    // What runs is called like `env`, in a view that nobody but the client has.
    let allowed = fs::canonicalize("/usr/bin/env").unwrap();
    let (tool, allowed) = (tool.to_str().unwrap(), allowed.to_str().unwrap());
    let client = format!(
        "mount --bind '{tool}' '{allowed}' && exec '{allowed}' --norc -c 'exec 3<>/dev/tcp/127.0.0.1/PORT; echo >&3; read -r -u 3'"
    );
    let mut inside = Inside::start("-Urnm", "127.0.0.1", &["unshare", "-m", "sh", "-c", &client]);
    inside.ready();
    match inside.identify().0 {
        Identity::Ambiguous(why) => assert!(why.contains("not the file that runs"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_its_namespace_a_client_is_nobody() {
    let mut inside = Inside::shell("-Urn", &shell_path(), "echo >&3; read -r -u 3");
    let (peer, local, pid) = (inside.peer, inside.local, inside.pid());
    inside.server.kill().unwrap();
    inside.server.wait().unwrap();
    assert!(matches!(super::super::identify(peer, local, "box", Some(pid)).0, Identity::Unknown(_)));
}
