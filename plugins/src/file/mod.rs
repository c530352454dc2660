//! Plugin files: what a component says of itself, read without running or compiling any of it.
//!
//! This is all that the prover, the gateway and most verbs of the command line need.

mod structure;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use narrowgate_core::digest::Digest;
use narrowgate_core::vocabulary::{Manifest, ManifestError, PluginName, Vocabulary};

pub(crate) use structure::{Structure, manifest_section};

/// The largest component, in bytes.
pub const MAX_COMPONENT: usize = 4 * 1024 * 1024;

/// The custom section of a component that holds its [`Manifest`].
pub const MANIFEST_SECTION: &str = "narrowgate:manifest";

/// The majors of `narrowgate:semantics` that this host speaks.
pub const SUPPORTED_MAJORS: [u64; 1] = [1];

/// A component that has the form of a plugin: no imports, one interface that this host speaks, one manifest that makes
/// sense. That `describe` agrees with the manifest is known only once it has been loaded.
#[derive(Debug, Clone)]
pub struct PluginFile {
    bytes: Bytes,
    digest: Digest,
    structure: Structure,
    vocabulary: Arc<Vocabulary>,
}

impl PluginFile {
    /// Reads a component from a file.
    ///
    /// # Errors
    /// A file that cannot be read, and whatever [`PluginFile::parse`] refuses.
    pub fn read(path: &Path) -> Result<PluginFile, FileError> {
        PluginFile::parse(read_bytes(path)?)
    }

    /// Takes a component apart.
    ///
    /// # Errors
    /// More than 4 MiB; no component, or one that does not validate; an import; anything exported but one
    /// `narrowgate:semantics/plugin` of a major in [`SUPPORTED_MAJORS`]; not exactly one manifest; a manifest that makes
    /// no sense.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<PluginFile, FileError> {
        let bytes = bytes.into();
        let structure = Structure::read(&bytes)?;
        let json = manifest_section(&bytes)?.ok_or(FileError::NoManifest)?;
        let vocabulary = Manifest::parse(json).and_then(Vocabulary::try_from).map_err(FileError::Manifest)?;
        Ok(PluginFile { digest: Digest::of(&bytes), bytes, structure, vocabulary: Arc::new(vocabulary) })
    }

    /// The component's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The SHA-256 of the component, manifest included.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The plugin's name.
    pub fn name(&self) -> &PluginName {
        self.vocabulary.name()
    }

    /// What it may say.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.vocabulary
    }

    /// The version of `narrowgate:semantics` that it exports: `1.0.0`.
    pub fn interface_version(&self) -> &str {
        &self.structure.version
    }

    pub(crate) fn structure(&self) -> &Structure {
        &self.structure
    }
}

/// A plugin as the command line and configurations name it: `PATH`, or `PATH@sha256:HEX` to pin its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRef {
    /// Where the component is.
    pub path: PathBuf,
    /// What it must be, if that is said.
    pub pin: Option<Digest>,
}

impl PluginRef {
    /// Reads the component and holds it against its pin.
    ///
    /// # Errors
    /// As [`PluginFile::read`]; a digest other than the pinned one, which is told before anything else about the file.
    pub fn read(&self) -> Result<PluginFile, FileError> {
        let bytes = read_bytes(&self.path)?;
        if let Some(pinned) = self.pin {
            let found = Digest::of(&bytes);
            if found != pinned {
                return Err(FileError::Pin { pinned, found });
            }
        }
        PluginFile::parse(bytes)
    }
}

impl FromStr for PluginRef {
    type Err = String;

    fn from_str(text: &str) -> Result<PluginRef, String> {
        let (path, pin) = match text.rsplit_once("@sha256:") {
            Some((path, hex)) => {
                let problem = || format!("{hex:?} after \"@sha256:\" is not 64 lower-case hex digits");
                (path, Some(Digest::parse(&format!("sha256:{hex}")).ok_or_else(problem)?))
            }
            None => (text, None),
        };
        if path.is_empty() {
            return Err(format!("{text:?} names no file; expected PATH or PATH@sha256:HEX"));
        }
        Ok(PluginRef { path: PathBuf::from(path), pin })
    }
}

/// Why a file is not taken for a plugin.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is too large.
    #[error("more than the {MAX_COMPONENT} bytes that a plugin may have")]
    TooLarge,
    /// Its digest is not the pinned one.
    #[error("is {found}, and {pinned} is pinned; if the change is wanted, pin the new digest")]
    Pin {
        /// What was asked for.
        pinned: Digest,
        /// What is there.
        found: Digest,
    },
    /// It is a core module, or something else.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// It does not validate.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It imports something.
    #[error("imports {0:?}; a plugin imports nothing, not even types")]
    Imports(String),
    /// It exports something that the host does not know.
    #[error("exports {0:?}; a plugin exports narrowgate:semantics/plugin and nothing else")]
    Exports(String),
    /// It does not export the interface, or not once.
    #[error("exports narrowgate:semantics/plugin {0} times; a plugin does once")]
    Interface(usize),
    /// It exports a version of the interface that this host does not speak.
    #[error("exports narrowgate:semantics/plugin@{0}; this host speaks the versions 1.x.y")]
    Version(String),
    /// One of its functions, or their number, would take the compiler too long.
    #[error("{0}")]
    TooComplex(String),
    /// It has no manifest.
    #[error("has no section {MANIFEST_SECTION}; `narrowgate plugin build` embeds it")]
    NoManifest,
    /// It has several manifests.
    #[error("has {0} sections {MANIFEST_SECTION}; which one counts would depend on the reader")]
    Manifests(usize),
    /// Its manifest makes no sense.
    #[error("manifest: {0}")]
    Manifest(ManifestError),
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_COMPONENT as u64 + 1).read_to_end(&mut bytes)?;
    match bytes.len() > MAX_COMPONENT {
        true => Err(FileError::TooLarge),
        false => Ok(bytes),
    }
}
