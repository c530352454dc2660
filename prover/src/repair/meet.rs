//! What two patterns have in common, as patterns again, and whether one visibly has all of the other.
//!
//! An intersection need not be one pattern: `a*` and `*a` share `a` and `a*a`. Then each pattern here is a part of it,
//! and where there would be too many, or one would be too long, parts are missing. Nothing relies on these being all:
//! what comes of them is proven.

use std::collections::HashMap;

use narrowgate_core::pattern::{HostForm, HostPattern, PathPattern};

/// So many parts of one intersection are kept.
const MOST: usize = 12;
/// Longer globs are not intersected.
const LONGEST: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
}

fn tokens(text: &str, question: bool) -> Vec<Token> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' if out.last() == Some(&Token::Many) => {}
            '*' => out.push(Token::Many),
            '?' if question => out.push(Token::One),
            c => out.push(Token::Char(c)),
        }
    }
    out
}

/// The words of both globs; `?` is one character where `question` says so.
pub(super) fn globs(a: &str, b: &str, question: bool) -> Vec<String> {
    if glob_covers(a, b, question) {
        return vec![b.to_owned()];
    }
    if glob_covers(b, a, question) {
        return vec![a.to_owned()];
    }
    let (x, y) = (tokens(a, question), tokens(b, question));
    let plain = |tokens: &[Token]| tokens.iter().all(|token| matches!(token, Token::Char(_)));
    if plain(&x) || plain(&y) || x.len().max(y.len()) > LONGEST {
        return Vec::new();
    }
    let mut known = HashMap::new();
    let parts = common(&x, &y, &mut known).into_iter().map(|tokens| {
        let text = |token: &Token| match token {
            Token::Char(c) => *c,
            Token::One => '?',
            Token::Many => '*',
        };
        tokens.iter().map(text).collect::<String>()
    });
    widest(parts.collect(), |a, b| glob_covers(a, b, question))
}

type Known = HashMap<(usize, usize), Vec<Vec<Token>>>;

