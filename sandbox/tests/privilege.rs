//! What there is where the kernel does not let everybody have namespaces. Each case is in a user namespace of its own,
//! whose limit counts there only.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::process::{Command, Output};

/// The probe, by a user of a namespace in which there can be no other.
fn without_user_namespaces(as_whom: &[&str], command: &[&str]) -> Output {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.arg("--user").args(as_whom).args(["sh", "-c", script, "sh", common::PROBE, "--lacks", "--"]);
    unshare.args(command).current_dir("/").output().unwrap()
}

#[test]
fn root_does_without_a_user_namespace_and_says_so() {
    let script = "grep -c '^Cap.*0000000000000000$' /proc/self/status; tail -n +3 /proc/net/dev | cut -d: -f1; exit 6";
    let output = without_user_namespaces(&["--map-root-user"], &["sh", "-c", script]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).replace(' ', ""), "5\nlo\n");
    assert!(said.contains("lacks: no user namespace"), "{said}");
}

#[test]
fn others_are_told_what_to_set() {
    let output = without_user_namespaces(&["--map-user=1234", "--map-group=1234", "--keep-caps"], &["true"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("cannot create a user namespace"), "{said}");
    assert!(said.contains("set the sysctl user.max_user_namespaces above 0"), "{said}");
}

#[test]
fn a_sandbox_makes_no_sandbox() {
    for user in common::users() {
        let output = common::run(user, &[], &[common::PROBE, "--", "true"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("cannot create "), "{said}");
    }
}
