//! What a Cedar expression denotes when it is not a condition: an attribute of the request, or a constant.

use cedar_policy::pst::{BinaryOp, EntityUID, Expr, Literal, UnaryOp, Var as CedarVar};
use smol_str::SmolStr;

use super::cube::{Con, Cond, Var};
use super::declared::{Owner, may_have};
use super::ints::Ints;
use super::{Env, Unsupported};
use crate::language::{Elem, Form, Lang};

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
    Text(Text),
    Number(Number),
    Set(Set),
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
}

impl Term {
    pub(crate) fn of(expr: &Expr, env: &Env) -> Result<Term, Unsupported> {
        let no = |what: &str| Err(Unsupported(what.to_owned()));
        Ok(match expr {
            Expr::Var(CedarVar::Principal) => Term::Principal,
            Expr::Var(CedarVar::Action) => Term::Action,
            Expr::Var(CedarVar::Resource) => Term::Resource,
            Expr::Var(CedarVar::Context) => Term::Context,
            Expr::Literal(Literal::String(text)) => Term::ConstText(text.clone()),
            Expr::Literal(Literal::Long(n)) => Term::ConstNumber(*n),
            Expr::Literal(Literal::EntityUID(uid)) => Term::Entity(uid.clone()),
            Expr::UnaryOp { op: UnaryOp::Neg, expr } => match Term::of(expr, env)? {
                Term::ConstNumber(n) => {
                    n.checked_neg().map_or_else(|| no("arithmetic (-)"), |n| Ok(Term::ConstNumber(n)))?
                }
                _ => return no("arithmetic (-)"),
            },
            Expr::Set(items) => Term::List(items.iter().map(|item| Term::of(item, env)).collect::<Result<_, _>>()?),
            Expr::GetAttr { expr, attr } => Term::of(expr, env)?.attribute(attr, env)?,
            Expr::BinaryOp { op: BinaryOp::GetTag, left, right } => match (Term::of(left, env)?, Term::of(right, env)?)
            {
                (Term::Query, Term::ConstText(key)) => Term::Text(Text::Whole(Var::Query(key))),
                _ => return no("getTag with a key that is not a constant"),
            },
            Expr::BinaryOp { op, .. } => return no(&format!("{op}")),
            Expr::UnaryOp { op, .. } => return no(&format!("{op}")),
            Expr::IfThenElse { .. } => return no("if-then-else that yields something other than a boolean"),
            Expr::Record(_) => return no("a record"),
            Expr::Slot(_) => return no("a template slot"),
            _ => return no("an expression of a kind that the exact engine does not model"),
        })
    }

    pub(crate) fn attribute(self, attr: &str, env: &Env) -> Result<Term, Unsupported> {
        let whole = |var| Ok(Term::Text(Text::Whole(var)));
        match (&self, attr) {
            (Term::Principal, "path") => whole(Var::Process),
            (Term::Principal, "sha256") => whole(Var::Sha256),
            (Term::Principal, "ancestors") => Ok(Term::Set(Set::Ancestors)),
            (Term::Principal, "segments") => Ok(Term::Segments(Var::Process)),
            (Term::Principal, "path_globs") => Ok(Term::Set(Set::Globs(Var::Process))),
            (Term::Resource, "host") => whole(Var::Host),
            (Term::Resource, "labels") => Ok(Term::Number(Number::Labels)),
            (Term::Resource, "port") => Ok(Term::Number(Number::Plain(Var::Port))),
            (Term::Context, "now") => Ok(Term::Number(Number::Plain(Var::Now))),
            (Term::Context, "method") if env.http => Ok(env.method()),
            (Term::Context, "path") if env.http => whole(Var::Path),
            (Term::Context, "segments") if env.http => Ok(Term::Segments(Var::Path)),
            (Term::Context, "path_globs") if env.http => Ok(Term::Set(Set::Globs(Var::Path))),
            (Term::Context, "query") if env.http => Ok(Term::Query),
            (Term::Query, "repeated") => Ok(Term::Set(Set::Repeated)),
            (Term::Segments(of), "count") => Ok(Term::Number(Number::Count(of.clone()))),
            (Term::Segments(of), _) if position(attr).is_some() => {
                let (head, n) = position(attr).unwrap_or_default();
                Ok(Term::Text(Text::Piece { of: of.clone(), head, n }))
            }
            _ => Err(Unsupported(format!("attribute {attr:?}"))),
        }
    }

    /// Whether the attribute is there.
    pub(crate) fn has(&self, attr: &str, env: &Env) -> Result<Cond, Unsupported> {
        match self {
            Term::Segments(of) if position(attr).is_some() => {
                let (_, n) = position(attr).unwrap_or_default();
                Ok(Number::Count(of.clone()).at_least(i64::try_from(n).unwrap_or(i64::MAX).saturating_add(1)))
            }
            other => match other.clone().attribute(attr, env) {
                Ok(_) => Ok(Cond::Const(true)),
                Err(unsupported) => match other.owner(env) {
                    Some(owner) if !may_have(owner, attr) => Ok(Cond::Const(false)),
                    _ => Err(unsupported),
                },
            },
        }
    }

    /// Where the schema says which attributes there are.
    fn owner<'a>(&self, env: &'a Env) -> Option<Owner<'a>> {
        match self {
            Term::Principal => Some(Owner::Entity("Process")),
            Term::Resource => Some(Owner::Entity("Endpoint")),
            Term::Query => Some(Owner::Entity("Query")),
            Term::Segments(_) => Some(Owner::Common("Segments")),
            Term::Context => Some(Owner::Context(&env.action)),
            _ => None,
        }
    }

    pub(crate) fn equals(&self, other: &Term, env: &Env) -> Result<Cond, Unsupported> {
        Ok(match (self, other) {
            (Term::Text(text), Term::ConstText(word)) | (Term::ConstText(word), Term::Text(text)) => text.equals(word),
            (Term::Number(number), Term::ConstNumber(n)) | (Term::ConstNumber(n), Term::Number(number)) => {
                let above = n.checked_add(1).map_or(Cond::Const(false), |next| number.at_least(next));
                number.at_least(*n).and(above.negate())
            }
            (Term::Principal | Term::Resource | Term::Action, Term::Entity(uid)) => self.is_entity(uid, env),
            (Term::Entity(uid), Term::Principal | Term::Resource | Term::Action) => other.is_entity(uid, env),
            (Term::ConstText(a), Term::ConstText(b)) => Cond::Const(a == b),
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
    pub(crate) fn is_in(&self, uid: &EntityUID, env: &Env) -> Result<Cond, Unsupported> {
        Ok(match self {
            Term::Principal if is_type(uid, "Sandbox") => Text::Whole(Var::Sandbox).equals(&uid.eid),
            Term::Action => Cond::Const(is_type(uid, "Action") && env.is_in(&uid.eid)),
            Term::Principal | Term::Resource => self.is_entity(uid, env),
            _ => return Err(Unsupported("in, with something other than principal, action or resource".to_owned())),
        })
    }

    fn is_entity(&self, uid: &EntityUID, env: &Env) -> Cond {
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
            Term::Action => Cond::Const(is_type(uid, "Action") && env.action == uid.eid.as_str()),
            _ => Cond::Const(false),
        }
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
