//! The words that exist: what `narrowgate_core::request` can produce, and no more than that where a witness could tell.
//!
//! INVARIANT: each universe contains every value that the runtime can build. Where it contains more (overlong texts,
//! some spellings of IPv6), replay catches the witness and the solver goes on without it.

use std::sync::LazyLock;

use narrowgate_core::request::{KNOWN_METHODS, is_token_byte, may_stay_encoded, may_stay_literal};

use super::chars::Set;
use super::nfa::{Builder, Nfa};

/// In the universe of a query key or a field: it does not occur.
pub(crate) const ABSENT: &str = "\u{0}";
/// In the universe of a query key: the key occurs more than once.
pub(crate) const REPEATED: &str = "\u{1}";

/// The kinds of string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Universe {
    /// Host names and IP literals.
    Host,
    /// Canonical request paths.
    Path,
    /// Methods that are no action of their own.
    OtherMethod,
    /// Methods.
    Method,
    /// A text that a plugin says of a request.
    Attribute,
    /// The same by a name of the request's own, or [`ABSENT`].
    Field,
    /// The value of one query key, [`ABSENT`] or [`REPEATED`].
    Query,
    /// An executable's absolute path, or nothing.
    Process,
    /// 64 hex digits, or nothing.
    Sha256,
    /// A sandbox's name.
    Sandbox,
}

impl Universe {
    /// The automaton.
    pub(crate) fn nfa(self) -> &'static Nfa {
        match self {
            Universe::Host => &HOST,
            Universe::Path => &PATH,
            Universe::OtherMethod => &OTHER_METHOD,
            Universe::Method => &METHOD,
            Universe::Attribute => &ATTRIBUTE,
            Universe::Field => &FIELD,
            Universe::Query => &QUERY,
            Universe::Process => &PROCESS,
            Universe::Sha256 => &SHA256,
            Universe::Sandbox => &SANDBOX,
        }
    }

    /// The automaton of enough words for languages that name no more than these ASCII characters: for every word that
    /// exists there is one that none of them tells from it.
    pub(crate) fn nfa_for(self, named: u128) -> &'static Nfa {
        let is_named = |c: u8| named & (1 << c) != 0;
        // A letter that nobody names can stand in for what makes paths hard. The words stay canonical: percent signs
        // and dots only ever make them less so.
        let has_plain_letter = (b'a'..=b'z').any(|c| !is_named(c));
        match self {
            Universe::Path if has_plain_letter && !is_named(b'%') && !is_named(b'.') => &PLAIN_PATH,
            Universe::Path if has_plain_letter && !is_named(b'%') => &UNENCODED_PATH,
            _ => self.nfa(),
        }
    }

    /// Words that a person recognises, best first; the first is what an unconstrained variable gets.
    pub(crate) fn preferred(self) -> &'static [&'static str] {
        match self {
            Universe::Host => &["example.com", "192.0.2.1"],
            Universe::Path => &["/"],
            Universe::OtherMethod => &["PROPFIND"],
            Universe::Method => &["GET", "PUT", "PROPFIND"],
            Universe::Attribute => &["x", ""],
            Universe::Query | Universe::Field => &[ABSENT, "x"],
            Universe::Process => &["/usr/bin/curl", "/usr/bin/python3"],
            Universe::Sha256 => &[""],
            Universe::Sandbox => &["sandbox"],
        }
    }

    /// How little a person wants to see `word`: its length, and something for what looks like an accident.
    pub(crate) fn cost(self, word: &str) -> usize {
        let odd = match self {
            Universe::Path | Universe::Process => word.len() > 1 && word.ends_with('/'),
            Universe::Query => word.is_empty() || word == REPEATED,
            Universe::Attribute | Universe::Field => word.is_empty(),
            _ => false,
        };
        word.len() + if odd { 2 } else { 0 }
    }
}

fn byte_set(bytes: &[u8]) -> Set {
    Set::ascii(|b| bytes.contains(&b))
}

static HOST: LazyLock<Nfa> = LazyLock::new(|| names().or(&ipv4()).or(&ipv6()));

