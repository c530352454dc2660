//! What people wrote, with the place of each of its parts, for whoever points into it.

use std::ops::Range;

use narrowgate_core::compile::Compiled;
use narrowgate_core::locate::{Document, cedar_policies, line_column};
use narrowgate_prover::analyse::PlaceReport;

/// A text and the name it was given on the command line.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    /// The rule language, or a proposal.
    Document(Option<Document>),
    /// Hand-written Cedar, policy by policy.
    Cedar(Vec<Range<usize>>),
}

/// A part of a source.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) source: &'a Source,
    /// In bytes.
    pub(crate) range: Range<usize>,
    /// What stands there: a Cedar policy's id or a JSON pointer; empty for a whole file.
    pub(crate) name: String,
}

/// A place by lines and columns, all from 1; columns count characters, and the end is behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: (usize, usize),
    pub(crate) end: (usize, usize),
}

impl Source {
    /// YAML or JSON.
    pub(crate) fn document(name: String, text: String) -> Source {
        let parts = Parts::Document(Document::parse(&text));
        Source { name, text, parts }
    }

    /// The text that `compiled` was made of.
    pub(crate) fn of(name: String, text: String, compiled: &Compiled) -> Source {
        // Every policy of the rule language has an origin, and hand-written Cedar has none.
        if compiled.origins().is_empty() && !compiled.policies().is_empty() {
            let parts = Parts::Cedar(cedar_policies(&text));
            return Source { name, text, parts };
        }
        Source::document(name, text)
    }

    /// The policy with this id, of those that the text was compiled to.
    pub(crate) fn policy(&self, compiled: &Compiled, id: &str) -> Place<'_> {
        match compiled.origin(id).map(pointer) {
            Some(pointer) => self.pointer(&pointer),
            None => self.cedar(id),
        }
    }

    /// What a JSON pointer leads to, or the nearest thing on the way there.
    pub(crate) fn pointer(&self, pointer: &str) -> Place<'_> {
        let range = match &self.parts {
            Parts::Document(Some(document)) => Some(document.find(pointer)),
            _ => None,
        };
        self.place(range, pointer)
    }

    /// The part that a report has written down.
    pub(crate) fn at(&self, place: &PlaceReport) -> Place<'_> {
        match &place.pointer {
            Some(pointer) => self.pointer(pointer),
            None => self.cedar(&place.id),
        }
    }

    /// The first thing in the text that is more than a comment or a blank line.
    pub(crate) fn start(&self) -> Place<'_> {
        let first = match &self.parts {
            Parts::Cedar(policies) => policies.first().map(|range| range.start),
            Parts::Document(document) => document.as_ref().map(|document| document.find("").start),
        };
        let start = first.unwrap_or_default();
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        self.place(Some(start..start + line.len()), "")
    }

    /// Cedar calls the policies of a text `policy0`, `policy1`, … in their order.
    fn cedar(&self, id: &str) -> Place<'_> {
        let number = id.strip_prefix("policy").and_then(|digits| digits.parse::<usize>().ok());
        let range = match &self.parts {
            Parts::Cedar(policies) => number.and_then(|number| policies.get(number)).cloned(),
            Parts::Document(_) => None,
        };
        self.place(range, id)
    }

    fn place(&self, range: Option<Range<usize>>, name: &str) -> Place<'_> {
        let range = range.unwrap_or_default();
        // Block scalars and trailing blanks end on a line of their own, which is nothing to point at.
        let text = self.text.get(range.clone()).unwrap_or_default().trim_end();
        Place { source: self, range: range.start..range.start + text.len(), name: name.to_owned() }
    }
}

impl Place<'_> {
    pub(crate) fn region(&self) -> Region {
        let at = |byte| line_column(&self.source.text, byte);
        Region { start: at(self.range.start), end: at(self.range.end) }
    }
}

/// The JSON pointer of the rule that a policy came from; of the preset where there is no rule.
pub(crate) fn pointer(origin: &narrowgate_core::compile::Origin) -> String {
    let place = format!("/network_policies/{}", origin.id());
    if origin.rule.is_none() && !origin.deny { format!("{place}/access") } else { place }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use narrowgate_core::policy::{Policy, Role};

    use super::*;

    #[test]
    fn policies_are_found_in_what_they_were_written_as() {
        let text = "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n      - { host: a.example, port: 443, protocol: rest, access: read-only }\n      - host: b.example\n        port: 22\n";
        let policy = Policy::parse(text, "p.yaml", Role::Policy).unwrap();
        let compiled = Compiled::policy(&policy).unwrap();
        let source = Source::of("p.yaml".to_owned(), text.to_owned(), &compiled);
        let place = source.policy(&compiled, "a/endpoints/0");
        assert_eq!((&text[place.range.clone()], place.region().start), ("read-only", (5, 63)));
        let place = source.policy(&compiled, "a/endpoints/1");
        assert_eq!(&text[place.range.clone()], "host: b.example\n        port: 22");
        assert_eq!(place.region(), Region { start: (6, 9), end: (7, 17) });
        let text = "// first\npermit(principal, action, resource);\n\nforbid(principal, action, resource) when { resource.host == \"ä\" };\n";
        let compiled = Compiled::cedar(text, "c.cedar").unwrap();
        let source = Source::of("c.cedar".to_owned(), text.to_owned(), &compiled);
        assert_eq!(source.policy(&compiled, "policy1").region(), Region { start: (4, 1), end: (4, 67) });
        assert_eq!(source.start().region(), Region { start: (2, 1), end: (2, 37) });
    }
}
