//! The names in a script of `cedar-policy-symcc`: which SMT-LIB symbol is which attribute.
//!
//! The script says so in comments that its encoder writes before each declaration. Nothing a policy contains can be
//! taken for one: policies' strings stand in definitions, with line ends escaped.

use std::collections::{BTreeMap, BTreeSet};

/// What a script declares, and what it uses of that.
#[derive(Debug, Default)]
pub(super) struct Script<'a> {
    /// By the entity type's name, its constructor.
    entities: BTreeMap<&'a str, &'a str>,
    /// By the variable's name, its symbol and type.
    variables: BTreeMap<&'a str, (&'a str, &'a str)>,
    /// By Cedar's description, the symbol and the type it yields.
    functions: BTreeMap<&'a str, (&'a str, &'a str)>,
    /// Records by their type's symbol: the attributes in order.
    records: BTreeMap<&'a str, Vec<&'a str>>,
    /// Definitions: the symbol and what it stands for.
    definitions: Vec<(&'a str, &'a str)>,
    /// Symbols of attributes that a definition reads.
    read: BTreeSet<&'a str>,
}

/// Attributes of one value.
#[derive(Debug)]
pub(super) struct Attributes<'s, 'a> {
    script: &'s Script<'a>,
    record: &'a str,
    value: String,
}

/// A record type.
pub(super) struct Record<'s, 'a> {
    script: &'s Script<'a>,
    record: &'a str,
}

impl<'a> Script<'a> {
    pub(super) fn read(text: &'a str) -> Script<'a> {
        let mut script = Script::default();
        let mut comment = "";
        // The comment on a function stands before the declarations of its types.
        let mut function = "";
        for line in text.lines() {
            if let Some(said) = line.strip_prefix("; ") {
                if ["attrs[", "ancs[", "tagKeys[", "tagVals["].iter().any(|kind| said.starts_with(kind)) {
                    function = said;
                } else {
                    comment = said;
                }
            } else if let Some(rest) = line.strip_prefix("(declare-datatype ") {
                let symbol = first(rest);
                if let Some(names) = comment.strip_prefix('{').and_then(|names| names.strip_suffix('}')) {
                    script.records.insert(symbol, names.split(", ").collect());
                } else if symbol.starts_with('E') {
                    script.entities.insert(comment, symbol);
                }
            } else if let Some(rest) = line.strip_prefix("(declare-const ") {
                let (symbol, kind) = rest.split_once(' ').unwrap_or_default();
                let kind = kind.strip_suffix(')').unwrap_or(kind);
                script.variables.insert(comment.trim_matches('"'), (symbol, kind));
            } else if let Some(rest) = line.strip_prefix("(declare-fun ") {
                let yields = rest.strip_suffix(')').and_then(|rest| rest.rsplit_once(") ")).unwrap_or_default().1;
                script.functions.insert(function, (first(rest), yields));
            } else if let Some(rest) = line.strip_prefix("(define-fun ") {
                let body = rest.strip_suffix(')').unwrap_or(rest);
                script.definitions.push((first(rest), body));
                let selectors = body.split('(').map(first).filter(|word| word.starts_with('R') && word.contains("_a"));
                script.read.extend(selectors);
            }
        }
        script
    }

    pub(super) fn entity(&self, name: &str) -> Option<&'a str> {
        self.entities.get(name).copied()
    }

    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name).map(|(symbol, _)| *symbol)
    }

    pub(super) fn function(&self, name: &str) -> Option<&'a str> {
        self.functions.get(name).map(|(symbol, _)| *symbol)
    }

    /// The attributes of a variable that is an entity of a type.
    pub(super) fn attributes_of(&self, kind: &str, variable: &str) -> Option<Attributes<'_, 'a>> {
        self.attributes(kind, self.variable(variable)?)
    }

    /// The attributes of an entity of a type.
    pub(super) fn attributes(&self, kind: &str, entity: &str) -> Option<Attributes<'_, 'a>> {
        let (symbol, record) = self.functions.get(format!("attrs[{kind}]").as_str()).copied()?;
        Some(Attributes { script: self, record, value: format!("({symbol} {entity})") })
    }

    /// The context's attributes.
    pub(super) fn context(&self) -> Option<Attributes<'_, 'a>> {
        let (symbol, record) = self.variables.get("context").copied()?;
        Some(Attributes { script: self, record, value: symbol.to_owned() })
    }

    /// The schema's `Segments`, which is the only record with these attributes.
    pub(super) fn record_of(&self, name: &str) -> Option<Record<'_, 'a>> {
        let marks: &[&str] = if name == "Segments" { &["count", "h0", "t0"] } else { return None };
        let mut found = self.records.iter().filter(|(_, names)| marks.iter().all(|mark| names.contains(mark)));
        let (record, _) = found.next()?;
        found.next().is_none().then_some(Record { script: self, record })
    }

    /// Whether a definition has this text in it.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.definitions.iter().any(|(_, body)| body.contains(text))
    }

    /// The symbols that stand for a function's values.
    pub(super) fn applications(&self, function: &str) -> Vec<&'a str> {
        let Some(symbol) = self.function(function) else { return Vec::new() };
        let start = format!("({symbol} ");
        self.definitions.iter().filter(|(_, body)| body.contains(&start)).map(|(name, _)| *name).collect()
    }

    /// The small numbers that a number, given as a term, is compared with, and those after them.
    pub(super) fn thresholds(&self, number: &str) -> BTreeSet<usize> {
        let Some(selector) = number.strip_prefix('(').map(first) else { return BTreeSet::new() };
        let start = format!("({selector} ");
        let stands_for: BTreeSet<&str> =
            self.definitions.iter().filter(|(_, body)| body.contains(&start)).map(|(name, _)| *name).collect();
        let mut out = BTreeSet::new();
        for (_, body) in &self.definitions {
            if body.split([' ', '(', ')']).any(|word| stands_for.contains(word)) {
                let numbers = body.split("(_ bv").skip(1).filter_map(|rest| first(rest).parse::<usize>().ok());
                out.extend(numbers.filter(|n| *n <= 64).flat_map(|n| [n, n + 1]));
            }
        }
        out.remove(&0);
        out
    }
}

impl<'s, 'a> Record<'s, 'a> {
    pub(super) fn at(&self, value: &str) -> Attributes<'s, 'a> {
        Attributes { script: self.script, record: self.record, value: value.to_owned() }
    }
}

impl Attributes<'_, '_> {
    /// The term that reads an attribute.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let at = self.script.records.get(self.record)?.iter().position(|attribute| *attribute == name)?;
        Some(format!("({}_a{at} {})", self.record, self.value))
    }

    /// The same, where the script reads that attribute of some value.
    pub(super) fn used(&self, name: &str) -> Option<String> {
        let term = self.get(name)?;
        let selector = term.strip_prefix('(').map(first)?;
        self.script.read.contains(selector).then_some(term)
    }
}

/// The first word.
fn first(text: &str) -> &str {
    text.split([' ', ')']).next().unwrap_or_default()
}
