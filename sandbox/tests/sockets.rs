//! Sockets of the machine that have names among the files: what listens on one is not reached, and nobody keeps a command
//! from being started by making many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Killed, User, check_as, probe, program, run, shared_directory, users};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Perl that listens at `$ARGV[0]`, from the working directory, until its standard input ends.
const LISTEN: &str = "use IO::Socket::UNIX; my $l = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die $!; \
                      chmod 0777, $ARGV[0]; $| = 1; print qq(ready\\n); <STDIN>";

/// Perl that goes through directories, connects to the last of its arguments, and says what came of it.
const CONNECT: &str = "use Socket; my $last = pop; for (@ARGV) { chdir $_ or die qq($_: $!) } \
                       if (length $last > 100) { symlink qq($ARGV[0]/$last), q(/dev/shm/to) or die $!; $last = q(/dev/shm/to) } \
                       socket(my $s, AF_UNIX, \
                       SOCK_STREAM, 0) or die; print connect($s, sockaddr_un($last)) ? qq(connected) : $!";

const DENIED: &str = "Permission denied";

/// A process that says `ready`.
#[track_caller]
fn started(command: &mut Command, directory: &Path) -> Killed {
    let command = command.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    child
}

/// Ends what was started, by what it waits for.
fn end(mut child: Killed) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// What connecting inside says, after going through directories.
#[track_caller]
fn connect(what: &str, user: User, way: &[&str], expect: &str) {
    let output = run(user, &[], &[&["perl", "-e", CONNECT], way].concat());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expect, "{user:?}: {what}: {output:?}");
}

#[track_caller]
fn assert_starts(user: User, output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{user:?}: {output:?}");
}

