//! The one Cedar schema.

use std::sync::LazyLock;

use cedar_policy::Schema;

use crate::digest::Digest;
use crate::request::KNOWN_METHODS;

/// The schema's text, `schemas/cedar/narrowgate.cedarschema`.
pub const TEXT: &str = include_str!("../../schemas/cedar/narrowgate.cedarschema");

/// Every action that a request can be, as opposed to the groups that actions are in.
pub fn actions() -> impl Iterator<Item = &'static str> {
    ["connect"].into_iter().chain(KNOWN_METHODS).chain(["OTHER"])
}

/// The schema, parsed once.
#[expect(clippy::expect_used, reason = "the text is part of the program and a test parses it")]
pub fn cedar() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::from_cedarschema_str(TEXT).expect("the schema parses").0);
    &SCHEMA
}

/// The schema's digest, which certificates carry.
pub fn digest() -> Digest {
    static DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(TEXT.as_bytes()));
    *DIGEST
}
