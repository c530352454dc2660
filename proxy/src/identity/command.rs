//! How a program was called, for a reviewer to read and a log to keep: without secrets, in one line, and harmless to a
//! terminal.
//!
//! What a process says of its own command line is its own word, and decides nothing. What looks as if it might be a secret
//! is left out, and so is much that is none: the values of options that carry credentials or bodies, whatever follows a
//! name like "token", the user and the query of a URL, and words that look like keys. A reviewer who misses something can
//! ask; a secret in a log cannot be taken back.

mod looks;

use std::fmt;
use std::io::Read;
use std::iter::Peekable;
use std::str::Chars;

use procfs::process::Process as Entry;

/// What a command line shows in place of what it hides.
const HIDDEN: &str = "[redacted]";
/// In characters: longer ones are cut, and end in an ellipsis.
const LONGEST: usize = 512;
/// As much is read, in bytes.
const READ: u64 = 16 * 1024;
/// A command in a command in a command is not read further.
const DEEPEST: usize = 4;

/// A command line without secrets, at most 512 characters, none of which does anything to a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine(String);

impl CommandLine {
    /// Of these arguments, the program's name first.
    fn redacted(arguments: &[&[u8]]) -> CommandLine {
        let mut line = Line::default();
        let shown: Vec<String> =
            arguments.iter().map(|argument| quoted(&line.argument(&String::from_utf8_lossy(argument), 0))).collect();
        CommandLine(shortened(&visible(&shown.join(" "))))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The process's command line as it is now; `None` where it may not be read or there is none.
pub(super) fn of(process: &Entry) -> Option<CommandLine> {
    let mut bytes = Vec::new();
    process.open_relative("cmdline").ok()?.take(READ).read_to_end(&mut bytes).ok()?;
    let mut arguments: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    // What follows the last NUL is nothing, or an argument that was cut and is no longer recognised for what it is.
    arguments.pop();
    (!arguments.is_empty()).then(|| CommandLine::redacted(&arguments))
}

/// Words of one command, read from left to right.
#[derive(Default)]
struct Line {
    next: Next,
    /// The last word that named a program, without its directory.
    program: String,
    words: usize,
    /// Whether the last word is a secret's name, and an `=` of its own may follow.
    named: bool,
}

/// What the word before says of the next.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Next {
    #[default]
    Anything,
    /// It is a secret.
    Secret,
    /// All that follows is.
    Secrets,
}

impl Line {
    /// One argument, or one word of a command in an argument, as it may be shown.
    fn argument(&mut self, text: &str, depth: usize) -> String {
        match self.next {
            Next::Secrets => return HIDDEN.to_owned(),
            Next::Secret if !text.is_empty() => {
                // "Authorization: Bearer x" says twice that a secret follows.
                if !looks::is_scheme(text) {
                    self.next = Next::Anything;
                }
                return HIDDEN.to_owned();
            }
            _ if depth > DEEPEST || looks::is_pem(text) => return HIDDEN.to_owned(),
            _ => {}
        }
        // An option and its value are one word, with whatever spaces: "-HAuthorization: Bearer x".
        if let Some(shown) = self.option(text) {
            self.words += 1;
            return shown;
        }
        let words = words(text);
        if words.len() > 1 {
            return command(&words, depth);
        }
        let bare = text.trim();
        if let Some(inner) = unquoted(bare) {
            return text.replacen(inner, &self.argument(inner, depth + 1), 1);
        }
        self.word(text)
    }

    fn word(&mut self, text: &str) -> String {
        self.words += 1;
        if std::mem::take(&mut self.named) && matches!(text, "=" | ":" | "=>") {
            self.next = Next::Secret;
            return text.to_owned();
        }
        if self.words == 1 {
            self.program = text.rsplit('/').next().unwrap_or_default().to_owned();
        }
        if looks::is_scheme(text) {
            self.next = Next::Secret;
            return text.to_owned();
        }
        if let Some(shown) = self.assignment(text) {
            return shown;
        }
        let last = text.rsplit('/').next().unwrap_or_default();
        if looks::is_name_of_secret(last) {
            self.named = true;
            // "user.password x" and "//npm.example/:_authToken x", but not "auth login".
            if last.contains(|c: char| !c.is_ascii_alphabetic()) {
                self.next = Next::Secret;
            }
        }
        looks::without_secrets(text)
    }

