//! Telling the gateway which run of this proxy goes on: what was granted for a run ends with it.

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::held::Session;
use tokio::time::{sleep, timeout};

use crate::shared::Shared;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// A proxy that starts or stops does not wait for a gateway that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Announces the session once, if the gateway is there: what was granted for the one before is then not taken up again.
pub(crate) async fn announce(shared: &Shared) {
    let session = Session::running(shared.held.session.as_str());
    match timeout(PATIENCE, shared.gateway.put(&path(shared), &session)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!("the session is not announced: {e}"),
        Err(_) => tracing::info!("the gateway is not told in time that a session begins; it is told later"),
    }
}

/// Announces the session, and again whenever the gateway was away: the same one again changes nothing there.
pub(crate) async fn begin(shared: Arc<Shared>) {
    let session = Session::running(shared.held.session.as_str());
    let announce = async {
        loop {
            match shared.gateway.put(&path(&shared), &session).await {
                Err(e) if e.is_transient() => {
                    sleep(PAUSE).await;
                    continue;
                }
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
    let over = Session::over(shared.held.session.as_str());
    match timeout(PATIENCE, shared.gateway.put(&path(shared), &over)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!("the end of the session is not told: {e}"),
        Err(_) => tracing::info!("the gateway is not told in time that the session ends; the next one tells it"),
    }
}

fn path(shared: &Shared) -> String {
    format!("/v1/sandboxes/{}/session", shared.sandbox)
}
