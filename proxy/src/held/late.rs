//! Denials that come while something is on its way: a stream that is cut says so once, in the log and to whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::grant::Revoked;
use crate::respond::{Attempt, Denied};
use crate::shared::{Shared, Who, now};

/// What is on its way.
pub(crate) struct Report {
    shared: Arc<Shared>,
    who: Who,
    attempt: Attempt,
    told: AtomicBool,
}

impl Report {
    pub(crate) fn new(shared: &Arc<Shared>, who: &Who, attempt: Attempt) -> Arc<Report> {
        let told = AtomicBool::new(false);
        Arc::new(Report { shared: shared.clone(), who: who.clone(), attempt, told })
    }

    pub(crate) fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// `revoked`, reported when it completes, unless it was reported before.
    pub(crate) fn late(self: &Arc<Report>, revoked: Revoked) -> Revoked {
        let report = self.clone();
        Box::pin(async move {
            let refusal = revoked.await;
            if !report.told.swap(true, Ordering::Relaxed) {
                let denied = refusal.clone().map_or_else(Denied::unavailable, Denied::from);
                let enforced = report.shared.active.load(now());
                report.shared.deny_late(&report.who, &report.attempt, denied, enforced.as_deref());
            }
            refusal
        })
    }
}
