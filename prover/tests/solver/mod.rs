//! The SMT solver that the tests ask.

use std::path::PathBuf;

use narrowgate_prover::Solver;

/// `NARROWGATE_SOLVER`, `cvc5` on the `PATH`, or what `cargo xtask tools` installed.
pub(crate) fn solver() -> Solver {
    if let Some(given) = std::env::var_os("NARROWGATE_SOLVER") {
        return Solver::new(given);
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    let installed = data.unwrap_or_default().join("narrowgate/tools/bin/cvc5");
    Solver::new(if installed.is_file() { installed } else { "cvc5".into() })
}
