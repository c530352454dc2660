//! The last denials, for `policy.local` and as evidence of proposals; counted ones, for the gateway.

pub(crate) mod report;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use narrowgate_core::denial::DenialRecord;

/// As many are kept. A record has a few hundred bytes.
const KEPT: usize = 2048;

/// A ring of denials, newest last. Holds no query, header or body: records have no place for them.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    ring: Mutex<VecDeque<DenialRecord>>,
    /// What the gateway is not told yet.
    pub(crate) untold: report::Untold,
    mentioned: Mutex<VecDeque<String>>,
}

impl Denials {
    pub(crate) fn push(&self, record: DenialRecord) {
        self.untold.count(&record);
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// The last `n`, newest first.
    pub(crate) fn last(&self, n: usize) -> Vec<DenialRecord> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().take(n).cloned().collect()
    }

    /// Those of `ids` that are still known, in the order of `ids`.
    pub(crate) fn find(&self, ids: &[String]) -> Vec<DenialRecord> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().filter_map(|id| ring.iter().find(|record| record.denial_id == *id)).cloned().collect()
    }

    /// Whether `proposal` was not mentioned before, as far as is remembered: its decision is logged once.
    pub(crate) fn first_mention(&self, proposal: &str) -> bool {
        let mut mentioned = self.mentioned.lock().unwrap_or_else(PoisonError::into_inner);
        if mentioned.iter().any(|known| known == proposal) {
            return false;
        }
        if mentioned.len() == KEPT {
            mentioned.pop_front();
        }
        mentioned.push_back(proposal.to_owned());
        true
    }
}
