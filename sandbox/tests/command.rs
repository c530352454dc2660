//! A command in a sandbox is the command: its exit code, signals, environment, standard streams and terminal.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Killed, User, check, probe, processes, run, shared_directory, users};

#[test]
fn exit_codes_and_signals_pass_through() {
    let cases: &[(&[&str], i32)] = &[
        (&["true"], 0),
        (&["false"], 1),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["sh", "-c", "kill -SEGV $$"], 139),
        (&["no-such-command"], 127),
        (&["/no/such/command"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
        (&[], 125),
    ];
    for user in users() {
        for (command, code) in cases {
            let output = run(user, &[], command);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(*code), "{user:?} {command:?}: {said}");
            assert_eq!(said.is_empty(), *code < 125 || *code > 127, "{command:?}: {said}");
        }
    }
}

#[test]
fn signals_reach_the_command_and_only_it() {
    for user in users() {
        let script = "trap 'echo caught; exit 7' USR1; while :; do sleep 0.02; done";
        let output = run(user, &["--signal-after", "200:10"], &["sh", "-c", script]);
        assert_eq!((output.stdout.as_slice(), output.status.code()), (b"caught\n".as_slice(), Some(7)), "{user:?}");

        let output = run(user, &["--kill-after", "100"], &["sh", "-c", "trap '' TERM INT; sleep 4242 & wait"]);
        assert_eq!(output.status.code(), Some(137));
    }
    assert_eq!(processes("sleep 4242"), Vec::<std::path::PathBuf>::new());
}

#[test]
fn the_environment_is_the_callers_with_what_was_asked_for() {
    let script = "echo ${KEPT-none} ${SET-none} ${GONE-none} ${OVER-none}; cat /proc/self/environ | tr '\\0' '\\n' | grep -c GONE";
    for user in users() {
        let mut command = probe(user, &["--env", "SET=a=b", "--env", "OVER=new", "--without", "GONE"]);
        command.env("KEPT", "kept").env("GONE", "secret").env("OVER", "old").args(["sh", "-c", script]);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "kept a=b none new\n0\n", "{user:?}");
    }
    // Not that of a stage either.
    check(&["--without", "PATH", "--env", "PATH=/usr/bin:/bin"], "cat /proc/1/environ 2>&1 | grep -c denied", "1");
}

