//! What a Cedar expression denotes when it is not a condition: an attribute of the request, or a constant.

use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, EntityUID, Expr, Literal, UnaryOp, Var as CedarVar};
use smol_str::{SmolStr, format_smolstr};

use super::Unsupported;
use super::cube::{ANCESTORS, REPEATED_KEYS};
use super::cube::{Con, Cond, Var};
use super::declared::{Attributes, Kind};
use super::ints::Ints;
use super::vocabulary::{Method, View};
use crate::language::{Elem, Form, Lang, Net, REPEATED};

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Principal,
    Action,
    Resource,
    Context,
    /// `segments` of the executable's or the request's path.
    Segments(Var),
    Query,
    /// A record that a plugin declares, by its path in the context.
    Record(SmolStr, Arc<Attributes>),
    /// Fields that a plugin declares, by their path in the context.
    Fields(SmolStr),
    Text(Text),
    Number(Number),
    Flag(Var),
    Set(Set),
    /// The host, where it is an IP literal.
    Address,
    ConstAddress(Net),
    ConstText(SmolStr),
    ConstNumber(i64),
    Entity(EntityUID),
    List(Vec<Term>),
}

/// A string that depends on the request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Text {
    Whole(Var),
    Piece { of: Var, head: bool, n: usize },
}

/// A number that depends on the request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    Plain(Var),
    Labels,
    Count(Var),
}

/// A set that depends on the request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Set {
    Ancestors,
    Repeated,
    Globs(Var),
    /// That a plugin declares, by its path in the context.
    Declared(SmolStr),
}

impl Term {
    pub(crate) fn of(expr: &Expr, view: &View<'_>) -> Result<Term, Unsupported> {
        let no = |what: &str| Err(Unsupported(what.to_owned()));
        Ok(match expr {
            Expr::Var(CedarVar::Principal) => Term::Principal,
            Expr::Var(CedarVar::Action) => Term::Action,
            Expr::Var(CedarVar::Resource) => Term::Resource,
            Expr::Var(CedarVar::Context) => Term::Context,
            Expr::Literal(Literal::String(text)) => Term::ConstText(text.clone()),
            Expr::Literal(Literal::Long(n)) => Term::ConstNumber(*n),
            Expr::Literal(Literal::EntityUID(uid)) => Term::Entity(uid.clone()),
            Expr::UnaryOp { op: UnaryOp::Neg, expr } => match Term::of(expr, view)? {
                Term::ConstNumber(n) => {
                    n.checked_neg().map_or_else(|| no("arithmetic (-)"), |n| Ok(Term::ConstNumber(n)))?
                }
                _ => return no("arithmetic (-)"),
            },
            Expr::Set(items) => Term::List(items.iter().map(|item| Term::of(item, view)).collect::<Result<_, _>>()?),
            Expr::GetAttr { expr, attr } => Term::of(expr, view)?.attribute(attr, view)?,
            Expr::BinaryOp { op: BinaryOp::GetTag, left, right } => {
                match (Term::of(left, view)?, Term::of(right, view)?) {
                    (Term::Query, Term::ConstText(key)) => Term::Text(Text::Whole(Var::Query(key))),
                    (Term::Fields(path), Term::ConstText(name)) => Term::Text(Text::Whole(Var::Field(path, name))),
                    _ => return no("getTag with a key that is not a constant"),
                }
            }
            Expr::UnaryOp { op: UnaryOp::Ip, expr } => match Term::of(expr, view)? {
                Term::ConstText(text) => match Net::parse(&text) {
                    Some(net) => Term::ConstAddress(net),
                    None => return no(&format!("ip({text:?})")),
                },
                _ => return no("ip() of something other than a constant"),
            },
            Expr::BinaryOp { op, .. } => return no(&format!("{op}")),
            Expr::UnaryOp { op, .. } => return no(&format!("{op}")),
            Expr::IfThenElse { .. } => return no("if-then-else that yields something other than a boolean"),
            Expr::Record(_) => return no("a record"),
            Expr::Slot(_) => return no("a template slot"),
            _ => return no("an expression of a kind that the exact engine does not model"),
        })
    }

