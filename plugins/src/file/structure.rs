//! What a component imports, exports and declares.

use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures};

use super::{FileError, MANIFEST_SECTION, MAX_COMPONENT, SUPPORTED_MAJORS};

const INTERFACE: &str = "narrowgate:semantics/plugin";

/// The largest function, in bytes: compiling one takes more than linear time in its size.
const MAX_FUNCTION: usize = 512 * 1024;
/// The most functions, in all modules together.
const MAX_FUNCTIONS: usize = 50_000;
const MAX_MODULES: usize = 16;

/// The features that plugins are validated with: what the host's engine takes, and nothing whose result depends on the
/// machine or on time (threads, relaxed SIMD) or that composes asynchronously.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES);

/// The outline of a component that has the form of a plugin, but for the manifest.
#[derive(Debug, Clone)]
pub(crate) struct Structure {
    /// Of the interface: `1.0.0`.
    pub(crate) version: String,
    /// Of the version.
    pub(crate) major: u64,
    /// What the component's memories have at the start, together, in bytes.
    pub(crate) memory: u64,
}

impl Structure {
    pub(crate) fn read(bytes: &[u8]) -> Result<Structure, FileError> {
        let outline = Outline::of_closed(bytes)?;
        let mut versions = Vec::new();
        for (name, kind) in &outline.exports {
            match name.strip_prefix(INTERFACE) {
                Some(rest) if *kind == ComponentExternalKind::Instance => versions.push(rest),
                _ => return Err(FileError::Exports(name.clone())),
            }
        }
        let [version] = versions.as_slice() else { return Err(FileError::Interface(versions.len())) };
        let version = version.strip_prefix('@').unwrap_or("(without a version)").to_owned();
        let major = major(&version).ok_or_else(|| FileError::Version(version.clone()))?;
        // Last, since it is the costliest.
        Validator::new_with_features(FEATURES)
            .validate_all(bytes)
            .map_err(|error| FileError::Invalid(error.to_string()))?;
        Ok(Structure { version, major, memory: outline.memory })
    }

    /// The name under which a component exports the interface, whatever else it exports.
    pub(crate) fn interface(bytes: &[u8]) -> Result<String, FileError> {
        let mut exports = Outline::of_closed(bytes)?.exports;
        exports.retain(|(name, kind)| *kind == ComponentExternalKind::Instance && name.starts_with(INTERFACE));
        match exports.as_slice() {
            [(name, _)] => Ok(name.clone()),
            other => Err(FileError::Interface(other.len())),
        }
    }
}

/// The manifest's bytes: the content of the component's own section of that name.
///
/// # Errors
/// Several of them; no component.
pub(crate) fn manifest_section(bytes: &[u8]) -> Result<Option<&[u8]>, FileError> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                found.push(section.data());
            }
            _ => {}
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        more => Err(FileError::Manifests(more.len())),
    }
}

#[derive(Default)]
struct Outline {
    imports: Vec<String>,
    exports: Vec<(String, ComponentExternalKind)>,
    memory: u64,
    modules: usize,
    functions: usize,
}

impl Outline {
    /// Of a component that is not too large and imports nothing.
    fn of_closed(bytes: &[u8]) -> Result<Outline, FileError> {
        if bytes.len() > MAX_COMPONENT {
            return Err(FileError::TooLarge);
        }
        if !Parser::is_component(bytes) {
            let is = if Parser::is_core_wasm(bytes) { "it is a core module" } else { "it has no such header" };
            return Err(FileError::NotAComponent(is.to_owned()));
        }
        let outline = Outline::of(bytes)?;
        match outline.imports.first() {
            Some(name) => Err(FileError::Imports(name.clone())),
            None => Ok(outline),
        }
    }

    /// Imports and exports are the outermost component's: those of what is nested in it are between its parts.
    fn of(bytes: &[u8]) -> Result<Outline, FileError> {
        let mut outline = Outline::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(invalid)?;
            match payload {
                Payload::Version { encoding: Encoding::Component, .. } => {}
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    outline.modules += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        outline.imports.push(import.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        let export = export.map_err(invalid)?;
                        outline.exports.push((export.name.name.to_owned(), export.kind));
                    }
                }
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let bytes = memory.map_err(invalid)?.initial.saturating_mul(64 * 1024);
                        outline.memory = outline.memory.saturating_add(bytes);
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    outline.functions += 1;
                    let size = body.range().len();
                    if size > MAX_FUNCTION {
                        return Err(too_complex(format!("a function of {size} bytes; at most {MAX_FUNCTION}")));
                    }
                }
                _ => {}
            }
        }
        if outline.functions > MAX_FUNCTIONS || outline.modules > MAX_MODULES {
            let (functions, modules) = (outline.functions, outline.modules);
            let limits = format!("at most {MAX_FUNCTIONS} in {MAX_MODULES}");
            return Err(too_complex(format!("{functions} functions in {modules} modules; {limits}")));
        }
        Ok(outline)
    }
}

/// The major of `1.2.3`, if this host speaks it.
fn major(version: &str) -> Option<u64> {
    let mut parts = version.split('.');
    let mut number = || parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<u64>().ok();
    let (major, _, _) = (number()?, number()?, number()?);
    (parts.next().is_none() && SUPPORTED_MAJORS.contains(&major)).then_some(major)
}

fn invalid(error: impl std::fmt::Display) -> FileError {
    FileError::Invalid(error.to_string())
}

fn too_complex(problem: String) -> FileError {
    FileError::TooComplex(problem)
}
