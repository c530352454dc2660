//! What a command sees of the machine's files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use common::{Killed, User, check, check_as, probe, program, run, shared_directory, users};

#[test]
fn placed_files_are_there_and_nowhere_else() {
    let options = [
        "--place",
        "/etc/narrowgate/skills/policy_advisor.md=skill",
        "--place",
        "/etc/resolv.conf=nameserver 127.0.0.1",
    ];
    check(
        &options,
        "cat /etc/narrowgate/skills/policy_advisor.md; echo; cat /etc/resolv.conf",
        "skill\nnameserver 127.0.0.1",
    );
    // What else is in the directory is shown, with what is below it.
    let count =
        fs::read_dir("/etc").unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "resolv.conf").count();
    check(&options, "ls -A /etc | grep -cv -e '^narrowgate$' -e '^resolv.conf$'", &count.to_string());
    check(
        &options,
        "cmp /etc/passwd /proc/self/cwd/etc/passwd && ls /etc/ssl/certs >/dev/null && readlink /etc/mtab",
        "/proc/mounts",
    );
    assert!(!fs::exists("/etc/narrowgate").unwrap());
    assert_ne!(fs::read("/etc/resolv.conf").unwrap_or_default(), b"nameserver 127.0.0.1");
}

#[test]
fn placed_files_cannot_be_changed() {
    let options =
        ["--place", "/etc/narrowgate/x=placed", "--place", "/etc/hosts=hosts", "--place", "/run/narrowgate/y=run"];
    for path in ["/etc/narrowgate/x", "/etc/hosts", "/run/narrowgate/y"] {
        let script = format!(
            "for try in 'echo x > {path}' 'rm -f {path}' 'mv /etc/passwd {path}' 'chmod 777 {path}' 'ln -sf /x {path}'; do \
             sh -c \"$try\" 2>/dev/null </dev/null && echo \"$try\"; done; test -s {path} && echo kept"
        );
        check(&options, &script, "kept");
    }
}

#[test]
fn files_are_placed_where_others_are_and_over_links() {
    let directory = shared_directory();
    let (path, outside) = (directory.path().display().to_string(), directory.path().join("outside"));
    fs::write(&outside, "outside").unwrap();
    fs::write(directory.path().join("taken"), "taken").unwrap();
    std::os::unix::fs::symlink("outside", directory.path().join("link")).unwrap();
    // In this order the second and third find a directory that was replaced already.
    let [new, taken, link] = ["new", "taken", "link"].map(|name| format!("{path}/{name}={name}-inside"));
    let options = ["--place", &new, "--place", &taken, "--place", &link];
    let script = format!("cd {path}; for f in new taken link outside; do cat $f; echo; done");
    check(&options, &script, "new-inside\ntaken-inside\nlink-inside\noutside");
    assert_eq!(fs::read(&outside).unwrap(), b"outside");
    for user in users() {
        let output = run(user, &["--place", "relative=x"], &["true"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8_lossy(&output.stderr).contains("has to be absolute"));
    }
}

#[test]
fn hidden_files_are_not_seen() {
    let directory = shared_directory();
    let path = directory.path().display().to_string();
    fs::write(directory.path().join("token"), "secret").unwrap();
    fs::set_permissions(directory.path().join("token"), PermissionsExt::from_mode(0o666)).unwrap();
    check(&["--hide", &path], &format!("ls -A {path}; touch {path}/x 2>/dev/null; echo $?"), "1");
    let token = format!("{path}/token");
    check(&["--hide", &token], &format!("cat {token} 2>/dev/null; echo x 2>/dev/null > {token}; ls {path}"), "token");
    assert_eq!(fs::read(&token).unwrap(), b"secret");
    // Not by the working directory that was inherited, either.
    for user in users() {
        let output = probe(user, &["--hide", &path]).current_dir(&path).args(["sh", "-c", "cat token; ls -A"]).output();
        assert_eq!(output.unwrap().stdout, b"", "{user:?}");
        let output = run(user, &["--hide", "/no/such/path"], &["true"]);
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8_lossy(&output.stderr).contains("what is not there cannot be covered"));
    }
}

