//! The languages that policies speak of, and boolean combinations of them.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use smol_str::SmolStr;

use super::chars::Set;
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
}

impl Lang {
    fn compile(&self) -> Nfa {
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

/// A language with its automaton, which is built when first needed.
#[derive(Debug)]
pub(crate) struct Leaf {
    lang: Lang,
    nfa: OnceLock<Nfa>,
}

impl Leaf {
    pub(crate) fn new(lang: Lang) -> Arc<Leaf> {
        Arc::new(Leaf { lang, nfa: OnceLock::new() })
    }

    pub(crate) fn lang(&self) -> &Lang {
        &self.lang
    }

    pub(crate) fn nfa(&self) -> &Nfa {
        self.nfa.get_or_init(|| self.lang.compile())
    }

    pub(crate) fn matches(&self, word: &str) -> bool {
        match &self.lang {
            Lang::Eq(only) => only == word,
            Lang::Like(glob) => like(glob, word),
            _ => self.nfa().matches(word),
        }
    }
}

impl Leaf {
    /// Whether a look shows that `other` has every word of `self`: for one word, and for a common beginning.
    fn is_within(&self, other: &Leaf) -> bool {
        match (&self.lang, &other.lang) {
            (Lang::Eq(word), _) => other.matches(word),
            (Lang::Like(mine), Lang::Like(theirs)) => match theirs.split_last() {
                Some((Elem::Star, prefix)) if !prefix.contains(&Elem::Star) => mine.starts_with(prefix),
                _ => false,
            },
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
            prop_assert_eq!(leaf.matches(&word), leaf.nfa().matches(&word));
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
