//! For plugins' own tests, which run natively: requests as they are written in `cases/*.http`, and checks that the host
//! would make too.

#![expect(clippy::panic, reason = "a failed check fails the test that made it")]

use crate::{
    Body, Group, Kind, MOST_OPERATIONS, Operation, Plugin, Refusal, Request, Result, Suggestion, Value, Vocabulary,
    percent,
};
use std::{collections::BTreeSet, path::Path};

/// The request of a case: `PUT https://api.example/a%20b?c=d HTTP/1.1`, header lines, an empty line, and the body as
/// it is. The version may be left out. A body of a method, or a length, that the vocabulary does not ask for is
/// truncated as the host would, and headers that it does not name are not there.
///
/// # Panics
/// Where the text is not such a request.
#[must_use]
pub fn request(vocabulary: &Vocabulary, case: &[u8]) -> Request {
    let (head, body) = split_head(case);
    let head = std::str::from_utf8(head).unwrap_or_else(|why| panic!("the head is not UTF-8: {why}"));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ');
    let (Some(method), Some(url)) = (words.next(), words.next()) else {
        panic!("{first:?} is not `METHOD https://host/path`")
    };
    let mut request = request_line(method, url);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} is not `name: value`"));
        let name = name.to_ascii_lowercase();
        if vocabulary.headers.contains(&name) {
            request = request.header(&name, value.trim());
        }
    }
    request.body = match &vocabulary.body {
        _ if body.is_empty() => Body::Absent,
        Some(need) if need.methods.iter().any(|needed| needed == method) => {
            match body.get(..usize::try_from(need.limit).unwrap_or(usize::MAX)) {
                Some(start) if start.len() < body.len() => Body::Truncated(start.to_vec()),
                _ => Body::Complete(body.to_vec()),
            }
        }
        _ => Body::Truncated(Vec::new()),
    };
    request
}

/// What a plugin makes of a case, after the checks that the host makes of every answer.
///
/// # Panics
/// Where the answer is not in the plugin's own vocabulary.
pub fn classify<P: Plugin>(case: impl AsRef<[u8]>) -> Result<Vec<Operation>> {
    let vocabulary = P::describe();
    let request = request(&vocabulary, case.as_ref());
    let answer = P::classify(&request);
    if let Ok(operations) = &answer {
        conforms(&vocabulary, &request.method, operations)
            .unwrap_or_else(|why| panic!("{} {}: {why}", request.method, request.path));
    }
    answer
}

/// One answer as a text, to write tables with: `contents.write owner=acme path=docs/a.md`, operations joined with
/// ` + `; refusals by kind: `not-understood`.
#[must_use]
pub fn brief(answer: &Result<Vec<Operation>>) -> String {
    match answer {
        Ok(operations) => operations.iter().map(brief_operation).collect::<Vec<_>>().join(" + "),
        Err(Refusal::NotUnderstood(_)) => "not-understood".to_owned(),
        Err(Refusal::Ambiguous(_)) => "ambiguous".to_owned(),
        Err(Refusal::NeedsBody(_)) => "needs-body".to_owned(),
        Err(Refusal::Malformed(_)) => "malformed".to_owned(),
    }
}

/// Checks one row of a table: a case, and its answer as [`brief`] puts it.
///
/// # Panics
/// Where the answer is another.
pub fn check<P: Plugin>(case: impl AsRef<[u8]>, expect: &str) {
    let case = case.as_ref();
    let answer = classify::<P>(case);
    assert_eq!(brief(&answer), expect, "{}: {answer:?}", String::from_utf8_lossy(case));
}

/// Checks that a plugin's vocabulary is one that the host would load.
///
/// # Panics
/// Where it is not, saying why.
pub fn check_vocabulary<P: Plugin>() {
    let vocabulary = P::describe();
    assert_eq!(vocabulary, P::describe(), "describe must say the same at every call");
    assert!(identifier(&vocabulary.name), "{:?} is not a lower-case identifier", vocabulary.name);
    let names: BTreeSet<_> = vocabulary.actions.iter().map(|action| &action.name).collect();
    assert_eq!(names.len(), vocabulary.actions.len(), "an action is declared twice");
    for action in &vocabulary.actions {
        let name = &action.name;
        assert!(name.split('.').all(identifier), "{name:?} is not words of lower-case letters, joined by dots");
        assert!(!action.methods.is_empty(), "{name}: no methods");
        assert!(!action.doc.is_empty(), "{name}: no doc");
        let changes = action.methods.iter().any(|method| ["POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()));
        let exempt = action.group == Group::Read && changes;
        assert_eq!(action.read_exemption.is_some(), exempt, "{name}: a read exemption, where and only where needed");
        let attributes: BTreeSet<_> = action.attributes.iter().map(|attribute| &attribute.name).collect();
        assert_eq!(attributes.len(), action.attributes.len(), "{name}: an attribute is declared twice");
        assert!(attributes.len() <= 32, "{name}: more than 32 attributes");
    }
}

/// Checks that `example` has a request for an operation, and that `classify` reads it as that operation and no other.
///
/// # Panics
/// Where it is not so.
pub fn check_example<P: Plugin>(operation: &Operation) {
    let suggestion = Suggestion::new(operation.clone(), "");
    let Some(request) = P::example(&suggestion) else { panic!("no example for {}", brief_operation(operation)) };
    let answer = P::classify(&request);
    if let Ok(operations) = &answer {
        let checked = conforms(&P::describe(), &request.method, operations);
        assert_eq!(checked, Ok(()), "{} {}", request.method, request.path);
    }
    assert_eq!(brief(&answer), brief_operation(operation), "{} {}", request.method, request.path);
}

/// Every `*.http` in a folder, by name, in order.
///
/// # Panics
/// Where the folder cannot be read, or has none.
#[must_use]
pub fn cases(folder: impl AsRef<Path>) -> Vec<(String, Vec<u8>)> {
    let folder = folder.as_ref();
    let read = |why: std::io::Error| -> ! { panic!("{}: {why}", folder.display()) };
    let mut cases: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|why| read(why))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap_or_else(|why| read(why)))
        })
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no *.http in {}", folder.display());
    cases
}

