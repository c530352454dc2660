//! What two patterns of attributes' values have in common, and whether one visibly has all of the other. As with paths,
//! nothing relies on these being all: what comes of them is proven.

use narrowgate_core::pattern::{ValueForm, ValuePattern};

use super::meet::{path_covers, paths, widest};

/// Whether `wide` has every value of `narrow`; `false` may mean that it cannot be seen.
pub(super) fn value_covers(wide: &ValuePattern, narrow: &ValuePattern) -> bool {
    match (wide.form(), narrow.form()) {
        (ValueForm::Any, _) => true,
        (_, ValueForm::Exact) => wide.matches(narrow.as_str()),
        (ValueForm::Exact, _) | (_, ValueForm::Any) => false,
        // Globs of values are read as those of paths are.
        _ => path_covers(&as_path(wide), &as_path(narrow)),
    }
}

/// Whether each value of `narrow` is one of `wide`.
pub(super) fn all_covered(wide: &[ValuePattern], narrow: &[ValuePattern]) -> bool {
    narrow.iter().all(|narrow| wide.iter().any(|wide| value_covers(wide, narrow)))
}

/// The values of both lists, as few patterns as visibly do.
pub(super) fn in_common(mine: &[ValuePattern], theirs: &[ValuePattern]) -> Vec<ValuePattern> {
    let met = mine.iter().flat_map(|a| theirs.iter().flat_map(move |b| both(a, b)));
    widest(met.collect(), value_covers)
}

fn both(a: &ValuePattern, b: &ValuePattern) -> Vec<ValuePattern> {
    if value_covers(a, b) {
        return vec![b.clone()];
    }
    if value_covers(b, a) {
        return vec![a.clone()];
    }
    if [a, b].into_iter().any(|pattern| *pattern.form() == ValueForm::Exact) {
        return Vec::new();
    }
    let shared = paths(&as_path(a), &as_path(b)).into_iter();
    shared.filter_map(|path| ValuePattern::parse(path.strip_prefix('/')?).ok()).collect()
}

fn as_path(pattern: &ValuePattern) -> String {
    format!("/{}", pattern.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn pattern() -> impl Strategy<Value = ValuePattern> {
        let text = select(vec![
            "**", "a", "a*", "*b", "*", "a/**", "a/b", "a/*", "*/b", "**/b", "a/**/b", "a*/b", "a/b/**", "", "a/",
            "*a*",
        ]);
        text.prop_map(|text| ValuePattern::parse(text).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]
        #[test]
        fn what_is_in_common_both_match(a in pattern(), b in pattern(), value in "[ab]{0,2}(/[ab]{0,2}){0,3}") {
            let met = in_common(std::slice::from_ref(&a), std::slice::from_ref(&b));
            let expect = a.matches(&value) && b.matches(&value);
            prop_assert!(expect || !met.iter().any(|one| one.matches(&value)), "{a:?} {b:?} {met:?}");
            prop_assert!(!value_covers(&a, &b) || !b.matches(&value) || a.matches(&value), "{a:?} {b:?}");
        }
    }

    #[test]
    fn in_common_by_example() {
        for (a, b, expect) in [
            ("docs/**", "docs/*", "docs/*"),
            ("**", "acme", "acme"),
            ("a*", "*b", "a*b"),
            ("refs/heads/*", "refs/heads/bot", "refs/heads/bot"),
            ("docs/**", "src/**", ""),
            ("acme", "other", ""),
            ("a/**", "a/b/**", "a/b/**"),
        ] {
            let read = |text: &str| [ValuePattern::parse(text).unwrap()];
            for found in [in_common(&read(a), &read(b)), in_common(&read(b), &read(a))] {
                let texts: Vec<&str> = found.iter().map(ValuePattern::as_str).collect();
                assert_eq!(texts.join(" "), expect, "{a} {b}");
            }
        }
    }
}