/// Where a socket is bound, by whom, and by which way the command would come to it.
#[test]
fn a_socket_is_covered_however_it_was_bound() {
    let long = "l".repeat(200);
    let deep = "e".repeat(200);
    let moved = format!("(sleep .2; mv s {long}) & exec perl -e \"$LISTEN\" s");
    let depths = format!("for i in $(seq 19); do mkdir {deep}; cd {deep}; done; exec perl -e \"$LISTEN\" s");
    let down: Vec<&str> = std::iter::repeat_n(deep.as_str(), 19).chain(["s"]).collect();
    // What is done in an empty directory, and the way from there.
    let cases: &[(&str, &str, &[&str])] = &[
        ("an absolute path", r#"exec perl -e "$LISTEN" "$PWD/s""#, &["s"]),
        ("a relative path", r#"exec perl -e "$LISTEN" s"#, &["s"]),
        ("a relative path through directories", r#"mkdir -p a/b; exec perl -e "$LISTEN" ./a//b/../s"#, &["a/s"]),
        ("a relative path that looks abstract", r#"exec perl -e "$LISTEN" @s"#, &["@s"]),
        ("the same through a directory", r#"mkdir @d; exec perl -e "$LISTEN" @d/s"#, &["@d/s"]),
        (
            "a directory with a line feed",
            r#"d=$(printf 'a\nb'); mkdir "$d"; exec perl -e "$LISTEN" "$PWD/$d/s""#,
            &["a\nb", "s"],
        ),
        ("a directory that cannot be read", r#"mkdir d; chmod 311 d; exec perl -e "$LISTEN" d/s"#, &["d/s"]),
        ("a name that is longer than an address", &moved, &["LONG"]),
        ("a directory whose path is almost too long", &depths, &down),
        (
            "a bind mount in another mount namespace",
            r#"mkdir v w; exec $NS sh -c 'mount --bind v w && exec perl -e "$LISTEN" "$PWD/w/s"'"#,
            &["v/s"],
        ),
        (
            "the same, by a relative path",
            r#"mkdir v w; exec $NS sh -c 'mount --bind v w && cd w && exec perl -e "$LISTEN" s'"#,
            &["v/s"],
        ),
        (
            "the same, through a link",
            r#"mkdir v w; ln -s w x; exec $NS sh -c 'mount --bind v w && exec perl -e "$LISTEN" "$PWD/x/s"'"#,
            &["v/s"],
        ),
        ("another root", r#"mkdir -p j/d; exec $NS perl -e "$ROOTED" j /d/s"#, &["j/d/s"]),
        (
            "another root, through a link",
            r#"mkdir -p j/d; ln -s /d j/x; exec $NS perl -e "$ROOTED" j /x/s"#,
            &["j/d/s"],
        ),
        ("another sandbox", r#"exec $SANDBOX -- perl -e "$LISTEN" "$PWD/s""#, &["s"]),
    ];
    let rooted =
        format!("BEGIN {{ require Socket }} use IO::Socket::UNIX; chdir shift; chroot q(.) or die $!; {LISTEN}");
    for user in users() {
        for (what, script, way) in cases {
            let directory = shared_directory();
            let mut command = program(user, "sh");
            let namespace = if user == User::Current { "unshare -m" } else { "unshare -Urm" };
            command.env("LISTEN", LISTEN).env("ROOTED", &rooted).env("NS", namespace).env("SANDBOX", common::PROBE);
            let child = started(command.args(["-c", script]), directory.path());
            if *script == moved {
                std::thread::sleep(Duration::from_millis(500));
            }
            let way = way.iter().map(|step| if *step == "LONG" { &*long } else { step });
            let way: Vec<&str> = [directory.path().to_str().unwrap()].into_iter().chain(way).collect();
            connect(what, user, &way, DENIED);
            end(child);
        }
    }
}

/// In the very mount namespace that the supervisor is in.
#[test]
fn a_socket_is_covered_where_its_directory_is_seen_twice() {
    for user in users() {
        let directory = shared_directory();
        let namespace = if user == User::Current { "-m" } else { "-Urm" };
        let script = r#"mkdir a b && mount --bind a b && exec perl -e 'use IO::Socket::UNIX;
            my $l = IO::Socket::UNIX->new(Local => qq($ENV{PWD}/a/s), Listen => 1) or die $!; chmod 0777, q(a/s);
            system(q($SANDBOX -- perl -e "$CONNECT" "$PWD" b/s))'"#;
        let mut command = program(user, "unshare");
        command.env("CONNECT", CONNECT).env("SANDBOX", common::PROBE).args([namespace, "sh", "-c", script]);
        let output = command.current_dir(directory.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), DENIED, "{user:?}: {output:?}");
    }
}

/// A listener whose path leads nowhere any more, or in a circle.
#[test]
fn a_path_that_became_a_loop_keeps_nothing_from_starting() {
    for user in users() {
        let directory = shared_directory();
        let loops = directory.path().join("d");
        fs::create_dir(&loops).unwrap();
        let _listener = UnixListener::bind(loops.join("s")).unwrap();
        fs::remove_dir_all(&loops).unwrap();
        symlink("d", &loops).unwrap();
        assert_starts(user, &run(user, &[], &["true"]));
    }
}

/// Anyone may leave them, and each that is covered is one of the mounts that there may be.
#[test]
fn files_that_nobody_listens_on_are_not_covered() {
    let directory = shared_directory();
    let bound = directory.path().join("bound");
    let _listener = UnixListener::bind(&bound).unwrap();
    for number in 0..2000 {
        // To some, not even their owner may write.
        let mode = if number % 2 == 0 { Mode::RWXU } else { Mode::empty() };
        mknodat(CWD, directory.path().join(number.to_string()), FileType::Socket, mode, 0).unwrap();
    }
    for path in [&bound, &directory.path().join("0")] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let path = directory.path().to_str().unwrap();
    for user in users() {
        connect("the one", user, &[path, "bound"], DENIED);
        connect("another", user, &[path, "0"], "Connection refused");
        check_as(user, &[], &format!("grep -c ' {path}/' /proc/self/mountinfo"), "1");
    }
}

/// More listeners than are covered one by one: where they are is empty then, but for what the command works in.
#[test]
fn many_listeners_keep_nothing_from_starting() {
    narrowgate_sandbox::raise_descriptor_limit();
    // Beside each other, and each in a directory of its own.
    for nested in [false, true] {
        let directory = shared_directory();
        let (flood, work) = (directory.path().join("flood"), directory.path().join("flood/work"));
        fs::create_dir_all(work.join("below")).unwrap();
        let _listeners: Vec<UnixDatagram> = (0..1500)
            .map(|number| {
                let home = if nested { flood.join(format!("d{number}")) } else { flood.clone() };
                fs::create_dir_all(&home).unwrap();
                listener(&home.join(format!("s{number}")))
            })
            .collect();
        fs::write(work.join("file"), "kept").unwrap();
        let _inner = listener(&work.join("below/s"));
        [&flood, &work].iter().for_each(|path| fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap());
        for user in users() {
            let script = format!(
                "cat file; echo x > new; cat new; rm new; ls -A ..; test -S below/s || echo covered; \
                 touch ../x 2>&- || echo closed; pwd | tail -c 12; ls -A {}",
                directory.path().display()
            );
            let output = probe(user, &["--lacks"]).current_dir(&work).args(["sh", "-c", &script]).output().unwrap();
            let expect = "keptx\nwork\ncovered\nclosed\n/flood/work\nflood\n";
            assert_eq!(String::from_utf8_lossy(&output.stdout), expect, "{user:?}: {output:?}");
            assert_eq!(output.status.code(), Some(0), "{user:?}: {output:?}");
            let said = String::from_utf8_lossy(&output.stderr);
            let lack = format!("lacks: {} is empty inside", flood.display());
            assert!(said.contains(&lack), "{user:?}: {said}");
            // The same where a policy of files names it.
            let policy = ["--read", "/usr", "--read", "/lib", "--read", "/lib64", "--read", "/bin", "--write"];
            let options = [policy.as_slice(), &[work.to_str().unwrap()]].concat();
            check_as(user, &options, &format!("cd {} && cat file", work.display()), "kept");
        }
    }
}

/// What everybody writes in is one's own then.
#[test]
fn a_directory_for_everybody_with_many_listeners_is_empty_and_writable() {
    narrowgate_sandbox::raise_descriptor_limit();
    let directory = shared_directory();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    let _listeners: Vec<UnixDatagram> =
        (0..1500).map(|number| listener(&directory.path().join(number.to_string()))).collect();
    for user in users() {
        let path = directory.path().display();
        let script = format!("cd {path}; ls -A; echo x > new && cat new");
        check_as(user, &[], &script, "x");
        check_as(
            user,
            &["--read", "/usr", "--read", "/lib", "--read", "/lib64", "--read", "/bin", "--write", &path.to_string()],
            &script,
            "x",
        );
    }
    assert!(!directory.path().join("new").exists());
}

/// The one thing that is refused: the working directory cannot be another.
#[test]
fn a_working_directory_with_more_listeners_than_can_be_covered_is_refused() {
    narrowgate_sandbox::raise_descriptor_limit();
    let directory = shared_directory();
    let _listeners: Vec<UnixDatagram> =
        (0..4100).map(|number| listener(&directory.path().join(number.to_string()))).collect();
    for user in users() {
        let output = probe(user, &[]).current_dir(directory.path()).arg("true").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{user:?}: {said}");
        let expect = format!("{}: more than 4000 sockets are open there", directory.path().display());
        assert!(said.contains(&expect), "{user:?}: {said}");
        assert!(said.contains("ss -xl"), "{user:?}: {said}");
    }
}

/// Everybody's working directories, and everybody's relative names.
#[test]
fn many_working_directories_and_names_keep_nothing_from_starting() {
    let directory = shared_directory();
    for user in users() {
        let script = "use IO::Socket::UNIX; use Socket; $| = 1; \
                      for (1..300) { mkdir qq(d$_$>); if (!fork) { chdir qq(d$_$>); <STDIN>; exit } } \
                      mkdir qq(n$>); chdir qq(n$>); my @all; for (1..2000) { \
                      socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!; \
                      bind($s, sockaddr_un(qq(s$_))) or die $!; unlink qq(s$_); push @all, $s } print qq(ready\\n); <STDIN>";
        let mut command = program(user, "sh");
        command.args(["-c", "ulimit -n 4096; exec perl -e \"$0\"", script]);
        let child = started(&mut command, directory.path());
        let started = Instant::now();
        assert_starts(user, &run(user, &[], &["true"]));
        assert!(started.elapsed() < Duration::from_secs(3), "{user:?}: {:?}", started.elapsed());
        end(child);
    }
}

#[test]
fn sockets_that_come_and_go_keep_nothing_from_starting() {
    let directory = shared_directory();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let paths = (0..50).map(|number| directory.path().join(number.to_string())).collect::<Vec<_>>();
                let listeners: Vec<UnixDatagram> = paths.iter().map(|path| listener(path)).collect();
                paths.iter().for_each(|path| fs::remove_file(path).unwrap());
                drop(listeners);
            }
        });
        let outputs: Vec<_> = (0..15).flat_map(|_| users()).map(|user| (user, run(user, &[], &["true"]))).collect();
        done.store(true, Ordering::Relaxed);
        outputs.iter().for_each(|(user, output)| assert_starts(*user, output));
    });
}

/// A socket of anybody's.
fn listener(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    socket
}
