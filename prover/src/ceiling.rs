//! Ceilings, prepared once for many proofs.

use std::sync::Arc;

use narrowgate_core::compile::{CompileError, Compiled};
use narrowgate_core::digest::Digest;
use narrowgate_core::policy::{ParseErrors, Policy, Role};
use narrowgate_core::schema::Schema;

use crate::lower::{NotLowered, Unsupported};
use crate::side::Side;
use crate::solve::Budget;

/// What an organisation allows at most.
#[derive(Debug, Clone)]
pub struct Ceiling {
    compiled: Compiled,
    side: Arc<Side>,
}

/// Why a text is no ceiling.
#[derive(Debug, thiserror::Error)]
pub enum CeilingError {
    /// Not the rule language.
    #[error(transparent)]
    Rules(#[from] ParseErrors),
    /// Not Cedar that the schema admits.
    #[error(transparent)]
    Cedar(#[from] CompileError),
    /// A ceiling without a policy would refuse everything, which nobody writes on purpose.
    #[error("{0}: the ceiling is empty; to allow nothing, write `forbid(principal, action, resource);`")]
    Empty(String),
    /// The schema has requests that the prover does not know.
    #[error("the schema is not one that this prover knows: {0}")]
    Schema(String),
}

impl Ceiling {
    /// Prepares a compiled ceiling.
    ///
    /// # Errors
    /// [`CeilingError::Empty`] where there is no policy in it.
    pub fn new(compiled: Compiled) -> Result<Ceiling, CeilingError> {
        Ceiling::named(compiled, "ceiling")
    }

    /// Reads a ceiling where there are no plugins. See [`Ceiling::parse_over`].
    ///
    /// # Errors
    /// With file, line and field.
    pub fn parse(text: &str, file: &str) -> Result<Ceiling, CeilingError> {
        Ceiling::parse_over(text, file, Schema::standard())
    }

    /// Reads a ceiling: Cedar where `file` ends in `.cedar`, the rule language where it ends in `.yaml`, `.yml` or
    /// `.json`, and otherwise whichever the text looks like.
    ///
    /// # Errors
    /// With file, line and field.
    pub fn parse_over(text: &str, file: &str, schema: &Arc<Schema>) -> Result<Ceiling, CeilingError> {
        let compiled = if is_cedar(text, file) {
            if !has_code(text) {
                return Err(CeilingError::Empty(file.to_owned()));
            }
            Compiled::cedar_over(text, file, schema)?
        } else {
            Compiled::policy_over(&Policy::parse(text, file, Role::Ceiling)?, Role::Ceiling, schema)?
        };
        Ceiling::named(compiled, file)
    }

    /// The ceiling that allows everything, for installations without one and without plugins.
    pub fn open() -> Ceiling {
        Ceiling::open_over(Schema::standard())
    }

    /// The ceiling that allows everything, for installations without one.
    #[expect(clippy::expect_used, reason = "the text is part of the program and a test compiles it")]
    pub fn open_over(schema: &Arc<Schema>) -> Ceiling {
        let everything = "permit(principal, action, resource);\n";
        Ceiling::parse_over(everything, "open.cedar", schema).expect("the open ceiling compiles")
    }

    fn named(compiled: Compiled, file: &str) -> Result<Ceiling, CeilingError> {
        if compiled.policies().is_empty() {
            return Err(CeilingError::Empty(file.to_owned()));
        }
        let side = Side::of(&compiled, &mut Budget::unlimited()).map_err(|reason| match reason {
            NotLowered::Unsupported(Unsupported(what)) => CeilingError::Schema(what),
            // A budget without limits does not run out.
            NotLowered::Exhausted(_) => CeilingError::Schema("too large".to_owned()),
        })?;
        Ok(Ceiling { compiled, side: Arc::new(side) })
    }

    /// The Cedar that the ceiling is.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The digest of its Cedar.
    pub fn digest(&self) -> Digest {
        self.compiled.digest()
    }

    pub(crate) fn side(&self) -> &Side {
        &self.side
    }
}

fn is_cedar(text: &str, file: &str) -> bool {
    match file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("cedar") => true,
        Some("yaml" | "yml" | "json") => false,
        _ => {
            let code = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with("//"));
            code.is_none_or(|line| ["permit", "forbid", "@"].iter().any(|start| line.starts_with(start)))
        }
    }
}

/// Whether anything but comments is there.
fn has_code(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| !line.is_empty() && !line.starts_with("//"))
}
