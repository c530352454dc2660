//! A policy file of any bytes is an error with a place, or a policy that survives being written, and compiles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrowgate_tests::oracles;

fuzz_target!(|text: &str| oracles::policy_text(text));