/// Names: labels of `[a-z0-9_-]` that neither begin nor end with `-`, the last of which does not read as a number.
fn names() -> Nfa {
    #[derive(Clone, Copy, PartialEq)]
    enum Label {
        Empty,
        Zero,
        Digits,
        Hex,
        Plain,
        Dash,
    }
    let zero = byte_set(b"0");
    let digit = byte_set(b"123456789");
    let x = byte_set(b"x");
    let hex = byte_set(b"abcdef");
    let dash = byte_set(b"-");
    let dot = byte_set(b".");
    let letter = Set::ascii(|b| b == b'_' || (b.is_ascii_lowercase() && b != b'x' && !b"abcdef".contains(&b)));
    let alphabet = [zero, digit, x, hex, dash, dot, letter];
    let step = |label: &Label, set: Set| match *label {
        Label::Empty if set == zero => Some(Label::Zero),
        Label::Empty if set == digit => Some(Label::Digits),
        Label::Empty if set == dash || set == dot => None,
        Label::Dash if set == dot => None,
        _ if set == dot => Some(Label::Empty),
        _ if set == dash => Some(Label::Dash),
        Label::Zero if set == x => Some(Label::Hex),
        Label::Zero | Label::Digits if set == zero || set == digit => Some(Label::Digits),
        Label::Hex if set == zero || set == digit || set == hex => Some(Label::Hex),
        _ => Some(Label::Plain),
    };
    Nfa::from_steps(Label::Empty, &alphabet, step, |label| *label == Label::Plain)
}

/// Dotted quads without leading zeros.
fn ipv4() -> Nfa {
    // What was read of an octet: nothing, "0", "1", "1d", "2", "20" to "24", "25", "3" to "9", and three digits or
    // whatever else takes no more.
    let alphabet = ["0", "1", "2", "34", "5", "6789", "."].map(|s| byte_set(s.as_bytes()));
    let step = |(dots, octet): &(u8, u8), set: Set| {
        let class = alphabet.iter().position(|s| *s == set)?;
        let next = match (octet, class) {
            (0, 6) => return None,
            (_, 6) => return (*dots < 3).then_some((dots + 1, 0)),
            (0, 0) => 1,
            (0, 1) => 2,
            (0, 2) => 4,
            (0, _) => 7,
            (2, _) => 3,
            (3 | 5 | 7, _) => 8,
            (4, 0..=3) => 5,
            (4, 4) => 6,
            (4, _) => 8,
            (6, 0..=4) => 8,
            _ => return None,
        };
        Some((*dots, next))
    };
    Nfa::from_steps((0, 0), &alphabet, step, |(dots, octet)| *dots == 3 && *octet != 0)
}

/// IPv6 as the standard library prints it, but for which run of zeros is cut.
fn ipv6() -> Nfa {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        LeadingColon,
        Colon,
        Gap,
        Zero,
        Hex(u8),
    }
    let alphabet = [byte_set(b"0"), byte_set(b"123456789abcdef"), byte_set(b":")];
    // (groups begun, whether a gap was seen, where in the text)
    let step = |(groups, gap, at): &(u8, bool, At), set: Set| {
        let class = alphabet.iter().position(|s| *s == set)?;
        let most = if *gap { 6 } else { 8 };
        let begun = (*groups < most).then_some(groups + 1);
        match (at, class) {
            (At::Start, 2) => Some((0, false, At::LeadingColon)),
            (At::LeadingColon, 2) => Some((0, true, At::Gap)),
            (At::LeadingColon, _) | (At::Gap, 2) => None,
            (At::Colon, 2) => (!gap && *groups <= 6).then_some((*groups, true, At::Gap)),
            (At::Start | At::Colon | At::Gap, 0) => Some((begun?, *gap, At::Zero)),
            (At::Start | At::Colon | At::Gap, _) => Some((begun?, *gap, At::Hex(1))),
            (At::Zero | At::Hex(_), 2) => Some((*groups, *gap, At::Colon)),
            (At::Hex(n), _) if *n < 4 => Some((*groups, *gap, At::Hex(n + 1))),
            _ => None,
        }
    };
    Nfa::from_steps((0, false, At::Start), &alphabet, step, |(groups, gap, at)| match at {
        At::Gap => true,
        At::Zero | At::Hex(_) => *gap || *groups == 8,
        _ => false,
    })
}

