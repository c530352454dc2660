//! What a cube's constraints on attributes look like as patterns of the rule language. Only hints, as those for hosts and
//! paths are.

use std::collections::BTreeMap;

use narrowgate_core::pattern::ValuePattern;
use smol_str::SmolStr;

use super::hints::{apart, text};
use super::values::in_common;
use crate::language::{ABSENT, Elem, Form, Lang};
use crate::lower::{Con, Cube, Ints, Var};

/// More numbers than this are not listed.
const NUMBERS: i128 = 16;

/// What a cube admits of a plugin's attributes, by name, and what it takes out of that.
pub(super) type Said = BTreeMap<String, Attribute>;

/// Of one attribute, or of one of its fields.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Attribute {
    /// One of these; `None` where it is free, or only bound in a way that no pattern is.
    pub(super) yes: Option<Patterns>,
    /// Each of these is taken out: alternatives that do so.
    pub(super) no: Vec<Vec<ValuePattern>>,
    /// Whether it is a set, of which none at all may be wanted.
    pub(super) is_set: bool,
    /// By name.
    pub(super) fields: BTreeMap<String, Attribute>,
}

/// Cedar's stars cross slashes; a pattern has a `**` for that, or keeps between them.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Patterns {
    /// Read as widely as patterns can, but for `except`.
    pub(super) open: Vec<ValuePattern>,
    /// What `open` has too much.
    pub(super) except: Vec<ValuePattern>,
    /// Read so that no star crosses a slash.
    pub(super) flat: Vec<ValuePattern>,
}

impl Patterns {
    fn list(values: Vec<ValuePattern>) -> Patterns {
        Patterns { open: values.clone(), except: Vec::new(), flat: values }
    }
}

/// What the cube says.
pub(super) fn said(cube: &Cube) -> Said {
    let mut out = Said::new();
    for (var, con) in cube.iter() {
        let (path, field) = match var {
            Var::Long(path) | Var::Flag(path) | Var::Has(path) | Var::Empty(path) | Var::Text(path) => (path, None),
            Var::Member(path, _) | Var::Among(path, _) => (path, None),
            Var::Field(path, name) => (path, Some(name)),
            _ => continue,
        };
        let Some(name) = path.strip_prefix("context.").and_then(|path| path.split_once('.')).map(|(_, name)| name)
        else {
            continue;
        };
        let mut attribute = out.entry(name.to_owned()).or_default();
        if let Some(field) = field {
            attribute = attribute.fields.entry(field.to_string()).or_default();
        }
        attribute.note(var, con);
    }
    for attribute in out.values_mut().filter(|attribute| !attribute.fields.is_empty()) {
        // A field that is wanted says that there are fields.
        attribute.yes = None;
    }
    out.retain(|_, attribute| *attribute != Attribute::default());
    out
}

impl Attribute {
    fn note(&mut self, var: &Var, con: &Con) {
        match (var, con) {
            (Var::Text(_) | Var::Field(..), Con::Text(form)) => {
                let Attribute { yes, no, .. } = texts(form);
                self.yes = yes.or(self.yes.take());
                self.no.extend(no);
            }
            (Var::Long(_), Con::Number(ints)) => {
                self.yes = numbers(ints).map(Patterns::list).or(self.yes.take());
                let others = numbers(&ints.complement(&var.domain())).unwrap_or_default();
                self.no.extend(others.into_iter().map(|number| vec![number]));
            }
            (Var::Flag(_), Con::Is(value)) => self.yes = exact(&value.to_string()).map(|one| Patterns::list(vec![one])),
            // Comes before any constraint on the value, which then says it too.
            (Var::Has(_), Con::Is(true)) => self.yes = self.yes.take().or(Some(Patterns::list(any()))),
            (Var::Has(_), Con::Is(false)) => self.no.push(any()),
            (Var::Empty(_), Con::Is(true)) => (self.yes, self.is_set) = (Some(Patterns::default()), true),
            (Var::Member(_, element), Con::Is(false)) => self.no.extend(exact(element).map(|one| vec![one])),
            // Of what a forbid takes, the elements that are named are enough.
            (Var::Member(_, element), Con::Is(true)) if self.yes.is_none() => {
                (self.yes, self.is_set) = (exact(element).map(|one| Patterns::list(vec![one])), true);
            }
            (Var::Among(_, list), Con::Is(true)) => {
                let list = elements(list);
                let list = self.yes.take().map_or(list.clone(), |before| in_common(&before.open, &list));
                (self.yes, self.is_set) = (Some(Patterns::list(list)), true);
            }
            (Var::Among(_, list), Con::Is(false)) => {
                self.is_set = true;
                self.no.push(elements(list));
            }
            _ => {}
        }
    }
}

