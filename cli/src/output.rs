//! What people and scripts read: colour only on a terminal, one clear line for an error.

use std::fmt::Display;
use std::io::Write as _;

use clap::ValueEnum;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::exit::Failure;

/// `--format`, for everything that prints an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// `--format`, for answers about files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum FileFormat {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// Prints one line (or block) to standard output. Styling is stripped where the reader is not a terminal.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints text as it is, byte for byte, without styling or an added line end.
pub(crate) fn raw(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text).and_then(|()| out.flush()))
}

/// Prints a value as indented JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(to_json(value, true)?)
}

/// Prints a value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    line(to_json(value, false)?)
}

/// Says on standard error why a command failed.
pub(crate) fn complain(failure: &Failure) {
    if matches!(failure, Failure::BrokenPipe) {
        return;
    }
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(anstream::stderr(), "{} {failure}", "error:".red().bold());
}

/// A remark on standard error that is not an error.
pub(crate) fn remark(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{} {text}", "note:".cyan().bold());
}

/// A line or block on standard error for the person at the terminal, where standard output is for a script.
pub(crate) fn aside(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Text from elsewhere (an agent's rationale, a server's message), safe to show on a terminal: control characters
/// could move the cursor over what a reviewer has just read, bidirectional ones could reorder it.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Vec<char> = if is_unseen(c) { c.escape_unicode().collect() } else { vec![c] };
            escaped
        })
        .collect()
}

/// Whether a terminal acts on it, or shows nothing for it, or puts what follows elsewhere.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn to_json(value: &impl Serialize, pretty: bool) -> Result<String, Failure> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.map_err(|error| Failure::undecided(format!("could not write the answer as JSON: {error}")))?;
    Ok(unseen_escaped(&text))
}

/// The same JSON. What is unseen is in strings only, but for the ends of lines between them; JSON is read by people too.
fn unseen_escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_unseen(c) {
            out.push(c);
            continue;
        }
        let mut units = [0; 2];
        out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
    }
    out
}

fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
        _ => Failure::undecided(format!("could not write to standard output: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(plain("docs \u{1b}[2J\nok"), "docs \\u{1b}[2J\\u{a}ok");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(plain("größer"), "größer");
        let said = "a\u{202e}b\u{9b}c\u{7f}\n\u{e0041}ö\u{1f600}";
        for pretty in [false, true] {
            let json = to_json(&[said], pretty).unwrap();
            assert!(json.contains(r"a\u202eb\u009bc\u007f\n\udb40\udc41ö😀"), "{json}");
            assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [said]);
        }
    }
}
