//! `narrowgate plugin build [DIR]`: from sources to one file that can be pinned.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use clap::Args;
use narrowgate_core::digest::Digest;
use narrowgate_plugins::{PluginFile, embed_manifest, enclose, pack};
use serde::{Deserialize, Serialize};

use super::project::{Language, Project};
use super::template::WORLD;
use super::toolchain::{Choice, Toolchain};
use super::{about, host};
use crate::exit::{Ended, Exit, Failure};
use crate::files::{self, Readers};
use crate::output::{self, Format, plain};

/// Build a plugin into NAME.wasm, with its vocabulary embedded
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The project
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Where to write it, instead of into the project under the plugin's name
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which compiler makes WebAssembly of Rust
    #[arg(long, value_enum, default_value_t)]
    toolchain: Choice,
    /// Take the dependencies of Cargo.lock and no others
    #[arg(long)]
    locked: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What was built.
#[derive(Debug, Serialize)]
struct Built {
    file: PathBuf,
    name: String,
    version: String,
    actions: usize,
    size: usize,
    digest: Digest,
    /// What a rebuild must have for the same bytes; absent where no rebuild has them.
    toolchain: Option<String>,
}

/// What `cargo build` says of one thing that it did.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Build {
    pub(super) fn run(self) -> Ended {
        let project = Project::open(&self.dir)?;
        let (component, toolchain) = match project.language {
            Language::Rust => {
                let toolchain = Toolchain::find(self.toolchain, &project.dir)?;
                (self.rust(&project, &toolchain)?, Some(toolchain.to_string()))
            }
            // Its engine's state is part of the component, and that starts with random seeds.
            Language::Javascript => (javascript(&project)?, None),
        };
        let plugin = embed_manifest(&host()?, &component).map_err(|error| about(&project.dir, error))?;
        let file = self.output.unwrap_or_else(|| project.dir.join(format!("{}.wasm", plugin.name())));
        files::write(&file, plugin.bytes(), Readers::Anyone)?;
        let built = Built::of(file, &plugin, toolchain);
        match self.format {
            Format::Json => output::json(&built)?,
            Format::Text => {
                let Built { file, name, version, actions, size, digest, .. } = &built;
                let file = file.display();
                output::line(format!("{file}: {name} {}, {actions} actions, {size} bytes\n{digest}", plain(version)))?;
            }
        }
        Ok(Exit::Done)
    }

    /// The component that `cargo` and the component encoder make.
    fn rust(&self, project: &Project, toolchain: &Toolchain) -> Result<Vec<u8>, Failure> {
        let mut cargo = toolchain.cargo(&project.dir);
        cargo.args(self.locked.then_some("--locked"));
        let module = artifact(cargo, &project.dir)?;
        let bytes = fs::read(&module).map_err(|error| about(&module, error))?;
        pack(&bytes).map_err(|error| about(&project.dir, error))
    }
}

impl Built {
    fn of(file: PathBuf, plugin: &PluginFile, toolchain: Option<String>) -> Built {
        let vocabulary = plugin.vocabulary();
        Built {
            file,
            name: plugin.name().to_string(),
            version: vocabulary.manifest().version.clone(),
            actions: vocabulary.actions().len(),
            size: plugin.bytes().len(),
            digest: plugin.digest(),
            toolchain,
        }
    }
}

/// Runs `cargo build`, and finds the module that it made of the crate in `dir`.
fn artifact(mut cargo: Command, dir: &Path) -> Result<PathBuf, Failure> {
    let manifest = dir.join("Cargo.toml").canonicalize().map_err(|error| about(dir, error))?;
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(|error| Failure::invalid(format!("cargo: {error}")))?;
    let mut module = None;
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()) {
        let message = line.ok().and_then(|line| serde_json::from_str::<Message>(&line).ok());
        let made = message.filter(|said| said.reason == "compiler-artifact" && said.manifest_path == manifest);
        let mut files = made.into_iter().flat_map(|made| made.filenames);
        module = files.find(|file| file.extension().is_some_and(|e| e == "wasm")).or(module);
    }
    ended("cargo build", child.wait())?;
    module.ok_or_else(|| {
        about(dir, "makes no WebAssembly module; its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`")
    })
}

/// The component that componentize-qjs makes of a JavaScript module.
fn javascript(project: &Project) -> Result<Vec<u8>, Failure> {
    let program = project.dir.join("node_modules/.bin/componentize-qjs");
    let main = project.main_module()?;
    if !program.is_file() {
        return Err(about(&project.dir, "componentize-qjs is missing; run `npm install` there first"));
    }
    let temporary = tempfile::tempdir().map_err(Failure::undecided)?;
    let (world, component) = (temporary.path().join("semantics.wit"), temporary.path().join("plugin.wasm"));
    fs::write(&world, WORLD).map_err(|error| about(&world, error))?;
    let mut command = Command::new(&program);
    command.arg("--wit").arg(&world).arg("--js").arg(&main).arg("--output").arg(&component);
    // Without imports: what of WASI the engine has bound traps when it is called, and a plugin has no reason to.
    command.args(["--stub-wasi", "--sync"]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| about(&program, error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(about(&main, format!("componentize-qjs: {}", plain(said.trim()))));
    }
    let bytes = fs::read(&component).map_err(|error| about(&component, error))?;
    // It exports what filled its engine's memory, too.
    enclose(&bytes).map_err(|error| about(&project.dir, error))
}

fn ended(what: &str, status: std::io::Result<ExitStatus>) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::invalid(format!("{what} failed ({status})"))),
        Err(error) => Err(Failure::invalid(format!("{what}: {error}"))),
    }
}
