//! Conditions: expressions that are true or false.

use std::collections::BTreeSet;

use cedar_policy::pst::{BinaryOp, Expr, Literal, PatternElem, UnaryOp};
use narrowgate_core::pattern::{BinaryPattern, PathPattern, Segment as CoreSegment};
use smol_str::SmolStr;

use super::Unsupported;
use super::cube::{Con, Cond, Var};
use super::term::{Number, Set, Term};
use super::vocabulary::View;
use crate::language::{ABSENT, Elem, Form, Lang, Net, REPEATED, Segment};

/// Reads a condition for one request environment. Like Cedar it decides from left to right, so that what stands
/// behind a `has` that is false here is not looked at.
pub(super) fn condition(expr: &Expr, view: &View<'_>) -> Result<Cond, Unsupported> {
    match expr {
        Expr::Literal(Literal::Bool(value)) => Ok(Cond::Const(*value)),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => Ok(condition(expr, view)?.negate()),
        Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } => match Term::of(expr, view)? {
            Term::List(items) => Ok(Cond::Const(items.is_empty())),
            Term::Set(set) => set.is_empty(),
            _ => Err(Unsupported("isEmpty on something other than a set".to_owned())),
        },
        Expr::UnaryOp {
            op: op @ (UnaryOp::IsIPv4 | UnaryOp::IsIPV6 | UnaryOp::IsLoopback | UnaryOp::IsMulticast),
            expr,
        } => {
            let address = Term::of(expr, view)?;
            let ranges: Result<Vec<Cond>, Unsupported> = ranges(*op).map(|net| in_range(&address, &net)).collect();
            Ok(Cond::any(ranges?))
        }
        Expr::BinaryOp { op, left, right } => binary(*op, left, right, view),
        Expr::Like { expr, pattern } => like(&Term::of(expr, view)?, pattern),
        Expr::HasAttr { expr, attrs } => {
            let mut base = Term::of(expr, view)?;
            let mut all = Cond::Const(true);
            for (at, attr) in attrs.iter().enumerate() {
                if at > 0 && all == Cond::Const(false) {
                    break;
                }
                all = all.and(base.has(attr, view)?);
                if at + 1 < attrs.len() && all != Cond::Const(false) {
                    base = base.attribute(attr, view)?;
                }
            }
            Ok(all)
        }
        Expr::Is { expr, entity_type, in_expr } => {
            let term = Term::of(expr, view)?;
            let actual = match &term {
                Term::Principal => "Process",
                Term::Resource => "Endpoint",
                Term::Action => "Action",
                Term::Query => "Query",
                Term::Entity(uid) if uid.ty != *entity_type => return Ok(Cond::Const(false)),
                Term::Entity(_) if in_expr.is_none() => return Ok(Cond::Const(true)),
                _ => return Err(Unsupported("is".to_owned())),
            };
            if entity_type.to_string() != actual {
                return Ok(Cond::Const(false));
            }
            in_expr.as_ref().map_or(Ok(Cond::Const(true)), |parent| is_in(&term, &Term::of(parent, view)?, view))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => match condition(cond, view)? {
            Cond::Const(true) => condition(then_expr, view),
            Cond::Const(false) => condition(else_expr, view),
            test => {
                let (yes, no) = (condition(then_expr, view)?, condition(else_expr, view)?);
                Ok(test.clone().and(yes).or(test.negate().and(no)))
            }
        },
        other => {
            if let Ok(Term::Flag(var)) = Term::of(other, view) {
                return Ok(Cond::one(var, Con::Is(true)));
            }
            Err(Term::of(other, view).err().unwrap_or_else(|| Unsupported("a condition that is no boolean".to_owned())))
        }
    }
}

/// Every element of the set is one of these.
fn among(path: SmolStr, items: &[Term]) -> Result<Cond, Unsupported> {
    let text = |item: &Term| match item {
        Term::ConstText(text) => Ok(text.clone()),
        _ => Err(Unsupported("a set of something other than constant texts".to_owned())),
    };
    let list: BTreeSet<SmolStr> = items.iter().map(text).collect::<Result<_, _>>()?;
    Ok(match list.is_empty() {
        true => Cond::one(Var::Empty(path), Con::Is(true)),
        false => Cond::one(Var::Among(path, list.into_iter().collect()), Con::Is(true)),
    })
}

