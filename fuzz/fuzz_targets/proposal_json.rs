//! A proposal of any bytes is an error with a pointer, or operations that survive being written, and apply.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrowgate_tests::oracles;

fuzz_target!(|bytes: &[u8]| oracles::proposal_json(bytes));
