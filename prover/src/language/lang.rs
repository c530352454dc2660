//! The languages that policies speak of, and boolean combinations of them.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use smol_str::SmolStr;

use super::chars::Set;
use super::kmp::Kmp;
use super::net::Net;
use super::nfa::{Builder, Nfa};

/// One element of a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Elem {
    /// This character.
    Char(char),
    /// Exactly one character.
    AnyOne,
    /// Any number of characters.
    Star,
}

/// One segment of a path pattern of the rule language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// `**`: zero or more segments.
    Subtree,
    /// One segment, whose stars do not cross `/`.
    Glob(Vec<Elem>),
}

/// A set of words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Lang {
    /// One word.
    Eq(SmolStr),
    /// Cedar's `like`: stars stand for anything, `/` included.
    Like(Vec<Elem>),
    /// The `n`th piece between slashes, from the head or the tail, exists and matches.
    Piece {
        /// Counted from the head, else from the tail.
        head: bool,
        /// From 0.
        n: usize,
        /// What it matches; a star does not cross `/`.
        glob: Vec<Elem>,
    },
    /// A path pattern of the rule language.
    Path(Vec<Segment>),
    /// Reads as an IP literal, among canonical hosts.
    Address,
    /// Is an IP literal in this range, likewise.
    Net(Net),
}

impl Lang {
    fn compile(&self) -> Automaton {
        let literal = |word: &SmolStr| word.chars().map(Elem::Char).collect::<Vec<_>>();
        let glob = match self {
            Lang::Eq(word) => Kmp::new(&literal(word)),
            Lang::Like(glob) => Kmp::new(glob),
            _ => None,
        };
        glob.map_or_else(|| Automaton::Nfa(self.nfa()), Automaton::Glob)
    }

    fn nfa(&self) -> Nfa {
        let mut b = Builder::new();
        match self {
            Lang::Eq(word) => {
                for c in word.chars() {
                    b.one(Set::One(c));
                }
            }
            Lang::Like(glob) => {
                b.glob(glob, Set::ANY);
            }
            Lang::Piece { head: true, n, glob } => {
                b.one(Set::One('/'));
                for _ in 0..*n {
                    b.many(Set::NOT_SLASH).one(Set::One('/'));
                }
                b.glob(glob, Set::NOT_SLASH).subtree();
            }
            Lang::Piece { head: false, n, glob } => {
                b.many(Set::ANY).one(Set::One('/')).glob(glob, Set::NOT_SLASH);
                for _ in 0..*n {
                    b.one(Set::One('/')).many(Set::NOT_SLASH);
                }
            }
            // Every path starts with `/`: nothing is not a tree of zero segments.
            Lang::Path(segments) if segments == &[Segment::Subtree] => {
                b.one(Set::One('/')).many(Set::ANY);
            }
            Lang::Path(segments) => {
                for segment in segments {
                    match segment {
                        Segment::Subtree => b.subtree(),
                        Segment::Glob(glob) => b.one(Set::One('/')).glob(glob, Set::NOT_SLASH),
                    };
                }
            }
            Lang::Net(net) => return net.compile(),
            Lang::Address => {
                // INVARIANT: exact on canonical hosts only, whose last label is a number just in IPv4 literals.
                let digit = Set::ascii(|c| c.is_ascii_digit());
                let address = Set::ascii(|c| c.is_ascii_hexdigit() || c == b':' || c == b'.');
                b.glob(&[Elem::Star, Elem::Char(':')], address);
                b.many(address);
                let v6 = b.finish();
                let mut b = Builder::new();
                b.many(digit).one(Set::One('.')).many(digit).one(Set::One('.')).many(digit).one(Set::One('.'));
                b.one(digit).many(digit);
                return v6.or(&b.finish());
            }
        }
        b.finish()
    }
}

/// Globs up to this length are matched as they are.
const SHORT: usize = 64;

/// What finds words.
#[derive(Debug)]
pub(crate) enum Automaton {
    Nfa(Nfa),
    Glob(Kmp),
}

