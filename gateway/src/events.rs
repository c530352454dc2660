//! Following what happens. Events are rows that the schema's triggers write with every change of state, so a reader is
//! at a place in a table and nothing is kept for it: one that stops reading is dropped, and goes on from where it was.
//! At least once, in the order of the changes.

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::events::Gap;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::failure::Failure;
use crate::service::Service;
use crate::store::{Behind, EventRow};

/// How many readers there may be.
pub(crate) const MOST_FOLLOWERS: usize = 64;
/// How many events are on their way to one reader.
const ON_THEIR_WAY: usize = 64;
/// For how long a reader may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// A look without a change: in case one was announced before it was stored by somebody who forgot.
const LOOKS: Duration = Duration::from_secs(60);

/// What a reader is sent.
pub(crate) enum Sent {
    Event(EventRow),
    Gap(Gap),
}

impl Service {
    /// Events after `after`, or from now on; `None` where so many follow already. Ends with the gateway, and with a
    /// reader that does not read.
    pub(crate) async fn follow(self: &Arc<Self>, after: Option<u64>) -> Result<Option<mpsc::Receiver<Sent>>, Failure> {
        let Ok(room) = Arc::clone(&self.followers).try_acquire_owned() else { return Ok(None) };
        let newest = self.store.newest_event().await?;
        // A number from another database, or from the future, is no place here.
        let after = after.map_or(newest, |after| after.min(newest));
        let (sender, receiver) = mpsc::channel(ON_THEIR_WAY);
        let service = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                ended = service.send_events(after, &sender) => {
                    if let Err(failure) = ended {
                        tracing::warn!(%failure, "events ended for a reader");
                    }
                }
                () = sender.closed() => {}
                () = service.closing.cancelled() => {}
            }
            drop(room);
        });
        Ok(Some(receiver))
    }

    async fn send_events(&self, mut after: u64, sender: &mpsc::Sender<Sent>) -> Result<(), Failure> {
        let mut changes = self.changes.subscribe();
        let mut told = 0;
        loop {
            changes.borrow_and_update();
            let Behind { gone, events } = self.store.events_after(after, 100).await?;
            // Those that are kept follow, whatever is missing between them: so the place alone does not say what this
            // reader was told of already.
            if gone > after.max(told) {
                if !sent(sender, Sent::Gap(Gap { after, oldest: gone + 1 }), PATIENCE).await {
                    return Ok(());
                }
                told = gone;
            }
            let more = events.len() == 100;
            for event in events {
                after = event.seq();
                if !sent(sender, Sent::Event(event), PATIENCE).await {
                    return Ok(());
                }
            }
            if !more {
                self.next_change(&mut changes, Instant::now() + LOOKS).await;
            }
        }
    }
}

/// `false` where the reader is gone, or does not read.
async fn sent(sender: &mpsc::Sender<Sent>, event: Sent, patience: Duration) -> bool {
    matches!(timeout(patience, sender.send(event)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_does_not_read_is_dropped() {
        let (sender, receiver) = mpsc::channel(1);
        let gap = || Sent::Gap(Gap { after: 0, oldest: 1 });
        let patience = Duration::from_millis(20);
        assert!(sent(&sender, gap(), patience).await, "there is room for one");
        assert!(!sent(&sender, gap(), patience).await, "and for no more until it is read");
        drop(receiver);
        assert!(!sent(&sender, gap(), Duration::MAX).await, "nobody is there");
    }
}
