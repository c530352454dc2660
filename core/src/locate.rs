//! Where the parts of a text stand, for whoever shows them to a person.
//!
//! Nothing is decided here: a part that is not found is shown without its place.

use std::ops::Range;

use crate::tree::{Node, Value};

/// YAML or JSON, with the place of each of its parts.
#[derive(Debug)]
pub struct Document {
    root: Node,
    text: String,
    /// The byte at which each character starts, and the text's length.
    bytes: Vec<usize>,
}

impl Document {
    /// Reads a text as policies are read; `None` where it is not one document of the strict subset.
    pub fn parse(text: &str) -> Option<Document> {
        let root = Node::parse(text).ok()?;
        let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Some(Document { root, text: text.to_owned(), bytes })
    }

    /// The bytes of what a JSON pointer leads to, or of the nearest thing on the way there that exists.
    pub fn find(&self, pointer: &str) -> Range<usize> {
        let mut node = &self.root;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Map(items) => items.iter().find(|(key, _)| *key == step).map(|(_, node)| node),
                Value::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
                Value::Scalar { .. } => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        let byte = |at: usize| self.bytes.get(at).or(self.bytes.last()).copied().unwrap_or_default();
        let (start, end) = (byte(node.span.start), byte(node.span.end));
        match (&node.value, self.text.get(start..end).and_then(quoted)) {
            (Value::Scalar { plain: false, .. }, Some(length)) => start..start + length,
            _ => start..end,
        }
    }
}

/// How long a quoted scalar is: the parser's end takes in what is behind it on the line, comments included.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('\\', _) if quote == '"' => drop(chars.next()),
            ('\'', Some((_, '\''))) if quote == '\'' => drop(chars.next()),
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The bytes of each policy of a Cedar text, in order, from its first annotation or its effect to its semicolon.
/// Cedar names the policies of a text `policy0`, `policy1`, … in this order.
pub fn cedar_policies(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some((_, '/'))) => {
                chars.by_ref().find(|(_, c)| *c == '\n');
                continue;
            }
            ('"', _) => {
                let mut escaped = false;
                chars.by_ref().find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
            }
            (';', _) => {
                out.push(start.take().unwrap_or(at)..at + 1);
                continue;
            }
            (c, _) if c.is_whitespace() => continue,
            _ => {}
        }
        start.get_or_insert(at);
    }
    out
}

/// Line and column of a byte, each from 1; columns count characters.
pub fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn check(text: &str, pointer: &str, expect: &str) {
        assert_eq!(&text[Document::parse(text).unwrap().find(pointer)], expect, "{pointer} in {text:?}");
    }

    #[test]
    fn parts_of_a_document_are_found() {
        let yaml = "# größe\nversion: 1\nentries:\n  ä:\n    - { a: 1, b: [x, y] } # flow\n    - c: \"q\"\n      d: |\n        two\n        lines\n    # behind\n  next: 'z'\n";
        check(yaml, "/version", "1");
        check(yaml, "/entries/ä/0", "{ a: 1, b: [x, y] }");
        check(yaml, "/entries/ä/0/b/1", "y");
        check(yaml, "/entries/ä/1/c", "\"q\"");
        check(yaml, "/entries/next", "'z'");
        check(yaml, "/entries/next/deeper/0", "'z'");
        let block = &yaml[Document::parse(yaml).unwrap().find("/entries/ä/1")];
        assert!(block.starts_with("c: \"q\"") && block.trim_end().ends_with("lines"), "{block:?}");
        check(&yaml.replace('\n', "\r\n"), "/entries/ä/0", "{ a: 1, b: [x, y] }");
        let json = r#"{"a/b": {"c~d": [1, {"e": "\u00e9"}]}}"#;
        check(json, "/a~1b/c~0d/1", r#"{"e": "\u00e9"}"#);
        check(json, "", json);
        check("\u{feff}a:\n  b: x\nc: y\n", "/a", "b: x");
        check("a: 'it''s' # x\nb: \"\\\"\"   \n", "/a", "'it''s'");
        check("a: x y # x\nb: z", "/a", "x y");
        check("a: it # x\nb: \"\\\"\"   # \"\n", "/b", "\"\\\"\"");
        check("a:\n  - \n  - >-\n    folded\n    text\n\nb: [\n  {c: d},\n] \n", "/b", "[\n  {c: d},\n]");
        check("a:\n  b:\n    - x\n    # no\n\n# no\nc: y\n", "/a", "b:\n    - x");
    }

    /// The part is the policy: what Cedar reads from it alone is what it reads in its place.
    #[test]
    fn parts_are_what_cedar_calls_its_policies() {
        let one = "permit(principal, action, resource) when { context.now < 1 && \"a\\\";b//\" == \"c\" }";
        for text in [
            format!("{one};"),
            format!("{one};{one};forbid(principal, action, resource);"),
            format!(
                "// ;\"\n@a(\"// \\\" ;\")@b\n{one}// \";\n;\r\n\t@c(\"\\\\\")permit(principal, action, resource);// end;"
            ),
        ] {
            let set: cedar_policy::PolicySet = text.parse().unwrap();
            let parts = cedar_policies(&text);
            assert_eq!(parts.len(), set.policies().count(), "{text}");
            for (number, range) in parts.into_iter().enumerate() {
                let alone = cedar_policy::Policy::parse(None, &text[range]).unwrap();
                let id = cedar_policy::PolicyId::new(format!("policy{number}"));
                assert_eq!(alone.to_json().unwrap(), set.policy(&id).unwrap().to_json().unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn policies_of_a_cedar_text_are_found() {
        let text = "// a; comment\n@id(\"x;\\\";\")\npermit(principal, action, resource);\n\nforbid (principal, action, resource) // ;\nwhen { context.now < 1 / 2 && \"é;\" == \"\\\\\" };permit(principal,action,resource)";
        let found: Vec<&str> = cedar_policies(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("@id") && found[0].ends_with("resource);"), "{found:?}");
        assert!(found[1].starts_with("forbid") && found[1].ends_with("\"\\\\\" };"), "{found:?}");
        assert_eq!(line_column(text, text.find("forbid").unwrap()), (5, 1));
        assert_eq!(line_column("aé\nüb", "aé\nü".len()), (2, 2));
    }
}
