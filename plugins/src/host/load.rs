//! From a plugin's file to a plugin that can be asked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use narrowgate_core::vocabulary::Manifest;
use wasmtime::component::{Component, Linker};

use super::engine::{LARGE_MEMORY, SMALL_MEMORY};
use super::plugin::Plugin;
use super::run::{Limits, run};
use super::v1::Adapter;
use super::{Host, cache};
use crate::failure::{Cause, one_line};
use crate::file::{PluginFile, Structure};

/// How long compiling one plugin may take.
const COMPILE_TIME: Duration = Duration::from_secs(60);
/// The compiler recurses; it gets a stack that no function of a plugin's size exhausts.
const COMPILE_STACK: usize = 64 * 1024 * 1024;

/// What `describe` may cost. It runs once, and answers with all of a vocabulary's words for people.
const DESCRIBE_FUEL: u64 = 20_000_000;
const DESCRIBE_TICKS: u64 = 25;
const DESCRIBE_OUTPUT: usize = 4 * 1024 * 1024;

/// Why a plugin is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The compiler refuses it.
    #[error("does not compile: {0}")]
    Compile(String),
    /// The compiler panicked. Nothing of it is kept.
    #[error("makes the compiler panic: {0}")]
    CompilerPanic(String),
    /// The compiler takes too long.
    #[error("takes more than {} s to compile", COMPILE_TIME.as_secs())]
    CompileTime,
    /// It cannot be linked: its exports are not of the types that the interface has.
    #[error("does not have the interface's types: {0}")]
    Interface(String),
    /// `describe` fails.
    #[error("describe: {0}")]
    Describe(Cause),
    /// `describe` says something else than the manifest.
    #[error("describe differs from the manifest at {at}: the manifest has {manifest}, describe says {described}")]
    Differs {
        /// Where, as a JSON pointer.
        at: String,
        /// What the manifest has there.
        manifest: String,
        /// What `describe` says.
        described: String,
    },
}

/// Where a plugin's machine code came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiled {
    /// It was compiled.
    Anew,
    /// It was compiled, since what the cache had is not trusted, for this reason.
    AnewDespiteCache(String),
    /// It was in the cache, but for some of the compiler's own trampolines at most.
    FromCache,
}

impl Host {
    /// Compiles a plugin, or takes it from the cache, and holds its vocabulary against what `describe` says.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, file: &PluginFile) -> Result<Plugin, LoadError> {
        let (component, compiled) = self.compile(file)?;
        let adapter = self.link(&component, file.structure())?;
        let described = self.described(&adapter, file.structure())?;
        differences(file.vocabulary().manifest(), &described)?;
        Ok(Plugin::new(self, file, adapter, memory_limit(file.structure().memory), compiled))
    }

    /// What `describe` says, of a component that may have no manifest yet.
    ///
    /// # Errors
    /// As [`Host::load`].
    pub(crate) fn describe(&self, component: Bytes, structure: &Structure) -> Result<Manifest, LoadError> {
        let component = self.guarded_compile(component)?;
        self.described(&self.link(&component, structure)?, structure)
    }

    fn described(&self, adapter: &Adapter, structure: &Structure) -> Result<Manifest, LoadError> {
        let limits = Limits {
            fuel: DESCRIBE_FUEL,
            ticks: DESCRIBE_TICKS,
            memory: memory_limit(structure.memory),
            output: DESCRIBE_OUTPUT,
        };
        run(&self.engine, limits, |store| adapter.describe(store)).value.map_err(LoadError::Describe)
    }

    /// Finds the interface's functions, by the adapter for its major.
    fn link(&self, component: &Component, structure: &Structure) -> Result<Adapter, LoadError> {
        let wrong = |error: wasmtime::Error| LoadError::Interface(one_line(&format!("{error:#}")));
        // Nothing is ever added to the linker: a component that needs anything is refused here, too.
        let pre = Linker::new(&self.engine).instantiate_pre(component).map_err(wrong)?;
        match structure.major {
            1 => Adapter::new(pre).map_err(wrong),
            other => Err(LoadError::Interface(format!("narrowgate:semantics has no major {other} here"))),
        }
    }

    fn compile(&self, file: &PluginFile) -> Result<(Component, Compiled), LoadError> {
        let Some(cache) = &self.cache else {
            return Ok((self.guarded_compile(file.bytes().clone())?, Compiled::Anew));
        };
        let session = cache.session(&cache::name(&self.engine, file.digest()));
        let component = self.guarded_compile(file.bytes().clone())?;
        Ok((component, session.finish()))
    }

    /// Compiles on a thread of its own, whose panics and whose slowness end there.
    fn guarded_compile(&self, bytes: Bytes) -> Result<Component, LoadError> {
        let (send, receive) = mpsc::channel();
        let engine = self.engine.clone();
        let compile = move || {
            let compiled = catch_unwind(AssertUnwindSafe(|| Component::from_binary(&engine, &bytes)));
            // Nobody waits any more where the time is up.
            let _ = send.send(compiled);
        };
        thread::Builder::new()
            .name("plugin-compile".to_owned())
            .stack_size(COMPILE_STACK)
            .spawn(compile)
            .map_err(|error| LoadError::Compile(format!("no thread can be started: {error}")))?;
        match receive.recv_timeout(COMPILE_TIME) {
            Ok(Ok(compiled)) => compiled.map_err(|error| LoadError::Compile(one_line(&format!("{error:#}")))),
            Ok(Err(panic)) => Err(LoadError::CompilerPanic(panic_text(panic.as_ref()))),
            Err(_) => Err(LoadError::CompileTime),
        }
    }
}

/// A guest that starts with more than half of the usual memory gets the large one: it carries an interpreter.
fn memory_limit(declared: u64) -> usize {
    match declared > (SMALL_MEMORY / 2) as u64 {
        true => LARGE_MEMORY,
        false => SMALL_MEMORY,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    one_line(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message"))
}

/// The first place where the two are not the same.
fn differences(manifest: &Manifest, described: &Manifest) -> Result<(), LoadError> {
    if manifest == described {
        return Ok(());
    }
    let json = |of: &Manifest| serde_json::to_value(of).unwrap_or_default();
    let (at, manifest, described) =
        differing("", &json(manifest), &json(described)).unwrap_or_else(|| ("/".to_owned(), None, None));
    let show =
        |value: Option<serde_json::Value>| value.map_or("nothing".to_owned(), |value| one_line(&value.to_string()));
    Err(LoadError::Differs { at, manifest: show(manifest), described: show(described) })
}

type Differing = (String, Option<serde_json::Value>, Option<serde_json::Value>);

fn differing(at: &str, left: &serde_json::Value, right: &serde_json::Value) -> Option<Differing> {
    use serde_json::Value;
    let child = |key: &str, left: Option<&Value>, right: Option<&Value>| match (left, right) {
        (Some(left), Some(right)) => differing(&format!("{at}/{key}"), left, right),
        (None, None) => None,
        _ => Some((format!("{at}/{key}"), left.cloned(), right.cloned())),
    };
    match (left, right) {
        (Value::Object(lefts), Value::Object(rights)) => {
            let keys = lefts.keys().chain(rights.keys());
            keys.into_iter().find_map(|key| child(key, lefts.get(key), rights.get(key)))
        }
        (Value::Array(lefts), Value::Array(rights)) => {
            let longest = lefts.len().max(rights.len());
            (0..longest).find_map(|index| child(&index.to_string(), lefts.get(index), rights.get(index)))
        }
        _ if left == right => None,
        _ => Some((at.to_owned(), Some(left.clone()), Some(right.clone()))),
    }
}
