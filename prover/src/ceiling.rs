//! Ceilings, prepared once for many proofs.

use std::collections::HashMap;
use std::sync::Arc;

use narrowgate_core::compile::{CompileError, Compiled};
use narrowgate_core::digest::Digest;
use narrowgate_core::policy::{ParseErrors, Policy, Role};
use narrowgate_core::schema;
use smol_str::SmolStr;

use crate::lower::{Con, Cube, Env, NotLowered, Unsupported, Var, environments, lower};
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

    /// Reads a ceiling: Cedar where `file` ends in `.cedar`, the rule language where it ends in `.yaml`, `.yml` or
    /// `.json`, and otherwise whichever the text looks like.
    ///
    /// # Errors
    /// With file, line and field.
    pub fn parse(text: &str, file: &str) -> Result<Ceiling, CeilingError> {
        let compiled = if is_cedar(text, file) {
            if !has_code(text) {
                return Err(CeilingError::Empty(file.to_owned()));
            }
            Compiled::cedar(text, file)?
        } else {
            Compiled::policy(&Policy::parse(text, file, Role::Ceiling)?)?
        };
        Ceiling::named(compiled, file)
    }

    /// The ceiling that allows everything, for installations without one.
    #[expect(clippy::expect_used, reason = "the text is part of the program and a test compiles it")]
    pub fn open() -> Ceiling {
        Ceiling::parse("permit(principal, action, resource);\n", "open.cedar").expect("the open ceiling compiles")
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

/// A lowered policy set: one side of the question.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) envs: Vec<Env>,
    /// Policy ids.
    pub(crate) ids: Vec<String>,
    /// By environment.
    pub(crate) permits: Vec<Index>,
    pub(crate) forbids: Vec<Index>,
    /// Policies outside the fragment, with what puts them there.
    pub(crate) unsupported_permits: Vec<(String, String)>,
    pub(crate) unsupported_forbids: Vec<(String, String)>,
}

impl Side {
    /// Lowers every policy. [`NotLowered::Unsupported`] is the schema's; a policy's is noted in the side.
    pub(crate) fn of(compiled: &Compiled, budget: &mut Budget) -> Result<Side, NotLowered> {
        let envs = environments(schema::cedar())?;
        let mut side = Side {
            ids: Vec::new(),
            permits: envs.iter().map(|_| Index::default()).collect(),
            forbids: envs.iter().map(|_| Index::default()).collect(),
            unsupported_permits: Vec::new(),
            unsupported_forbids: Vec::new(),
            envs,
        };
        let mut policies: Vec<&cedar_policy::Policy> = compiled.policies().policies().collect();
        // The same question gives the same answer, whatever order Cedar keeps its policies in.
        policies.sort_by_cached_key(|policy| natural(policy.id().as_ref()));
        for policy in policies {
            match lower(policy, &side.envs, budget) {
                Ok(lowered) => {
                    let indices = if lowered.permit { &mut side.permits } else { &mut side.forbids };
                    for (env, cubes) in lowered.by_env {
                        let Some(index) = indices.get_mut(env) else { continue };
                        (0..cubes.len()).for_each(|at| index.add(side.ids.len(), &cubes, at));
                    }
                    side.ids.push(lowered.id);
                }
                Err(NotLowered::Exhausted(what)) => return Err(what.into()),
                Err(NotLowered::Unsupported(Unsupported(what))) => {
                    let list = match policy.effect() {
                        cedar_policy::Effect::Permit => &mut side.unsupported_permits,
                        cedar_policy::Effect::Forbid => &mut side.unsupported_forbids,
                    };
                    list.push((policy.id().to_string(), what));
                }
            }
        }
        Ok(side)
    }
}

/// Text and numbers in the order a person expects: `rules/2` before `rules/10`.
fn natural(id: &str) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    let mut rest = id;
    while !rest.is_empty() {
        let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_end);
        let digits_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_end);
        out.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    out
}

/// The cubes of one environment, by host.
#[derive(Debug, Default)]
pub(crate) struct Index {
    all: Vec<Entry>,
    /// Entries that can only match these hosts.
    by_host: HashMap<SmolStr, Vec<usize>>,
    /// The others.
    anywhere: Vec<usize>,
}

/// One cube of one policy.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Index into the side's ids.
    pub(crate) policy: usize,
    cubes: Arc<[Cube]>,
    at: usize,
}

impl Entry {
    pub(crate) fn cube(&self) -> Option<&Cube> {
        self.cubes.get(self.at)
    }
}

impl Index {
    fn add(&mut self, policy: usize, cubes: &Arc<[Cube]>, at: usize) {
        let number = self.all.len();
        match cubes.get(at).and_then(hosts) {
            Some(hosts) => {
                for host in hosts {
                    self.by_host.entry(SmolStr::new(host)).or_default().push(number);
                }
            }
            None => self.anywhere.push(number),
        }
        self.all.push(Entry { policy, cubes: Arc::clone(cubes), at });
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.all
    }

    /// The cubes that can have a point in common with `target`, as far as the host tells.
    pub(crate) fn near(&self, target: &Cube) -> Vec<&Cube> {
        let Some(hosts) = hosts(target) else {
            return self.all.iter().filter_map(Entry::cube).collect();
        };
        let mut numbers: Vec<usize> =
            hosts.iter().filter_map(|host| self.by_host.get(*host)).flatten().copied().collect();
        numbers.extend(&self.anywhere);
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.all.get(number)).filter_map(Entry::cube).collect()
    }
}

fn hosts(cube: &Cube) -> Option<Vec<&str>> {
    match cube.get(&Var::Host) {
        Some(Con::Text(form)) => form.words(),
        _ => None,
    }
}
