//! Regular expressions in SMT-LIB: what the strings of a canonical request look like, and patterns with `?`.
//!
//! INVARIANT: each language but those called plain contains every value that the
//! runtime can build. Where it has more, replay refuses the witness.

use narrowgate_core::pattern::{HostForm, HostPattern, PathPattern, Segment};
use narrowgate_core::request::{is_token_byte, may_stay_encoded, may_stay_literal};

/// A string literal.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\"\""),
            ' '..='~' if c != '\\' => out.push(c),
            c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

fn word(text: &str) -> String {
    format!("(str.to_re {})", literal(text))
}

/// Characters in a row: `("a", "z")`.
fn range(first: &str, last: &str) -> String {
    format!("(re.range {} {})", literal(first), literal(last))
}

fn union(parts: impl IntoIterator<Item = String>) -> String {
    joined("re.union", "re.none", parts)
}

pub(super) fn concat(parts: impl IntoIterator<Item = String>) -> String {
    joined("re.++", "(str.to_re \"\")", parts)
}

fn joined(operator: &str, empty: &str, parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().collect();
    match parts.as_slice() {
        [] => empty.to_owned(),
        [one] => one.clone(),
        _ => format!("({operator} {})", parts.join(" ")),
    }
}

fn star(of: &str) -> String {
    format!("(re.* {of})")
}

fn plus(of: &str) -> String {
    format!("(re.+ {of})")
}

fn optional(of: &str) -> String {
    format!("(re.opt {of})")
}

/// Bytes as a union of ranges.
fn bytes(keep: impl Fn(u8) -> bool) -> String {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for byte in (0..128u8).filter(|byte| keep(*byte)) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == byte => *last = byte,
            _ => ranges.push((byte, byte)),
        }
    }
    union(ranges.into_iter().map(|(first, last)| range(&char::from(first).to_string(), &char::from(last).to_string())))
}

/// Every character but `/`.
pub(super) fn not_slash() -> String {
    union([range("\u{0}", "."), range("0", LAST)])
}

/// The hosts of any of these patterns.
pub(super) fn hosts(patterns: &[HostPattern]) -> String {
    let host = |pattern: &HostPattern| match pattern.form() {
        HostForm::Exact(host) => word(host.as_str()),
        HostForm::AnyLabels { suffix } => concat([plus("re.allchar"), word(&format!(".{suffix}"))]),
        HostForm::OneLabel { glob, suffix } => {
            // A label has no dot.
            let any = star(&union([range("\u{0}", "-"), range("/", LAST)]));
            let pieces: Vec<String> = glob.split('*').map(word).collect();
            concat([pieces.join(&format!(" {any} ")), word(&format!(".{suffix}"))])
        }
    };
    union(patterns.iter().map(host))
}

/// The last character of SMT-LIB's strings.
const LAST: &str = "\u{2ffff}";
/// Any text at all.
const ALL: &str = "re.all";

/// Any text that a Rust string can be: the surrogates are no characters there.
pub(super) fn text() -> String {
    star(&union([range("\u{0}", "\u{d7ff}"), range("\u{e000}", LAST)]))
}

/// A query's value: no control characters.
pub(super) fn printable() -> String {
    star(&union([range(" ", "~"), range("\u{a0}", "\u{d7ff}"), range("\u{e000}", "\u{2ffff}")]))
}

/// 64 hex digits, or nothing.
pub(super) fn sha256() -> String {
    optional(&format!("((_ re.loop 64 64) {})", bytes(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))))
}

/// A method that is no action of its own may be any token; which it may not be is said apart.
pub(super) fn token() -> String {
    plus(&bytes(|b| is_token_byte(b) && !b.is_ascii_lowercase()))
}

