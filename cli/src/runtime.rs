//! The async runtime, the log, and the two signals that end a service.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::exit::{Ended, Exit, Failure};

/// Runs a verb's async part on a runtime of its own.
pub(crate) fn block_on(future: impl Future<Output = Ended>) -> Ended {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::undecided(format!("could not start the runtime: {error}")))?
        .block_on(future)
}

/// Sends log lines to standard error: what `NARROWGATE_LOG` asks for (`info`, `narrowgate_proxy=debug`), else `fallback`.
pub(crate) fn log(fallback: &str) {
    let filter = EnvFilter::try_from_env("NARROWGATE_LOG").unwrap_or_else(|_| EnvFilter::new(fallback));
    // A second call in one process changes nothing, and that is fine.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true).try_init();
}

/// The two signals that end a service, caught from here on. A service listens before it says that it is up: whoever
/// reads that may stop it at once, and it must end in good order then.
pub(crate) struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    /// Starts to catch them.
    pub(crate) fn listen() -> Result<Stop, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::undecided(format!("could not listen for signals: {error}")));
        Ok(Stop { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM (a service manager: done) or SIGINT (a person: interrupted).
    pub(crate) async fn signalled(mut self) -> Exit {
        tokio::select! {
            _ = self.term.recv() => Exit::Done,
            _ = self.int.recv() => Exit::Interrupted,
        }
    }
}
