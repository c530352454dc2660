//! `narrowgate version`: this binary, and the schema that its proofs are about.

use clap::Args;
use narrowgate_core::schema::Schema;
use serde_json::json;

use crate::exit::{Ended, Exit};
use crate::output::{self, Format};

/// The version, and the digest of the Cedar schema it proves against
#[derive(Debug, Args)]
pub(crate) struct Version {
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Version {
    pub(crate) fn run(self) -> Ended {
        let version = env!("CARGO_PKG_VERSION");
        match self.format {
            Format::Text => output::line(format!("narrowgate {version}\nschema     {}", Schema::standard().digest()))?,
            Format::Json => output::json(&json!({ "version": version, "schema": Schema::standard().digest() }))?,
        }
        Ok(Exit::Done)
    }
}
