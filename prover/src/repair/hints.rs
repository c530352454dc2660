//! What a cube's constraints look like as patterns of the rule language.
//!
//! Only hints: a constraint may be a combination of languages that no one pattern is. What is tried because of a hint
//! is checked by the solver, so a hint may be too wide, too narrow or missing, and nothing is wrong but the repair
//! smaller. This is what lets YAML and hand-written Cedar be bounded alike: both are cubes by now.

use std::collections::BTreeMap;

use narrowgate_core::pattern::{BinaryPattern, HostPattern, PathPattern};
use narrowgate_core::request::KNOWN_METHODS;

use super::meet::of_depth;
use super::said::{Said, said};
use crate::language::{ABSENT, Elem, Form, Lang, REPEATED, Segment};
use crate::lower::{Con, Cube, Ints, Var};

/// Patterns for what a cube admits, and for what it takes out of that.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) hosts: Side<HostPattern>,
    pub(super) paths: Side<String>,
    /// By key.
    pub(super) query: BTreeMap<String, Side<String>>,
    pub(super) binaries: Vec<BinaryPattern>,
    pub(super) methods: Vec<String>,
    /// Of an operation, the methods that carry it.
    pub(super) carried: Vec<String>,
    /// And those that must not.
    pub(super) uncarried: Vec<String>,
    /// What a plugin says.
    pub(super) said: Said,
    pub(super) ports: Option<Ints>,
    /// The cube has the times before this, or no others than from this on.
    pub(super) before: Option<i64>,
    pub(super) from: Option<i64>,
}

/// Of one variable; both empty where it is not constrained, or only in a way that no pattern is.
#[derive(Debug)]
pub(super) struct Side<T> {
    /// Whether the cube constrains the variable at all.
    pub(super) is_bound: bool,
    pub(super) yes: Vec<T>,
    /// What must not match, each as the patterns that it may be made of.
    pub(super) no: Vec<Vec<T>>,
}

impl<T> Default for Side<T> {
    fn default() -> Side<T> {
        Side { is_bound: false, yes: Vec::new(), no: Vec::new() }
    }
}

impl Hints {
    pub(super) fn of(cube: &Cube) -> Hints {
        let mut hints = Hints { said: said(cube), ..Hints::default() };
        for (var, con) in cube.iter() {
            match (var, con) {
                (Var::Host, Con::Text(form)) => hints.hosts = hosts(form),
                (Var::Path, Con::Text(form)) => hints.paths = paths(form),
                (Var::Query(key), Con::Text(form)) => drop(hints.query.insert(key.to_string(), values(form))),
                (Var::Process, Con::Text(form)) => {
                    let patterns = paths(form).yes.into_iter().filter_map(|text| BinaryPattern::parse(&text).ok());
                    hints.binaries.extend(patterns);
                }
                (Var::Ancestor(path), Con::Is(true)) => hints.binaries.extend(BinaryPattern::parse(path).ok()),
                (Var::Method, Con::Text(form)) => hints.methods.extend(words(form)),
                (Var::AnyMethod, Con::Text(form)) => {
                    hints.carried.extend(words(form));
                    let others = KNOWN_METHODS.into_iter().filter(|method| !form.matches(method));
                    hints.uncarried.extend(others.map(str::to_owned));
                }
                (Var::Port, Con::Number(ints)) => hints.ports = Some(ints.clone()),
                (Var::Now, Con::Number(ints)) => (hints.before, hints.from) = bounds(ints),
                _ => {}
            }
        }
        hints
    }
}

fn bounds(ints: &Ints) -> (Option<i64>, Option<i64>) {
    let (first, last) = (ints.ranges().first(), ints.ranges().last());
    let before = first.filter(|(low, high)| *low == i64::MIN && *high < i64::MAX).map(|(_, high)| high + 1);
    let from = last.filter(|(low, high)| *high == i64::MAX && *low > i64::MIN).map(|(low, _)| *low);
    (before, from)
}

/// The languages that a form is made of, apart by whether a word must be in them or must not.
fn leaves<'a>(form: &'a Form, positive: bool, yes: &mut Vec<&'a Lang>, no: &mut Vec<&'a Lang>) {
    match form {
        Form::Const(_) => {}
        Form::Leaf(leaf) => {
            if positive {
                yes.push(leaf.lang())
            } else {
                no.push(leaf.lang())
            }
        }
        Form::Not(inner) => leaves(inner, !positive, yes, no),
        Form::And(parts) | Form::Or(parts) => parts.iter().for_each(|part| leaves(part, positive, yes, no)),
    }
}

