//! Path patterns, over canonical request paths and over the paths of executables.

use super::PatternError;
use super::glob::{self, Piece};
use crate::request::{CanonicalPath, PathOptions, Process};

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Exactly this text, which may be empty (after a trailing slash).
    Literal(String),
    /// Text with `*` (any number of characters) or `?` (exactly one), never a `/`.
    Glob(String),
    /// `**`: zero or more whole segments; at most once in a pattern.
    Any,
}

impl Segment {
    /// Whether this segment, which must not be `**`, matches one segment of a path.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Segment::Literal(literal) => literal == text,
            Segment::Glob(glob) => glob::matches(&glob::pieces(glob, true), text),
            Segment::Any => false,
        }
    }

    /// Whether it contains `?`, which Cedar's `like` cannot say.
    pub fn has_question(&self) -> bool {
        matches!(self, Segment::Glob(glob) if glob::pieces(glob, true).contains(&Piece::One))
    }
}

/// A pattern over paths: `/`-separated segments of which one may be `**`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

/// How many segments may stand on either side of a `**` in a pattern that also has a wildcard segment: the schema
/// names that many.
pub const SEGMENTS_FROM_EITHER_END: usize = 16;

impl PathPattern {
    /// Reads a pattern over canonical request paths.
    ///
    /// # Errors
    /// A pattern that does not start with `/`, whose literal text is not canonical, or which has `***`, `a**`, a
    /// second `**`, brackets, braces, an empty middle segment, or `.` and `..`.
    pub fn parse(text: &str) -> Result<PathPattern, PatternError> {
        let pattern = PathPattern::split(text)?;
        let mut at = 1;
        for piece in text.get(1..).unwrap_or_default().split('/') {
            check_canonical(text, at, piece)?;
            at += piece.len() + 1;
        }
        Ok(pattern)
    }

    /// The structure shared with binaries: no look at which characters a URL may contain.
    fn split(text: &str) -> Result<PathPattern, PatternError> {
        let refuse = |at, problem: &str| Err(PatternError::new(text, at, problem));
        let Some(rest) = text.strip_prefix('/') else {
            return refuse(0, "a path pattern starts with '/'");
        };
        if text.len() > 4096 {
            return refuse(4096, "longer than 4,096 characters");
        }
        let mut segments = Vec::new();
        let mut at = 1;
        let mut pieces = rest.split('/').peekable();
        while let Some(piece) = pieces.next() {
            if piece == "**" {
                if segments.contains(&Segment::Any) {
                    return refuse(at, "** may stand once in a pattern");
                }
                segments.push(Segment::Any);
            } else if let Some(found) = piece.find("**") {
                return refuse(at + found, "** is a whole segment: write /**/ or use a single *");
            } else if let Some(found) = piece.find(['[', ']', '{', '}']) {
                return refuse(at + found, "brackets and braces are not patterns here; write one rule for each case");
            } else if let Some(found) = piece.find(|c: char| c.is_control() || c == '\\') {
                return refuse(at + found, "no control characters or backslashes");
            } else if piece.is_empty() && pieces.peek().is_some() {
                return refuse(at, "an empty segment never occurs in a canonical path");
            } else if piece == "." || piece == ".." {
                return refuse(at, "'.' and '..' never occur in a canonical path");
            } else if piece.contains(['*', '?']) {
                segments.push(Segment::Glob(piece.to_owned()));
            } else {
                segments.push(Segment::Literal(piece.to_owned()));
            }
            at += piece.len() + 1;
        }
        let pattern = PathPattern { text: text.to_owned(), segments };
        let (head, tail) = pattern.sides();
        let addressed = tail.is_some() && pattern.segments.iter().any(|s| matches!(s, Segment::Glob(_)));
        if addressed && head.len().max(tail.unwrap_or_default().len()) > SEGMENTS_FROM_EITHER_END {
            return refuse(0, "at most 16 segments may stand on either side of ** beside a wildcard");
        }
        Ok(pattern)
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments; between them and before the first stands a `/`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What stands before `**`, and after it where there is one.
    pub fn sides(&self) -> (&[Segment], Option<&[Segment]>) {
        let mut sides = self.segments.splitn(2, |segment| *segment == Segment::Any);
        (sides.next().unwrap_or_default(), sides.next())
    }

    /// Whether it contains `?`.
    pub fn has_question(&self) -> bool {
        self.segments.iter().any(Segment::has_question)
    }

    /// Whether `path`, which starts with `/`, is meant.
    pub fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else { return false };
        let have: Vec<&str> = rest.split('/').collect();
        let all = |want: &[Segment], have: &[&str]| want.iter().zip(have).all(|(want, have)| want.matches(have));
        match self.sides() {
            (head, None) => head.len() == have.len() && all(head, &have),
            (head, Some(tail)) => {
                head.len() + tail.len() <= have.len()
                    && all(head, &have)
                    && all(tail, have.get(have.len() - tail.len()..).unwrap_or_default())
            }
        }
    }
}

