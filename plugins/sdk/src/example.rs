//! Help with [`Plugin::example`].

use crate::{Operation, Plugin, Request, Value};

/// A text that a glob matches: `docs/**` gives `docs/example`, `v1.*` gives `v1.example`.
#[must_use]
pub fn sample(glob: &str) -> String {
    let mut text = String::with_capacity(glob.len() + 8);
    let mut rest = glob;
    while let Some(star) = rest.find('*') {
        let (before, after) = rest.split_at(star);
        text.push_str(before);
        text.push_str("example");
        rest = after.trim_start_matches('*');
    }
    text.push_str(rest);
    text.replace('?', "x")
}

/// Whether a plugin reads a request as one operation with this action and these attributes. A text that is a glob stands
/// for any text. What an example should be held against before it is handed out.
#[must_use]
pub fn is_read_as<P: Plugin>(request: &Request, asked: &Operation) -> bool {
    let answer = P::classify(request);
    let Ok([read]) = answer.as_deref() else { return false };
    let same = |name: &str, value: &Value| match value {
        Value::Text(glob) if glob.contains(['*', '?']) => read.value(name).is_some(),
        exact => read.value(name) == Some(exact),
    };
    read.action == asked.action && asked.attributes.iter().all(|(name, value)| same(name, value))
}

/// A text as a JSON string, quotes included.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for next in text.chars() {
        match next {
            '"' | '\\' => quoted.extend(['\\', next]),
            next if next.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(next))),
            next => quoted.push(next),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use crate::Json;

    #[test]
    fn what_is_quoted_reads_back() {
        for text in ["", "a\"b\\c", "two\nlines\u{7f}\u{85}", "\u{e9}\u{1f600}"] {
            assert_eq!(Json::parse(super::quoted(text).as_bytes()), Ok(Json::Text(text.to_owned())));
        }
    }

    #[test]
    fn samples() {
        for (glob, expect) in
            [("docs/**", "docs/example"), ("a.md", "a.md"), ("*", "example"), ("v?-*.x", "vx-example.x"), ("", "")]
        {
            assert_eq!(super::sample(glob), expect, "{glob}");
        }
    }
}
