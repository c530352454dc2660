//! YAML and JSON as a tree in which every node knows where it stands.
//!
//! The strict subset that has one reading: one document, string keys, no anchors, aliases, tags or duplicate keys.
//! Plain scalars stay text until a field says what it wants, so `main`, `1.0` and `no` are never guessed at.

use std::collections::HashSet;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Limits on a document.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
pub(crate) const MAX_DEPTH: usize = 64;
pub(crate) const MAX_NODES: usize = 100_000;

/// A node and its position.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column, from 1.
    pub(crate) column: usize,
    /// What it takes up of the text, in characters from its start; empty for JSON.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A scalar. `plain` is true where it was written without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why there is no tree.
#[derive(Debug)]
pub(crate) struct TreeError {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Node {
    /// Reads one document.
    pub(crate) fn parse(text: &str) -> Result<Node, TreeError> {
        let fail = |message: &str| TreeError { line: 1, column: 1, message: message.to_owned() };
        if text.len() > MAX_BYTES {
            return Err(fail("larger than 1 MiB"));
        }
        if let Some(c) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(fail(&format!("contains the control character U+{:04X}", u32::from(c))));
        }
        let mut builder = Builder::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| TreeError {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                message: format!("not YAML: {}", error.info()),
            })?;
            builder.event(event, span)?;
        }
        builder.root.ok_or_else(|| fail("the document is empty"))
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
}

/// A list or map that is being read.
enum Open {
    List { at: At, items: Vec<Node> },
    Map { at: At, items: Vec<(String, Node)>, seen: HashSet<String>, key: Option<String> },
}

/// Where something starts.
#[derive(Clone, Copy)]
struct At {
    line: usize,
    column: usize,
    index: usize,
}

impl At {
    fn error(self, message: String) -> TreeError {
        TreeError { line: self.line, column: self.column, message }
    }
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), TreeError> {
        let at = At { line: span.start.line(), column: span.start.col() + 1, index: span.start.index() };
        let fail = |message: &str| Err(at.error(message.to_owned()));
        match event {
            Event::Alias(_) => return fail("aliases (*name) are not accepted; write the value out"),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return fail("anchors (&name) are not accepted; write the value out");
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return fail("tags (!type) are not accepted");
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return fail("one document only; remove what follows '---'");
                }
            }
            Event::Scalar(text, style, _, _) => {
                let plain = style == ScalarStyle::Plain;
                self.add(at, span.end.index(), Value::Scalar { text: text.into_owned(), plain })?;
            }
            Event::SequenceStart(..) => self.open(at, Open::List { at, items: Vec::new() })?,
            Event::MappingStart(..) => {
                self.open(at, Open::Map { at, items: Vec::new(), seen: HashSet::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { at, items }) => {
                    let end = end(&span, items.last());
                    self.add(at, end, Value::List(items))?;
                }
                Some(Open::Map { at, items, .. }) => {
                    let end = end(&span, items.last().map(|(_, node)| node));
                    self.add(at, end, Value::Map(items))?;
                }
                None => return fail("not YAML: an end without a start"),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, at: At, open: Open) -> Result<(), TreeError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(at.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    fn add(&mut self, at: At, end: usize, value: Value) -> Result<(), TreeError> {
        let fail = |message: String| Err(at.error(message));
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return fail(format!("more than {MAX_NODES} nodes"));
        }
        let node = Node { line: at.line, column: at.column, span: at.index..end.max(at.index), value };
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { items, seen, key, .. }) => match (key.take(), node.value) {
                (Some(name), value) => items.push((name, Node { value, ..node })),
                (None, Value::Scalar { text, .. }) if text == "<<" => {
                    return fail("merge keys (<<) are not accepted; write the fields out".to_owned());
                }
                (None, Value::Scalar { text, .. }) => {
                    if !seen.insert(text.clone()) {
                        return fail(format!("duplicate key {text:?}"));
                    }
                    *key = Some(text);
                }
                (None, _) => return fail("a key must be a plain string".to_owned()),
            },
        }
        Ok(())
    }
}

/// Where a list or map ends: at its bracket, or, where indentation ends it, with the last of what is in it (the parser
/// says so only once it has seen what comes after, comments included).
fn end(closing: &Span, last: Option<&Node>) -> usize {
    match last {
        Some(last) if closing.is_empty() => last.span.end,
        // The parser's end of a bracket takes in what is behind it on the line.
        _ => closing.start.index() + 1,
    }
}

impl Node {
    /// Reads JSON: the same tree, without positions (line 0), and with JSON's own escapes.
    pub(crate) fn parse_json(bytes: &[u8]) -> Result<Node, TreeError> {
        let fail = |message: String, line, column| TreeError { line, column, message };
        if bytes.len() > MAX_BYTES {
            return Err(fail("larger than 1 MiB".to_owned(), 1, 1));
        }
        let node: Node = serde_json::from_slice(bytes)
            .map_err(|error| fail(format!("not JSON that has one reading: {error}"), error.line(), error.column()))?;
        let mut nodes = 0;
        if !node.is_small(MAX_DEPTH, &mut nodes) {
            return Err(fail(format!("nested deeper than {MAX_DEPTH} levels, or more than {MAX_NODES} nodes"), 1, 1));
        }
        Ok(node)
    }

    fn is_small(&self, depth: usize, nodes: &mut usize) -> bool {
        *nodes += 1;
        *nodes <= MAX_NODES
            && match &self.value {
                Value::Scalar { .. } => true,
                _ if depth == 0 => false,
                Value::List(items) => items.iter().all(|item| item.is_small(depth - 1, nodes)),
                Value::Map(items) => items.iter().all(|(_, item)| item.is_small(depth - 1, nodes)),
            }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let value = deserializer.deserialize_any(JsonVisitor)?;
        Ok(Node { line: 0, column: 0, span: 0..0, value })
    }
}

struct JsonVisitor;

impl JsonVisitor {
    fn plain(text: impl ToString) -> Value {
        Value::Scalar { text: text.to_string(), plain: true }
    }
}

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(JsonVisitor::plain(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(JsonVisitor::plain(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(JsonVisitor::plain(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(JsonVisitor::plain(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(JsonVisitor::plain("null"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar { text: value.to_owned(), plain: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items: Vec<(String, Node)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some((key, item)) = access.next_entry::<String, Node>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
            }
            items.push((key, item));
        }
        Ok(Value::Map(items))
    }
}
