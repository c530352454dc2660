//! Targets, authorities and methods of any bytes have one canonical form, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrowgate_tests::oracles;

fuzz_target!(|text: &str| {
    oracles::canonical(text);
    oracles::authority(text);
    oracles::method(text);
});
