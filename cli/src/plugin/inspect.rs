//! `narrowgate plugin inspect FILE`: what a plugin may say, before anything is allowed in its words.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use narrowgate_core::vocabulary::{ActionDeclaration, AttributeDeclaration, DenialForm, Group, Manifest};
use narrowgate_plugins::{MAX_COMPONENT, PluginFile, PluginRef};
use serde_json::json;

use super::{about, host};
use crate::exit::{Ended, Exit};
use crate::output::{self, Format, plain};

/// Show a plugin's digest, limits and vocabulary, after everything that is checked when it is loaded
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The plugin, as PATH, or PATH@sha256:HEX to pin it
    #[arg(value_name = "FILE")]
    file: PluginRef,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Inspect {
    pub(super) fn run(self) -> Ended {
        let path: &PathBuf = &self.file.path;
        let plugin = self.file.read().map_err(|error| about(path, error))?;
        host()?.load(&plugin).map_err(|error| about(path, error))?;
        match self.format {
            Format::Text => output::line(text(&plugin).trim_end())?,
            Format::Json => output::json(&json!({
                "file": path,
                "digest": plugin.digest(),
                "size": plugin.bytes().len(),
                "interface": interface(&plugin),
                "imports": [],
                "vocabulary": plugin.vocabulary().manifest(),
            }))?,
        }
        Ok(Exit::Done)
    }
}

fn interface(plugin: &PluginFile) -> String {
    format!("narrowgate:semantics/plugin@{}", plugin.interface_version())
}

fn text(plugin: &PluginFile) -> String {
    let Manifest { name, version, doc, hosts, headers, body, denials, actions } = plugin.vocabulary().manifest();
    let hosts = if hosts.is_empty() { "every one that a policy gives this protocol".to_owned() } else { list(hosts) };
    let headers = if headers.is_empty() { "none".to_owned() } else { list(headers) };
    let bodies = match body {
        Some(need) => format!("of {}, up to {} bytes", list(&need.methods), need.limit),
        None => "none".to_owned(),
    };
    let mut out = format!("{name} {}: {}\n\n", plain(version), plain(doc));
    for (what, is) in [
        ("digest", plugin.digest().to_string()),
        ("size", format!("{} bytes, of at most {MAX_COMPONENT}", plugin.bytes().len())),
        ("interface", interface(plugin)),
        ("imports", "none".to_owned()),
        ("hosts", hosts),
        ("headers", headers),
        ("bodies", bodies),
        ("denials", denial(*denials).to_owned()),
    ] {
        let _ = writeln!(out, "{what:<10} {is}");
    }
    for group in [Group::Read, Group::Write, Group::Delete, Group::Admin] {
        let actions: Vec<&ActionDeclaration> = actions.iter().filter(|action| action.group == group).collect();
        if !actions.is_empty() {
            let _ = writeln!(out, "\n{}", group.as_str());
            actions.iter().for_each(|declared| action(&mut out, name, declared));
        }
    }
    out
}

fn action(out: &mut String, plugin: &str, action: &ActionDeclaration) {
    let ActionDeclaration { name, methods, read_exemption, doc, attributes, .. } = action;
    let _ = writeln!(out, "  {plugin}::{name}  {}  {}", methods.join(" "), plain(doc));
    if let Some(why) = read_exemption {
        let _ = writeln!(out, "      a read all the same: {}", plain(why));
    }
    for AttributeDeclaration { name, kind, optional, doc } in attributes {
        let optional = if *optional { ", not always there" } else { "" };
        let _ = writeln!(out, "      {name}: {}{optional}  {}", kind.as_str(), plain(doc));
    }
}

fn denial(form: DenialForm) -> &'static str {
    match form {
        DenialForm::Problem => "as an HTTP problem",
        DenialForm::JsonRpc => "as JSON-RPC errors",
        DenialForm::Git => "as git's error packets",
    }
}

fn list(texts: &[String]) -> String {
    plain(&texts.join(", "))
}
