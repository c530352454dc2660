//! The whole proxy over real sockets: a real upstream, a real client, raw bytes where the bytes are the point.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bundles;
mod denial;
mod doors;
mod doors_resolver;
mod gateway;
mod guests;
mod handover;
mod held;
mod hostile;
mod operations;
mod passed_on;
mod reload;
mod rig;
mod streaming;
mod tricks;
