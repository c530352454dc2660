//! What a proof may cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// The budget ran out: there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// Too many states.
    States,
    /// Too late.
    Time,
    /// Too many alternatives in a policy set.
    Cubes,
    /// Nobody waits for the answer any more.
    Cancelled,
}

/// So much work between two looks at the clock, which take longer than a unit of it.
const LOOK_EVERY: usize = 8192;

/// More alternatives than this in all policies of a candidate are not tried. Each takes a kilobyte or two.
pub(crate) const MOST_CUBES: usize = 100_000;

/// Counts states, and looks at the clock at once and then now and again.
#[derive(Debug)]
pub(crate) struct Budget {
    states_left: usize,
    cubes_left: usize,
    /// `None`: no hurry.
    deadline: Option<Instant>,
    cancel: Option<Arc<AtomicBool>>,
    since_look: usize,
}

impl Budget {
    pub(crate) fn new(max_states: usize, deadline: Instant) -> Budget {
        Budget {
            states_left: max_states,
            cubes_left: MOST_CUBES,
            deadline: Some(deadline),
            cancel: None,
            since_look: LOOK_EVERY,
        }
    }

    /// For what is prepared once, and by its owner.
    pub(crate) fn unlimited() -> Budget {
        Budget { states_left: usize::MAX, cubes_left: usize::MAX, deadline: None, cancel: None, since_look: LOOK_EVERY }
    }

    /// Gives up once `flag` is set, if there is one.
    pub(crate) fn cancelled_by(mut self, flag: Option<&Arc<AtomicBool>>) -> Budget {
        self.cancel = flag.cloned();
        self
    }

    /// Takes `count` alternatives of a policy.
    pub(crate) fn cubes(&mut self, count: usize) -> Result<(), Exhausted> {
        self.cubes_left = self.cubes_left.checked_sub(count).ok_or(Exhausted::Cubes)?;
        self.work(count.saturating_mul(64))
    }

    /// Takes a state of `size` machine words. Large states count for several, so that the budget bounds memory too.
    pub(crate) fn state(&mut self, size: usize) -> Result<(), Exhausted> {
        let cost = 1 + size / 32;
        self.states_left = self.states_left.checked_sub(cost).ok_or(Exhausted::States)?;
        self.work(size + 8)
    }

    /// Notes `amount` of work, in units of some nanoseconds.
    pub(crate) fn work(&mut self, amount: usize) -> Result<(), Exhausted> {
        self.since_look = self.since_look.saturating_add(amount);
        if self.since_look >= LOOK_EVERY {
            self.since_look = 0;
            if self.cancel.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                return Err(Exhausted::Cancelled);
            }
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Exhausted::Time);
            }
        }
        Ok(())
    }
}
