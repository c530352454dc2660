//! Runs commands in sandboxes, as whoever runs the tests, and where that is root as nobody as well.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Child, Command, Output};

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_sandbox-probe");

/// Who a sandbox is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Current,
    Nobody,
}

/// The users that this machine lets us be.
pub(crate) fn users() -> Vec<User> {
    if rustix::process::geteuid().is_root() { vec![User::Current, User::Nobody] } else { vec![User::Current] }
}

/// A program as a user.
pub(crate) fn program(user: User, name: &str) -> Command {
    match user {
        User::Current => Command::new(name),
        User::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", name]);
            command
        }
    }
}

/// The supervisor with its options, as a user; the command is to be added.
pub(crate) fn probe(user: User, options: &[&str]) -> Command {
    let mut command = program(user, PROBE);
    command.args(options).arg("--").current_dir("/");
    command
}

pub(crate) fn run(user: User, options: &[&str], command: &[&str]) -> Output {
    probe(user, options).args(command).output().unwrap()
}

/// What a shell script said inside, as each user, after its end with code 0.
#[track_caller]
pub(crate) fn check(options: &[&str], script: &str, expect: &str) {
    users().into_iter().for_each(|user| check_as(user, options, script, expect));
}

/// The same as one user.
#[track_caller]
pub(crate) fn check_as(user: User, options: &[&str], script: &str, expect: &str) {
    let output = run(user, options, &["sh", "-c", script]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout.trim_end(), expect.trim_end(), "{user:?}: {script}\n{stderr}");
    assert_eq!(output.status.code(), Some(0), "{user:?}: {script}\n{stderr}");
}

/// A directory that every user can reach and write in, which goes when it is dropped.
pub(crate) fn shared_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

/// The processes whose command line, with a space between words, holds a text.
pub(crate) fn processes(text: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let holds = |path: &PathBuf| {
        std::fs::read(path.join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
    };
    entries.filter(|path| path.join("cmdline").exists()).filter(holds).collect()
}

/// A child that does not outlive its test, whatever becomes of that.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Deref for Killed {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}
