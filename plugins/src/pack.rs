//! From what a compiler makes to a plugin: a component, with its manifest embedded.
//!
//! The same input gives the same bytes, since the result is pinned by its digest.

use std::borrow::Cow;

use bytes::Bytes;
use narrowgate_core::vocabulary::{ManifestError, Vocabulary};
use wasm_encoder::{ComponentBuilder, ComponentExportKind, CustomSection, Encode, Section};
use wasmparser::BinaryReader;
use wit_component::ComponentEncoder;

use crate::file::{FileError, MANIFEST_SECTION, PluginFile, Structure};
use crate::host::{Host, LoadError};

/// Why no plugin comes of it.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The core module does not say what it exports, or imports something.
    #[error("does not become a component: {0}")]
    Component(String),
    /// The component, or what became of it, is no plugin.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not compile, or `describe` fails.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What `describe` says makes no sense.
    #[error("describe: {0}")]
    Manifest(ManifestError),
}

/// Makes a core module, built with bindings for `narrowgate:semantics`, into a component. It has no manifest yet:
/// [`embed_manifest`] is next.
///
/// # Errors
/// A module without the bindings' custom section, one that lacks an export of the world, or one that imports anything.
pub fn pack(core_module: &[u8]) -> Result<Vec<u8>, PackError> {
    let encoder = ComponentEncoder::default().validate(true).module(core_module);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    let component = component.map_err(|error| PackError::Component(format!("{error:#}")))?;
    Structure::read(&component)?;
    Ok(component)
}

/// Puts a component from another toolchain into one that exports the interface and nothing else. Some leave in what they
/// themselves needed while they built it.
///
/// # Errors
/// A component that imports anything or does not export the interface once.
pub fn enclose(component: &[u8]) -> Result<Vec<u8>, PackError> {
    let interface = Structure::interface(component)?;
    let mut outer = ComponentBuilder::default();
    let inner = outer.component_raw(None, component);
    let inner = outer.instantiate(None, inner, NOTHING);
    let plugin = outer.alias_export(inner, &interface, ComponentExportKind::Instance);
    outer.export(interface.as_str(), ComponentExportKind::Instance, plugin, None);
    let component = outer.finish();
    Structure::read(&component)?;
    Ok(component)
}

/// Arguments of an instance that takes none.
const NOTHING: [(&str, ComponentExportKind, u32); 0] = [];

/// Asks a component, from [`pack`] or [`enclose`], to describe itself, and embeds the answer in place of any
/// manifest that it has.
///
/// # Errors
/// A component that is no plugin in any other way, one whose `describe` fails, and a vocabulary that makes no sense.
pub fn embed_manifest(host: &Host, component: &[u8]) -> Result<PluginFile, PackError> {
    let mut component = without_manifest(component)?;
    let structure = Structure::read(&component)?;
    let manifest = host.describe(Bytes::from(component.clone()), &structure)?;
    let vocabulary = Vocabulary::try_from(manifest).map_err(PackError::Manifest)?;
    let json = vocabulary.manifest().to_json();
    let section = CustomSection { name: Cow::Borrowed(MANIFEST_SECTION), data: Cow::Owned(json) };
    component.push(section.id());
    section.encode(&mut component);
    Ok(PluginFile::parse(component)?)
}

/// The component without its own sections of that name. What is nested in it is left alone.
fn without_manifest(component: &[u8]) -> Result<Vec<u8>, FileError> {
    let invalid = |error: wasmparser::BinaryReaderError| FileError::Invalid(error.to_string());
    let mut reader = BinaryReader::new(component, 0);
    let mut out = reader.read_bytes(8).map_err(invalid)?.to_vec();
    while !reader.eof() {
        let start = reader.current_position();
        let id = reader.read_u8().map_err(invalid)?;
        let length = reader.read_var_u32().map_err(invalid)?;
        let content = reader.read_bytes(length as usize).map_err(invalid)?;
        let name = || BinaryReader::new(content, 0).read_string().ok();
        if id == 0 && name() == Some(MANIFEST_SECTION) {
            continue;
        }
        out.extend(component.get(start..reader.current_position()).unwrap_or_default());
    }
    Ok(out)
}