#[test]
fn socket_files_of_the_machine_are_covered() {
    let directory = shared_directory();
    // A space is no end of a path.
    let path = directory.path().join("agent socket");
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let connect = |path: &str| {
        format!(
            "perl -e 'use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
             print connect($s, sockaddr_un(qq({path}))) ? qq(connected) : $!'"
        )
    };
    check(&[], &connect(path.to_str().unwrap()), "Permission denied");
    // Nor that it was bound by a relative path, or in another network, as those of other sandboxes are.
    let listen = "perl -e 'use IO::Socket::UNIX; my $l = IO::Socket::UNIX->new(Local => q(PATH), Listen => 1) or die $!; \
                  chmod 0777, q(PATH); $| = 1; print qq(ready\\n); <STDIN>'";
    for user in users() {
        for (name, mut command) in [("relative", program(user, "env")), ("elsewhere", probe(user, &[]))] {
            let full = directory.path().join(name).display().to_string();
            let bound = if name == "relative" { name } else { &full };
            command.args(["sh", "-c", &listen.replace("PATH", bound)]).current_dir(directory.path());
            let mut child = Killed(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
            check_as(user, &[], &connect(&full), "Permission denied");
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
            fs::remove_file(&full).unwrap();
        }
    }
    // One that the command makes itself is its own.
    // Each run by another name: what one leaves is outside to the next.
    let own = format!("{}/own-$ARGV[0]", directory.path().display());
    let script = format!(
        "perl -e 'use IO::Socket::UNIX; unlink qq({own}); my $l = IO::Socket::UNIX->new(Local => qq({own}), Listen => 1) \
         or die $!; print IO::Socket::UNIX->new(Peer => qq({own})) ? 1 : $!' $(id -u)"
    );
    check(&[], &script, "1");
}

#[test]
fn run_is_empty_and_dev_is_small() {
    check(
        &[],
        "ls -A /run; ls /dev | tr '\\n' ' '",
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
    );
    check(
        &[],
        "head -c 3 /dev/zero | wc -c; echo x > /dev/null; touch /dev/shm/x /dev/x 2>/dev/null; ls /dev/shm",
        "3\nx",
    );
    check(&["--env", "XDG_RUNTIME_DIR=/run/user/7"], "touch /run/user/7/x && ls /run/user/7", "x");
    // A terminal of its own can be made.
    check(&[], "script -qec 'test -t 0 && echo tty' /dev/null | tr -d '\\r'", "tty");
}

#[test]
fn the_machines_settings_cannot_be_written() {
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger \
                  /sys/kernel/mm/ksm/run /sys/power/state; do test -e $f && (echo x > $f) 2>/dev/null && echo wrote $f; done; \
                  (echo 0 > /proc/self/oom_score_adj) 2>/dev/null && echo wrote its own; \
                  sleep 9 & (echo x > /proc/$!/mem) 2>/dev/null && echo wrote memory; true";
    check(&[], script, "");
    let mounts = "awk '$2 ~ \"^/(sys|proc/)\" && $4 !~ \"^ro\"' /proc/mounts";
    check(&[], mounts, "");
    // The machine's own lies below it.
    check(&[], "awk '$2 == \"/proc\" { last = $4 } END { print substr(last, 1, 2) }' /proc/mounts", "ro");
}

#[test]
fn device_nodes_among_the_machines_files_open_nothing() {
    let directory = shared_directory();
    let path = directory.path().join("zero");
    // Only root can make one; for everybody else there is no way to have any.
    let made = Command::new("mknod").args(["-m", "666"]).arg(&path).args(["c", "1", "5"]).output().unwrap();
    assert_eq!(made.status.success(), rustix::process::geteuid().is_root());
    let script = format!("head -c 1 {} 2>/dev/null | wc -c", path.display());
    check(&[], &script, "0");
    check(&[], "head -c 1 /dev/zero | wc -c", "1");
}

#[test]
fn only_its_own_processes_are_in_proc() {
    check(&[], "set -- /proc/[0-9]*; echo $#; cat /proc/1/comm", "2\nexe");
}

#[test]
fn mounts_do_not_reach_the_machine() {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    check(&["--place", "/etc/narrowgate/x=y"], "true", "");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count(), before);
}

