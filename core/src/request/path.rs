//! Canonical paths.

use smol_str::SmolStr;

use super::Ambiguity;

/// What an endpoint's author allows beyond the strict reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathOptions {
    /// Keep `%2F` inside a segment instead of refusing it.
    pub allow_encoded_slash: bool,
    /// Cut `;…` from each segment instead of refusing it.
    pub strip_params: bool,
}

impl PathOptions {
    /// What both sides allow.
    pub fn strictest(self, other: PathOptions) -> PathOptions {
        PathOptions {
            allow_encoded_slash: self.allow_encoded_slash && other.allow_encoded_slash,
            strip_params: self.strip_params && other.strip_params,
        }
    }
}

/// A path in canonical form: it starts with `/`, has no empty segment but a trailing one, no `.` or `..` segment, and
/// percent-encodes exactly the bytes that must be, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalPath(SmolStr);

/// The longest canonical path.
const MAX_BYTES: usize = 16 * 1024;

impl CanonicalPath {
    /// Normalises percent-encoding, resolves dot segments, and refuses what servers read differently.
    ///
    /// # Errors
    /// A path that does not start with `/`, escapes the root, has an empty segment before its end, contains a raw
    /// byte outside RFC 3986's `pchar`, a broken, double or control-byte percent-encoding, an encoded `/` or `\`, or
    /// `;` parameters, the last three unless `options` say otherwise.
    pub fn parse(raw: &str, options: &PathOptions) -> Result<CanonicalPath, Ambiguity> {
        let refuse = |problem| Ambiguity::new("path", raw, problem);
        let Some(rest) = raw.strip_prefix('/') else {
            return Err(refuse("a path starts with '/'"));
        };
        if raw.len() > 4 * MAX_BYTES {
            return Err(refuse("longer than 64 KiB"));
        }
        let mut segments: Vec<String> = Vec::new();
        let mut pieces = rest.split('/').peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            let segment = segment(piece, options).map_err(refuse)?;
            match segment.as_str() {
                "" if !last => return Err(refuse("an empty segment is dropped by some servers and kept by others")),
                "." | ".." => {
                    if segment == ".." && segments.pop().is_none() {
                        return Err(refuse("'..' escapes the root"));
                    }
                    if last {
                        segments.push(String::new());
                    }
                }
                _ => segments.push(segment),
            }
        }
        let path = format!("/{}", segments.join("/"));
        // On what is forwarded: a limit on the raw form would make some canonical paths canonical only in one spelling.
        if path.len() > MAX_BYTES {
            return Err(refuse("longer than 16 KiB in canonical form"));
        }
        Ok(CanonicalPath(SmolStr::new(path)))
    }

    /// The text, which is what is forwarded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pieces between slashes, after the leading one: `/a/` has two, `a` and the empty one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.get(1..).unwrap_or_default().split('/')
    }

    /// The segments, percent-decoded; `None` where one of them is no UTF-8.
    pub fn decoded_segments(&self) -> Option<Vec<String>> {
        self.segments().map(decoded).collect()
    }
}

impl std::fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a canonical path may contain `byte` as itself (`/`, which separates segments, aside): `pchar` without `;`,
/// and without `*`, which is forwarded as `%2A` so that a rule can name it apart from its wildcard.
pub fn may_stay_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&byte)
}

/// Whether a canonical path may contain `byte` percent-encoded. `%2F` is among them: an endpoint may allow it. Bytes
/// that occur in no UTF-8 are not: a server that decodes `%C0%AE` leniently reads a dot.
pub fn may_stay_encoded(byte: u8) -> bool {
    !is_unreserved(byte) && !byte.is_ascii_control() && byte != b'\\' && !matches!(byte, 0xC0 | 0xC1 | 0xF5..)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn segment(piece: &str, options: &PathOptions) -> Result<String, &'static str> {
    let mut out = String::with_capacity(piece.len());
    let mut bytes = piece.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let decoded = hex_pair(&mut bytes).ok_or("'%' is followed by two hex digits")?;
                if is_unreserved(decoded) {
                    out.push(char::from(decoded));
                } else if decoded == b'/' && !options.allow_encoded_slash {
                    return Err("an encoded '/' is a separator to some servers");
                } else if !may_stay_encoded(decoded) {
                    return Err("an encoded control byte, '\\' or byte that is in no UTF-8 has no single reading");
                } else {
                    out.push_str(&format!("%{decoded:02X}"));
                }
            }
            b';' if options.strip_params => break,
            b';' => return Err("';' parameters are cut by some servers and kept by others"),
            b'*' => out.push_str("%2A"),
            _ if may_stay_literal(byte) => out.push(char::from(byte)),
            _ => return Err("a raw byte that a path must percent-encode"),
        }
    }
    if OVERLONG.iter().any(|start| out.contains(start)) {
        return Err("an overlong UTF-8 encoding is a shorter character to some servers");
    }
    if out.contains("%2F") && out.split("%2F").any(|piece| matches!(piece, "." | "..")) {
        return Err("an encoded '/' beside '.' or '..' is a traversal to some servers");
    }
    // On the output: the digits after a `%25` may themselves have been encoded.
    if out.split("%25").skip(1).any(spells_a_special_byte) {
        return Err("a doubly encoded '.', '/', '\\', ';' or '%' is decoded twice by some servers");
    }
    Ok(out)
}