/// Paths of plain characters.
static PLAIN_PATH: LazyLock<Nfa> = LazyLock::new(|| paths_of(b"/"));
/// Paths without percent-encoding.
static UNENCODED_PATH: LazyLock<Nfa> = LazyLock::new(|| paths_of(b"/."));
static PATH: LazyLock<Nfa> = LazyLock::new(|| paths_of(b"/.%"));

/// Canonical paths, with only those of the special characters `/`, `.` and `%`.
fn paths_of(special: &[u8]) -> Nfa {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Begin,
        Slash,
        /// After `%2F`, which begins a piece as a slash does, though an empty one is no harm.
        Piece,
        Dot,
        DotDot,
        Inside,
        /// After `%E0` or `%F0`: whether a `9` may not follow the next `%`, which an `8` may not.
        Lead(bool),
        /// After `%`: what came before it matters to what may follow.
        Percent(Before),
        /// After `%` and a digit: the digit, and whether a piece `.` or `..` would end here.
        Digit(u8, bool),
        /// After `%25`, what may have been encoded twice.
        Percent25,
        /// After that and a digit: which second digits spell a byte that must not be.
        Twice(u16),
    }
    #[derive(Clone, Copy, PartialEq)]
    enum Before {
        Plain,
        Dots,
        Lead(bool),
    }
    const UPPER: [u8; 16] = *b"0123456789ABCDEF";
    const LOWER: [u8; 6] = *b"abcdef";
    let literal = |b: u8| may_stay_literal(b) && b != b'.' && !b.is_ascii_hexdigit();
    let mut alphabet = vec![byte_set(b"/"), byte_set(b"."), byte_set(b"%"), Set::ascii(literal)];
    alphabet.extend(UPPER.iter().chain(&LOWER).map(|digit| byte_set(&[*digit])));
    let digits =
        |keep: &dyn Fn(u8) -> bool| (0..16u8).filter(|low| keep(*low)).fold(0u16, |mask, low| mask | (1 << low));
    let encoded = |first: usize| digits(&|low| may_stay_encoded(first as u8 * 16 + low));
    let twice = |first: usize| {
        let is_special = |byte: u8| b"./\\;%".contains(&byte) || byte.is_ascii_control();
        digits(&|low| is_special(first as u8 * 16 + low))
    };
    let step = |at: &At, set: Set| {
        let class = alphabet.iter().position(|s| *s == set)?;
        let upper = class.checked_sub(4).filter(|digit| *digit < 16);
        let digit = class.checked_sub(4).map(|digit| if digit < 16 { digit } else { digit - 6 });
        match (at, class) {
            (At::Begin, 0) => Some(At::Slash),
            (At::Begin, _) | (At::Slash | At::Dot | At::DotDot, 0) => None,
            (At::Percent(before), _) => {
                let first = upper?;
                let overlong = match before {
                    Before::Lead(nine) => first == 8 || (first == 9 && *nine),
                    _ => false,
                };
                let digit = At::Digit(u8::try_from(first).ok()?, *before == Before::Dots);
                (encoded(first) != 0 && !overlong).then_some(digit)
            }
            (At::Digit(first, dots), _) => {
                let low = upper?;
                let next = match (first, low) {
                    (2, 5) => At::Percent25,
                    (2, 15) if *dots => return None,
                    (2, 15) => At::Piece,
                    (14, 0) => At::Lead(true),
                    (15, 0) => At::Lead(false),
                    _ => At::Inside,
                };
                (encoded(usize::from(*first)) & (1 << low) != 0).then_some(next)
            }
            (At::Twice(mask), _) if digit.is_some_and(|low| mask & (1 << low) != 0) => None,
            (At::Percent25, _) if digit.is_some_and(|first| twice(first) != 0) => digit.map(|d| At::Twice(twice(d))),
            (_, 0) => Some(At::Slash),
            (At::Dot | At::DotDot, 2) => Some(At::Percent(Before::Dots)),
            (At::Lead(nine), 2) => Some(At::Percent(Before::Lead(*nine))),
            (_, 2) => Some(At::Percent(Before::Plain)),
            (At::Slash | At::Piece, 1) => Some(At::Dot),
            (At::Dot, 1) => Some(At::DotDot),
            _ => Some(At::Inside),
        }
    };
    let done = |at: &At| matches!(at, At::Slash | At::Piece | At::Lead(_) | At::Inside | At::Percent25 | At::Twice(_));
    let is_used = |set: &Set, c: u8| *set != byte_set(&[c]) || special.contains(&c);
    let used: Vec<Set> = alphabet.iter().copied().filter(|set| is_used(set, b'.') && is_used(set, b'%')).collect();
    Nfa::from_steps(At::Begin, &used, step, done)
}