    pub(crate) fn attribute(self, attr: &str, view: &View<'_>) -> Result<Term, Unsupported> {
        let whole = |var| Ok(Term::Text(Text::Whole(var)));
        match (&self, attr) {
            (Term::Principal, "path") => whole(Var::Process),
            (Term::Principal, "sha256") => whole(Var::Sha256),
            (Term::Principal, "ancestors") => Ok(Term::Set(Set::Ancestors)),
            (Term::Principal, "segments") => Ok(Term::Segments(Var::Process)),
            (Term::Principal, "path_globs") => Ok(Term::Set(Set::Globs(Var::Process))),
            (Term::Resource, "host") => whole(Var::Host),
            (Term::Resource, "labels") => Ok(Term::Number(Number::Labels)),
            (Term::Resource, "address") => Ok(Term::Address),
            (Term::Resource, "port") => Ok(Term::Number(Number::Plain(Var::Port))),
            (Term::Context, "now") => Ok(Term::Number(Number::Plain(Var::Now))),
            (Term::Context, "method") if view.is_http() => Ok(method(view)),
            (Term::Context, "path") if view.is_http() => whole(Var::Path),
            (Term::Context, "segments") if view.is_http() => Ok(Term::Segments(Var::Path)),
            (Term::Context, "path_globs") if view.is_http() => Ok(Term::Set(Set::Globs(Var::Path))),
            (Term::Context, "query") if view.is_http() => Ok(Term::Query),
            (Term::Query, "repeated") => Ok(Term::Set(Set::Repeated)),
            (Term::Segments(of), "count") => Ok(Term::Number(Number::Count(of.clone()))),
            (Term::Segments(of), _) if position(attr).is_some() => {
                let (head, n) = position(attr).unwrap_or_default();
                Ok(Term::Text(Text::Piece { of: of.clone(), head, n }))
            }
            (Term::Context, _) => declared(format_smolstr!("context.{attr}"), view.context(), attr),
            (Term::Record(path, attributes), _) => declared(format_smolstr!("{path}.{attr}"), attributes, attr),
            _ => Err(Unsupported(format!("attribute {attr:?}"))),
        }
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, attr: &str, view: &View<'_>) -> Result<Cond, Unsupported> {
        let known = match self {
            Term::Segments(of) if position(attr).is_some() => {
                let (_, n) = position(attr).unwrap_or_default();
                return Ok(Number::Count(of.clone()).at_least(i64::try_from(n).unwrap_or(i64::MAX).saturating_add(1)));
            }
            Term::Resource if attr == "address" => {
                return Ok(Cond::one(Var::Host, Con::Text(Form::leaf(Lang::Address))));
            }
            Term::Principal => &view.declared().process,
            Term::Resource => &view.declared().endpoint,
            Term::Query => &view.declared().query,
            Term::Segments(_) => &view.declared().segments,
            Term::Context => view.context(),
            Term::Record(_, attributes) => attributes,
            _ => return Err(Unsupported(format!("has {attr:?}"))),
        };
        if !known.may_have(attr) {
            return Ok(Cond::Const(false));
        }
        self.clone().attribute(attr, view)?;
        match (self, known.get(attr)) {
            (Term::Context, Some((_, false))) => Ok(present(format_smolstr!("context.{attr}"))),
            (Term::Record(path, _), Some((_, false))) => Ok(present(format_smolstr!("{path}.{attr}"))),
            (_, Some((_, false))) | (_, None) => Err(Unsupported(format!("has {attr:?}"))),
            (_, Some((_, true))) => Ok(Cond::Const(true)),
        }
    }