/// What a canonical segment stands for; `None` where that is no UTF-8.
fn decoded(segment: &str) -> Option<String> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex_pair(&mut bytes)?,
            _ => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// How the overlong encodings in three and four bytes begin.
const OVERLONG: [&str; 3] = ["%E0%8", "%E0%9", "%F0%8"];

fn hex_pair(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
    u8::try_from(value).ok()
}

/// Whether what follows a `%25` is two hex digits of a byte with a meaning of its own in a path.
fn spells_a_special_byte(after: &str) -> bool {
    hex_pair(&mut after.bytes()).is_some_and(|byte| b"./\\;%".contains(&byte) || byte.is_ascii_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_or_none() {
        let strict = PathOptions::default();
        let cases = [
            ("/", Some("/")),
            ("/a/", Some("/a/")),
            ("/%61/%7e", Some("/a/~")),
            ("/a%c3%a9", Some("/a%C3%A9")),
            ("/a/../b", Some("/b")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/a/.", Some("/a/")),
            ("/a/b/..", Some("/a/")),
            ("/a+b", Some("/a+b")),
            ("/100%25", Some("/100%25")),
            ("/%2541", Some("/%2541")),
            ("/a%3Bb", Some("/a%3Bb")),
            ("/%20", Some("/%20")),
            ("/..", None),
            ("/a/../../b", None),
            ("//a", None),
            ("/a//b", None),
            ("/a//", None),
            ("/a;x=1", None),
            ("/a%2fb", None),
            ("/a%5cb", None),
            ("/a\\b", None),
            ("/a%00", None),
            ("/a%0d%0a", None),
            ("/%252e%252e/", None),
            ("/%252F", None),
            ("/%2525", None),
            ("/%25%32%65%25%32e", None),
            ("/%25%35c", None),
            ("/%25+1", Some("/%25+1")),
            ("/%c0%ae%c0%ae/admin", None),
            ("/%e0%80%ae", None),
            ("/%f0%80%80%ae", None),
            ("/%e2%82%ac", Some("/%E2%82%AC")),
            ("/a%", None),
            ("/a%2", None),
            ("/a%+1", None),
            ("/é", None),
            ("/a b", None),
            ("/a#b", None),
            ("a", None),
            ("", None),
            ("*", None),
            ("/a*", Some("/a%2A")),
        ];
        for (input, expect) in cases {
            let path = CanonicalPath::parse(input, &strict);
            assert_eq!(path.as_ref().ok().map(CanonicalPath::as_str), expect, "{input:?}");
            if let Ok(path) = path {
                assert_eq!(CanonicalPath::parse(path.as_str(), &strict).as_ref(), Ok(&path), "idempotent: {input:?}");
            }
        }
    }

    #[test]
    fn segments_decode_once() {
        let strict = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
        let cases = [
            ("/", Some(vec![""])),
            ("/a/", Some(vec!["a", ""])),
            ("/a%20b/%E2%82%AC", Some(vec!["a b", "€"])),
            ("/a%2fb/*", Some(vec!["a/b", "*"])),
            ("/%25+1", Some(vec!["%+1"])),
            ("/ok/%80", None),
        ];
        for (input, expect) in cases {
            let decoded = CanonicalPath::parse(input, &strict).unwrap().decoded_segments();
            assert_eq!(decoded, expect.map(|expect| expect.into_iter().map(str::to_owned).collect()), "{input:?}");
        }
    }

    #[test]
    fn the_limit_is_on_what_is_forwarded() {
        let of = |raw: String| CanonicalPath::parse(&raw, &PathOptions::default()).is_ok();
        assert!(of(format!("/{}", "*".repeat(5000))));
        assert!(!of(format!("/{}", "*".repeat(6000))), "18,001 bytes once it is canonical");
        assert!(of(format!("/{}", "%61".repeat(6000))), "6,001 bytes once it is canonical");
    }

    #[test]
    fn options_relax_only_what_they_name() {
        let slash = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
        let params = PathOptions { strip_params: true, ..PathOptions::default() };
        let parse = |raw, options| CanonicalPath::parse(raw, options).ok().map(|p| p.as_str().to_owned());
        assert_eq!(parse("/a%2fb", &slash).as_deref(), Some("/a%2Fb"));
        assert_eq!(parse("/a;x", &slash), None);
        assert_eq!(parse("/ok/..%2f..%2fadmin", &slash), None);
        assert_eq!(parse("/ok/a%2f..", &slash), None);
        assert_eq!(parse("/a;x/b;y", &params).as_deref(), Some("/a/b"));
        // `..;` is a traversal to servers that strip parameters, so it is one here.
        assert_eq!(parse("/a/..;x/b", &params).as_deref(), Some("/b"));
        assert_eq!(parse("/;x/b", &params), None);
    }
}