#[test]
fn a_filesystem_policy_is_enforced() {
    let directory = shared_directory();
    let path = directory.path();
    for name in ["read", "write", "neither"] {
        fs::create_dir(path.join(name)).unwrap();
        fs::write(path.join(name).join("file"), name).unwrap();
        fs::set_permissions(path.join(name), PermissionsExt::from_mode(0o777)).unwrap();
        fs::set_permissions(path.join(name).join("file"), PermissionsExt::from_mode(0o666)).unwrap();
    }
    let [read, write, neither] = ["read", "write", "neither"].map(|name| path.join(name).display().to_string());
    let system = ["--read", "/usr", "--read", "/lib", "--read", "/lib64", "--read", "/bin", "--read", "/no/such/path"];
    let policy = ["--read", &read, "--write", &write, "--write", "/dev/null", "--place", "/etc/narrowgate/x=placed"];
    let options = [system.as_slice(), policy.as_slice()].concat();
    let script = format!(
        "exec 2>/dev/null; try() {{ sh -c \"$1\" </dev/null && echo yes || echo no; }}; \
         try 'test \"$(cat {read}/file)\" = read'; try 'echo x > {read}/file'; try 'touch {read}/new'; \
         try 'test \"$(cat {write}/file)\" = write'; try 'echo x > {write}/new; mkdir {write}/d; rm {write}/new; rmdir {write}/d'; \
         try 'cat {neither}/file'; try 'echo x > {neither}/file'; try 'ls {neither}'; \
         try 'mv {write}/file {neither}/moved'; try 'ln {neither}/file {write}/linked'; \
         try 'cat /etc/passwd'; try 'cat /proc/self/status'; try 'test \"$(cat /etc/narrowgate/x)\" = placed'; \
         try 'echo > /dev/null'"
    );
    check(&options, &script, "yes\nno\nno\nyes\nyes\nno\nno\nno\nno\nno\nno\nno\nyes\nyes");
    assert_eq!(fs::read(path.join("neither/file")).unwrap(), b"neither");
    // The working directory, where it is asked for.
    for user in users() {
        let output = probe(user, &[options.as_slice(), &["--workdir"]].concat())
            .current_dir(path.join("neither"))
            .args(["sh", "-c", "cat file; touch made && rm made && echo ' made'"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "neither made\n", "{user:?}");
        // A program that cannot be read cannot be run.
        assert_eq!(run(user, &["--read", &read], &["true"]).status.code(), Some(126), "{user:?}");
    }
}

/// Modes, owners, times: no right of Landlock's.
#[test]
fn nothing_is_changed_where_a_filesystem_policy_lets_nothing_be_written() {
    let directory = shared_directory();
    let path = directory.path();
    for user in users() {
        let own = path.join(format!("{user:?}"));
        let places = ["read", "write", "neither"].map(|name| own.join(name));
        for place in &places {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("file"), "").unwrap();
            if user == User::Nobody {
                [place, &place.join("file")]
                    .into_iter()
                    .for_each(|path| chown(path, Some(65534), Some(65534)).unwrap());
            }
        }
        let [read, write, neither] = places.map(|place| place.display().to_string());
        let tools = ["--read", "/usr", "--read", "/lib", "--read", "/lib64", "--read", "/bin"];
        let options = [tools.as_slice(), &["--read", &read, "--write", &write]].concat();
        let script = format!(
            "for at in {read} {write} {neither}; do for change in 'chgrp GROUP' 'chmod 700' 'touch -c -d 2001-01-01'; do \
             $change $at/file 2>&- && echo yes || echo no; done; done"
        )
        .replace("GROUP", if user == User::Nobody { "65534" } else { "0" });
        check_as(user, &options, &script, "no\nno\nno\nyes\nyes\nyes\nno\nno\nno");
        let mode = |place: &str| fs::metadata(format!("{place}/file")).unwrap().permissions().mode() & 0o7777;
        assert_eq!([&read, &write, &neither].map(|place| mode(place)), [0o644, 0o700, 0o644], "{user:?}");
        // All files, and a working directory, where that is what it says.
        let everything = [tools.as_slice(), &["--write", "/"]].concat();
        check_as(user, &everything, &format!("chmod 640 {neither}/file && echo yes"), "yes");
        let output = probe(user, &[tools.as_slice(), &["--workdir"]].concat())
            .current_dir(&neither)
            .args(["sh", "-c", "chmod 600 file && echo yes"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "yes\n", "{user:?}");
    }
}

/// A working directory that is gone is nothing, and not the root in its place.
#[test]
fn a_working_directory_that_is_gone_lets_nothing_be_written() {
    let directory = shared_directory();
    let victim = directory.path().join("victim");
    fs::write(&victim, "").unwrap();
    fs::set_permissions(&victim, PermissionsExt::from_mode(0o666)).unwrap();
    for user in users() {
        let gone = directory.path().join("gone");
        fs::create_dir(&gone).unwrap();
        let supervisor =
            probe(user, &["--read", "/usr", "--read", "/lib", "--read", "/lib64", "--read", "/bin", "--workdir"]);
        let script = format!("pwd; echo x 2>&- > {} || echo no", victim.display());
        let words = std::iter::once(supervisor.get_program()).chain(supervisor.get_args());
        let mut command = Command::new("sh");
        command.args(["-c", "cd $0 && rmdir $0 && exec \"$@\""]).arg(&gone).args(words).args(["sh", "-c", &script]);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "/\nno\n", "{user:?}: {output:?}");
        assert_eq!(fs::read(&victim).unwrap(), b"");
    }
}

