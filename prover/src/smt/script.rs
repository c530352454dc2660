//! The names in a script of `cedar-policy-symcc`: which SMT-LIB symbol is which attribute, and what is asked of it.
//!
//! The script says so in comments that its encoder writes before each declaration. Nothing a policy contains can be
//! taken for one: policies' strings stand in definitions, with line ends escaped. A definition is one operation on
//! symbols, so what a symbol stands for is found by following them.

use std::collections::{BTreeMap, BTreeSet};

/// What a script declares and defines.
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
    /// Definitions: the symbol and the operation.
    definitions: Vec<(&'a str, &'a str)>,
    /// Symbols by the attribute that they stand for, written out down to a variable.
    stand_for: BTreeMap<String, Vec<&'a str>>,
}

/// Attributes of one value.
#[derive(Debug)]
pub(super) struct Attributes<'s, 'a> {
    script: &'s Script<'a>,
    record: &'a str,
    value: String,
}

/// What a script asks of a string.
pub(super) enum Test<'a> {
    /// Whether it is this literal, in quotes.
    Equals(&'a str),
    /// Whether it is in this language.
    Within(&'a str),
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
                let body = rest.strip_suffix(')').and_then(operation).unwrap_or_default();
                script.definitions.push((first(rest), body));
            }
        }
        script.follow();
        script
    }

    /// Writes out what symbols stand for that are attributes of attributes of variables.
    fn follow(&mut self) {
        let mut written: BTreeMap<&str, String> = BTreeMap::new();
        for (symbol, body) in &self.definitions {
            let parts = body.strip_prefix('(').and_then(|body| body.strip_suffix(')')).and_then(|b| b.split_once(' '));
            let Some((operator, operand)) = parts else { continue };
            let reads = operator == "val" || operator.starts_with('f') || operator.contains("_a");
            if reads && !operand.contains([' ', '(', '"']) {
                let operand = written.get(operand).map_or(operand, String::as_str);
                let term = format!("({operator} {operand})");
                self.stand_for.entry(term.clone()).or_default().push(symbol);
                written.insert(symbol, term);
            }
        }
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

    /// The attributes of a value of the schema's `Segments`, which is the only record with these.
    pub(super) fn segments(&self, value: &str) -> Option<Attributes<'_, 'a>> {
        let mut found =
            self.records.iter().filter(|(_, names)| ["count", "h0", "t0"].iter().all(|n| names.contains(n)));
        let (record, _) = found.next()?;
        found.next().is_none().then(|| Attributes { script: self, record, value: value.to_owned() })
    }

    /// Whether a definition has this text in it.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.definitions.iter().any(|(_, body)| body.contains(text))
    }

    /// The symbols that stand for a function's values.
    pub(super) fn applications(&self, function: &str) -> Vec<&'a str> {
        let Some(symbol) = self.function(function) else { return Vec::new() };
        let start = format!("({symbol} ");
        self.definitions.iter().filter(|(_, body)| body.starts_with(&start)).map(|(name, _)| *name).collect()
    }

    /// The small numbers that a number, given as a term, is compared with, and those after them.
    pub(super) fn thresholds(&self, number: &str) -> BTreeSet<usize> {
        let symbols = self.stand_for.get(number).map(Vec::as_slice).unwrap_or_default();
        let mut out = BTreeSet::new();
        for (_, body) in &self.definitions {
            if body.split([' ', '(', ')']).any(|word| symbols.contains(&word)) {
                let numbers = body.split("(_ bv").skip(1).filter_map(|rest| first(rest).parse::<usize>().ok());
                out.extend(numbers.filter(|n| *n <= 64).flat_map(|n| [n, n + 1]));
            }
        }
        out.remove(&0);
        out
    }

    /// What is asked of a string, given as a term, and the symbols that stand for the answers.
    pub(super) fn tests(&self, string: &str) -> Vec<(&'a str, Test<'a>)> {
        let symbols = self.stand_for.get(string).map(Vec::as_slice).unwrap_or_default();
        let test = |body: &'a str| {
            let body = body.strip_prefix('(')?.strip_suffix(')')?;
            if let Some(rest) = body.strip_prefix("str.in_re ") {
                let (symbol, language) = rest.split_once(' ')?;
                return symbols.contains(&symbol).then_some(Test::Within(language));
            }
            let rest = body.strip_prefix("= ")?;
            let literal = match rest.strip_prefix('"') {
                Some(_) => rest.rsplit_once(' ').filter(|(_, symbol)| symbols.contains(symbol)).map(|(text, _)| text),
                None => rest.split_once(' ').filter(|(symbol, _)| symbols.contains(symbol)).map(|(_, text)| text),
            };
            literal.filter(|text| text.starts_with('"') && text.ends_with('"')).map(Test::Equals)
        };
        self.definitions.iter().filter_map(|(symbol, body)| Some((*symbol, test(body)?))).collect()
    }
}

impl Attributes<'_, '_> {
    /// The term that reads an attribute.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let at = self.script.records.get(self.record)?.iter().position(|attribute| *attribute == name)?;
        Some(format!("({}_a{at} {})", self.record, self.value))
    }

    /// The same, where the script reads it.
    pub(super) fn used(&self, name: &str) -> Option<String> {
        self.get(name).filter(|term| self.script.stand_for.contains_key(term))
    }
}

/// The first word.
fn first(text: &str) -> &str {
    text.split([' ', ')']).next().unwrap_or_default()
}

/// The operation in `t7 () (Option String) (val t6)`.
fn operation(definition: &str) -> Option<&str> {
    let (_, typed) = definition.split_once(" () ")?;
    let mut depth = 0usize;
    for (at, byte) in typed.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 => return typed.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SCRIPT: &str = r#"; {host, labels}
(declare-datatype R0 (
  (R0 (R0_a0 String) (R0_a1 (_ BitVec 64)))))
; Endpoint
(declare-datatype E1 (
  (E1 (E1_eid String))))
; "resource"
(declare-const t0 E1)
; attrs[Endpoint]
(declare-fun f0 (E1) R0)
(define-fun t1 () R0 (f0 t0))
(define-fun t2 () String (R0_a0 t1))
(define-fun t3 () Bool (= t2 "a ) ; {b}"))
(define-fun t4 () Bool (str.in_re t2 (re.++ (str.to_re "/") re.all)))
(define-fun t5 () Bool (= "x y" t2))
(define-fun t6 () (_ BitVec 64) (R0_a1 t1))
(define-fun t7 () Bool (bvslt t6 (_ bv2 64)))
"#;

    #[test]
    fn symbols_are_found() {
        let script = Script::read(SCRIPT);
        let endpoint = script.attributes("Endpoint", script.variable("resource").unwrap()).unwrap();
        let host = endpoint.used("host").unwrap();
        assert_eq!(host, "(R0_a0 (f0 t0))");
        let tests: Vec<String> = script
            .tests(&host)
            .into_iter()
            .map(|(symbol, test)| match test {
                Test::Equals(text) => format!("{symbol} = {text}"),
                Test::Within(text) => format!("{symbol} in {text}"),
            })
            .collect();
        assert_eq!(tests, [r#"t3 = "a ) ; {b}""#, r#"t4 in (re.++ (str.to_re "/") re.all)"#, r#"t5 = "x y""#]);
        assert_eq!(script.thresholds(&endpoint.used("labels").unwrap()), BTreeSet::from([2, 3]));
        assert_eq!(script.entity("Endpoint"), Some("E1"));
        assert!(script.context().is_none() && script.function("attrs[Process]").is_none());
    }
}
