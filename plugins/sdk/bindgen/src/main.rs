//! Generates the SDK's `src/bindings.rs` from the world in `schemas/wit/`. In `plugins/sdk/bindgen`:
//!
//! ```text
//! cargo run               writes ../src/bindings.rs
//! cargo run -- --check    fails where it is not what would be written
//! ```
//!
//! Ahead of time rather than by the `generate!` macro, because the macro would make every plugin's author build a WIT
//! parser and a code generator (four fifths of a cold build) to arrive at the same text.

use anyhow::{Context, Result, bail};
use std::path::Path;
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

fn main() -> Result<()> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the folder above this crate is the SDK")?;
    let written = sdk.join("src/bindings.rs");
    let generated = generate(&sdk.join("../../schemas/wit/semantics.wit"))?;
    match std::env::args().nth(1).as_deref() {
        None => std::fs::write(&written, generated).with_context(|| format!("writing {}", written.display())),
        Some("--check") if std::fs::read(&written).is_ok_and(|bytes| bytes == generated) => Ok(()),
        Some("--check") => bail!("{} is not what the world says; run `cargo run` here", written.display()),
        Some(other) => bail!("{other:?} is not an option; there is only --check"),
    }
}

fn generate(world: &Path) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(world)?;
    let world = resolve.select_world(&[package], Some("semantics"))?;
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("export_component".to_owned()),
        default_bindings_module: Some("narrowgate_plugin::bindings".to_owned()),
        runtime_path: Some("::wit_bindgen::rt".to_owned()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, text) = files.iter().next().context("the generator wrote no file")?;
    Ok(text.to_vec())
}
