//! Where the SMT solver is: `NARROWGATE_SOLVER`, `cvc5` on the `PATH`, or what `cargo xtask tools` installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use narrowgate_prover::Solver;

use crate::exit::Failure;

/// How a person gets one.
pub(crate) const HOW: &str =
    "install cvc5 with `cargo xtask tools` or `apt install cvc5`, or set NARROWGATE_SOLVER to its path";

/// The solver to use, if there is one.
///
/// # Errors
/// A `NARROWGATE_SOLVER` that is no program: whoever sets it should not get another one in silence.
pub(crate) fn find() -> Result<Option<Solver>, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(given) = variable("NARROWGATE_SOLVER") {
        let path = PathBuf::from(&given);
        if path.components().count() > 1 && !is_program(&path) {
            let shown = path.display();
            return Err(Failure::invalid(format!(
                "NARROWGATE_SOLVER {shown}: expected the path of an SMT solver's program"
            )));
        }
        return Ok(Some(Solver::new(path)));
    }
    let on_path = variable("PATH").and_then(|path| in_path(&path));
    let installed =
        || tools(variable("XDG_DATA_HOME").as_deref(), variable("HOME").as_deref()).filter(|path| is_program(path));
    Ok(on_path.or_else(installed).map(Solver::new))
}

/// For those who start a gateway: what proves there.
pub(crate) fn engines(solver: Option<&Solver>) -> String {
    match solver {
        Some(solver) => format!("exact engine, then the SMT engine with {}", solver.program.display()),
        None => format!("exact engine alone; for the SMT engine, {HOW}"),
    }
}

fn in_path(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join("cvc5")).find(|program| is_program(program))
}

/// Where `cargo xtask tools` puts it: in the user's data directory.
fn tools(data: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    // A relative XDG_DATA_HOME is to be ignored, its specification says.
    let data = data.map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(Path::new(home?).join(".local/share")))?;
    Some(data.join("narrowgate/tools/bin/cvc5"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_in_the_users_data_directory() {
        let at = |data: Option<&str>, home: Option<&str>| {
            tools(data.map(OsStr::new), home.map(OsStr::new)).map(|path| path.display().to_string())
        };
        let cases = [
            (Some("/d"), Some("/h"), Some("/d/narrowgate/tools/bin/cvc5")),
            (None, Some("/h"), Some("/h/.local/share/narrowgate/tools/bin/cvc5")),
            (Some("d"), Some("/h"), Some("/h/.local/share/narrowgate/tools/bin/cvc5")),
            (None, None, None),
        ];
        for (data, home, expect) in cases {
            assert_eq!(at(data, home).as_deref(), expect, "{data:?} {home:?}");
        }
    }

    #[test]
    fn only_a_program_is_a_solver() {
        assert_eq!(in_path(OsStr::new("/dev:/proc/self")), None);
        assert!(is_program(Path::new("/bin/sh")));
        assert!(!is_program(Path::new("/etc/passwd")) && !is_program(Path::new("/")));
    }
}
