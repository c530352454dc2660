//! The SMT solver of the prover's second engine.
//!
//! Debian's cvc5 is what the tests run with: it is a program, it starts in milliseconds, and on the prover's questions
//! it is the quicker of the two. Where packages cannot be installed, PyPI has a later cvc5 as a library; a loop around
//! it (`cvc5.py`) makes it a solver.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::{process, setup};

/// What is installed from PyPI.
const LIBRARY: &str = "cvc5==1.3.1";
const LOOP: &str = include_str!("cvc5.py");

/// Says which solver there is, or installs one.
pub(crate) fn ensure() -> Result<(), String> {
    if let Some(given) = env::var_os("NARROWGATE_SOLVER") {
        let given = PathBuf::from(given);
        return solves(&given).map(|()| found(&given)).map_err(|why| format!("NARROWGATE_SOLVER: {why}"));
    }
    let installed = folder()?.join("bin/cvc5");
    for program in [Path::new("cvc5"), &installed] {
        if solves(program).is_ok() {
            found(program);
            return Ok(());
        }
    }
    println!("xtask: cvc5 is missing (the SMT solver of the prover's second engine)");
    let debian = from_debian();
    let by_hand = "install cvc5 and run this again, or set NARROWGATE_SOLVER to an SMT solver with cvc5's options";
    debian.or_else(|why| {
        println!("xtask: not from Debian's packages ({why}); trying PyPI's {LIBRARY}");
        from_pypi(&installed).map_err(|also| format!("no SMT solver: {why}; {also}; {by_hand}"))
    })
}

fn from_debian() -> Result<(), String> {
    if !process::succeeds("apt-get", &["--version"]) {
        return Err("there is no apt-get here".to_owned());
    }
    let prefix = setup::privilege().ok_or("installing packages needs root")?;
    setup::apt(prefix, &["update"])?;
    setup::apt(prefix, &["install", "--yes", "--no-install-recommends", "cvc5"])?;
    let program = Path::new("cvc5");
    solves(program).map(|()| found(program))
}

/// The library in a virtual environment of its own, and the loop that runs on it.
fn from_pypi(program: &Path) -> Result<(), String> {
    let folder = folder()?;
    let (environment, bin) = (folder.join("cvc5-1.3.1"), folder.join("bin"));
    let named = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(&bin).map_err(|error| named(&bin, error))?;
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    process::run(make)?;
    let python = environment.join("bin/python3");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", LIBRARY]);
    process::run(install)?;
    let around = environment.join("cvc5.py");
    fs::write(&around, LOOP).map_err(|error| named(&around, error))?;
    // Isolated: neither the caller's variables nor its folder change what is imported.
    let script = format!("#!/bin/sh\nexec '{}' -I '{}' \"$@\"\n", python.display(), around.display());
    fs::write(program, script).map_err(|error| named(program, error))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).map_err(|error| named(program, error))?;
    solves(program).map(|()| found(program))
}

/// Where tools are kept: in the user's data directory, where `narrowgate` looks too.
fn folder() -> Result<PathBuf, String> {
    let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".local/share"));
    let data = data.or_else(home).ok_or("neither XDG_DATA_HOME nor HOME is set, so there is no place for tools")?;
    Ok(data.join("narrowgate/tools"))
}

fn found(program: &Path) {
    println!("xtask: SMT solver: {}", program.display());
}

/// Whether a program answers two questions about strings as it must.
fn solves(program: &Path) -> Result<(), String> {
    let named = |why: &str| format!("{} is no SMT solver that can be used: {why}", program.display());
    let mut child = Command::new(program)
        .args(["--lang=smt2", "--strings-exp", "--tlimit-per=5000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| named(&error.to_string()))?;
    let question = "(set-logic ALL)(declare-const s String)(assert (str.in_re s (re.+ (re.range \"a\" \"z\"))))";
    let script = format!("{question}\n(check-sat)\n(reset)\n{question}(assert (= s \"A\"))\n(check-sat)\n(exit)\n");
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).map_err(|error| named(&error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| named(&error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<&str> = said.split_whitespace().collect();
    if answers == ["sat", "unsat"] { Ok(()) } else { Err(named(&format!("it answers {said:?}"))) }
}
