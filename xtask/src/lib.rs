//! The part of `cargo xtask` that tests use too: the dependency rules of `deny.toml`.

pub mod deny;
mod spdx;
