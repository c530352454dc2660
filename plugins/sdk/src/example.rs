//! Help with [`crate::Plugin::example`].

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

#[cfg(test)]
mod tests {
    #[test]
    fn samples() {
        for (glob, expect) in
            [("docs/**", "docs/example"), ("a.md", "a.md"), ("*", "example"), ("v?-*.x", "vx-example.x"), ("", "")]
        {
            assert_eq!(super::sample(glob), expect, "{glob}");
        }
    }
}
