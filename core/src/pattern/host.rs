//! Host patterns.

use super::PatternError;
use super::glob::{self, Piece};
use crate::request::Host;

/// A pattern over host names: a name or IP literal, or a wildcard in the first label only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    text: String,
    form: HostForm,
}

/// The forms a host pattern can have. Suffixes have at least two labels and no leading dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostForm {
    /// Exactly this host.
    Exact(Host),
    /// `a*b.suffix`, or `*.suffix` where the glob is `*`: one label that matches, then the suffix.
    OneLabel {
        /// The first label, with `*`.
        glob: String,
        /// What follows its dot.
        suffix: String,
    },
    /// `**.suffix`: one or more labels, then the suffix.
    AnyLabels {
        /// What follows the dot.
        suffix: String,
    },
}

impl HostPattern {
    /// Reads a host, `*.x`, `**.x` or `a*b.x`, where `x` has at least two labels. Case and a trailing dot are folded.
    ///
    /// # Errors
    /// A wildcard anywhere but in the first label, `*` and `**` alone, `*.tld`, `?`, or a name that [`Host::parse`]
    /// refuses.
    pub fn parse(text: &str) -> Result<HostPattern, PatternError> {
        let refuse = |at, problem: &str| PatternError::new(text, at, problem);
        let Some(star) = text.find('*') else {
            let host = Host::parse(text).map_err(|e| refuse(0, &format!("not a host: {e}")))?;
            return Ok(HostPattern { text: host.as_str().to_owned(), form: HostForm::Exact(host) });
        };
        let folded = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let Some((first, suffix)) = folded.split_once('.') else {
            return Err(refuse(star, "a wildcard needs a domain after it, such as *.example.com"));
        };
        if let Some(at) = suffix.find(['*', '?']) {
            return Err(refuse(first.len() + 1 + at, "a wildcard may stand in the first label only"));
        }
        let suffix_host = Host::parse(suffix).map_err(|e| refuse(first.len() + 1, &format!("not a host: {e}")))?;
        if suffix_host.labels() < 2 {
            return Err(refuse(star, "this would match a whole top-level domain; name at least two labels after it"));
        }
        let suffix = suffix_host.as_str().to_owned();
        let form = if first == "**" {
            HostForm::AnyLabels { suffix }
        } else if first.contains("**") {
            return Err(refuse(star, "** stands alone in the first label"));
        } else {
            let literal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_*".contains(&b);
            if let Some(at) = first.bytes().position(|b| !literal(b)) {
                return Err(refuse(at, "a label has letters, digits, '-', '_' and here '*'"));
            }
            if first.len() > 63 {
                return Err(refuse(0, "a label has at most 63 characters"));
            }
            HostForm::OneLabel { glob: first.to_owned(), suffix }
        };
        let text = match &form {
            HostForm::OneLabel { glob, suffix } => format!("{glob}.{suffix}"),
            HostForm::AnyLabels { suffix } => format!("**.{suffix}"),
            HostForm::Exact(host) => host.as_str().to_owned(),
        };
        Ok(HostPattern { text, form })
    }

    /// The pattern in canonical form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its structure.
    pub fn form(&self) -> &HostForm {
        &self.form
    }

