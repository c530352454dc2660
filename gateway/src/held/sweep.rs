//! Deadlines that pass while nobody looks: reviewers and proxies are told at once all the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock;
use crate::failure::Failure;
use crate::service::Service;

/// How long at most between two looks; the wall clock may be set.
const LOOKS: Duration = Duration::from_secs(60);

/// Ends what nobody answered in time, until the gateway ends.
pub(crate) async fn sweep(service: Arc<Service>) {
    let mut changes = service.changes.subscribe();
    loop {
        changes.borrow_and_update();
        let rest = match service.next_deadline().await {
            Ok(next) => next.map_or(LOOKS, |at| clock::until(at).min(LOOKS)),
            Err(failure) => {
                tracing::warn!(%failure, "could not look for held requests that timed out");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = sleep(rest) => {}
            _ = changes.changed() => {}
            () = service.closing.cancelled() => return,
        }
    }
}

impl Service {
    /// Ends what nobody answered in time.
    pub(super) async fn time_out_held(&self) -> Result<(), Failure> {
        let now = clock::now();
        // Looked at first: an update takes the write lock, also where there is nothing to change.
        if self.store.next_held_deadline().await?.is_none_or(|at| at > now) {
            return Ok(());
        }
        let ended = self.store.time_out_held(now).await?;
        if ended > 0 {
            self.changed();
            tracing::info!(requests = ended, "held requests timed out");
        }
        Ok(())
    }

    async fn next_deadline(&self) -> Result<Option<i64>, Failure> {
        self.time_out_held().await?;
        Ok(self.store.next_held_deadline().await?)
    }
}