/// Whether the host would accept these operations from a request with this method.
///
/// # Errors
/// What is wrong with them.
pub fn conforms(vocabulary: &Vocabulary, method: &str, operations: &[Operation]) -> Result<(), String> {
    if operations.is_empty() || operations.len() > MOST_OPERATIONS {
        return Err(format!("{} operations; there must be 1 to {MOST_OPERATIONS}", operations.len()));
    }
    for operation in operations {
        let name = &operation.action;
        let Some(action) = vocabulary.actions.iter().find(|action| action.name == *name) else {
            return Err(format!("the action {name:?} is not declared"));
        };
        let carried = if method == "HEAD" { "GET" } else { method };
        if !action.methods.iter().any(|declared| declared == carried) {
            return Err(format!("{name} is carried by {:?}, not by {method}", action.methods));
        }
        for (attribute, value) in &operation.attributes {
            let Some(declared) = action.attributes.iter().find(|declared| declared.name == *attribute) else {
                return Err(format!("{name}: the attribute {attribute:?} is not declared"));
            };
            if declared.kind != kind(value) {
                return Err(format!("{name}: the attribute {attribute:?} is {:?}, not {value:?}", declared.kind));
            }
            if operation.attributes.iter().filter(|(other, _)| other == attribute).count() != 1 {
                return Err(format!("{name}: the attribute {attribute:?} is there twice"));
            }
        }
        for declared in action.attributes.iter().filter(|declared| !declared.optional) {
            if operation.value(&declared.name).is_none() {
                return Err(format!("{name}: the attribute {:?} is missing", declared.name));
            }
        }
    }
    Ok(())
}

fn split_head(case: &[u8]) -> (&[u8], &[u8]) {
    for (at, _) in case.iter().enumerate() {
        for end in [&b"\r\n\r\n"[..], b"\n\n"] {
            if let Some(body) = case.get(at..).and_then(|rest| rest.strip_prefix(end)) {
                return (case.get(..at).unwrap_or_default(), body);
            }
        }
    }
    (case, &[])
}

fn request_line(method: &str, url: &str) -> Request {
    let (scheme, rest) = url.split_once("://").unwrap_or_else(|| panic!("{url:?} has no scheme"));
    let (target, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let (host, port) = authority.split_once(':').unwrap_or((authority, if scheme == "https" { "443" } else { "80" }));
    let decode = |text: &str, plus| {
        percent::decode(text.as_bytes(), plus).unwrap_or_else(|| panic!("{text:?} is not percent-encoded UTF-8"))
    };
    Request {
        method: method.to_owned(),
        scheme: scheme.to_owned(),
        host: host.to_owned(),
        port: port.parse().unwrap_or_else(|_| panic!("{port:?} is not a port")),
        path: format!("/{path}"),
        segments: path.split('/').map(|segment| decode(segment, false)).collect(),
        query: (query.split('&').filter(|pair| !pair.is_empty()))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decode(key, true), decode(value, true)))
            .collect(),
        headers: Vec::new(),
        body: Body::Absent,
    }
}

fn brief_operation(operation: &Operation) -> String {
    let mut text = operation.action.clone();
    for (name, value) in &operation.attributes {
        let value = match value {
            Value::Text(held) => held.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Texts(texts) => format!("[{}]", texts.join(",")),
            Value::Fields(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, held)| format!("{name}:{held}")).collect();
                format!("{{{}}}", fields.join(","))
            }
        };
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

fn identifier(text: &(impl AsRef<str> + ?Sized)) -> bool {
    let text = text.as_ref();
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|next| next.is_ascii_lowercase() || next.is_ascii_digit() || "_-".contains(next))
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Text(_) => Kind::Text,
        Value::Integer(_) => Kind::Integer,
        Value::Flag(_) => Kind::Flag,
        Value::Texts(_) => Kind::Texts,
        Value::Fields(_) => Kind::Fields,
    }
}