fn binary(op: BinaryOp, left: &Expr, right: &Expr, view: &View<'_>) -> Result<Cond, Unsupported> {
    match op {
        BinaryOp::And | BinaryOp::Or => chain(op, left, right, view),
        BinaryOp::Eq => equals(left, right, view),
        BinaryOp::NotEq => Ok(equals(left, right, view)?.negate()),
        BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq => {
            compare(op, &Term::of(left, view)?, &Term::of(right, view)?)
        }
        BinaryOp::In => is_in(&Term::of(left, view)?, &Term::of(right, view)?, view),
        BinaryOp::Contains => contains(&Term::of(left, view)?, &Term::of(right, view)?, view),
        BinaryOp::ContainsAny => match (Term::of(left, view)?, Term::of(right, view)?) {
            (set, Term::List(items)) | (Term::List(items), set) => {
                let each: Result<Vec<Cond>, Unsupported> = items.iter().map(|i| contains(&set, i, view)).collect();
                Ok(Cond::any(each?))
            }
            _ => Err(Unsupported("containsAny between two attributes of the request".to_owned())),
        },
        BinaryOp::ContainsAll => match (Term::of(left, view)?, Term::of(right, view)?) {
            (set, Term::List(items)) => {
                let each: Result<Vec<Cond>, Unsupported> = items.iter().map(|i| contains(&set, i, view)).collect();
                Ok(Cond::all(each?))
            }
            (Term::List(items), Term::Set(Set::Declared(path))) => among(path, &items),
            _ => Err(Unsupported("containsAll with an attribute of the request as its argument".to_owned())),
        },
        BinaryOp::HasTag => match (Term::of(left, view)?, Term::of(right, view)?) {
            (Term::Query, Term::ConstText(key)) => {
                let none = Form::eq(ABSENT).or(Form::eq(REPEATED));
                Ok(Cond::one(Var::Query(key), Con::Text(none.negate())))
            }
            (Term::Fields(path), Term::ConstText(name)) => {
                Ok(Cond::one(Var::Field(path, name), Con::Text(Form::eq(ABSENT).negate())))
            }
            _ => Err(Unsupported("hasTag with a key that is not a constant".to_owned())),
        },
        BinaryOp::IsInRange => match (Term::of(left, view)?, Term::of(right, view)?) {
            (address, Term::ConstAddress(net)) => in_range(&address, &net),
            _ => Err(Unsupported("isInRange of something other than a constant".to_owned())),
        },
        other => Err(Unsupported(other.to_string())),
    }
}

/// The ranges that a question about an address means.
fn ranges(op: UnaryOp) -> impl Iterator<Item = Net> {
    let texts: &[&str] = match op {
        UnaryOp::IsIPv4 => &["0.0.0.0/0"],
        UnaryOp::IsIPV6 => &["::/0"],
        UnaryOp::IsLoopback => &["127.0.0.0/8", "::1"],
        UnaryOp::IsMulticast => &["224.0.0.0/4", "ff00::/8"],
        _ => &[],
    };
    texts.iter().filter_map(|text| Net::parse(text))
}

fn in_range(address: &Term, net: &Net) -> Result<Cond, Unsupported> {
    match address {
        Term::Address => Ok(Cond::one(Var::Host, Con::Text(Form::leaf(Lang::Net(*net))))),
        Term::ConstAddress(range) => Ok(Cond::Const(range.is_within(net))),
        _ => Err(Unsupported("an address other than resource.address and constants".to_owned())),
    }
}

