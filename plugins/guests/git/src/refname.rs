//! Names of refs, by the rules of `git check-ref-format`.

use narrowgate_plugin::{Refusal, Result};

/// A ref that a push may name: well-formed and below `refs/`, as `git receive-pack` wants it.
pub(crate) fn parse(name: &[u8]) -> Result<String> {
    let Ok(name) = core::str::from_utf8(name) else {
        return Err(Refusal::not_understood("a ref's name is not UTF-8"));
    };
    match fault(name) {
        None => Ok(name.to_owned()),
        Some(fault) => Err(Refusal::malformed(format!("`{}` is no ref: {fault}", name.escape_debug()))),
    }
}

fn fault(name: &str) -> Option<&'static str> {
    let forbidden = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if !name.starts_with("refs/") {
        return Some("it must be below refs/");
    }
    if name.chars().any(forbidden) {
        return Some("it has a character that no ref may have");
    }
    if name.contains("..") || name.contains("@{") {
        return Some("it has `..` or `@{`");
    }
    if name.ends_with('.') {
        return Some("it ends with a dot");
    }
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        return Some("a part of it is empty, starts with a dot or ends with .lock");
    }
    None
}
