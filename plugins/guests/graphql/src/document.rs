//! Executable documents, by the grammar of the GraphQL specification of September 2025: everything is checked, and kept is
//! what can decide: operations, fragments, their root fields and those fields' arguments.

use std::collections::{BTreeMap, BTreeSet};

use narrowgate_plugin::{Refusal, Result};

use crate::lexer::{Lexer, Token};

/// How deep selections, values and types may nest.
const DEPTH: usize = 64;

/// A document.
#[derive(Debug, Default)]
pub(crate) struct Document<'a> {
    /// In order.
    pub(crate) operations: Vec<Operation<'a>>,
    /// By name.
    pub(crate) fragments: BTreeMap<&'a str, Fragment<'a>>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads.
    Query,
    /// Changes.
    Mutation,
    /// Reads on, as things happen.
    Subscription,
}

/// One operation of a document.
#[derive(Debug)]
pub(crate) struct Operation<'a> {
    /// What it does.
    pub(crate) kind: Kind,
    /// Its name, if it has one.
    pub(crate) name: Option<&'a str>,
    /// Its variables, with their defaults.
    pub(crate) variables: BTreeMap<&'a str, Option<Value<'a>>>,
    /// What it selects at its root.
    pub(crate) root: Vec<Selection<'a>>,
    /// Every fragment that it spreads, at any depth.
    pub(crate) spreads: BTreeSet<&'a str>,
}

/// One fragment of a document.
#[derive(Debug)]
pub(crate) struct Fragment<'a> {
    /// What it selects at its root.
    pub(crate) root: Vec<Selection<'a>>,
    /// Every fragment that it spreads, at any depth.
    pub(crate) spreads: BTreeSet<&'a str>,
}

