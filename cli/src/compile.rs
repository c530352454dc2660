//! `narrowgate compile`: the Cedar that will be enforced, with the rule each policy came from.

use std::path::PathBuf;

use clap::Args;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::Role;

use crate::exit::{Ended, Exit, Failure};
use crate::plugins::Given;
use crate::{files, output};

/// Print the Cedar that a policy compiles to
#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// A policy in the rule language (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    #[command(flatten)]
    plugins: Given,
}

impl Compile {
    pub(crate) fn run(self) -> Ended {
        let policy = files::policy(&self.policy)?;
        let compiled = Compiled::policy_over(&policy, Role::Policy, &self.plugins.schema()?)
            .map_err(|error| Failure::invalid(format!("{}: {error}", self.policy.display())))?;
        let text = compiled.text();
        output::raw(text.as_bytes())?;
        if !text.ends_with('\n') {
            output::raw(b"\n")?;
        }
        Ok(Exit::Done)
    }
}