/// Recursion is bounded by [`LONGEST`]: every step takes a token.
fn common(x: &[Token], y: &[Token], known: &mut Known) -> Vec<Vec<Token>> {
    if let Some(found) = known.get(&(x.len(), y.len())) {
        return found.clone();
    }
    fn after(token: Token, rest: Vec<Vec<Token>>) -> impl Iterator<Item = Vec<Token>> {
        let again = move |rest: &Vec<Token>| token == Token::Many && rest.first() == Some(&Token::Many);
        rest.into_iter().map(move |rest| if again(&rest) { rest } else { [vec![token], rest].concat() })
    }
    let mut out: Vec<Vec<Token>> = match (x.split_first(), y.split_first()) {
        (None, None) => vec![Vec::new()],
        (Some((Token::Many, x)), None) => common(x, y, known),
        (None, Some((Token::Many, y))) => common(x, y, known),
        (Some((Token::Many, rest_x)), Some((Token::Many, rest_y))) => {
            let parts = [common(rest_x, y, known), common(x, rest_y, known)].concat();
            after(Token::Many, parts).collect()
        }
        (Some((Token::Many, rest_x)), Some((token, rest_y))) => {
            let eats = after(*token, common(x, rest_y, known)).collect::<Vec<_>>();
            [common(rest_x, y, known), eats].concat()
        }
        (Some((token, rest_x)), Some((Token::Many, rest_y))) => {
            let eats = after(*token, common(rest_x, y, known)).collect::<Vec<_>>();
            [common(x, rest_y, known), eats].concat()
        }
        (Some((a, x)), Some((b, y))) => match (a, b) {
            (Token::One, both) | (both, Token::One) => after(*both, common(x, y, known)).collect(),
            (a, b) if a == b => after(*a, common(x, y, known)).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    out.dedup();
    out = widest(out, |wide, narrow| tokens_cover(wide, narrow));
    out.truncate(MOST);
    known.insert((x.len(), y.len()), out.clone());
    out
}

/// Whether `wide` has every word of `narrow`; `false` may mean that it cannot be seen.
pub(super) fn glob_covers(wide: &str, narrow: &str, question: bool) -> bool {
    wide == narrow || tokens_cover(&tokens(wide, question), &tokens(narrow, question))
}

/// Matches one pattern against the other as if its wildcards were letters that only wildcards stand for.
fn tokens_cover(wide: &[Token], narrow: &[Token]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (wide.get(at), narrow.get(seen)) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            (Some(Token::One), Some(Token::One | Token::Char(_))) => (at, seen) = (at + 1, seen + 1),
            (Some(Token::Char(a)), Some(Token::Char(b))) if a == b => (at, seen) = (at + 1, seen + 1),
            _ => match retry {
                Some((after, from)) if from < narrow.len() => {
                    retry = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// What no other covers, in the order given.
pub(super) fn widest<T: PartialEq>(all: Vec<T>, covers: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let mut out: Vec<T> = Vec::new();
    for one in all {
        if out.iter().any(|other| *other == one || covers(other, &one)) {
            continue;
        }
        out.retain(|other| !covers(&one, other));
        out.push(one);
    }
    out
}

type Sides<'a> = (Vec<&'a str>, Option<Vec<&'a str>>);

/// A path pattern's segments before and, where there is one, after its `**`.
fn sides(pattern: &str) -> Sides<'_> {
    let segments: Vec<&str> = pattern.strip_prefix('/').unwrap_or(pattern).split('/').collect();
    let mut parts = segments.splitn(2, |segment| *segment == "**");
    (parts.next().unwrap_or_default().to_vec(), parts.next().map(<[&str]>::to_vec))
}

/// The paths of both patterns. Texts that are no patterns (the schema has no name for a segment that far from an end)
/// are left out.
pub(super) fn paths(a: &str, b: &str) -> Vec<String> {
    if path_covers(a, b) {
        return vec![b.to_owned()];
    }
    if path_covers(b, a) {
        return vec![a.to_owned()];
    }
    let ((head_a, tail_a), (head_b, tail_b)) = (sides(a), sides(b));
    let found = match (tail_a, tail_b) {
        (None, None) => by_segment(&head_a, &head_b),
        (Some(tail), None) => {
            of_depth(&head_a, &tail, head_b.len()).map(|expanded| by_segment(&expanded, &head_b)).unwrap_or_default()
        }
        (None, Some(tail)) => {
            of_depth(&head_b, &tail, head_a.len()).map(|expanded| by_segment(&head_a, &expanded)).unwrap_or_default()
        }
        (Some(tail_a), Some(tail_b)) => {
            let (heads, tails) = (head_a.len().max(head_b.len()), tail_a.len().max(tail_b.len()));
            let starts = by_segment(&padded(&head_a, heads, false), &padded(&head_b, heads, false));
            let ends = by_segment(&padded(&tail_a, tails, true), &padded(&tail_b, tails, true));
            let mut out: Vec<String> =
                starts.iter().flat_map(|head| ends.iter().map(move |tail| format!("{head}/**{tail}"))).collect();
            // Where heads and tails overlap in a path.
            let least = (head_a.len() + tail_a.len()).max(head_b.len() + tail_b.len());
            for depth in (least.max(1)..heads + tails).rev() {
                if let (Some(x), Some(y)) = (of_depth(&head_a, &tail_a, depth), of_depth(&head_b, &tail_b, depth)) {
                    out.extend(by_segment(&x, &y));
                }
            }
            out
        }
    };
    let mut found = widest(found, |wide, narrow| path_covers(wide, narrow));
    found.retain(|text| PathPattern::parse(text).is_ok());
    found.truncate(MOST);
    found
}

/// The paths of `head/**/tail` that have this many segments.
pub(super) fn of_depth<S: AsRef<str>>(head: &[S], tail: &[S], depth: usize) -> Option<Vec<String>> {
    let stars = depth.checked_sub(head.len() + tail.len())?;
    let text = |segment: &S| segment.as_ref().to_owned();
    Some(head.iter().map(text).chain(vec!["*".to_owned(); stars]).chain(tail.iter().map(text)).collect())
}

/// `side` with as many `*` segments as it takes to be of this length.
fn padded<'a>(side: &[&'a str], length: usize, in_front: bool) -> Vec<&'a str> {
    let stars = vec!["*"; length.saturating_sub(side.len())];
    if in_front { [stars, side.to_vec()].concat() } else { [side.to_vec(), stars].concat() }
}

fn by_segment<A: AsRef<str>, B: AsRef<str>>(a: &[A], b: &[B]) -> Vec<String> {
    if a.len() != b.len() {
        return Vec::new();
    }
    let mut out = vec![String::new()];
    for (x, y) in a.iter().zip(b) {
        let choices = globs(x.as_ref(), y.as_ref(), true);
        out = out.iter().flat_map(|start| choices.iter().map(move |segment| format!("{start}/{segment}"))).collect();
        out.truncate(MOST);
    }
    out
}

/// Whether `wide` has every path of `narrow`; `false` may mean that it cannot be seen.
pub(super) fn path_covers(wide: &str, narrow: &str) -> bool {
    let ((head, tail), (inner, inner_tail)) = (sides(wide), sides(narrow));
    let all = |wide: &[&str], narrow: &[&str]| {
        wide.len() <= narrow.len() && wide.iter().zip(narrow).all(|(w, n)| glob_covers(w, n, true))
    };
    let ends = |wide: &[&str], narrow: &[&str]| {
        narrow.len().checked_sub(wide.len()).and_then(|from| narrow.get(from..)).is_some_and(|end| all(wide, end))
    };
    match (tail, inner_tail) {
        _ if wide == narrow => true,
        (None, None) => head.len() == inner.len() && all(&head, &inner),
        (None, Some(_)) => false,
        (Some(tail), None) => head.len() + tail.len() <= inner.len() && all(&head, &inner) && ends(&tail, &inner),
        (Some(tail), Some(inner_tail)) => all(&head, &inner) && ends(&tail, &inner_tail),
    }
}

/// The hosts of both patterns.
pub(super) fn hosts(a: &HostPattern, b: &HostPattern) -> Vec<HostPattern> {
    let below =
        |inner: &str, outer: &str| inner.strip_suffix(outer).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    match (a.form(), b.form()) {
        (HostForm::Exact(host), _) => {
            if b.matches(host) {
                vec![a.clone()]
            } else {
                Vec::new()
            }
        }
        (_, HostForm::Exact(host)) => {
            if a.matches(host) {
                vec![b.clone()]
            } else {
                Vec::new()
            }
        }
        (HostForm::OneLabel { glob: x, suffix }, HostForm::OneLabel { glob: y, suffix: other }) if suffix == other => {
            let patterns = globs(x, y, false).into_iter().map(|glob| format!("{glob}.{suffix}"));
            patterns.filter_map(|text| HostPattern::parse(&text).ok()).collect()
        }
        (HostForm::OneLabel { suffix, .. }, HostForm::AnyLabels { suffix: outer }) if below(suffix, outer) => {
            vec![a.clone()]
        }
        (HostForm::AnyLabels { suffix: outer }, HostForm::OneLabel { suffix, .. }) if below(suffix, outer) => {
            vec![b.clone()]
        }
        (HostForm::AnyLabels { suffix: x }, HostForm::AnyLabels { suffix: y }) if below(x, y) => vec![a.clone()],
        (HostForm::AnyLabels { suffix: x }, HostForm::AnyLabels { suffix: y }) if below(y, x) => vec![b.clone()],
        _ => Vec::new(),
    }
}

/// Whether `wide` has every host of `narrow`.
pub(super) fn host_covers(wide: &HostPattern, narrow: &HostPattern) -> bool {
    matches!(hosts(wide, narrow).as_slice(), [one] if one == narrow)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn paths_in_common() {
        let cases = [
            ("/a/**", "/**/b", &["/a/**/b"][..]),
            ("/a/**", "/a/*", &["/a/*"]),
            ("/a*/c", "/*b/c", &["/a*b/c"]),
            ("/a*", "/*a", &["/a*a", "/a"]),
            ("/*/x/**", "/a/**", &["/a/x/**"]),
            ("/a/**", "/b/**", &[]),
            ("/a/**/c", "/a/b", &[]),
            ("/a/**/c", "/*/*/*", &["/a/*/c"]),
            ("/**/a/b", "/a/**", &["/a/**/a/b", "/a/b"]),
            ("/**", "/a?", &["/a?"]),
            ("/", "/**", &["/"]),
        ];
        for (a, b, expect) in cases {
            for (x, y) in [(a, b), (b, a)] {
                let mut found = paths(x, y);
                let mut expect: Vec<String> = expect.iter().map(|s| (*s).to_owned()).collect();
                found.sort();
                expect.sort();
                assert_eq!(found, expect, "{x} {y}");
            }
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let segment = select(vec!["a", "b", "ab", "*", "a*", "*b", "?", "a?", "*a*", "**"]);
        proptest::collection::vec(segment, 1..5).prop_map(|mut segments| {
            let mut seen = false;
            segments.retain(|s| *s != "**" || !std::mem::replace(&mut seen, true));
            format!("/{}", segments.join("/"))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
        #[test]
        fn an_intersection_is_what_both_match(a in pattern(), b in pattern(), path in "(/[ab]{0,3}){1,5}") {
            let matches = |text: &str| PathPattern::parse(text).unwrap().matches(&path);
            let found = paths(&a, &b);
            prop_assert_eq!(found.iter().any(|p| matches(p)), matches(&a) && matches(&b), "{} {} {:?}", a, b, found);
            prop_assert!(!path_covers(&a, &b) || !matches(&b) || matches(&a));
        }
    }

    #[test]
    fn hosts_in_common() {
        let cases = [
            ("*.x.com", "**.x.com", "*.x.com"),
            ("a*.x.com", "*b.x.com", "a*b.x.com"),
            ("**.a.x.com", "**.x.com", "**.a.x.com"),
            ("*.x.com", "**.a.x.com", ""),
            ("**.x.com", "q.x.com", "q.x.com"),
            ("*.x.com", "x.com", ""),
        ];
        for (a, b, expect) in cases {
            let (a, b) = (HostPattern::parse(a).unwrap(), HostPattern::parse(b).unwrap());
            for found in [hosts(&a, &b), hosts(&b, &a)] {
                let texts: Vec<&str> = found.iter().map(HostPattern::as_str).collect();
                assert_eq!(texts.join(" "), expect);
            }
        }
    }
}
