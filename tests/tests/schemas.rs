//! `schemas/` is what other programs rely on: generated from the types, committed, and compared here.
//!
//! `cargo xtask schemas` rewrites it; what then differs in the commit is what changed for everyone outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;

use narrowgate_core::denial::{Denial, DenialRecord};
use narrowgate_core::policy::json_schema;
use narrowgate_core::wire::Bundle;
use narrowgate_core::{certificate, dsse, schema};
use narrowgate_prover::Report;
use narrowgate_prover::analyse::CheckReport;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// Every generated file, below `schemas/`.
fn generated() -> Vec<(&'static str, String)> {
    vec![
        ("openapi.json", pretty(&narrowgate_gateway::openapi())),
        ("json/policy.schema.json", pretty(&json_schema::policy())),
        ("json/proposal.schema.json", pretty(&json_schema::proposal())),
        ("json/credentials.schema.json", pretty(&json_schema::credentials())),
        ("json/denial.schema.json", of::<Denial>()),
        ("json/denial-record.schema.json", of::<DenialRecord>()),
        ("json/bundle.schema.json", of::<Bundle>()),
        ("json/certificate-envelope.schema.json", of::<dsse::Envelope>()),
        ("json/certificate-statement.schema.json", of::<certificate::Statement>()),
        ("json/report.schema.json", of::<Report>()),
        ("json/check.schema.json", of::<CheckReport>()),
    ]
}

fn of<T: JsonSchema>() -> String {
    pretty(schema_for!(T).as_value())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn committed_schemas_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    let rewrite = std::env::var_os("NARROWGATE_BLESS").is_some();
    let mut differ = Vec::new();
    for (name, text) in generated() {
        let path = folder.join(name);
        if rewrite {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        } else if fs::read_to_string(&path).ok() != Some(text) {
            differ.push(name);
        }
    }
    assert!(
        differ.is_empty(),
        "{differ:?} are not what the types say; run `cargo xtask schemas` and review the change"
    );
}

/// The Cedar schema is written by hand and compiled in; it is the one that is committed.
#[test]
fn the_cedar_schema_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/cedar/narrowgate.cedarschema");
    assert_eq!(fs::read_to_string(path).unwrap(), schema::TEXT);
}