impl Automaton {
    fn matches(&self, word: &str) -> bool {
        match self {
            Automaton::Nfa(nfa) => nfa.matches(word),
            Automaton::Glob(glob) => glob.matches(word),
        }
    }
}

/// A language with its automaton, which is built when first needed.
#[derive(Debug)]
pub(crate) struct Leaf {
    lang: Lang,
    automaton: OnceLock<Box<Automaton>>,
}

impl Leaf {
    pub(crate) fn new(lang: Lang) -> Arc<Leaf> {
        Arc::new(Leaf { lang, automaton: OnceLock::new() })
    }

    pub(crate) fn lang(&self) -> &Lang {
        &self.lang
    }

    pub(crate) fn automaton(&self) -> &Automaton {
        self.automaton.get_or_init(|| Box::new(self.lang.compile()))
    }

    pub(crate) fn matches(&self, word: &str) -> bool {
        match &self.lang {
            Lang::Eq(only) => only == word,
            // Going back to a star costs the product of the lengths; an automaton does not go back.
            Lang::Like(glob) if glob.len() > SHORT && word.len() > SHORT => self.automaton().matches(word),
            Lang::Like(glob) => like(glob, word),
            Lang::Net(net) => net.has(word),
            Lang::Piece { head: true, n, glob } => {
                word.strip_prefix('/').and_then(|rest| rest.split('/').nth(*n)).is_some_and(|piece| like(glob, piece))
            }
            Lang::Piece { head: false, n, glob } => {
                let mut pieces = word.rsplit('/');
                // What stands before the first slash is no piece.
                pieces.nth(*n).is_some_and(|piece| like(glob, piece)) && pieces.next().is_some()
            }
            Lang::Path(segments) => is_path(segments, word),
            Lang::Address => word.parse::<std::net::IpAddr>().is_ok(),
        }
    }

    /// The ASCII characters that the language tells from others by name.
    pub(crate) fn names(&self) -> u128 {
        let of = |c: char| if c.is_ascii() { 1u128 << (c as u32) } else { 0 };
        let of_glob = |glob: &[Elem]| {
            glob.iter().fold(0, |mask, elem| match elem {
                Elem::Char(c) => mask | of(*c),
                _ => mask,
            })
        };
        match &self.lang {
            Lang::Eq(word) => word.chars().fold(0, |mask, c| mask | of(c)),
            Lang::Like(glob) => of_glob(glob),
            Lang::Piece { glob, .. } => of_glob(glob) | of('/'),
            Lang::Path(segments) => segments.iter().fold(of('/'), |mask, segment| match segment {
                Segment::Glob(glob) => mask | of_glob(glob),
                Segment::Subtree => mask,
            }),
            Lang::Address | Lang::Net(_) => !0,
        }
    }
}

/// A path pattern on a path, as the rule language says it.
fn is_path(segments: &[Segment], path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    if segments == [Segment::Subtree] {
        return true;
    }
    let pieces: Vec<&str> = rest.split('/').collect();
    let is_one = |(segment, piece): (&Segment, &&str)| matches!(segment, Segment::Glob(glob) if like(glob, piece));
    match segments.iter().position(|segment| *segment == Segment::Subtree) {
        None => pieces.len() == segments.len() && segments.iter().zip(&pieces).all(is_one),
        Some(subtree) => {
            let (head, tail) = segments.split_at(subtree);
            let tail = tail.split_first().map_or(tail, |(_, tail)| tail);
            pieces.len() >= head.len() + tail.len()
                && head.iter().zip(&pieces).all(is_one)
                && tail.iter().rev().zip(pieces.iter().rev()).all(is_one)
        }
    }
}

impl Leaf {
    /// Whether a look shows that `other` has every word of `self`: for one word, and for a glob in a glob.
    fn is_within(&self, other: &Leaf) -> bool {
        match (&self.lang, &other.lang) {
            (Lang::Eq(word), _) => other.matches(word),
            (Lang::Like(mine), Lang::Like(theirs)) => is_glob_within(mine, theirs),
            (Lang::Path(mine), Lang::Path(theirs)) => is_path_within(mine, theirs),
            (Lang::Net(mine), Lang::Net(theirs)) => mine.is_within(theirs),
            (Lang::Net(_), Lang::Address) => true,
            _ => false,
        }
    }

