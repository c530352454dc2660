//! Telling the gateway what was denied, for those who review a sandbox whose agent says nothing.
//!
//! Denials are counted where they happen and told every few seconds: the first at once, and what is left when the proxy
//! stops. A report that was not answered is sent again under the same name, so that the gateway counts it once. While the
//! gateway is away the counts go on in bounded memory: of more different denials than are kept, the oldest are only
//! counted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use narrowgate_core::decide::Layer;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::observed::{MOST_IN_REPORT, ObservedDenial, ReportAnswer, ReportDenials, is_observed};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::shared::{Shared, id};
use crate::{ClientError, GatewayClient};

/// From one report to the next.
const PAUSE: Duration = Duration::from_secs(3);
/// The same while the gateway does not answer, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// For the last report, when the proxy stops.
const LAST: Duration = Duration::from_secs(2);
/// As many different denials are kept. Each has a few hundred bytes.
const KEPT: usize = 1024;

/// Denials that the gateway does not know of yet.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    counts: Mutex<Counts>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    denials: HashMap<What, ObservedDenial>,
    /// Their keys, those that were first seen longest ago first.
    order: VecDeque<What>,
    /// How many denials are no longer among them.
    dropped: u64,
}

/// What makes two denials the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct What {
    is_l4: bool,
    host: String,
    port: u16,
    binary: String,
    method: Option<String>,
    path: Option<String>,
    operations: String,
}

impl What {
    fn of(record: &DenialRecord) -> What {
        What {
            is_l4: record.layer == Layer::L4,
            host: record.host.clone(),
            port: record.port,
            binary: record.binary.clone(),
            method: record.method.clone(),
            path: record.path.clone(),
            operations: serde_json::to_string(&record.operations).unwrap_or_default(),
        }
    }
}

impl Untold {
    /// Counts a denial, if it is one that a rule could have prevented.
    pub(crate) fn count(&self, record: &DenialRecord) {
        // What could not be read has no destination or no path, and no rule could name it.
        let is_whole = record.layer == Layer::L4 || (record.method.is_some() && record.path.is_some());
        if !is_observed(record.reason) || record.host.is_empty() || !is_whole {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let what = What::of(record);
        if let Some(known) = counts.denials.get_mut(&what) {
            known.count += 1;
            known.reason = record.reason;
            known.last_seen.clone_from(&record.time);
            known.denial_id.clone_from(&record.denial_id);
            return;
        }
        if counts.denials.len() >= KEPT
            && let Some(oldest) = counts.order.pop_front()
            && let Some(gone) = counts.denials.remove(&oldest)
        {
            counts.dropped += gone.count;
        }
        counts.order.push_back(what.clone());
        counts.denials.insert(what, ObservedDenial::of(record));
        drop(counts);
        self.more.notify_one();
    }

    /// A report of the oldest of them, which are then no longer here; `None` where there is nothing to tell.
    fn take(&self) -> Option<ReportDenials> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.denials.is_empty() && counts.dropped == 0 {
            return None;
        }
        let some = counts.order.len().min(MOST_IN_REPORT);
        let keys: Vec<What> = counts.order.drain(..some).collect();
        let denials = keys.iter().filter_map(|what| counts.denials.remove(what)).collect();
        Some(ReportDenials { report: id("r_"), denials, dropped: std::mem::take(&mut counts.dropped) })
    }
}

/// Reports until the proxy stops, and once more then.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let (untold, stop) = (&shared.denials.untold, &shared.stop);
    let path = format!("/v1/sandboxes/{}/denials", shared.sandbox);
    let (mut unanswered, mut pause) = (None, PAUSE);
    loop {
        tokio::select! {
            () = untold.more.notified(), if unanswered.is_none() => {}
            () = std::future::ready(()), if unanswered.is_some() => {}
            () = stop.cancelled() => break,
        }
        // A proxy that stops does not wait for an answer.
        let sent = tokio::select! {
            sent = send(&shared.gateway, &path, untold, &mut unanswered) => sent,
            () = stop.cancelled() => break,
        };
        pause = if sent { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => break,
        }
    }
    // Best effort: the gateway may be the reason to stop.
    let _ = timeout(LAST, send(&shared.gateway, &path, untold, &mut unanswered)).await;
}

/// Sends all that there is to tell, the unanswered report first; `false` where the gateway does not answer.
async fn send(gateway: &GatewayClient, path: &str, untold: &Untold, unanswered: &mut Option<ReportDenials>) -> bool {
    loop {
        let Some(report) = unanswered.take().or_else(|| untold.take()) else { return true };
        // Kept here while it is under way, so that whoever gives up waiting for this loses nothing.
        let body = unanswered.insert(report);
        let answer: Result<ReportAnswer, ClientError> = gateway.post(path, body).await;
        match answer {
            Ok(answer) => tracing::debug!(drafts = answer.chunk_ids.len(), "denials told"),
            Err(e) if e.is_transient() => {
                tracing::debug!("denials not told yet: {e}");
                return false;
            }
            // It would be refused again: an older gateway, or one that does not know this sandbox any more.
            Err(e) => tracing::warn!("{e}; these denials are in the audit log only"),
        }
        *unanswered = None;
    }
}

#[cfg(test)]
mod tests;
