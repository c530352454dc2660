//! The attributes, each with the one way in which it is read.

use narrowgate_plugin::{Kind, Refusal, Result, Value};

/// How the text of a placeholder, a query value or a body's member becomes an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Letters, digits, `-`, `_` and `.`; in lower case, because GitHub does not look at case.
    Name,
    /// As it is.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`, in a JSON body.
    Flag,
    /// A path in a repository.
    Path,
    /// A branch, tag or commit; a branch without `refs/heads/`.
    Ref,
    /// A full reference, such as `refs/heads/main`.
    Reference,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) doc: &'static str,
}

const fn attribute(name: &'static str, form: Form, doc: &'static str) -> Attribute {
    Attribute { name, form, doc }
}

/// All of them, in the order in which the vocabulary lists them.
pub(crate) const ATTRIBUTES: &[Attribute] = &[
    attribute("owner", Form::Name, "The user or organisation, in lower case."),
    attribute("repo", Form::Name, "The repository's name, in lower case and without `.git`."),
    attribute("path", Form::Path, "The path in the repository: `docs/a.md`; empty for its root."),
    attribute("ref", Form::Ref, "The branch (without `refs/heads/`), tag or commit; without it, the default branch."),
    attribute("branch", Form::Ref, "The branch, without `refs/heads/`."),
    attribute("reference", Form::Reference, "The full reference: `refs/heads/main`."),
    attribute("force", Form::Flag, "Whether the update may drop commits."),
    attribute("sha", Form::Text, "A commit or Git object."),
    attribute("number", Form::Integer, "The number of the issue or pull request."),
    attribute("base", Form::Ref, "The branch that is merged into."),
    attribute("head", Form::Text, "The branch or commit that is merged: `branch` or `owner:branch`."),
    attribute("state", Form::Text, "`open` or `closed`, where the request sets it."),
    attribute("comparison", Form::Text, "What is compared: `base...head`."),
    attribute("tag", Form::Text, "The tag's name."),
    attribute("label", Form::Text, "The label's name."),
    attribute("milestone", Form::Integer, "The milestone's number."),
    attribute("workflow", Form::Text, "The workflow's file name or id."),
    attribute("event", Form::Text, "The event's name."),
    attribute("environment", Form::Text, "The deployment environment's name."),
    attribute("secret", Form::Text, "The secret's name."),
    attribute("variable", Form::Text, "The variable's name."),
    attribute("user", Form::Name, "The user, in lower case."),
    attribute("team", Form::Name, "The team's slug, in lower case."),
    attribute("new_owner", Form::Name, "Who owns it afterwards, in lower case."),
    attribute("new_repo", Form::Name, "The new repository's name, in lower case."),
    attribute("gist", Form::Text, "The gist's id."),
    attribute("kind", Form::Text, "What is searched for, or which kind of object it is."),
    attribute("name", Form::Text, "A name of that resource."),
    attribute("id", Form::Integer, "The id of that resource."),
];

impl Attribute {
    pub(crate) fn kind(&self) -> Kind {
        match self.form {
            Form::Integer => Kind::Integer,
            Form::Flag => Kind::Flag,
            Form::Name | Form::Text | Form::Path | Form::Ref | Form::Reference => Kind::Text,
        }
    }

    /// Reads what stands in the path, the query or a JSON text. `None`: it cannot be that attribute, so another route
    /// may be meant.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] where GitHub might read it as something that looks different.
    pub(crate) fn read(&self, text: &str) -> Result<Option<Value>> {
        if text.is_empty() && self.form != Form::Path {
            return Ok(None);
        }
        Ok(match self.form {
            Form::Name => name(text)?.map(Value::Text),
            Form::Text => one_segment(text)?.map(|text| Value::Text(text.to_owned())),
            Form::Integer => integer(text).map(Value::Integer),
            Form::Flag => None,
            Form::Path => Some(Value::Text(path(text)?.to_owned())),
            Form::Ref => Some(Value::Text(short_ref(text)?.to_owned())),
            Form::Reference => Some(Value::Text(reference(text)?)),
        })
    }
}

fn name(text: &str) -> Result<Option<String>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.bytes().all(plain) {
        return Ok(None);
    }
    let lower = text.to_ascii_lowercase();
    if lower.ends_with(".git") {
        return Err(Refusal::ambiguous(format!("{text:?}: leave `.git` out, which GitHub may or may not")));
    }
    Ok(Some(lower))
}

/// Only branches and tags have slashes in their names; nothing has `..` between two of them.
fn one_segment(text: &str) -> Result<Option<&str>> {
    plain_path(text).map(Some)
}

fn integer(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn path(text: &str) -> Result<&str> {
    if text.is_empty() { Ok(text) } else { plain_path(text) }
}

/// A decoded `%2F` can bring in what the canonical path has not.
fn plain_path(text: &str) -> Result<&str> {
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Refusal::ambiguous(format!("{text:?} has an empty, `.` or `..` part, which GitHub may resolve")));
    }
    Ok(text)
}

/// Git tries `main`, `heads/main` and `refs/heads/main` alike; whoever bounds `main` means all three.
fn short_ref(text: &str) -> Result<&str> {
    let short = text.strip_prefix("refs/heads/").unwrap_or(text);
    if ["heads/", "tags/", "refs/heads/"].iter().any(|start| short.starts_with(start)) {
        return Err(Refusal::ambiguous(format!("{text:?} could be a branch of that name or one without its start")));
    }
    plain_path(short)
}

fn reference(text: &str) -> Result<String> {
    let short = text.strip_prefix("refs/").unwrap_or(text);
    if short.starts_with("refs/") || !short.contains('/') {
        return Err(Refusal::ambiguous(format!("{text:?} is not a full reference, such as `refs/heads/main`")));
    }
    plain_path(short).map(|short| format!("refs/{short}"))
}