pub(super) fn apart(form: &Form) -> (Vec<&Lang>, Vec<&Lang>) {
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    leaves(form, true, &mut yes, &mut no);
    (yes, no)
}

fn words(form: &Form) -> Vec<String> {
    let (yes, _) = apart(form);
    let word = |lang: &&Lang| match lang {
        Lang::Eq(word) => Some(word.to_string()),
        _ => None,
    };
    yes.iter().filter_map(word).collect()
}

pub(super) fn text(glob: &[Elem]) -> String {
    let letter = |elem: &Elem| match elem {
        Elem::Char(c) => *c,
        Elem::AnyOne => '?',
        Elem::Star => '*',
    };
    glob.iter().map(letter).collect()
}

fn hosts(form: &Form) -> Side<HostPattern> {
    let (yes, no) = apart(form);
    let patterns = |lang: &Lang| -> Vec<HostPattern> {
        let texts = match lang {
            Lang::Eq(word) => vec![word.to_string()],
            Lang::Like(glob) => {
                let like = text(glob);
                match like.strip_prefix('*') {
                    // `*.x` and `*x` cross dots.
                    Some(rest) => match rest.strip_prefix('.') {
                        Some(suffix) => vec![format!("**.{suffix}"), like.clone()],
                        None => vec![format!("**.{rest}"), rest.to_owned(), like.clone()],
                    },
                    None => vec![like.clone()],
                }
            }
            _ => Vec::new(),
        };
        texts.iter().filter_map(|text| HostPattern::parse(text).ok()).collect()
    };
    let no = no.into_iter().map(patterns).filter(|patterns| !patterns.is_empty()).collect();
    Side { is_bound: true, yes: yes.into_iter().flat_map(patterns).collect(), no }
}

fn values(form: &Form) -> Side<String> {
    let (yes, no) = apart(form);
    let value = |lang: &Lang| match lang {
        Lang::Eq(word) if word == ABSENT || word == REPEATED => None,
        // A glob of the rule language cannot say a star.
        Lang::Eq(word) => (!word.contains('*')).then(|| word.to_string()),
        Lang::Like(glob) => (!glob.contains(&Elem::Char('*'))).then(|| text(glob)),
        _ => None,
    };
    let has = |langs: &[&Lang], marker: &str| langs.iter().any(|l| matches!(l, Lang::Eq(word) if word == marker));
    let mut side = Side { is_bound: true, yes: yes.iter().filter_map(|lang| value(lang)).collect(), no: Vec::new() };
    if side.yes.is_empty() && has(&no, ABSENT) {
        side.yes.push("*".to_owned());
    }
    side.no = no.iter().filter_map(|lang| value(lang)).map(|glob| vec![glob]).collect();
    if has(&yes, ABSENT) || (has(&no, REPEATED) && !has(&no, ABSENT)) {
        // That it is absent, or at least does not repeat: an allow cannot say that, a deny can.
        side.no.push(vec!["*".to_owned()]);
    }
    side
}

/// Request paths and executables' paths.
fn paths(form: &Form) -> Side<String> {
    let (yes, no) = apart(form);
    let mut side = Side { is_bound: true, yes: Vec::new(), no: Vec::new() };
    side.yes.extend(by_piece(&yes));
    let deepest = no.iter().filter_map(|lang| depth(lang)).min();
    let least = yes.iter().filter_map(|lang| depth(lang)).max();
    side.yes.extend(yes.iter().filter(|lang| depth(lang).is_none()).flat_map(|lang| path_patterns(lang)));
    if let Some(least) = least {
        side.yes.push(format!("{}/**", "/*".repeat(least)));
    }
    if let Some(deepest) = deepest.filter(|deepest| *deepest <= 16) {
        for depth in (1..deepest).rev() {
            side.yes.push("/*".repeat(depth));
            let fixed: Vec<String> = side.yes.iter().filter_map(|pattern| to_depth(pattern, depth)).collect();
            side.yes.extend(fixed);
        }
    }
    for lang in no {
        let mut patterns = match depth(lang) {
            Some(depth) => vec![format!("{}/**", "/*".repeat(depth))],
            None => [path_patterns(lang), by_piece(&[lang])].concat(),
        };
        unique(&mut patterns);
        if !patterns.is_empty() {
            side.no.push(patterns);
        }
    }
    unique(&mut side.yes);
    side
}

fn unique(patterns: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    patterns.retain(|pattern| seen.insert(pattern.clone()) && is_pattern(pattern));
}

