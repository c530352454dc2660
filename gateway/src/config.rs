//! What the operator chooses.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use narrowgate_core::credentials::Credentials;

use narrowgate_plugins::Plugins;
use narrowgate_prover::Solver;

/// How a gateway is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens. Without TLS only a loopback address is accepted.
    pub listen: SocketAddr,
    /// `narrowgate.db`, `signing.key`, `keys.json`, `reviewer.token` and `admin.token` are in it; it is made where missing.
    pub data_dir: PathBuf,
    /// The ceiling's text and the file it is from; without one everything is inside.
    pub ceiling: Option<(String, String)>,
    /// Who decides.
    pub mode: Mode,
    /// For which hosts sandboxes are given credentials: a proposal that would put one at risk is noted.
    pub credentials: Credentials,
    /// In mode auto, how long what is applied without a person lasts.
    pub lease: Duration,
    /// Certificate chain and private key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What gives policies and the ceiling their words besides methods and paths.
    pub plugins: Plugins,
    /// The SMT solver for what the exact engine has no answer to; without one, that is not proven.
    pub solver: Option<Solver>,
}

impl Config {
    /// On `127.0.0.1:7070`, without ceiling, credentials or TLS; a person decides.
    pub fn new(data_dir: impl Into<PathBuf>) -> Config {
        Config {
            listen: (Ipv4Addr::LOCALHOST, 7070).into(),
            data_dir: data_dir.into(),
            ceiling: None,
            mode: Mode::Manual,
            credentials: Credentials::none(),
            lease: Duration::from_secs(60 * 60),
            tls: None,
            plugins: Plugins::none(),
            solver: None,
        }
    }
}

/// Who decides what is inside the ceiling. What is outside is refused in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A person.
    #[default]
    Manual,
    /// The ceiling's `@review("auto")` permits, where there is no finding; a person for everything else.
    Auto,
    /// Nobody: nothing can be applied.
    Locked,
}

impl Mode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Manual => "manual",
            Mode::Auto => "auto",
            Mode::Locked => "locked",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let mode = [Mode::Manual, Mode::Auto, Mode::Locked].into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| format!("{text:?} is not a mode; it is manual, auto or locked"))
    }
}