fn exact(text: &str) -> Option<ValuePattern> {
    ValuePattern::exact(text).ok()
}

fn any() -> Vec<ValuePattern> {
    ValuePattern::parse("**").into_iter().collect()
}

fn elements(list: &[SmolStr]) -> Vec<ValuePattern> {
    list.iter().filter_map(|element| exact(element)).collect()
}

/// The numbers, where they are few.
fn numbers(ints: &Ints) -> Option<Vec<ValuePattern>> {
    let count: i128 = ints.ranges().iter().map(|(low, high)| i128::from(*high) - i128::from(*low) + 1).sum();
    let all = ints.ranges().iter().flat_map(|(low, high)| *low..=*high);
    (count <= NUMBERS).then(|| all.filter_map(|number| exact(&number.to_string())).collect())
}

fn texts(form: &Form) -> Attribute {
    let (yes, no) = apart(form);
    let mut out = Attribute::default();
    let is_absent = |lang: &&Lang| matches!(lang, Lang::Eq(word) if word == ABSENT);
    let flat = no.iter().any(|lang| is_depth(lang));
    let mut patterns = Patterns::default();
    for lang in yes.iter().filter(|lang| !is_absent(lang)) {
        let Patterns { open, except, flat } = of(lang);
        patterns.open.extend(open);
        patterns.except.extend(except);
        patterns.flat.extend(flat);
    }
    if flat {
        (patterns.open, patterns.except) = (patterns.flat.clone(), Vec::new());
    }
    patterns.except.retain(|one| !yes.iter().any(|lang| matches!(lang, Lang::Eq(word) if word == one.as_str())));
    if patterns != Patterns::default() {
        out.yes = Some(patterns);
    } else if no.iter().any(is_absent) {
        out.yes = Some(Patterns::list(any()));
    }
    if yes.iter().any(is_absent) {
        out.no.push(any());
    }
    for lang in no.iter().filter(|lang| !is_absent(lang) && !is_depth(lang)) {
        let Patterns { open, flat, .. } = of(lang);
        let mut alternatives = open;
        alternatives.extend(flat);
        alternatives.dedup();
        out.no.extend(Some(alternatives).filter(|alternatives| !alternatives.is_empty()));
    }
    out
}

/// Whether a `like` only says how many slashes there are at least.
fn is_depth(lang: &Lang) -> bool {
    let Lang::Like(glob) = lang else { return false };
    glob.contains(&Elem::Char('/')) && glob.iter().all(|elem| matches!(elem, Elem::Star | Elem::Char('/')))
}

fn of(lang: &Lang) -> Patterns {
    let like = match lang {
        Lang::Eq(word) => return Patterns::list(exact(word).into_iter().collect()),
        // A glob of the rule language cannot say a star.
        Lang::Like(glob) if !glob.contains(&Elem::Char('*')) => text(glob),
        _ => return Patterns::default(),
    };
    if like == "*" {
        return Patterns::list(any());
    }
    let flat: Vec<ValuePattern> = ValuePattern::parse(&like).into_iter().collect();
    // Between slashes, a star that crosses them is a `**` but for nothing at all.
    let (wide, nothing) = match like.split('*').collect::<Vec<_>>().as_slice() {
        [before, ""] if before.ends_with('/') => (format!("{before}**"), before.trim_end_matches('/').to_owned()),
        ["", after] if after.starts_with('/') => (format!("**{after}"), after.trim_start_matches('/').to_owned()),
        [before, after] if before.ends_with('/') && after.starts_with('/') => {
            (format!("{before}**{after}"), format!("{before}{}", after.trim_start_matches('/')))
        }
        _ => return Patterns { open: flat.clone(), except: Vec::new(), flat },
    };
    match ValuePattern::parse(&wide) {
        Ok(open) => Patterns { open: vec![open], except: exact(&nothing).into_iter().collect(), flat },
        Err(_) => Patterns { open: flat.clone(), except: Vec::new(), flat },
    }
}