    pub(crate) fn equals(&self, other: &Term, view: &View<'_>) -> Result<Cond, Unsupported> {
        Ok(match (self, other) {
            (Term::Text(text), Term::ConstText(word)) | (Term::ConstText(word), Term::Text(text)) => text.equals(word),
            (Term::Number(number), Term::ConstNumber(n)) | (Term::ConstNumber(n), Term::Number(number)) => {
                let above = n.checked_add(1).map_or(Cond::Const(false), |next| number.at_least(next));
                number.at_least(*n).and(above.negate())
            }
            (Term::Principal | Term::Resource | Term::Action, Term::Entity(uid)) => self.is_entity(uid, view),
            (Term::Entity(uid), Term::Principal | Term::Resource | Term::Action) => other.is_entity(uid, view),
            (Term::ConstText(a), Term::ConstText(b)) => Cond::Const(a == b),
            (Term::ConstAddress(a), Term::ConstAddress(b)) => Cond::Const(a == b),
            // An address is a single one: a range, even of one address, is another value only where its prefix is
            // shorter, and then no request has it.
            (Term::Address, Term::ConstAddress(net)) | (Term::ConstAddress(net), Term::Address) => {
                match net.is_single() {
                    true => Cond::one(Var::Host, Con::Text(Form::leaf(Lang::Net(*net)))),
                    false => Cond::Const(false),
                }
            }
            (Term::ConstNumber(a), Term::ConstNumber(b)) => Cond::Const(a == b),
            (Term::Entity(a), Term::Entity(b)) => Cond::Const(a == b),
            (a, b) if a == b => Cond::Const(true),
            (Term::List(_) | Term::Set(_), _) | (_, Term::List(_) | Term::Set(_)) => {
                return Err(Unsupported("== on sets".to_owned()));
            }
            _ => return Err(Unsupported("== between two attributes of the request".to_owned())),
        })
    }

    /// `self in uid`. An entity is in itself.
    pub(crate) fn is_in(&self, uid: &EntityUID, view: &View<'_>) -> Result<Cond, Unsupported> {
        Ok(match self {
            Term::Principal if is_type(uid, "Sandbox") => Text::Whole(Var::Sandbox).equals(&uid.eid),
            Term::Action => Cond::Const(is_type(uid, "Action") && view.is_in(&uid.eid)),
            Term::Principal | Term::Resource => self.is_entity(uid, view),
            _ => return Err(Unsupported("in, with something other than principal, action or resource".to_owned())),
        })
    }

    fn is_entity(&self, uid: &EntityUID, view: &View<'_>) -> Cond {
        match self {
            // INVARIANT: these ids are what `narrowgate_core::cedar` gives the entities of a request.
            Term::Principal if is_type(uid, "Process") => Text::Whole(Var::Process).equals(&uid.eid),
            Term::Resource if is_type(uid, "Endpoint") => match uid.eid.rsplit_once(':') {
                Some((host, port)) => match port.parse::<u16>() {
                    Ok(number) if number.to_string() == port => Text::Whole(Var::Host)
                        .equals(host)
                        .and(Cond::one(Var::Port, Con::Number(Ints::range(number.into(), number.into())))),
                    _ => Cond::Const(false),
                },
                None => Cond::Const(false),
            },
            Term::Action => Cond::Const(is_type(uid, "Action") && view.action() == uid.eid.as_str()),
            _ => Cond::Const(false),
        }
    }
}

/// What a plugin declares, by its path in the context.
fn declared(path: SmolStr, known: &Attributes, attr: &str) -> Result<Term, Unsupported> {
    match known.get(attr).map(|(kind, _)| kind) {
        Some(Kind::Text) => Ok(Term::Text(Text::Whole(Var::Text(path)))),
        Some(Kind::Long) => Ok(Term::Number(Number::Plain(Var::Long(path)))),
        Some(Kind::Flag) => Ok(Term::Flag(Var::Flag(path))),
        Some(Kind::Texts) => Ok(Term::Set(Set::Declared(path))),
        Some(Kind::Fields) => Ok(Term::Fields(path)),
        Some(Kind::Record(attributes)) => Ok(Term::Record(path, Arc::clone(attributes))),
        Some(Kind::Other) | None => Err(Unsupported(format!("attribute {path:?}"))),
    }
}

fn present(path: SmolStr) -> Cond {
    Cond::one(Var::Has(path), Con::Is(true))
}

/// The action's name, but where the method is one of many.
fn method(view: &View<'_>) -> Term {
    match view.method() {
        Some(Method::Other) => Term::Text(Text::Whole(Var::Method)),
        Some(Method::Any) => Term::Text(Text::Whole(Var::AnyMethod)),
        Some(Method::Action) | None => Term::ConstText(view.action().into()),
    }
}

