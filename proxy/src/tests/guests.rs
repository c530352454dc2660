//! Plugins that a test needs: guests in WAT, made into components as those of the host's own tests are.

#[path = "../../../plugins/tests/common/mod.rs"]
mod wat;

use narrowgate_core::vocabulary::{Label, LabelValue, Manifest};
use narrowgate_plugins::{PluginFile, PluginRef, Plugins};

use super::rig::Rig;
use wat::{Answer, Guest};

/// How many bytes of a body the guests here want to see.
pub(super) const LIMIT: usize = 1024;

/// A vocabulary for `api.test`, with an action for what [`echo`] says.
pub(super) fn manifest(denials: &str) -> Manifest {
    let text = r#"{"name": "acme", "version": "1.0.0", "doc": "A test's.", "hosts": ["api.test", "plain.test"],
        "headers": ["content-type", "x-acme"], "body": {"methods": ["POST", "PUT"], "limit": 1024}, "denials": "FORM",
        "actions": [
          {"name": "echo", "group": "write", "methods": ["GET", "POST", "PUT", "DELETE"], "doc": "Any.", "attributes": [
            {"name": "body", "kind": "text", "doc": "What it was told of the body."},
            {"name": "headers", "kind": "fields", "doc": "What it was told of the headers."},
            {"name": "seen", "kind": "integer", "doc": "Whether there is a body."}]},
          {"name": "page.write", "group": "write", "methods": ["GET", "POST", "PUT"], "doc": "One.", "attributes": [
            {"name": "path", "kind": "text", "doc": "Which."}]}]}"#;
    Manifest::parse(text.replace("FORM", denials).as_bytes()).unwrap()
}

/// Says what it was told.
pub(super) fn echo(denials: &str) -> PluginFile {
    Guest { describes: manifest(denials), functions: include_str!("echo.wat").to_owned(), ..Guest::new() }.file_of()
}

/// Says of every request that it writes these pages.
pub(super) fn writes(pages: &[&str]) -> PluginFile {
    let label = |page: &&str| Label {
        action: "page.write".to_owned(),
        attributes: vec![("path".to_owned(), LabelValue::Text((*page).to_owned()))],
    };
    let answers = Answer::Operations(pages.iter().map(label).collect());
    Guest { describes: manifest("problem"), answers, ..Guest::new() }.file_of()
}

/// Refuses every request in this way, by the refusal's place in the variant.
pub(super) fn refuses(kind: u8, why: &str) -> PluginFile {
    let answers = Answer::Refusal(kind, why.to_owned());
    Guest { describes: manifest("problem"), answers, ..Guest::new() }.file_of()
}

/// A guest of the host's tests that misbehaves, named `hog` and for `hog.test`.
pub(super) fn hog(file: &str) -> PluginFile {
    let mut describes = manifest("problem");
    describes.name = "hog".to_owned();
    describes.hosts = vec!["hog.test".to_owned()];
    Guest { describes, ..Guest::file(file) }.file_of()
}

/// A proxy with these plugins.
pub(super) async fn rig(plugins: impl IntoIterator<Item = PluginFile>) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: PluginFile| {
        let path = dir.path().join(file.name().as_str());
        std::fs::write(&path, file.bytes()).unwrap();
        PluginRef { path, pin: Some(file.digest()) }
    };
    let refs: Vec<PluginRef> = plugins.into_iter().map(write).collect();
    let plugins = Plugins::load(&refs, None).unwrap();
    Rig::with(|config| config.plugins = plugins).await
}

/// A policy with these rules about `api.test`.
pub(super) fn policy(rules: &str) -> String {
    endpoints(&[&format!("{{ host: api.test, port: 443, protocol: acme, {rules} }}")])
}

/// A policy with these endpoints.
pub(super) fn endpoints(all: &[&str]) -> String {
    format!("version: 1\nnetwork_policies:\n  api: {{ name: api, endpoints: [{}] }}\n", all.join(", "))
}