/// One selection.
#[derive(Debug)]
pub(crate) enum Selection<'a> {
    /// A field by its own name, whatever its alias.
    Field(&'a str, Vec<(&'a str, Value<'a>)>),
    /// A fragment by name.
    Spread(&'a str),
    /// What an inline fragment selects.
    Inline(Vec<Selection<'a>>),
}

/// A value, as far as an argument's can be one text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// A variable's name.
    Variable(&'a str),
    /// An integer or a float.
    Number(f64),
    /// A string.
    Text(String),
    /// `true`, `false`, or an enum value.
    Name(&'a str),
    /// `null`, a list, or an object.
    Structured,
}

/// Reads a whole document. Malformed is what the grammar does not have, ambiguous what has a name twice.
pub(crate) fn parse(source: &str) -> Result<Document<'_>> {
    let mut lexer = Lexer::new(source);
    let ahead = lexer.next_token()?;
    let mut parser = Parser { lexer, ahead, spreads: BTreeSet::new() };
    let mut document = Document::default();
    while parser.ahead != Token::End {
        parser.definition(&mut document)?;
    }
    check_operations(&document)?;
    check_fragments(&document)?;
    Ok(document)
}

fn check_operations(document: &Document) -> Result<()> {
    let mut names = BTreeSet::new();
    if document.operations.is_empty() {
        return Err(Refusal::malformed("the document has no operation"));
    }
    if document.operations.len() > 1 && document.operations.iter().any(|operation| operation.name.is_none()) {
        return Err(Refusal::ambiguous("an operation without a name is the only one of its document"));
    }
    match document.operations.iter().filter_map(|operation| operation.name).find(|&name| !names.insert(name)) {
        Some(name) => Err(Refusal::ambiguous(format!("the document has two operations `{name}`"))),
        None => Ok(()),
    }
}

/// Refuses spreads of fragments that are not there, and those that lead back to themselves.
fn check_fragments(document: &Document) -> Result<()> {
    let of_operations = document.operations.iter().map(|operation| &operation.spreads);
    let mut spreads = of_operations.chain(document.fragments.values().map(|fragment| &fragment.spreads)).flatten();
    if let Some(missing) = spreads.find(|&&spread| !document.fragments.contains_key(spread)) {
        return Err(no_fragment(missing));
    }
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut spread_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (&name, fragment) in &document.fragments {
        waiting.insert(name, fragment.spreads.len());
        for &spread in &fragment.spreads {
            spread_by.entry(spread).or_default().push(name);
        }
    }
    // Takes away what spreads nothing that is left, until nothing more can be: what stays is in a cycle or leads to one.
    let mut free: Vec<&str> = waiting.iter().filter(|&(_, &left)| left == 0).map(|(&name, _)| name).collect();
    let mut taken = 0;
    while let Some(name) = free.pop() {
        taken += 1;
        for &spreader in spread_by.get(name).into_iter().flatten() {
            if let Some(left) = waiting.get_mut(spreader) {
                *left -= 1;
                if *left == 0 {
                    free.push(spreader);
                }
            }
        }
    }
    if taken == document.fragments.len() {
        Ok(())
    } else {
        Err(Refusal::malformed("a fragment of the document spreads itself"))
    }
}

/// The refusal of a spread without its fragment.
pub(crate) fn no_fragment(name: &str) -> Refusal {
    Refusal::malformed(format!("the document spreads a fragment `{name}` that it does not have"))
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Token<'a>,
    /// Of the definition that is being read.
    spreads: BTreeSet<&'a str>,
}

impl<'a> Parser<'a> {
    fn definition(&mut self, document: &mut Document<'a>) -> Result<()> {
        if self.ahead == Token::Mark('{') {
            let root = self.selections(DEPTH)?;
            let (kind, spreads) = (Kind::Query, core::mem::take(&mut self.spreads));
            document.operations.push(Operation { kind, name: None, variables: BTreeMap::new(), root, spreads });
            return Ok(());
        }
        self.description()?;
        let kind = match self.ahead {
            Token::Name("query") => Kind::Query,
            Token::Name("mutation") => Kind::Mutation,
            Token::Name("subscription") => Kind::Subscription,
            Token::Name("fragment") => return self.fragment(document),
            _ => return Err(Refusal::malformed("a document has operations and fragments, and nothing else")),
        };
        self.bump()?;
        let name = if matches!(self.ahead, Token::Name(_)) { Some(self.name()?) } else { None };
        let variables = self.variables()?;
        self.directives(false)?;
        let root = self.selections(DEPTH)?;
        let spreads = core::mem::take(&mut self.spreads);
        document.operations.push(Operation { kind, name, variables, root, spreads });
        Ok(())
    }

    fn fragment(&mut self, document: &mut Document<'a>) -> Result<()> {
        self.bump()?;
        let name = self.name()?;
        if name == "on" {
            return Err(Refusal::malformed("a fragment is not named `on`"));
        }
        if self.ahead != Token::Name("on") {
            // Some servers let fragments have variables of their own, which would bind names anew.
            return Err(Refusal::malformed("`on` and a type follow a fragment's name"));
        }
        self.bump()?;
        self.name()?;
        self.directives(false)?;
        let root = self.selections(DEPTH)?;
        let spreads = core::mem::take(&mut self.spreads);
        match document.fragments.insert(name, Fragment { root, spreads }) {
            Some(_) => Err(Refusal::ambiguous(format!("the document has two fragments `{name}`"))),
            None => Ok(()),
        }
    }

    fn variables(&mut self) -> Result<BTreeMap<&'a str, Option<Value<'a>>>> {
        let mut variables = BTreeMap::new();
        if !self.eat('(')? {
            return Ok(variables);
        }
        loop {
            self.description()?;
            self.expect('$')?;
            let name = self.name()?;
            self.expect(':')?;
            self.type_reference(DEPTH)?;
            let default = if self.eat('=')? { Some(self.value(true, DEPTH)?) } else { None };
            self.directives(true)?;
            if variables.insert(name, default).is_some() {
                return Err(Refusal::ambiguous(format!("an operation has two variables `{name}`")));
            }
            if self.eat(')')? {
                return Ok(variables);
            }
        }
    }

    fn type_reference(&mut self, depth: usize) -> Result<()> {
        if self.eat('[')? {
            self.type_reference(deeper(depth)?)?;
            self.expect(']')?;
        } else {
            self.name()?;
        }
        self.eat('!').map(|_| ())
    }

    fn selections(&mut self, depth: usize) -> Result<Vec<Selection<'a>>> {
        let depth = deeper(depth)?;
        self.expect('{')?;
        let mut selections = Vec::new();
        loop {
            selections.push(if self.ahead == Token::Spread { self.spread(depth)? } else { self.field(depth)? });
            if self.eat('}')? {
                return Ok(selections);
            }
        }
    }

    fn field(&mut self, depth: usize) -> Result<Selection<'a>> {
        let mut name = self.name()?;
        if self.eat(':')? {
            name = self.name()?;
        }
        let arguments = self.arguments(false)?;
        self.directives(false)?;
        if self.ahead == Token::Mark('{') {
            self.selections(depth)?;
        }
        Ok(Selection::Field(name, arguments))
    }

    fn spread(&mut self, depth: usize) -> Result<Selection<'a>> {
        self.bump()?;
        match self.ahead {
            Token::Name("on") => {
                self.bump()?;
                self.name()?;
            }
            Token::Name(_) => {
                let name = self.name()?;
                self.directives(false)?;
                self.spreads.insert(name);
                return Ok(Selection::Spread(name));
            }
            _ => {}
        }
        self.directives(false)?;
        Ok(Selection::Inline(self.selections(depth)?))
    }

    fn arguments(&mut self, constant: bool) -> Result<Vec<(&'a str, Value<'a>)>> {
        let mut arguments = Vec::new();
        let mut names = BTreeSet::new();
        if !self.eat('(')? {
            return Ok(arguments);
        }
        loop {
            let name = self.name()?;
            self.expect(':')?;
            if !names.insert(name) {
                return Err(Refusal::ambiguous(format!("the argument `{name}` is given twice")));
            }
            arguments.push((name, self.value(constant, DEPTH)?));
            if self.eat(')')? {
                return Ok(arguments);
            }
        }
    }

    /// What directives say is not looked at: a field that `@skip` leaves out still counts as asked for.
    fn directives(&mut self, constant: bool) -> Result<()> {
        while self.eat('@')? {
            self.name()?;
            self.arguments(constant)?;
        }
        Ok(())
    }

    fn value(&mut self, constant: bool, depth: usize) -> Result<Value<'a>> {
        let depth = deeper(depth)?;
        let value = match core::mem::replace(&mut self.ahead, Token::End) {
            Token::Mark('$') if !constant => {
                self.bump()?;
                return Ok(Value::Variable(self.name()?));
            }
            Token::Mark('[') => return self.list(constant, depth),
            Token::Mark('{') => return self.object(constant, depth),
            Token::Number(number) => Value::Number(number),
            Token::Text(text) => Value::Text(text),
            Token::Name("null") => Value::Structured,
            Token::Name(name) => Value::Name(name),
            _ => return Err(Refusal::malformed("the document lacks a value where there must be one")),
        };
        self.bump()?;
        Ok(value)
    }

    fn list(&mut self, constant: bool, depth: usize) -> Result<Value<'a>> {
        self.bump()?;
        while !self.eat(']')? {
            self.value(constant, depth)?;
        }
        Ok(Value::Structured)
    }

    fn object(&mut self, constant: bool, depth: usize) -> Result<Value<'a>> {
        self.bump()?;
        let mut names = BTreeSet::new();
        while !self.eat('}')? {
            let name = self.name()?;
            self.expect(':')?;
            if !names.insert(name) {
                return Err(Refusal::ambiguous(format!("an input object has the field `{name}` twice")));
            }
            self.value(constant, depth)?;
        }
        Ok(Value::Structured)
    }

    fn description(&mut self) -> Result<()> {
        if matches!(self.ahead, Token::Text(_)) { self.bump() } else { Ok(()) }
    }

    fn name(&mut self) -> Result<&'a str> {
        let Token::Name(name) = self.ahead else {
            return Err(Refusal::malformed("the document lacks a name where there must be one"));
        };
        self.bump()?;
        Ok(name)
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.eat(mark)? { Ok(()) } else { Err(Refusal::malformed(format!("the document lacks a `{mark}`"))) }
    }

    fn eat(&mut self, mark: char) -> Result<bool> {
        let found = self.ahead == Token::Mark(mark);
        if found {
            self.bump()?;
        }
        Ok(found)
    }

    fn bump(&mut self) -> Result<()> {
        self.ahead = self.lexer.next_token()?;
        Ok(())
    }
}

fn deeper(depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| Refusal::not_understood(format!("the document nests more than {DEPTH} deep")))
}