    /// Whether `host` is meant. No wildcard matches an IP literal.
    pub fn matches(&self, host: &Host) -> bool {
        match &self.form {
            HostForm::Exact(exact) => exact == host,
            HostForm::OneLabel { glob, suffix } => match host.as_str().split_once('.') {
                Some((first, rest)) if host.ip().is_none() => {
                    rest == suffix && glob::matches(&glob::pieces(glob, false), first)
                }
                _ => false,
            },
            HostForm::AnyLabels { suffix } => {
                host.ip().is_none() && host.as_str().strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    }

    /// Whether some host is matched by both.
    pub fn overlaps(&self, other: &HostPattern) -> bool {
        match (&self.form, &other.form) {
            (HostForm::Exact(host), _) => other.matches(host),
            (_, HostForm::Exact(host)) => self.matches(host),
            (HostForm::OneLabel { glob: a, suffix: x }, HostForm::OneLabel { glob: b, suffix: y }) => {
                x == y && globs_overlap(&glob::pieces(a, false), &glob::pieces(b, false))
            }
            (HostForm::AnyLabels { suffix: x }, HostForm::AnyLabels { suffix: y }) => within(x, y) || within(y, x),
            (HostForm::AnyLabels { suffix: any }, HostForm::OneLabel { suffix: one, .. })
            | (HostForm::OneLabel { suffix: one, .. }, HostForm::AnyLabels { suffix: any }) => {
                // Where `any` is the longer suffix, `**.any` has at least two labels more than `one`.
                within(one, any)
            }
        }
    }
}

/// Whether the name `inner` is `outer` or below it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_suffix(outer).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether some string matches both globs (`*` and characters only).
fn globs_overlap(a: &[Piece], b: &[Piece]) -> bool {
    // Reachability over pairs of positions; labels are at most 63 characters.
    let mut seen = vec![false; (a.len() + 1) * (b.len() + 1)];
    let mut stack = vec![(0, 0)];
    while let Some((i, j)) = stack.pop() {
        match seen.get_mut(i * (b.len() + 1) + j) {
            Some(slot) if !*slot => *slot = true,
            _ => continue,
        }
        match (a.get(i), b.get(j)) {
            (None, None) => return true,
            (Some(Piece::Many), Some(_)) | (Some(_), Some(Piece::Many)) => {
                let (many_a, many_b) = (a.get(i) == Some(&Piece::Many), b.get(j) == Some(&Piece::Many));
                if many_a {
                    stack.push((i + 1, j));
                    stack.push((i, j + 1));
                }
                if many_b {
                    stack.push((i, j + 1));
                    stack.push((i + 1, j));
                }
            }
            (Some(Piece::Many), None) => stack.push((i + 1, j)),
            (None, Some(Piece::Many)) => stack.push((i, j + 1)),
            (Some(x), Some(y)) if x == y => stack.push((i + 1, j + 1)),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn forms_and_refusals() {
        let ok = ["api.github.com", "*.github.com", "**.github.com", "a*b.github.com", "10.0.0.1", "2001:db8::1"];
        for text in ok {
            assert_eq!(HostPattern::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(HostPattern::parse("*.GitHub.com.").unwrap().as_str(), "*.github.com");
        for text in
            ["*", "**", "*.com", "**.com", "a.*.com", "x.**.y.com", "a**b.x.com", "?.x.com", "*.0.0.1", "*.", ""]
        {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
        let error = HostPattern::parse("a.*.com").unwrap_err().to_string();
        assert_eq!(error, "pattern \"a.*.com\", character 3: a wildcard may stand in the first label only");
    }

    #[test]
    fn matching() {
        let cases = [
            ("*.x.com", "a.x.com", true),
            ("*.x.com", "x.com", false),
            ("*.x.com", "a.b.x.com", false),
            ("**.x.com", "a.x.com", true),
            ("**.x.com", "a.b.x.com", true),
            ("**.x.com", "x.com", false),
            ("**.x.com", "ax.com", false),
            ("a*b.x.com", "ab.x.com", true),
            ("a*b.x.com", "a-1-b.x.com", true),
            ("a*b.x.com", "a.b.x.com", false),
            ("a.x.com", "a.x.com", true),
        ];
        for (pattern, host, expect) in cases {
            let (pattern, host) = (HostPattern::parse(pattern).unwrap(), Host::parse(host).unwrap());
            assert_eq!(pattern.matches(&host), expect, "{} ~ {host}", pattern.as_str());
        }
    }

    #[test]
    fn overlap() {
        let cases = [
            ("*.x.com", "a.x.com", true),
            ("*.x.com", "**.x.com", true),
            ("*.x.com", "**.a.x.com", false),
            ("*.a.x.com", "**.x.com", true),
            ("**.a.x.com", "**.x.com", true),
            ("**.a.com", "**.b.com", false),
            ("a*.x.com", "*b.x.com", true),
            ("a*.x.com", "b*.x.com", false),
            ("*ab*.x.com", "*ba*.x.com", true),
        ];
        for (a, b, expect) in cases {
            let (a, b) = (HostPattern::parse(a).unwrap(), HostPattern::parse(b).unwrap());
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (expect, expect), "{} {}", a.as_str(), b.as_str());
        }
    }
}