/// `a && b && c …` or `a || b || c …`, which nest to the left: a list of thousands must not be as many stack frames.
fn chain(op: BinaryOp, left: &Expr, right: &Expr, view: &View<'_>) -> Result<Cond, Unsupported> {
    let mut operands = vec![right];
    let mut rest = left;
    while let Expr::BinaryOp { op: inner, left, right } = rest {
        if *inner != op {
            break;
        }
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    let stop = op == BinaryOp::Or;
    let mut parts = Vec::with_capacity(operands.len());
    for operand in operands.into_iter().rev() {
        match condition(operand, view)? {
            Cond::Const(value) if value == stop => return Ok(Cond::Const(stop)),
            part => parts.push(part),
        }
    }
    Ok(if stop { Cond::any(parts) } else { Cond::all(parts) })
}

fn equals(left: &Expr, right: &Expr, view: &View<'_>) -> Result<Cond, Unsupported> {
    match (Term::of(left, view), Term::of(right, view)) {
        (Ok(Term::Flag(a)), Ok(Term::Flag(b))) if a != b => {
            let flag = |var: &Var, is| Cond::one(var.clone(), Con::Is(is));
            Ok(Cond::any([true, false].map(|is| flag(&a, is).and(flag(&b, is)))))
        }
        (Ok(left), Ok(right)) => left.equals(&right, view),
        (Err(not_a_term), _) | (_, Err(not_a_term)) => match (condition(left, view), condition(right, view)) {
            (Ok(a), Ok(b)) => Ok(a.clone().and(b.clone()).or(a.negate().and(b.negate()))),
            _ => Err(not_a_term),
        },
    }
}

fn compare(op: BinaryOp, left: &Term, right: &Term) -> Result<Cond, Unsupported> {
    let above = |number: &Number, n: i64| n.checked_add(1).map_or(Cond::Const(false), |next| number.at_least(next));
    Ok(match (left, op, right) {
        (Term::Number(x), BinaryOp::GreaterEq, Term::ConstNumber(n)) => x.at_least(*n),
        (Term::Number(x), BinaryOp::Greater, Term::ConstNumber(n)) => above(x, *n),
        (Term::Number(x), BinaryOp::Less, Term::ConstNumber(n)) => x.at_least(*n).negate(),
        (Term::Number(x), _, Term::ConstNumber(n)) => above(x, *n).negate(),
        (Term::ConstNumber(n), BinaryOp::LessEq, Term::Number(x)) => x.at_least(*n),
        (Term::ConstNumber(n), BinaryOp::Less, Term::Number(x)) => above(x, *n),
        (Term::ConstNumber(n), BinaryOp::Greater, Term::Number(x)) => x.at_least(*n).negate(),
        (Term::ConstNumber(n), _, Term::Number(x)) => above(x, *n).negate(),
        (Term::ConstNumber(a), _, Term::ConstNumber(b)) => Cond::Const(match op {
            BinaryOp::Less => a < b,
            BinaryOp::LessEq => a <= b,
            BinaryOp::Greater => a > b,
            _ => a >= b,
        }),
        _ => return Err(Unsupported(format!("{op} with something other than a number and a constant"))),
    })
}

fn is_in(term: &Term, parents: &Term, view: &View<'_>) -> Result<Cond, Unsupported> {
    match parents {
        Term::Entity(uid) => term.is_in(uid, view),
        Term::List(items) => {
            let each: Result<Vec<Cond>, Unsupported> = items.iter().map(|item| is_in(term, item, view)).collect();
            Ok(Cond::any(each?))
        }
        same if same == term => Ok(Cond::Const(true)),
        _ => Err(Unsupported("in, with something other than a constant".to_owned())),
    }
}

fn contains(set: &Term, item: &Term, view: &View<'_>) -> Result<Cond, Unsupported> {
    match (set, item) {
        (Term::List(items), _) => {
            let each: Result<Vec<Cond>, Unsupported> = items.iter().map(|i| i.equals(item, view)).collect();
            Ok(Cond::any(each?))
        }
        (Term::Set(Set::Globs(of)), Term::ConstText(pattern)) => {
            let segments = match of {
                Var::Process => BinaryPattern::parse(pattern).map(|p| p.path().segments().to_vec()),
                _ => PathPattern::parse(pattern).map(|p| p.segments().to_vec()),
            };
            match segments {
                Ok(segments) => {
                    let lang = Lang::Path(segments.iter().map(segment).collect());
                    Ok(Cond::one(of.clone(), Con::Text(Form::leaf(lang))))
                }
                // `narrowgate_core` accepts no such policy; if it ever does, this must not guess.
                Err(error) => Err(Unsupported(format!("path_globs.contains: {error}"))),
            }
        }
        (Term::Set(set), Term::ConstText(name)) => {
            set.has(name).ok_or_else(|| Unsupported("contains on path_globs".to_owned()))
        }
        _ => {
            Err(Unsupported("contains on something other than a constant or with something other than one".to_owned()))
        }
    }
}

fn segment(segment: &CoreSegment) -> Segment {
    match segment {
        CoreSegment::Any => Segment::Subtree,
        CoreSegment::Literal(text) => Segment::Glob(text.chars().map(Elem::Char).collect()),
        CoreSegment::Glob(text) => {
            let elem = |c| match c {
                '*' => Elem::Star,
                '?' => Elem::AnyOne,
                c => Elem::Char(c),
            };
            Segment::Glob(text.chars().map(elem).collect())
        }
    }
}

fn like(term: &Term, pattern: &[PatternElem]) -> Result<Cond, Unsupported> {
    let mut glob: Vec<Elem> = Vec::with_capacity(pattern.len());
    for elem in pattern {
        match elem {
            PatternElem::Char(c) => glob.push(Elem::Char(*c)),
            PatternElem::Wildcard if glob.last() == Some(&Elem::Star) => {}
            PatternElem::Wildcard => glob.push(Elem::Star),
        }
    }
    match term {
        Term::Text(text) => Ok(text.like(glob)),
        Term::ConstText(word) => Ok(Cond::Const(Form::leaf(Lang::Like(glob)).matches(word))),
        _ => Err(Unsupported("like on something other than a string of the request".to_owned())),
    }
}