/// Labels of letters, digits, `-` and `_` that neither begin nor end with `-`.
pub(super) fn host_name() -> String {
    let edge = bytes(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let inside = bytes(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    let label = concat([edge.clone(), optional(&concat([star(&inside), edge]))]);
    concat([label.clone(), star(&concat([word("."), label]))])
}

/// What ends in a label that some would read as a number.
pub(super) fn numeric_end() -> String {
    let digits = plus(&bytes(|b| b.is_ascii_digit()));
    let hex = concat([word("0x"), star(&bytes(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()))]);
    concat([optional(&concat([ALL.to_owned(), word(".")])), union([digits, hex])])
}

/// Dotted quads.
pub(super) fn ipv4() -> String {
    let digit = || bytes(|b| b.is_ascii_digit());
    let octet = union([
        digit(),
        concat([range("1", "9"), digit()]),
        concat([word("1"), digit(), digit()]),
        concat([word("2"), range("0", "4"), digit()]),
        concat([word("25"), range("0", "5")]),
    ]);
    let dot = || word(".");
    concat([octet.clone(), dot(), octet.clone(), dot(), octet.clone(), dot(), octet])
}

/// More than IPv6 addresses, but nothing that is a name.
pub(super) fn ipv6() -> String {
    let part = || star(&bytes(|b| b == b':' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    concat([part(), word(":"), part()])
}

/// Paths with at least `count` segments, given that they begin with a slash: as many slashes. This form, with anything
/// between, is the one that solvers are quick with.
pub(super) fn segments_at_least(count: usize) -> String {
    concat(std::iter::repeat_n([word("/"), ALL.to_owned()], count).flatten())
}

/// Names with at least `count` labels.
pub(super) fn labels_at_least(count: usize) -> String {
    let more = std::iter::repeat_n([word("."), ALL.to_owned()], count.saturating_sub(1)).flatten();
    concat([ALL.to_owned()].into_iter().chain(more))
}

/// Paths whose segment number `n`, from 0 and from either end, is in `segment`, a language without slashes.
pub(super) fn with_segment(n: usize, from_head: bool, segment: String) -> String {
    let others = std::iter::repeat_n(concat([word("/"), star(&not_slash())]), n);
    if from_head {
        let rest = optional(&concat([word("/"), ALL.to_owned()]));
        concat(others.chain([word("/"), segment, rest]))
    } else {
        concat([ALL.to_owned(), word("/"), segment].into_iter().chain(others))
    }
}

/// What every IP address is made of.
pub(super) fn letters_of_addresses() -> String {
    star(&union([range(".", ":"), range("a", "f")]))
}

/// What no canonical host is made of that is no address: digits, dots and colons alone.
pub(super) fn digits_of_addresses() -> String {
    star(&range(".", ":"))
}

/// Canonical paths, and some more: which bytes stay encoded is said, what encodings spell together is not.
pub(super) fn path() -> String {
    let encoded = union((0..16u8).filter_map(|first| {
        let seconds: Vec<String> = (0..16u8)
            .filter(|second| may_stay_encoded(first * 16 + second))
            .map(|second| word(&format!("{second:X}")))
            .collect();
        (!seconds.is_empty()).then(|| concat([word(&format!("{first:X}")), union(seconds)]))
    }));
    let literal = bytes(|b| may_stay_literal(b) || b == b'/');
    concat([word("/"), star(&union([literal, concat([word("%"), encoded])]))])
}

/// What hosts and paths that people write are made of, and some more: few ranges, for each is a case to the solver.
pub(super) fn plain() -> String {
    star(&union([range("-", "9"), range("_", "z")]))
}

/// What no canonical host looks like: an empty label, or a dot in an IPv6 address. Each by itself: solvers are slow with
/// the complement of a union.
pub(super) fn odd_hosts() -> [String; 6] {
    let all = || ALL.to_owned();
    let with = |parts: &[&str]| concat([all()].into_iter().chain(parts.iter().flat_map(|part| [word(part), all()])));
    [
        word(""),
        concat([word("."), all()]),
        concat([all(), word(".")]),
        with(&[".."]),
        with(&[":", "."]),
        with(&[".", ":"]),
    ]
}

/// What no canonical path looks like: an empty segment before the end, and `.` and `..`.
pub(super) fn odd_paths() -> [String; 5] {
    let all = || ALL.to_owned();
    let with = |part: &str| concat([all(), word(part), all()]);
    [with("//"), with("/./"), with("/../"), concat([all(), word("/.")]), concat([all(), word("/..")])]
}

/// The paths that a pattern matches.
pub(super) fn pattern(pattern: &PathPattern) -> String {
    let any_segments = || star(&concat([word("/"), star(&not_slash())]));
    concat(pattern.segments().iter().map(|segment| match segment {
        Segment::Any => any_segments(),
        Segment::Literal(text) => word(&format!("/{text}")),
        Segment::Glob(glob) => concat([word("/")].into_iter().chain(glob.chars().map(|c| match c {
            '*' => star(&not_slash()),
            '?' => not_slash(),
            c => word(c.encode_utf8(&mut [0; 4])),
        }))),
    }))
}