/// What a command could turn elsewhere means something else to the next run.
#[test]
fn a_policy_of_files_is_not_followed_through_links_that_a_command_could_make() {
    for user in users() {
        let directory = shared_directory();
        let path = directory.path();
        let owner = if user == User::Nobody { Some(65534) } else { None };
        for name in ["proj", "proj/sub", "proj/sub/cache", "secret", "elsewhere"] {
            fs::create_dir(path.join(name)).unwrap();
            chown(path.join(name), owner, owner).unwrap();
        }
        fs::write(path.join("secret/key"), "TOPSECRET").unwrap();
        std::os::unix::fs::symlink(path.join("proj"), path.join("link")).unwrap();
        let [proj, cache, link] =
            ["proj", "proj/sub/cache", "link/sub/cache"].map(|name| path.join(name).display().to_string());
        let tools = ["--read", "/usr", "--read", "/lib", "--read", "/lib64", "--read", "/bin"];
        let script = format!(
            "cat {0}/../../../secret/key {0}/key 2>&-; cd {proj} && mv sub sub0 && mkdir sub && ln -s ../../secret sub/cache && echo turned",
            cache
        );
        // A link of the machine's own is followed.
        let first =
            run(user, &[tools.as_slice(), &["--write", &proj, "--write", &link]].concat(), &["sh", "-c", &script]);
        assert_eq!(String::from_utf8_lossy(&first.stdout), "turned\n", "{user:?}: {first:?}");
        for (kind, name) in [("--write", &cache), ("--read", &cache), ("--read", &link)] {
            let policy = [tools.as_slice(), &["--write", &proj, kind, name]].concat();
            let output = run(user, &policy, &["cat", &format!("{name}/key")]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(125) && output.stdout.is_empty(), "{user:?}: {output:?}");
            assert!(said.contains(name.as_str()) && said.contains("proj/sub/cache"), "{said}");
        }
    }
}
