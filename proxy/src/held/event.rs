//! What whoever runs this proxy is told while it happens: `narrowgate run` shows it, and may end its command for it.

use std::sync::{Mutex, PoisonError};

use narrowgate_core::decide::Reason;
use narrowgate_core::held::HeldStatus;
use tokio::sync::mpsc;

use super::Review;

/// Something that a person may want to see. Each happens once, and they come in the order in which they happened. What a
/// client chose (paths, methods) is in them as it is; show it as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A person is asked.
    Waiting(Prompt),
    /// A question came to its end.
    Decided(Decided),
    /// A request was denied, for whatever reason.
    Denied(Refused),
    /// So many events are missing here: nobody took them in time. Requests do not wait for their audience.
    Lost(u64),
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// `h_…`
    pub held_id: String,
    /// Whose request it is.
    pub pid: i32,
    /// Its executable.
    pub binary: String,
    /// `GET host:443/path`, or `CONNECT host:port`.
    pub what: String,
    /// Until when it waits, RFC 3339.
    pub deadline: String,
}

/// How a question ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The question.
    pub prompt: Prompt,
    /// The answer, or why there is none.
    pub status: HeldStatus,
    /// Who answered.
    pub decided_by: Option<String>,
    /// Their words.
    pub message: Option<String>,
}

/// A request that was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// As in the log and in the response.
    pub denial_id: String,
    /// Whose request it was, where that is known.
    pub pid: Option<i32>,
    /// Its executable; empty where it is not known.
    pub binary: String,
    /// `GET host:443/path`, or `CONNECT host:port`.
    pub what: String,
    /// Why.
    pub reason: Reason,
    /// The same in a sentence.
    pub message: String,
    /// How it came to that, where it waited.
    pub review: Option<Review>,
    /// Whether it was on its way already.
    pub when: When,
}

/// When a denial came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before anything was sent.
    AtOnce,
    /// While its response or its stream was on the way, which ended then.
    Late,
}

/// Hands events over without ever waiting.
#[derive(Debug)]
pub(super) struct Teller {
    audience: Option<mpsc::Sender<Event>>,
    /// Not told since the last that was; the lock also keeps the order.
    lost: Mutex<u64>,
}

impl Teller {
    pub(super) fn new(audience: Option<mpsc::Sender<Event>>) -> Teller {
        Teller { audience, lost: Mutex::new(0) }
    }

    pub(super) fn tell(&self, event: Event) {
        let Some(audience) = &self.audience else { return };
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 {
            if audience.try_send(Event::Lost(*lost)).is_err() {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        if audience.try_send(event).is_err() {
            *lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_nobody_takes_is_counted_and_holds_nobody_up() {
        let (sender, mut receiver) = mpsc::channel(3);
        let teller = Teller::new(Some(sender));
        let event = |n: u64| Event::Lost(n + 100);
        (0..8).for_each(|n| teller.tell(event(n)));
        for n in 0..3 {
            assert_eq!(receiver.try_recv().unwrap(), event(n));
        }
        teller.tell(event(8));
        assert_eq!(receiver.try_recv().unwrap(), Event::Lost(5));
        assert_eq!(receiver.try_recv().unwrap(), event(8));
        drop(receiver);
        teller.tell(event(9));
    }
}