    /// Whether a look shows that no word is in both: two globs that begin or end differently.
    fn is_apart(&self, other: &Leaf) -> bool {
        match (&self.lang, &other.lang) {
            (Lang::Eq(word), _) => !other.matches(word),
            (_, Lang::Eq(word)) => !self.matches(word),
            (Lang::Like(mine), Lang::Like(theirs)) => {
                let differ = |a: &Elem, b: &Elem| matches!((a, b), (Elem::Char(a), Elem::Char(b)) if a != b);
                let fixed = |elem: &&Elem| **elem != Elem::Star;
                let begin = mine.iter().take_while(fixed).zip(theirs.iter().take_while(fixed));
                let end = mine.iter().rev().take_while(fixed).zip(theirs.iter().rev().take_while(fixed));
                begin.chain(end).any(|(a, b)| differ(a, b))
            }
            _ => false,
        }
    }
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Leaf) -> bool {
        self.lang == other.lang
    }
}

impl Eq for Leaf {}

impl Hash for Leaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lang.hash(state);
    }
}

/// A boolean combination of languages over one variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Every word (`true`) or none.
    Const(bool),
    /// The words of a language.
    Leaf(Arc<Leaf>),
    /// The other words.
    Not(Box<Form>),
    /// The words of all.
    And(Vec<Form>),
    /// The words of any.
    Or(Vec<Form>),
}

impl Form {
    pub(crate) fn leaf(lang: Lang) -> Form {
        Form::Leaf(Leaf::new(lang))
    }

    pub(crate) fn eq(word: &str) -> Form {
        Form::leaf(Lang::Eq(SmolStr::new(word)))
    }

    pub(crate) fn negate(self) -> Form {
        match self {
            Form::Const(value) => Form::Const(!value),
            Form::Not(inner) => *inner,
            other => Form::Not(Box::new(other)),
        }
    }

    /// Conjunction; decides at once what a single word decides.
    pub(crate) fn and(self, other: Form) -> Form {
        match (self, other) {
            (Form::Const(true), x) | (x, Form::Const(true)) => x,
            (Form::Const(false), _) | (_, Form::Const(false)) => Form::Const(false),
            (x, y) if x == y => x,
            (x, y) => {
                for (one, rest) in [(&x, &y), (&y, &x)] {
                    if let Some(word) = one.word() {
                        return if rest.matches(word) { one.clone() } else { Form::Const(false) };
                    }
                }
                let mut parts = Vec::new();
                for part in [x, y] {
                    match part {
                        Form::And(inner) => parts.extend(inner),
                        other => parts.push(other),
                    }
                }
                Form::And(parts)
            }
        }
    }

    pub(crate) fn or(self, other: Form) -> Form {
        match (self, other) {
            (Form::Const(false), x) | (x, Form::Const(false)) => x,
            (Form::Const(true), _) | (_, Form::Const(true)) => Form::Const(true),
            (x, y) if x == y => x,
            (Form::Or(mut parts), Form::Or(more)) => {
                parts.extend(more);
                Form::Or(parts)
            }
            (Form::Or(mut parts), one) | (one, Form::Or(mut parts)) => {
                parts.push(one);
                Form::Or(parts)
            }
            (x, y) => Form::Or(vec![x, y]),
        }
    }

    pub(crate) fn matches(&self, word: &str) -> bool {
        match self {
            Form::Const(value) => *value,
            Form::Leaf(leaf) => leaf.matches(word),
            Form::Not(inner) => !inner.matches(word),
            Form::And(parts) => parts.iter().all(|p| p.matches(word)),
            Form::Or(parts) => parts.iter().any(|p| p.matches(word)),
        }
    }

