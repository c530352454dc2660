//! Telling the gateway which run of this proxy goes on: what was granted for a run ends with it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use narrowgate_core::held::Session;
use tokio::time::{sleep, timeout};

use super::Held;
use crate::ClientError;
use crate::shared::{Shared, id};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// The same while it is busy.
const AGAIN: Duration = Duration::from_millis(150);
/// A proxy that starts or stops does not wait for a gateway that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// The gateway's code for a session that is over.
pub(super) const SESSION_ENDED: &str = "session_ended";

/// This run of the proxy, for the gateway: what is granted for the session ends with it.
#[derive(Debug)]
pub(super) struct Own {
    name: String,
    /// Whether this proxy may say that its session is the one that runs, which ends those of others.
    in_charge: bool,
}

impl Own {
    pub(super) fn new() -> Own {
        Own { name: id("s_"), in_charge: true }
    }
}

impl Held {
    /// The session that questions are asked in.
    pub(crate) fn session(&self) -> String {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).name.clone()
    }

    /// The session to announce; `None` where that would end the one of a proxy that announced itself later.
    fn announced(&self) -> Option<String> {
        let own = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        own.in_charge.then(|| own.name.clone())
    }

    /// Goes on in a new session, since the gateway says that `ended` is over.
    ///
    /// INVARIANT: the new one is never announced. Another proxy of the sandbox was later to say that its session runs, and
    /// it stays so: two that ended each other's sessions in turn would leave neither with an answer.
    pub(super) fn renew(&self, ended: &str) {
        let mut own = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if own.name != ended {
            return;
        }
        *own = Own { name: id("s_"), in_charge: false };
        tracing::warn!(
            "the session {ended} was ended, most likely by another proxy of this sandbox; this one goes on asking as {}",
            own.name
        );
    }
}

/// Announces the session once, if the gateway is there: what was granted for the one before is then not taken up again.
/// Whether it was.
pub(crate) async fn announce(shared: &Shared) -> bool {
    match said(shared, &Session::running(shared.held.session())).await {
        Some(Ok(())) => return true,
        Some(Err(e)) => tracing::debug!("the session is not announced: {e}"),
        None => tracing::info!("the gateway is not told in time that a session begins; it is told later"),
    }
    false
}

/// Announces the session unless it was `announced`, and again whenever the gateway was away: the same one again changes
/// nothing there. Ends where another proxy is in charge.
pub(crate) async fn begin(shared: Arc<Shared>, announced: bool) {
    let announce = async {
        if announced {
            shared.held.reconnected.notified().await;
        }
        while let Some(name) = shared.held.announced() {
            let session = Session::running(name.as_str());
            match shared.gateway.put(&path(&shared), &session).await {
                Err(e) if e.is_transient() => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(ClientError::Status { code, .. }) if code == SESSION_ENDED => return shared.held.renew(&name),
                // A gateway that knows of no sessions has no grants for one.
                Err(e) => tracing::debug!("the session is not announced: {e}"),
                Ok(()) => {}
            }
            shared.held.reconnected.notified().await;
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = announce => {}
        () = shared.stop.cancelled() => {}
    }
}

/// Ends it, with all that waits in it: another proxy may have begun the next one already.
pub(crate) async fn end(shared: &Shared) {
    match said(shared, &Session::over(shared.held.session())).await {
        Some(Ok(())) => {}
        Some(Err(e)) => tracing::warn!("the gateway does not take the end of the session: {e}"),
        None => tracing::warn!("the gateway is not told in time that the session ends; the next one tells it"),
    }
}

/// Says it, again where the gateway was busy; `None` where the time for that is over.
async fn said(shared: &Shared, session: &Session) -> Option<Result<(), ClientError>> {
    let say = async {
        loop {
            match shared.gateway.put(&path(shared), session).await {
                Err(ClientError::Status { status: 503, .. }) => sleep(AGAIN).await,
                other => return other,
            }
        }
    };
    timeout(PATIENCE, say).await.ok()
}

fn path(shared: &Shared) -> String {
    format!("/v1/sandboxes/{}/session", shared.sandbox)
}