impl Set {
    /// Whether the set has no element.
    pub(crate) fn is_empty(&self) -> Result<Cond, Unsupported> {
        let path = match self {
            Set::Ancestors => SmolStr::new_static(ANCESTORS),
            Set::Repeated => SmolStr::new_static(REPEATED_KEYS),
            Set::Declared(path) => path.clone(),
            Set::Globs(_) => return Err(Unsupported("isEmpty on path_globs".to_owned())),
        };
        Ok(Cond::one(Var::Empty(path), Con::Is(true)))
    }

    /// Whether the set has an element of this name; `None` for `path_globs`, whose names are patterns.
    pub(crate) fn has(&self, item: &SmolStr) -> Option<Cond> {
        let (var, con) = match self {
            Set::Ancestors => (Var::Ancestor(item.clone()), Con::Is(true)),
            Set::Repeated => (Var::Query(item.clone()), Con::Text(Form::eq(REPEATED))),
            Set::Declared(path) => (Var::Member(path.clone(), item.clone()), Con::Is(true)),
            Set::Globs(_) => return None,
        };
        Some(Cond::one(var, con))
    }
}

impl Text {
    fn equals(&self, word: &str) -> Cond {
        let lang = match self {
            Text::Whole(_) => Lang::Eq(SmolStr::new(word)),
            Text::Piece { head, n, .. } => {
                Lang::Piece { head: *head, n: *n, glob: word.chars().map(Elem::Char).collect() }
            }
        };
        self.in_language(lang)
    }

    pub(crate) fn like(&self, glob: Vec<Elem>) -> Cond {
        let plain: Option<String> = glob
            .iter()
            .map(|elem| match elem {
                Elem::Char(c) => Some(*c),
                _ => None,
            })
            .collect();
        match (self, plain) {
            (_, Some(word)) => self.equals(&word),
            (Text::Whole(_), None) => self.in_language(Lang::Like(glob)),
            (Text::Piece { head, n, .. }, None) => self.in_language(Lang::Piece { head: *head, n: *n, glob }),
        }
    }

    fn in_language(&self, lang: Lang) -> Cond {
        let (Text::Whole(var) | Text::Piece { of: var, .. }) = self;
        Cond::one(var.clone(), Con::Text(Form::leaf(lang)))
    }
}

impl Number {
    /// `self >= n`: every comparison is made of this.
    pub(crate) fn at_least(&self, n: i64) -> Cond {
        match self {
            Number::Plain(var) => Cond::one(var.clone(), Con::Number(Ints::range(n, i64::MAX).and(&var.domain()))),
            Number::Labels if n <= 0 => Cond::Const(true),
            // A name has at most 253 characters.
            Number::Labels if n > 127 => Cond::Const(false),
            Number::Labels => {
                let name = Cond::one(Var::Host, Con::Text(Form::leaf(Lang::Address).negate()));
                name.and(at_least(Var::Host, '.', n - 1))
            }
            Number::Count(of) => at_least(of.clone(), '/', n),
        }
    }
}

/// `c` occurs at least `n` times in `var`.
fn at_least(var: Var, c: char, n: i64) -> Cond {
    // No path the runtime accepts is longer than this, and no automaton should be.
    const MOST: i64 = 16 * 1024;
    if n <= 0 {
        return Cond::Const(true);
    }
    if n > MOST {
        return Cond::Const(false);
    }
    let mut glob = vec![Elem::Star];
    for _ in 0..n {
        glob.extend([Elem::Char(c), Elem::Star]);
    }
    Cond::one(var, Con::Text(Form::leaf(Lang::Like(glob))))
}

/// `h3` is the fourth from the head, `t0` the last. The schema has 16 of each.
fn position(attr: &str) -> Option<(bool, usize)> {
    let (head, digits) = match attr.split_at_checked(1)? {
        ("h", digits) => (true, digits),
        ("t", digits) => (false, digits),
        _ => return None,
    };
    let n: usize = digits.parse().ok()?;
    (n < ADDRESSED && n.to_string() == digits).then_some((head, n))
}

fn is_type(uid: &EntityUID, name: &str) -> bool {
    uid.ty.0.namespace.is_empty() && uid.ty.0.id.as_str() == name
}

/// How many segments the schema names from either end.
const ADDRESSED: usize = 16;