    /// Whether every word of `self` is one of `other`, where their shape shows it; `false` says nothing.
    pub(crate) fn implies(&self, other: &Form) -> bool {
        match (self, other) {
            (Form::Const(false), _) | (_, Form::Const(true)) => true,
            (Form::Or(parts), _) => parts.iter().all(|part| part.implies(other)),
            (_, Form::And(parts)) => parts.iter().all(|part| self.implies(part)),
            (Form::Leaf(a), Form::Leaf(b)) => a == b || a.is_within(b),
            (Form::Not(a), Form::Not(b)) => b.implies(a),
            (Form::Leaf(a), Form::Not(b)) => match b.as_ref() {
                Form::Leaf(b) => a.is_apart(b),
                Form::Or(parts) => parts.iter().all(|part| matches!(part, Form::Leaf(b) if a.is_apart(b))),
                _ => false,
            },
            (Form::And(mine), Form::Or(theirs)) => {
                mine.iter().any(|part| part.implies(other)) || theirs.iter().any(|part| self.implies(part))
            }
            (Form::And(parts), _) => parts.iter().any(|part| part.implies(other)),
            (_, Form::Or(parts)) => parts.iter().any(|part| self.implies(part)),
            _ => match (self.word(), other) {
                (Some(word), other) => other.matches(word),
                _ => false,
            },
        }
    }

    /// The only word, where the form is an equality.
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Form::Leaf(leaf) => match leaf.lang() {
                Lang::Eq(word) => Some(word),
                _ => None,
            },
            _ => None,
        }
    }

    /// The ASCII characters that some language in it names.
    pub(crate) fn names(&self) -> u128 {
        match self {
            Form::Const(_) => 0,
            Form::Leaf(leaf) => leaf.names(),
            Form::Not(inner) => inner.names(),
            Form::And(parts) | Form::Or(parts) => parts.iter().fold(0, |mask, part| mask | part.names()),
        }
    }

    /// How every word of the form ends, where its shape shows that.
    pub(crate) fn ending(&self) -> Option<String> {
        match self {
            Form::Leaf(leaf) => match leaf.lang() {
                Lang::Eq(word) => Some(word.to_string()),
                Lang::Like(glob) => {
                    let fixed = glob.iter().rev().map_while(|elem| match elem {
                        Elem::Char(c) => Some(*c),
                        _ => None,
                    });
                    Some(fixed.collect::<Vec<_>>().into_iter().rev().collect())
                }
                _ => None,
            },
            Form::And(parts) => parts.iter().filter_map(Form::ending).max_by_key(String::len),
            _ => None,
        }
    }

    /// A finite set of words outside which the form does not hold, where its shape shows one.
    pub(crate) fn words(&self) -> Option<Vec<&str>> {
        match self {
            Form::Const(false) => Some(Vec::new()),
            Form::Const(true) | Form::Not(_) => None,
            Form::Leaf(_) => self.word().map(|word| vec![word]),
            Form::And(parts) => parts.iter().filter_map(Form::words).min_by_key(Vec::len),
            Form::Or(parts) => {
                let mut words: Vec<&str> = Vec::new();
                for part in parts {
                    words.extend(part.words()?);
                }
                words.sort_unstable();
                words.dedup();
                Some(words)
            }
        }
    }
}

/// Whether the glob `mine`, read as a word in which `*` and `?` are letters of their own, is matched by `theirs`, whose
/// `*` takes any letter and whose `?` any but `*`. Then whatever the letters stand for, `theirs` matches that too.
fn is_glob_within(mine: &[Elem], theirs: &[Elem]) -> bool {
    // Going back to a star costs the product of the lengths. Where that is much, other ways are better.
    if mine.len().saturating_mul(theirs.len()) > SHORT * SHORT * 16 {
        return mine == theirs;
    }
    let takes = |theirs: &Elem, mine: &Elem| match theirs {
        Elem::AnyOne => *mine != Elem::Star,
        other => other == mine,
    };
    let (mut at, mut next) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        if theirs.get(at) == Some(&Elem::Star) {
            at += 1;
            back = Some((at, next));
            continue;
        }
        match (theirs.get(at), mine.get(next)) {
            (None, None) => return true,
            (Some(theirs), Some(mine)) if *theirs != Elem::Star && takes(theirs, mine) => {
                (at, next) = (at + 1, next + 1)
            }
            (Some(_), None) => return false,
            _ => {
                let Some((star, from)) = back.as_mut() else { return false };
                *from += 1;
                if *from > mine.len() {
                    return false;
                }
                (at, next) = (*star, *from);
            }
        }
    }
}

