//! What a proof may cost.

use std::time::Instant;

/// The budget ran out: there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// Too many states.
    States,
    /// Too late.
    Time,
}

/// So much work between two looks at the clock, which take longer than a unit of it.
const LOOK_EVERY: usize = 8192;

/// Counts states, and looks at the clock at once and then now and again.
#[derive(Debug)]
pub(crate) struct Budget {
    states_left: usize,
    deadline: Instant,
    since_look: usize,
}

impl Budget {
    pub(crate) fn new(max_states: usize, deadline: Instant) -> Budget {
        Budget { states_left: max_states, deadline, since_look: LOOK_EVERY }
    }

    /// Takes a state of `size` machine words. Large states count for several, so that the budget bounds memory too.
    pub(crate) fn state(&mut self, size: usize) -> Result<(), Exhausted> {
        let cost = 1 + size / 32;
        self.states_left = self.states_left.checked_sub(cost).ok_or(Exhausted::States)?;
        self.work(size + 8)
    }

    /// Notes `amount` of work, in units of some nanoseconds.
    pub(crate) fn work(&mut self, amount: usize) -> Result<(), Exhausted> {
        self.since_look += amount;
        if self.since_look >= LOOK_EVERY {
            self.since_look = 0;
            if Instant::now() >= self.deadline {
                return Err(Exhausted::Time);
            }
        }
        Ok(())
    }
}