static OTHER_METHOD: LazyLock<Nfa> =
    LazyLock::new(|| methods_but(&KNOWN_METHODS.into_iter().chain(["CONNECT", "TRACE"]).collect::<Vec<_>>()));

static METHOD: LazyLock<Nfa> = LazyLock::new(|| methods_but(&["CONNECT", "TRACE"]));

fn methods_but(taken: &[&str]) -> Nfa {
    // The state is the part of a taken name that was read, or "-" once there is none.
    let named = |b: u8| taken.iter().any(|t| t.as_bytes().contains(&b));
    let mut alphabet = vec![Set::ascii(|b| is_token_byte(b) && !b.is_ascii_lowercase() && !named(b))];
    alphabet.extend((0..128u8).filter(|b| named(*b)).map(|b| byte_set(&[b])));
    let step = |read: &String, set: Set| {
        let next = (0..128u8).map(char::from).find(|c| set.contains(*c))?;
        let longer = format!("{read}{next}");
        Some(if taken.iter().any(|t| t.starts_with(&longer)) { longer } else { "-".to_owned() })
    };
    Nfa::from_steps(String::new(), &alphabet, step, |read| !read.is_empty() && !taken.contains(&read.as_str()))
}

static ATTRIBUTE: LazyLock<Nfa> = LazyLock::new(|| {
    let mut text = Builder::new();
    text.many(Set::Printable);
    text.finish()
});

static FIELD: LazyLock<Nfa> = LazyLock::new(|| {
    let mut absent = Builder::new();
    absent.one(Set::One('\u{0}'));
    let mut text = Builder::new();
    text.many(Set::Printable);
    text.finish().or(&absent.finish())
});

static QUERY: LazyLock<Nfa> = LazyLock::new(|| {
    let mut word = Builder::new();
    word.many(Set::Printable);
    let (mut absent, mut repeated) = (Builder::new(), Builder::new());
    absent.one(Set::One('\u{0}'));
    repeated.one(Set::One('\u{1}'));
    word.finish().or(&absent.finish()).or(&repeated.finish())
});

static PROCESS: LazyLock<Nfa> = LazyLock::new(|| {
    let mut path = Builder::new();
    path.one(Set::One('/')).many(Set::NotIn(1));
    path.finish().or(&Builder::new().finish())
});

