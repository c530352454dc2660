//! From a manifest to a vocabulary: everything in it is usable in policies, and nothing in it reads two ways.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::{SmolStr, format_smolstr};

use super::manifest::{ActionDeclaration, AttributeDeclaration, BodyNeed};
use super::{Action, Attribute, Group, Manifest, ManifestError, PluginName, Vocabulary};
use crate::pattern::HostPattern;
use crate::request::KNOWN_METHODS;

/// What the host says of every request, and the protocols that are no plugin's.
pub(super) const RESERVED_NAMES: [&str; 16] = [
    "now",
    "method",
    "path",
    "segments",
    "path_globs",
    "query",
    "host",
    "port",
    "rest",
    "tcp",
    "http",
    "l4",
    "opaque",
    "websocket",
    "operation",
    "narrowgate",
];

/// Words that Cedar does not take for a name.
pub(super) const CEDAR_WORDS: [&str; 10] =
    ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// What a plugin never sees.
const CREDENTIAL_HEADERS: [&str; 12] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-goog-api-key",
    "private-token",
    "x-gitlab-token",
    "mcp-session-id",
];

const MOST_ACTIONS: usize = 512;
const MOST_ATTRIBUTES: usize = 32;
const MOST_HOSTS: usize = 64;
const MOST_HEADERS: usize = 32;
const MOST_DOC: usize = 2000;
const MOST_BODY: u32 = 4 * 1024 * 1024;

pub(super) fn vocabulary(manifest: Manifest) -> Result<Vocabulary, ManifestError> {
    let name = PluginName::parse(&manifest.name).map_err(|problem| wrong("/name", problem))?;
    line("/version", &manifest.version, 100)?;
    line("/doc", &manifest.doc, MOST_DOC)?;
    let hosts = hosts(&manifest.hosts)?;
    headers(&manifest.headers)?;
    if let Some(need) = &manifest.body {
        body(need)?;
    }
    at_most("/actions", manifest.actions.len(), MOST_ACTIONS)?;
    if manifest.actions.is_empty() {
        return Err(wrong("/actions", "a plugin has at least one action"));
    }
    let mut actions = BTreeMap::new();
    for (at, declared) in manifest.actions.iter().enumerate() {
        let place = format!("/actions/{at}");
        let action = action(&place, &name, declared)?;
        if actions.insert(SmolStr::new(&declared.name), action).is_some() {
            return Err(wrong(format!("{place}/name"), format!("{:?} is declared twice", declared.name)));
        }
    }
    Ok(Vocabulary { name, manifest, hosts, actions })
}

fn action(place: &str, plugin: &PluginName, declared: &ActionDeclaration) -> Result<Action, ManifestError> {
    let ActionDeclaration { name, group, methods, read_exemption, doc, attributes } = declared;
    if !is_action_name(name) {
        let problem =
            format!("{name:?} is not words of a-z, 0-9, '_' and '-' joined by dots, each with a letter first");
        return Err(wrong(format!("{place}/name"), problem));
    }
    line(&format!("{place}/doc"), doc, MOST_DOC)?;
    let methods = self::methods(&format!("{place}/methods"), methods)?;
    let changing = methods.iter().find(|method| !matches!(**method, "GET" | "HEAD" | "OPTIONS"));
    match (read_exemption, changing) {
        (None, Some(method)) if *group == Group::Read => {
            let problem = format!("an action in the group read is not carried by {method}; say here why this one is");
            return Err(wrong(format!("{place}/read_exemption"), problem));
        }
        (Some(_), _) if *group != Group::Read || changing.is_none() => {
            return Err(wrong(format!("{place}/read_exemption"), "there is nothing to exempt; leave it out"));
        }
        (Some(why), _) => line(&format!("{place}/read_exemption"), why, MOST_DOC)?,
        (None, _) => {}
    }
    at_most(&format!("{place}/attributes"), attributes.len(), MOST_ATTRIBUTES)?;
    let mut known = BTreeMap::new();
    for (at, attribute) in attributes.iter().enumerate() {
        let place = format!("{place}/attributes/{at}");
        let AttributeDeclaration { name, kind, optional, doc } = attribute;
        if !is_identifier(name) || name.len() > 64 || CEDAR_WORDS.contains(&name.as_str()) {
            let problem =
                format!("{name:?} is not 1 to 64 of a-z, 0-9 and '_', with a letter first, or is Cedar's own");
            return Err(wrong(format!("{place}/name"), problem));
        }
        line(&format!("{place}/doc"), doc, MOST_DOC)?;
        let attribute = Attribute { kind: *kind, optional: *optional };
        if known.insert(SmolStr::new(name), attribute).is_some() {
            return Err(wrong(format!("{place}/name"), format!("{name:?} is declared twice")));
        }
    }
    Ok(Action { id: format_smolstr!("{plugin}::{name}"), group: *group, methods, attributes: known })
}