    /// `-x`, `-xVALUE`, `--name`, `--name=VALUE`.
    fn option(&mut self, text: &str) -> Option<String> {
        let name = text.strip_prefix('-').filter(|name| !name.is_empty() && *name != "-")?;
        let is_long = name.starts_with('-');
        if let Some((name, _)) = text.split_once('=')
            && (looks::is_name_of_secret(name) || (is_long && looks::carries_secrets(&self.program, name)))
        {
            return Some(format!("{name}={HIDDEN}"));
        }
        if is_long || looks::is_long_with_one_dash(text) {
            if !text.contains(['=', ':'])
                && (looks::is_name_of_secret(text) || looks::carries_secrets(&self.program, text))
            {
                self.next = Next::Secret;
                return Some(text.to_owned());
            }
            return None;
        }
        // Letters that take no value may stand before the one that does: -sSu user:password
        let letters = if name.contains("://") { name.get(..1)? } else { name };
        let at = letters.find(|letter| looks::letter_carries_secrets(&self.program, letter))?;
        let (letters, value) = name.split_at(at + 1);
        if value.is_empty() {
            self.next = Next::Secret;
            return Some(text.to_owned());
        }
        Some(format!("-{letters}{HIDDEN}"))
    }

    /// `NAME=VALUE`, `Name: VALUE`, `"name": VALUE`, anywhere in the word.
    fn assignment(&mut self, text: &str) -> Option<String> {
        for (at, separator) in text.match_indices(['=', ':']) {
            let (before, rest) = text.split_at(at);
            let value = rest.strip_prefix(separator)?;
            if value.starts_with("//") || !looks::ends_in_name_of_secret(before) {
                continue;
            }
            if separator == ":" || value.contains(['{', '[', '(', ':']) {
                // A header, or JSON: the value goes on to wherever its writer thinks.
                self.next = Next::Secrets;
            } else if value.is_empty() {
                self.next = Next::Secret;
            }
            let shown = looks::without_secrets(before);
            return Some(match value.is_empty() {
                true => format!("{shown}{separator}"),
                false => format!("{shown}{separator}{HIDDEN}"),
            });
        }
        None
    }
}

/// A command within an argument: `sh -c "curl -H 'Authorization: …'"`.
fn command(words: &[&str], depth: usize) -> String {
    let mut line = Line::default();
    let mut shown: Vec<String> = Vec::new();
    for word in words {
        if line.next == Next::Secrets {
            if shown.last().is_none_or(|last| !last.ends_with(HIDDEN)) {
                shown.push(HIDDEN.to_owned());
            }
            break;
        }
        // After a pipe or the like there is another command.
        if matches!(*word, "|" | "||" | "&&" | ";" | "&") {
            line = Line::default();
            shown.push((*word).to_owned());
            continue;
        }
        shown.push(line.argument(word, depth + 1));
        // "http.extraHeader=Authorization: Basic x" is no command, and all of it is one value.
        if shown.len() == 1 && shown.last().is_some_and(|first| first.ends_with(&format!("={HIDDEN}"))) {
            break;
        }
    }
    shown.join(" ")
}

/// The words of a text, as a shell would part them; quotes stay. One that is not closed goes to the end.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = rest.split_at(end_of_word(rest));
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn end_of_word(text: &str) -> usize {
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, quote) {
            ('\\', _) => drop(characters.next()),
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// What is between the quotes, where the whole text is quoted.
fn unquoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.is_empty() && !inner.contains(quote)).then_some(inner)
}

/// As one would type it, so that a reader sees where an argument ends.
fn quoted(argument: &str) -> String {
    match argument.is_empty() || argument.contains(char::is_whitespace) {
        true => format!("'{}'", argument.replace('\'', r"'\''")),
        false => argument.to_owned(),
    }
}

/// Characters that move a cursor, hide or turn text, as escapes.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match looks::is_invisible(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

fn shortened(text: &str) -> String {
    let mut characters: Peekable<Chars<'_>> = text.chars().peekable();
    let mut short: String = characters.by_ref().take(LONGEST - 1).collect();
    if let Some(last) = characters.next() {
        short.push(if characters.peek().is_some() { '…' } else { last });
    }
    short
}

#[cfg(test)]
mod tests;
