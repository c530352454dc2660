//! Random policies, ceilings and requests against the oracles.
//!
//! A failing case prints the policies and the request, and the bytes it was drawn from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "system")]
mod change;
#[cfg(feature = "system")]
mod contain;
mod decide;
mod input;
#[cfg(feature = "system")]
mod repair;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use arbitrary::Unstructured;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

thread_local! {
    /// Set while a case runs: of the panics on the way to the smallest one, only the last is worth reading.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `check` on `cases` random draws of up to `bytes` bytes. Nothing is written to the source tree on failure.
fn for_all(cases: u32, bytes: usize, check: impl Fn(&mut Unstructured<'_>) -> arbitrary::Result<()>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info)
            }
        }));
    });
    // For a long run by hand; the limits of a test run do not depend on it.
    let soak = std::env::var("NARROWGATE_SOAK").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let config = Config { cases: cases * soak, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let result = TestRunner::new(config).run(&vec(any::<u8>(), bytes / 4..bytes), |bytes| {
        QUIET.set(true);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| check(&mut Unstructured::new(&bytes))));
        QUIET.set(false);
        match outcome {
            Ok(Ok(())) => Ok(()),
            // A draw that runs out of bytes is no case, and no failure.
            Ok(Err(error)) => Err(TestCaseError::reject(error.to_string())),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Err(TestCaseError::fail(text.unwrap_or("a panic without a message").to_owned()))
            }
        }
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, bytes)) => panic!("{reason}\ndrawn from {bytes:02x?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