/// Whether it is one, of requests or of executables.
fn is_pattern(text: &str) -> bool {
    PathPattern::parse(text).is_ok() || BinaryPattern::parse(text).is_ok()
}

fn to_depth(pattern: &str, depth: usize) -> Option<String> {
    let segments: Vec<&str> = pattern.strip_prefix('/')?.split('/').collect();
    let at = segments.iter().position(|segment| *segment == "**")?;
    let expanded = of_depth(segments.get(..at)?, segments.get(at + 1..)?, depth)?;
    Some(format!("/{}", expanded.join("/")))
}

/// How many segments there are at least, where that is all that a `like` says.
fn depth(lang: &Lang) -> Option<usize> {
    let Lang::Like(glob) = lang else { return None };
    let plain = glob.iter().all(|elem| matches!(elem, Elem::Star | Elem::Char('/')));
    let slashes = glob.iter().filter(|elem| **elem == Elem::Char('/')).count();
    (plain && slashes > 0 && glob.last() == Some(&Elem::Star)).then_some(slashes)
}

fn path_patterns(lang: &Lang) -> Vec<String> {
    match lang {
        Lang::Eq(word) => Some(word.to_string()).filter(|word| !word.contains(['*', '?'])).into_iter().collect(),
        Lang::Path(segments) => {
            let segment = |segment: &Segment| match segment {
                Segment::Subtree => "/**".to_owned(),
                Segment::Glob(glob) => format!("/{}", text(glob)),
            };
            vec![segments.iter().map(segment).collect()]
        }
        Lang::Like(glob) if !glob.contains(&Elem::Char('*')) && glob.len() <= 256 => across(&text(glob)),
        _ => Vec::new(),
    }
}

/// Cedar's `*` crosses slashes. A pattern has one `**` for that, so each star in turn is the one that does; and one
/// pattern is for where none does.
fn across(like: &str) -> Vec<String> {
    let absolute = |text: String| if text.starts_with('/') { text } else { format!("/{text}") };
    let mut out = vec![absolute(like.to_owned())];
    for (star, _) in like.match_indices('*').take(8) {
        let (left, right) = (like.get(..star).unwrap_or_default(), like.get(star + 1..).unwrap_or_default());
        let lefts = match left {
            "" => vec!["/".to_owned(), "/*/".to_owned()],
            left if left.ends_with('/') => vec![left.to_owned(), format!("{left}*/")],
            left => vec![format!("{left}*/")],
        };
        let rights = match right {
            "" => vec![String::new()],
            right if right.starts_with('/') => vec![right.to_owned(), format!("/*{right}")],
            right => vec![format!("/*{right}")],
        };
        for left in &lefts {
            out.extend(rights.iter().map(|right| absolute(format!("{left}**{right}"))));
        }
    }
    out
}

/// What segment conditions say together: those from the head, `**`, those from the tail; and without the `**`.
fn by_piece(langs: &[&Lang]) -> Vec<String> {
    let (mut head, mut tail): (BTreeMap<usize, String>, BTreeMap<usize, String>) = Default::default();
    for lang in langs {
        if let Lang::Piece { head: from_head, n, glob } = lang {
            let side = if *from_head { &mut head } else { &mut tail };
            side.entry(*n).or_insert_with(|| text(glob));
        }
    }
    let filled = |side: &BTreeMap<usize, String>| -> Vec<String> {
        let length = side.keys().next_back().map_or(0, |last| last + 1);
        (0..length).map(|n| side.get(&n).cloned().unwrap_or_else(|| "*".to_owned())).collect()
    };
    let (head, mut tail) = (filled(&head), filled(&tail));
    tail.reverse();
    if head.is_empty() && tail.is_empty() {
        return Vec::new();
    }
    let joined = |segments: Vec<String>| format!("/{}", segments.join("/"));
    let open = joined([head.clone(), vec!["**".to_owned()], tail.clone()].concat());
    let closed = joined([head, tail].concat());
    vec![open, closed]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_like_as_patterns() {
        for (like, expect) in [
            ("/a/*", &["/a/*", "/a/**", "/a/*/**"][..]),
            ("/a*", &["/a*", "/a*/**"]),
            ("*", &["/*", "/**", "/*/**"]),
            ("/a/*/c", &["/a/*/c", "/a/**/c", "/a/**/*/c", "/a/*/**/c", "/a/*/**/*/c"]),
            ("*.md", &["/*.md", "/**/*.md", "/*/**/*.md"]),
        ] {
            assert_eq!(across(like), expect, "{like}");
        }
    }
}