/// Literal text must be what canonicalisation leaves, or the pattern could never match.
fn check_canonical(text: &str, at: usize, piece: &str) -> Result<(), PatternError> {
    if piece == "**" || piece.is_empty() {
        return Ok(());
    }
    // A wildcard stands for any character, so a plain one in its place keeps the rest as it is.
    let plain = piece.replace(['*', '?'], "x");
    let keep_slash = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    match CanonicalPath::parse(&format!("/{plain}"), &keep_slash) {
        Ok(path) if path.as_str().get(1..) == Some(&plain) => Ok(()),
        Ok(path) => Err(PatternError::new(text, at, format!("write the canonical form {:?}", path.as_str()))),
        Err(error) => Err(PatternError::new(text, at, format!("never matches a canonical path: {error}"))),
    }
}

/// Which executables a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BinaryPattern(PathPattern);

impl BinaryPattern {
    /// Reads an absolute path or a glob over absolute paths.
    ///
    /// # Errors
    /// As for path patterns, but any character that is not a control character may stand literally; a pattern that
    /// ends in `/` names no executable.
    pub fn parse(text: &str) -> Result<BinaryPattern, PatternError> {
        let pattern = PathPattern::split(text)?;
        if text.ends_with('/') {
            return Err(PatternError::new(text, text.len() - 1, "an executable's path does not end in '/'"));
        }
        Ok(BinaryPattern(pattern))
    }

    /// The pattern over the executable's path.
    pub fn path(&self) -> &PathPattern {
        &self.0
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The path, where the pattern has no wildcard.
    pub fn literal(&self) -> Option<&str> {
        self.0.segments().iter().all(|s| matches!(s, Segment::Literal(_))).then(|| self.0.as_str())
    }

    /// Whether `process` is meant: by its own path, or, for an exact path, by an ancestor's.
    pub fn matches(&self, process: &Process) -> bool {
        self.0.matches(&process.path)
            || self.literal().is_some_and(|literal| process.ancestors.iter().any(|ancestor| ancestor == literal))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn matching() {
        let cases = [
            ("/a/**", &["/a", "/a/", "/a/b", "/a/b/c"][..], &["/", "/ab", "/b/a"][..]),
            ("/a/*", &["/a/", "/a/b"], &["/a", "/a/b/c"]),
            ("/**", &["/", "/a", "/a/b/"], &[]),
            ("/**/x", &["/x", "/a/x", "/a/b/x"], &["/x/", "/ax"]),
            ("/a/**/z", &["/a/z", "/a/b/z"], &["/a", "/az", "/a/z/"]),
            ("/r/*/c/*.md", &["/r/a/c/x.md", "/r/a/c/.md"], &["/r/a/b/c/x.md", "/r/a/c/d/x.md", "/r/a/c/x"]),
            ("/r/*/c/**", &["/r/a/c", "/r/a/c/d/e"], &["/r/c", "/r/a/b/c"]),
            ("/a?c", &["/abc"], &["/ac", "/a/c", "/abbc"]),
            ("/", &["/"], &["/a"]),
            ("/a/", &["/a/"], &["/a"]),
        ];
        for (pattern, yes, no) in cases {
            let pattern = PathPattern::parse(pattern).unwrap();
            for path in yes {
                assert!(pattern.matches(path), "{} ~ {path}", pattern.as_str());
            }
            for path in no {
                assert!(!pattern.matches(path), "{} !~ {path}", pattern.as_str());
            }
        }
    }

    #[test]
    fn refusals_name_pattern_and_position() {
        let cases = [
            ("a", 1),
            ("/a/***", 4),
            ("/a**", 3),
            ("/**/a/**", 7),
            ("/a[b]", 3),
            ("/{a,b}", 2),
            ("/a//b", 4),
            ("/a/../b", 4),
            ("/a%2e", 2),
            ("/é", 2),
            ("/a;b", 2),
            ("/%41", 2),
            ("/a b", 2),
        ];
        for (pattern, position) in cases {
            let error = PathPattern::parse(pattern).unwrap_err();
            assert_eq!(error.position, position, "{error}");
        }
    }

    #[test]
    fn binaries() {
        let process = Process {
            path: "/usr/bin/curl".into(),
            ancestors: vec!["/usr/bin/bash".into(), "/opt/agent".into()],
            ..Process::default()
        };
        for (pattern, expect) in [
            ("/usr/bin/curl", true),
            ("/usr/bin/*", true),
            ("/opt/agent", true),
            ("/opt/*", false),
            ("/usr/**", true),
            ("/usr/bin/cur?", true),
            ("/**", true),
        ] {
            assert_eq!(BinaryPattern::parse(pattern).unwrap().matches(&process), expect, "{pattern}");
        }
        assert!(!BinaryPattern::parse("/**").unwrap().matches(&Process::default()));
        assert!(BinaryPattern::parse("/usr/bin/").is_err());
    }
}
