//! The `narrowgate` program as a process, to be started, asked and killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// The binary of this build. Where the tests of this package alone are built, it is built first.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("this program's path");
        let profile = own.ancestors().nth(2).expect("target/PROFILE/deps/test");
        let binary = profile.join("narrowgate");
        // `cargo test --workspace` has built it together with this test.
        if !binary.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            // As a test's dependency: with the features that tests have, so that nothing is built twice.
            let built = Command::new(cargo)
                .args(["test", "--workspace", "--test", "exit_codes", "--no-run"])
                .current_dir(root)
                .status();
            assert!(built.is_ok_and(|status| status.success()), "narrowgate does not build");
        }
        binary
    })
}

/// A running `narrowgate`, killed when dropped.
pub struct Program {
    child: Child,
}

impl Program {
    /// Starts it with `args`; what it prints goes to `log`.
    pub fn start(args: &[&str], log: &Path) -> Program {
        let file = fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let child = Command::new(binary())
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("narrowgate starts");
        Program { child }
    }

    /// Runs it to its end.
    pub fn run(args: &[&str]) -> Output {
        Command::new(binary()).args(args).stdin(Stdio::null()).output().expect("narrowgate runs")
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// Waits until something listens at `addr`.
    pub fn listens(&mut self, addr: std::net::SocketAddr) {
        let start = Instant::now();
        while std::net::TcpStream::connect(addr).is_err() {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("narrowgate ended ({status}) before it listened at {addr}");
            }
            assert!(start.elapsed() < Duration::from_secs(20), "nothing listens at {addr}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