/// The methods, and `HEAD` with `GET`.
fn methods(place: &str, declared: &[String]) -> Result<Vec<&'static str>, ManifestError> {
    if declared.is_empty() {
        return Err(wrong(place, "at least one method"));
    }
    let mut out = Vec::new();
    for (at, method) in declared.iter().enumerate() {
        let known = KNOWN_METHODS.into_iter().find(|known| known == method).ok_or_else(|| {
            wrong(format!("{place}/{at}"), format!("{method:?} is not one of {}", KNOWN_METHODS.join(", ")))
        })?;
        if out.contains(&known) {
            return Err(wrong(format!("{place}/{at}"), format!("{method:?} is there twice")));
        }
        out.push(known);
        if known == "GET" && !declared.iter().any(|other| other == "HEAD") {
            out.push("HEAD");
        }
    }
    Ok(out)
}

fn hosts(declared: &[String]) -> Result<Vec<HostPattern>, ManifestError> {
    at_most("/hosts", declared.len(), MOST_HOSTS)?;
    let parse = |(at, text): (usize, &String)| {
        HostPattern::parse(text).map_err(|error| wrong(format!("/hosts/{at}"), error.to_string()))
    };
    declared.iter().enumerate().map(parse).collect()
}

fn headers(declared: &[String]) -> Result<(), ManifestError> {
    at_most("/headers", declared.len(), MOST_HEADERS)?;
    let mut seen = BTreeSet::new();
    for (at, header) in declared.iter().enumerate() {
        let place = format!("/headers/{at}");
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if header.is_empty() || header.len() > 64 || !header.bytes().all(plain) {
            return Err(wrong(place, format!("{header:?} is not a header's name in lower case")));
        }
        if CREDENTIAL_HEADERS.contains(&header.as_str()) {
            return Err(wrong(place, format!("{header:?} carries credentials, which no plugin sees")));
        }
        if !seen.insert(header) {
            return Err(wrong(place, format!("{header:?} is there twice")));
        }
    }
    Ok(())
}

fn body(need: &BodyNeed) -> Result<(), ManifestError> {
    methods("/body/methods", &need.methods)?;
    if need.limit == 0 || need.limit > MOST_BODY {
        return Err(wrong("/body/limit", format!("{} is not from 1 to {MOST_BODY}", need.limit)));
    }
    Ok(())
}

/// Words of `[a-z][a-z0-9_-]*`, joined by dots.
fn is_action_name(name: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    };
    name.len() <= 64 && name.split('.').all(word)
}

/// `[a-z][a-z0-9_]*`
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn line(place: &str, text: &str, limit: usize) -> Result<(), ManifestError> {
    if text.is_empty() || text.len() > limit || text.chars().any(char::is_control) {
        return Err(wrong(place, format!("expected 1 to {limit} bytes on one line")));
    }
    Ok(())
}

fn at_most(place: &str, count: usize, limit: usize) -> Result<(), ManifestError> {
    if count > limit {
        return Err(wrong(place, format!("{count} are more than {limit}")));
    }
    Ok(())
}

fn wrong(at: impl Into<String>, problem: impl Into<String>) -> ManifestError {
    ManifestError { at: at.into(), problem: problem.into() }
}
