//! Answers as SARIF 2.1.0, for code scanning: results with places in the files as they were named on the command line.
//!
//! Own types: what is used of the format is small, and the crate that has all of it brings a dozen others.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::source::Place;

/// Longer parts are not quoted: whoever reads the log has the file.
const LONGEST_SNIPPET: usize = 4096;

/// A run under construction.
#[derive(Debug, Default)]
pub(crate) struct Log {
    files: Vec<String>,
    /// By id, with the order of their first result.
    rules: Vec<(String, Level)>,
    results: Vec<SarifResult>,
    problems: Vec<Notification>,
}

/// How much a result matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Error,
    Warning,
    Note,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: String,
    rule_index: usize,
    level: Level,
    message: Message,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    descriptor: Descriptor,
    level: Level,
    message: Message,
}

#[derive(Debug, Serialize)]
struct Descriptor {
    id: String,
}

#[derive(Debug, Serialize)]
struct Message {
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: Physical,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<Logical>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Area>,
}

#[derive(Debug, Serialize)]
struct Artifact {
    uri: String,
    index: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Area {
    start_line: usize,
    start_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
}

/// What a result says.
pub(crate) struct Said<'a> {
    /// Without `narrowgate/`: `exceeds`, or a finding's name.
    pub(crate) rule: &'a str,
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) at: Where<'a>,
    /// Other places with what they have to do with it.
    pub(crate) related: Vec<(Place<'a>, String)>,
    pub(crate) properties: BTreeMap<String, Value>,
}

/// What a result is about.
pub(crate) enum Where<'a> {
    Place(Place<'a>),
    /// A file, and line and column in it where they are known.
    File(&'a str, Option<(usize, usize)>),
}

impl Log {
    pub(crate) fn add(&mut self, said: Said<'_>) {
        let rule_id = format!("narrowgate/{}", said.rule);
        let rule_index = self.rules.iter().position(|(id, _)| *id == rule_id).unwrap_or_else(|| {
            self.rules.push((rule_id.clone(), said.level));
            self.rules.len() - 1
        });
        let location = match &said.at {
            Where::Place(place) => self.location(place),
            Where::File(file, at) => Location {
                id: None,
                physical_location: Physical {
                    artifact_location: self.artifact(file),
                    region: at.map(|(start_line, start_column)| Area {
                        start_line,
                        start_column,
                        end_line: None,
                        end_column: None,
                        snippet: None,
                    }),
                },
                logical_locations: Vec::new(),
                message: None,
            },
        };
        let related_locations = said.related.into_iter().enumerate().map(|(at, (place, message))| Location {
            id: Some(at + 1),
            message: Some(Message { text: message }),
            ..self.location(&place)
        });
        let related_locations = related_locations.collect();
        self.results.push(SarifResult {
            rule_id,
            rule_index,
            level: said.level,
            message: Message { text: said.message },
            locations: vec![location],
            related_locations,
            properties: said.properties,
        });
    }

    /// The tool itself did not come to an answer.
    pub(crate) fn problem(&mut self, code: &str, message: String) {
        let descriptor = Descriptor { id: format!("narrowgate/{code}") };
        self.problems.push(Notification { descriptor, level: Level::Error, message: Message { text: message } });
    }

    /// The whole log. `properties` are the run's.
    pub(crate) fn finish(self, exit: Exit, properties: Value) -> Value {
        let rules: Vec<Value> = self.rules.iter().map(|(id, level)| rule(id, *level)).collect();
        let files: Vec<Value> = self.files.iter().map(|file| json!({ "location": { "uri": uri(file) } })).collect();
        json!({
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "narrowgate",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                } },
                "invocations": [{
                    // A "no" is an answer; no answer is none, and must not look like a clean run.
                    "executionSuccessful": matches!(exit, Exit::Done | Exit::Refused),
                    "exitCode": exit.code(),
                    "toolExecutionNotifications": self.problems,
                }],
                "artifacts": files,
                "columnKind": "unicodeCodePoints",
                "results": self.results,
                "properties": properties,
            }],
        })
    }

    fn location(&mut self, place: &Place<'_>) -> Location {
        let region = place.region();
        let named = (!place.name.is_empty()).then(|| Logical { fully_qualified_name: place.name.clone() });
        Location {
            id: None,
            physical_location: Physical {
                artifact_location: self.artifact(&place.source.name),
                region: Some(Area {
                    start_line: region.start.0,
                    start_column: region.start.1,
                    end_line: Some(region.end.0),
                    end_column: Some(region.end.1),
                    snippet: place
                        .source
                        .text
                        .get(place.range.clone())
                        .filter(|text| !text.is_empty() && text.len() <= LONGEST_SNIPPET)
                        .map(|text| Message { text: text.to_owned() }),
                }),
            },
            logical_locations: named.into_iter().collect(),
            message: None,
        }
    }

    fn artifact(&mut self, file: &str) -> Artifact {
        let index = self.files.iter().position(|known| known == file).unwrap_or_else(|| {
            self.files.push(file.to_owned());
            self.files.len() - 1
        });
        Artifact { uri: uri(file), index }
    }
}

fn rule(id: &str, level: Level) -> Value {
    let name = id.strip_prefix("narrowgate/").unwrap_or(id);
    let text = match name {
        "exceeds" => "The policy allows a request that the ceiling does not allow.",
        "unsupported" => "Whether the policy is inside the ceiling is not known: a construct is not modelled.",
        "inconclusive" => "Whether the policy is inside the ceiling is not known: the engine gave up.",
        "invalid" => "The file cannot be used.",
        "permit_never_applies" => "No request satisfies the permit.",
        "forbid_never_applies" => "No request satisfies the forbid: it bounds nothing.",
        "shadowed_by_forbid" => "Everything that the permit matches is forbidden.",
        "redundant" => "Everything that the permit allows is allowed without it.",
        "allows_everything" => "Every request with these actions is allowed.",
        "action_not_covered" => "No request with these actions is allowed, and no forbid says that this is meant.",
        "not_analysed" => "A policy was not analysed.",
        other => return described(id, level, &format!("The policy is broader than it needs to be: {other}.")),
    };
    described(id, level, text)
}

fn described(id: &str, level: Level, text: &str) -> Value {
    json!({ "id": id, "shortDescription": { "text": text }, "defaultConfiguration": { "level": level } })
}

/// A path as a URI reference: relative where it was given so.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    } else if path.split('/').next().is_some_and(|first| first.contains(':')) {
        // What stands before a colon would be read as a scheme.
        out.push_str("./");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' | b':' | b'@' | b'+' | b',' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        for (path, expect) in [
            ("policy.yaml", "policy.yaml"),
            ("../a b/ü.yaml", "../a%20b/%C3%BC.yaml"),
            ("/etc/x.cedar", "file:///etc/x.cedar"),
            ("a:b.yaml", "./a:b.yaml"),
            ("50%#?.yaml", "50%25%23%3F.yaml"),
        ] {
            assert_eq!(uri(path), expect);
        }
    }
}