#[test]
fn programs_are_searched_for_in_the_resulting_path() {
    let directory = shared_directory();
    let path = directory.path().join("only-here");
    fs::write(&path, "#!/bin/sh\necho found\n").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for user in users() {
        let variable = format!("PATH={}", directory.path().display());
        let output = run(user, &["--env", &variable], &["only-here"]);
        assert_eq!(output.stdout, b"found\n", "{user:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(run(user, &[], &["only-here"]).status.code(), Some(127));
    }
}

#[test]
fn standard_streams_are_the_callers() {
    for user in users() {
        // Pipes.
        let mut child = probe(user, &[]).arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = thread::spawn(move || stdin.write_all(&[7; 200_000]).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert_eq!(output.stdout.len(), 200_000);
        // Files.
        let directory = shared_directory();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::write(&from, "text").unwrap();
        let mut command = probe(user, &[]);
        command.arg("cat").stdin(File::open(&from).unwrap()).stdout(File::create(&to).unwrap());
        assert!(command.status().unwrap().success());
        assert_eq!(fs::read(&to).unwrap(), b"text");
        // Nothing.
        assert_eq!(probe(user, &[]).arg("cat").stdin(Stdio::null()).output().unwrap().stdout, b"");
    }
}

#[test]
fn a_standard_stream_is_no_way_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    for user in users() {
        let refused = |stdin: Stdio, what: &str| {
            let output = probe(user, &[]).arg("true").stdin(stdin).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(125), "{said}");
            assert!(said.contains(what), "{said}");
        };
        refused(OwnedFd::from(socket.try_clone().unwrap()).into(), "a socket of address family 2");
        refused(File::open("/etc").unwrap().into(), "stdin is a directory");
        let (pair, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(probe(user, &[]).arg("true").stdin(OwnedFd::from(pair)).status().unwrap().success());
    }
}

#[test]
fn no_other_descriptor_reaches_the_command() {
    let directory = shared_directory();
    let secret = directory.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    for user in users() {
        let mut supervisor = probe(user, &[]);
        let inside = "ls /proc/self/fd | tr '\\n' ' '; cat <&7";
        supervisor.args(["sh", "-c", inside]);
        // The shell opens descriptor 7 and hands it to the supervisor.
        let mut command = Command::new("sh");
        command.args(["-c", "exec 7<$0; exec \"$@\""]).arg(&secret).arg(supervisor.get_program());
        let output = command.args(supervisor.get_args()).output().unwrap();
        // The fourth is of the directory that `ls` reads.
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0 1 2 3 ", "{user:?}");
        assert_ne!(output.status.code(), Some(0));
    }
}

#[test]
fn a_terminal_passes_through() {
    // `script` gives the supervisor a terminal, and types.
    let on_a_terminal = |user, command: &str, typed: &[u8]| {
        let probe = probe(user, &[]);
        let words: Vec<_> = std::iter::once(probe.get_program()).chain(probe.get_args()).collect();
        let line: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        // A shell that stayed between would be interrupted too, and its end would be the answer.
        let line = format!("exec {} {command}", line.join(" "));
        let mut script = Command::new("script");
        script.env("SHELL", "/bin/sh").args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut said = String::new();
        let mut byte = [0];
        while !said.contains("ready") && stdout.read(&mut byte).unwrap() == 1 {
            said.push(char::from(byte[0]));
        }
        stdin.write_all(typed).unwrap();
        stdout.read_to_string(&mut said).unwrap();
        (said, child.wait().unwrap().code())
    };
    for user in users() {
        let (said, code) =
            on_a_terminal(user, "sh -c 'test -t 0 && test -t 1 && echo ready; read x; echo got $x'", b"word\n");
        assert!(said.contains("got word") && code == Some(0), "{user:?}: {code:?} {said}");
        // Ctrl-C is the command's.
        let trap = "sh -c 'trap \"echo caught; exit 9\" INT; echo ready; while :; do sleep 0.02; done'";
        let (said, code) = on_a_terminal(user, trap, b"\x03");
        assert!(said.contains("caught") && code == Some(9), "{user:?}: {code:?} {said}");
        let (_, code) = on_a_terminal(user, "sh -c 'echo ready; exec sleep 4343'", b"\x03");
        assert_eq!(code, Some(130), "{user:?}");
        // Job control inside: an interactive shell puts a job into the background and ends it.
        let jobs = "bash --norc -ic 'echo ready; sleep 9 & kill -STOP %1; kill -KILL %1; wait %1; echo job $?'";
        let (said, code) = on_a_terminal(user, jobs, b"");
        assert!(said.contains("job 137") && code == Some(0), "{user:?}: {code:?} {said}");
    }
}

#[test]
fn nothing_survives_the_command() {
    for user in users() {
        // A daemon: its parent is gone, it is in a session of its own and ignores what it can.
        let script = "(trap '' HUP TERM; setsid sleep 4444 >/dev/null 2>&1 &) & sleep 0.1; echo started";
        let output = run(user, &[], &["sh", "-c", script]);
        assert_eq!(output.stdout, b"started\n");
        assert_eq!(processes("sleep 4444"), Vec::<std::path::PathBuf>::new(), "{user:?}");
    }
}

#[test]
fn nothing_survives_the_supervisor() {
    for user in users() {
        let stages = || processes("narrowgate-sandbox:");
        let script = "setsid sleep 4545 & echo started; wait";
        let mut child = Killed(probe(user, &[]).args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = [0; 8];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        let pid = child.id();
        // `setpriv` becomes the supervisor, so this is its pid in either case.
        let mine: Vec<_> = stages().into_iter().filter(|path| parent(path) == Some(pid)).collect();
        assert_eq!(mine.len(), 1, "{user:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        eventually(|| processes("sleep 4545").is_empty() && !mine[0].exists());
    }
}

#[test]
fn a_network_stage_that_is_killed_takes_all_with_it() {
    for user in users() {
        let script = "setsid sleep 4646 & echo started; wait";
        let mut command = probe(user, &["--network"]);
        let mut child = Killed(command.args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap());
        let mut said = String::new();
        let mut byte = [0];
        while !said.contains("started") && child.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
            said.push(char::from(byte[0]));
        }
        // The command may say so before process 1 does, and until then it is the launch that fails.
        thread::sleep(Duration::from_millis(300));
        let pid: i32 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(137), "{user:?}");
        eventually(|| processes("sleep 4646").is_empty());
    }
}

#[test]
fn a_signal_to_the_whole_process_group_stays_inside() {
    use std::os::unix::process::CommandExt;
    for user in users() {
        // Supervisor and stages are in the group too, and would end by the signal instead of saying that it came.
        let mut command = probe(user, &[]);
        let status = command.args(["sh", "-c", "kill -TERM 0; sleep 5"]).process_group(0).status().unwrap();
        assert_eq!(status.code(), Some(143), "{user:?}: {status}");
    }
}

#[test]
fn the_supervisors_user_reads_what_runs_inside() {
    for user in users() {
        let mut child = Killed(probe(user, &[]).args(["sleep", "4747"]).spawn().unwrap());
        let supervisor = Path::new("/proc").join(child.id().to_string());
        // While a program becomes another it has no command line.
        let inside = || processes("sleep 4747").into_iter().find(|path| *path != supervisor);
        eventually(|| inside().is_some());
        thread::sleep(Duration::from_millis(100));
        let inside = inside().unwrap();
        let mut readlink = common::program(user, "readlink");
        let output = readlink.arg(inside.join("exe")).arg(inside.join("fd/0")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2, "{user:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        eventually(|| processes("sleep 4747").is_empty());
    }
}

#[test]
fn a_stopped_command_goes_on() {
    for user in users() {
        let script = "(sleep 0.3; kill -CONT $$) & kill -STOP $$; echo went on; exit 3";
        let output = run(user, &[], &["sh", "-c", script]);
        assert_eq!((output.stdout.as_slice(), output.status.code()), (b"went on\n".as_slice(), Some(3)), "{user:?}");
    }
}

#[test]
fn twenty_at_once_do_not_meet() {
    let threads: Vec<_> = (0..20)
        .map(|number| {
            thread::spawn(move || {
                let user = if number % 2 == 0 { User::Current } else { *users().last().unwrap() };
                let file = format!("/etc/narrowgate/number={number}");
                let script = "cat /etc/narrowgate/number; set -- /proc/[0-9]*; echo $#; exit 5";
                let output = run(user, &["--place", &file], &["sh", "-c", script]);
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                // Process 1 and the shell.
                assert_eq!(said, format!("{number}2\n"), "{}", String::from_utf8_lossy(&output.stderr));
                assert_eq!(output.status.code(), Some(5));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn parent(process: &std::path::Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_socket_that_is_not_connected_is_no_standard_stream() {
    for user in users() {
        let family = rustix::net::AddressFamily::UNIX;
        let unconnected = rustix::net::socket(family, rustix::net::SocketType::STREAM, None).unwrap();
        let (datagram, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        for stream in [unconnected, OwnedFd::from(datagram)] {
            let output = probe(user, &[]).arg("true").stdin(stream).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(125) && said.contains("no connected stream"), "{user:?}: {said}");
        }
    }
}

/// Who ignores that children end never learns that a command has.
#[test]
fn a_caller_that_ignores_its_children_is_told() {
    for user in users() {
        let supervisor = probe(user, &[]);
        let words = std::iter::once(supervisor.get_program()).chain(supervisor.get_args());
        let mut command = Command::new("env");
        let output = command.arg("--ignore-signal=CHLD").args(words).arg("true").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(125) && said.contains("SIGCHLD"), "{user:?}: {said}");
    }
}