/// The same, segment by segment: a subtree takes any segments.
fn is_path_within(mine: &[Segment], theirs: &[Segment]) -> bool {
    match theirs.iter().position(|segment| *segment == Segment::Subtree) {
        None => {
            mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(mine, theirs)| is_segment_within(mine, theirs))
        }
        Some(subtree) => {
            let (head, rest) = theirs.split_at(subtree);
            let tail = rest.split_first().map_or(rest, |(_, tail)| tail);
            // A subtree of `mine` may stand for nothing, so it cannot be what a named segment of `theirs` needs.
            mine.len() >= head.len() + tail.len()
                && mine.iter().zip(head).all(|(m, t)| is_segment_within(m, t))
                && mine.iter().rev().zip(tail.iter().rev()).all(|(m, t)| is_segment_within(m, t))
        }
    }
}

fn is_segment_within(mine: &Segment, theirs: &Segment) -> bool {
    match (mine, theirs) {
        (Segment::Glob(mine), Segment::Glob(theirs)) => is_glob_within(mine, theirs),
        (mine, theirs) => mine == theirs,
    }
}

/// Cedar's `like` without an automaton: greedy, going back only to the last star.
fn like(glob: &[Elem], word: &str) -> bool {
    let (mut at, mut rest) = (0, word.chars());
    let mut back: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        if matches!(glob.get(at), Some(Elem::Star)) {
            at += 1;
            back = Some((at, rest.clone()));
            continue;
        }
        match (glob.get(at), rest.next()) {
            (None, None) => return true,
            (Some(Elem::Char(want)), Some(c)) if *want == c => at += 1,
            (Some(Elem::AnyOne), Some(_)) => at += 1,
            (Some(_), None) => return false,
            _ => {
                let Some((star, from)) = back.as_mut() else { return false };
                if from.next().is_none() {
                    return false;
                }
                at = *star;
                rest = from.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Vec<Elem> {
        let elem = |c| match c {
            '*' => Elem::Star,
            '?' => Elem::AnyOne,
            c => Elem::Char(c),
        };
        text.chars().map(elem).collect()
    }

    fn path(text: &str) -> Lang {
        let segment = |s| if s == "**" { Segment::Subtree } else { Segment::Glob(glob(s)) };
        Lang::Path(text[1..].split('/').map(segment).collect())
    }

    #[test]
    fn patterns_mean_what_the_rule_language_says() {
        let check = |lang: Lang, yes: &[&str], no: &[&str]| {
            for (words, expect) in [(yes, true), (no, false)] {
                for word in words {
                    assert_eq!(Leaf::new(lang.clone()).matches(word), expect, "{lang:?} on {word:?}");
                    assert_eq!(lang.nfa().matches(word), expect, "the automaton of {lang:?} on {word:?}");
                }
            }
        };
        check(path("/a/**"), &["/a", "/a/", "/a/b/c"], &["/", "/ab", "/b/a"]);
        check(path("/a/*"), &["/a/", "/a/b"], &["/a", "/a/b/c", "/a/b/"]);
        check(path("/**"), &["/", "/a/b"], &[""]);
        check(path("/**/a"), &["/a", "/x/a", "/x//a"], &["/", "/a/", "/ba"]);
        check(path("/a/**/b"), &["/a/b", "/a/x/b", "/a/x/y/b"], &["/a", "/a/xb", "/ab"]);
        check(path("/a?/*.md"), &["/ab/.md", "/ab/x.md"], &["/a/x.md", "/ab/x/y.md", "/a//x.md"]);
        check(Lang::Piece { head: true, n: 1, glob: glob("b*") }, &["/a/b", "/a/bc/d"], &["/b", "/a", "/a/c/b"]);
        check(Lang::Piece { head: false, n: 0, glob: glob("") }, &["/", "/a/"], &["/a", ""]);
        check(Lang::Piece { head: false, n: 1, glob: glob("*") }, &["/a/b", "/a/"], &["/a", "/"]);
        check(Lang::Address, &["1.2.3.4", "::1", "fe80::1"], &["a.b", "x", "1.2.3.4.x", "4", "a.1.2"]);
    }

    fn shapes() -> impl Strategy<Value = Form> {
        let leaf = "a{0,2}[ab*]{0,2}"
            .prop_map(|p| if p.contains('*') { Form::leaf(Lang::Like(glob(&p))) } else { Form::eq(&p) });
        leaf.prop_recursive(2, 5, 2, |inner| {
            prop_oneof![
                inner.clone().prop_map(Form::negate),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
                (inner.clone(), inner).prop_map(|(a, b)| a.or(b)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn like_agrees_with_its_automaton(pattern in "[ab*?]{0,8}", word in "[ab]{0,10}") {
            let leaf = Leaf::new(Lang::Like(glob(&pattern)));
            prop_assert_eq!(leaf.matches(&word), leaf.lang().nfa().matches(&word));
        }

        #[test]
        fn segments_agree_with_their_automata(
            segments in proptest::collection::vec("[ab*?]{0,3}", 1..4), at in 0..4usize, head in any::<bool>(), word in "(/[ab]{0,2}){1,5}",
        ) {
            let mut path: Vec<Segment> = segments.iter().map(|s| Segment::Glob(glob(s))).collect();
            if at < path.len() {
                path[at] = Segment::Subtree;
            }
            for lang in [Lang::Path(path), Lang::Piece { head, n: at, glob: glob(&segments[0]) }] {
                prop_assert_eq!(Leaf::new(lang.clone()).matches(&word), lang.nfa().matches(&word), "{:?}", lang);
            }
        }

        #[test]
        fn a_path_within_a_path_is_contained(
            a in proptest::collection::vec("[ab*?]{0,2}", 1..4), b in proptest::collection::vec("[ab*?]{0,2}", 1..4),
            at in (0..5usize, 0..5usize), word in "(/[ab]{0,2}){1,5}",
        ) {
            let path = |parts: &[String], at: usize| {
                let mut path: Vec<Segment> = parts.iter().map(|s| Segment::Glob(glob(s))).collect();
                if at < path.len() {
                    path[at] = Segment::Subtree;
                }
                Form::leaf(Lang::Path(path))
            };
            let (a, b) = (path(&a, at.0), path(&b, at.1));
            prop_assert!(!a.implies(&b) || !a.matches(&word) || b.matches(&word));
        }

        #[test]
        fn what_is_implied_is_contained(a in shapes(), b in shapes(), word in "[ab]{0,5}") {
            prop_assert!(!a.implies(&b) || !a.matches(&word) || b.matches(&word));
        }

        #[test]
        fn combining_is_boolean(a in "[ab*]{0,4}", b in "[ab*]{0,4}", word in "[ab]{0,5}") {
            let form = |p: &str| if p.contains('*') { Form::leaf(Lang::Like(glob(p))) } else { Form::eq(p) };
            let (x, y) = (form(&a), form(&b));
            let (in_x, in_y) = (x.matches(&word), y.matches(&word));
            prop_assert_eq!(x.clone().and(y.clone()).matches(&word), in_x && in_y);
            prop_assert_eq!(x.clone().or(y.clone()).matches(&word), in_x || in_y);
            prop_assert_eq!(x.clone().negate().and(y).matches(&word), !in_x && in_y);
            if let Some(words) = x.words() {
                prop_assert_eq!(words.contains(&word.as_str()), in_x);
            }
        }
    }
}