static SHA256: LazyLock<Nfa> = LazyLock::new(|| {
    let mut digest = Builder::new();
    for _ in 0..64 {
        digest.one(Set::ascii(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    }
    digest.finish().or(&Builder::new().finish())
});

static SANDBOX: LazyLock<Nfa> = LazyLock::new(|| {
    let mut name = Builder::new();
    name.many(Set::ANY);
    name.finish()
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use narrowgate_core::request::{CanonicalPath, Host, Method, PathOptions, Query};
    use proptest::prelude::*;

    use super::*;

    fn is_host(word: &str) -> bool {
        Host::parse(word).is_ok_and(|host| host.as_str() == word)
    }

    fn is_path(word: &str) -> bool {
        let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
        CanonicalPath::parse(word, &options).is_ok_and(|path| path.as_str() == word)
    }

    #[test]
    fn hosts_and_paths_are_the_canonical_ones() {
        let hosts = "x a.b a-b a--b -a a- a_b _a.b_ 1.2.3.4 1.2.3 256.1.1.1 01.2.3.4 0x1 a.0x 0xg 0 a.1 1.a 0x1.a a..b \
                     .a a. A 25.255.0.199 1.2.3.4.5 :: ::1 1:: fe80::1 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7 ::1:2:3:4:5:6 \
                     01::1 :1 1: 1::2::3 1:2:3:4:5:6:7:8:9 ::12345 ::F";
        for word in hosts.split_whitespace().chain([""]) {
            assert_eq!(Universe::Host.nfa().matches(word), is_host(word), "{word:?}");
        }
        let paths = "/ /a /a/ // /a//b /. /.. /... /a/./b /.a /a. /..a /%20 /%2e /%2E /%41 /%2F /%5C /%C3%A9 /%c3 /% /%2 \
                     /a;b /a%3Bb /a%2F /a%2F/b /%2F.. /..%2F /.%2Fa /a%2F../b /a%2F..b /...%2F /%C0%AE /%F5 /%E0%80 \
                     /%E0%9F /%E0%A0%80 /%E0a%80 /%F0%8F /%F0%90 /%E2%82%AC /%25%E0%80 /%E0/%80 /a?b /%7F /%1F /%25 /a+b /é a /a/.";
        for word in paths.split_whitespace().chain([""]) {
            assert_eq!(Universe::Path.nfa().matches(word), is_path(word), "{word:?}");
        }
        for word in ["GET", "GE", "GETS", "CONNECT", "TRACE", "T", "get", "M-SEARCH", "A B", "", "PROPFIND", "DELETE"] {
            let expect = Method::parse(word).is_ok_and(|m| m.action() == "OTHER");
            assert_eq!(Universe::OtherMethod.nfa().matches(word), expect, "{word:?}");
            assert_eq!(Universe::Method.nfa().matches(word), Method::parse(word).is_ok(), "{word:?}");
        }
    }

    #[test]
    fn what_is_preferred_exists() {
        use Universe::*;
        for universe in [Host, Path, OtherMethod, Method, Attribute, Query, Process, Sha256, Sandbox] {
            for word in universe.preferred() {
                assert!(universe.nfa().matches(word), "{universe:?}: {word:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn no_canonical_host_is_missing(word in "[a1x0.:-]{1,9}|([0-9]{1,3}\\.){3}[0-9]{1,3}|([0-9a-f]{0,2}:){2,8}[0-9a-f]{0,2}") {
            prop_assert!(!is_host(&word) || Universe::Host.nfa().matches(&word), "{}", word);
        }

        #[test]
        fn no_canonical_path_is_missing(raw in "/[a./%2Ee5Cc3B9-]{0,9}") {
            if let Ok(path) = CanonicalPath::parse(&raw, &PathOptions { allow_encoded_slash: true, strip_params: true }) {
                prop_assert!(Universe::Path.nfa().matches(path.as_str()), "{}", path);
            }
        }

        #[test]
        fn paths_are_exact(word in "/[a./%2Ee4CF3Bb*-]{0,7}|/(%25|%2|[2e5cEC.]|/){0,6}|/(%2F|%E0|%F0|%8|%9|[0./a]){0,6}") {
            prop_assert_eq!(Universe::Path.nfa().matches(&word), is_path(&word), "{}", word);
        }

        #[test]
        fn a_letter_stands_in_for_what_nobody_names(raw in "/[a./%2Ee5C3B9-]{0,9}") {
            let options = PathOptions { allow_encoded_slash: true, strip_params: true };
            if let Ok(path) = CanonicalPath::parse(&raw, &options) {
                for (named, replaced) in [(0, &['%', '.'][..]), (1 << b'.', &['%'][..])] {
                    let stand_in = path.as_str().replace(replaced, "z");
                    prop_assert!(Universe::Path.nfa_for(named).matches(&stand_in), "{}", stand_in);
                    prop_assert!(is_path(&stand_in), "{}", stand_in);
                }
            }
        }

        #[test]
        fn what_needs_no_encoding_is_a_path(word in "/[a./]{0,7}") {
            for named in [0, 1 << b'.'] {
                prop_assert!(!Universe::Path.nfa_for(named).matches(&word) || is_path(&word), "{}", word);
            }
        }

        #[test]
        fn queries_hold_every_decoded_value(raw in "k=[ -~é%]{0,8}") {
            if let Ok(query) = narrowgate_core::request::Query::parse(&raw)
                && let narrowgate_core::request::QueryValue::One(value) = Query::get(&query, "k") {
                prop_assert!(Universe::Query.nfa().matches(value));
            }
        }
    }
}
