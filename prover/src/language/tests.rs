//! What mutation testing found untested: partitions of the alphabet, readable choices, and the shortcuts that keep
//! automata from being built.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::nfa::Builder;
use super::*;

/// ASCII and a few beyond: two that patterns name, a control character, one that nobody names.
fn alphabet() -> impl Iterator<Item = char> {
    (0..128u8).map(char::from).chain(['é', 'ü', '\u{85}', '\u{4e00}'])
}

fn set() -> impl Strategy<Value = Set> {
    let one = prop_oneof![(0..128u8).prop_map(char::from), Just('é'), Just('ü')];
    prop_oneof![
        one.prop_map(Set::One),
        any::<u128>().prop_map(Set::In),
        any::<u128>().prop_map(Set::NotIn),
        (0..128u32).prop_map(|bit| Set::In(1 << bit)),
        Just(Set::In(0)),
        Just(Set::ANY),
        Just(Set::NOT_SLASH),
        Just(Set::Printable),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// One representative of each block: none is forgotten, none occurs twice.
    #[test]
    fn representatives_stand_for_every_character(
        allowed in proptest::collection::vec(set(), 0..4), split in proptest::collection::vec(set(), 0..5),
    ) {
        // No universe names a character beyond ASCII: it has all of them or none.
        let allowed: Vec<Set> = allowed.into_iter().filter(|set| !matches!(set, Set::One('é' | 'ü'))).collect();
        let mut blocks = Blocks::new();
        allowed.iter().for_each(|set| blocks.allow(*set));
        split.iter().for_each(|set| blocks.split(*set));
        let found = blocks.representatives();
        let is_allowed = |c: char| allowed.iter().any(|set| set.contains(c));
        let alike = |a: char, b: char| allowed.iter().chain(&split).all(|set| set.contains(a) == set.contains(b));
        for c in alphabet().filter(|c| is_allowed(*c)) {
            // Control characters beyond ASCII are no request's: one stands for them where all of Unicode is named.
            if c != '\u{85}' {
                prop_assert!(found.iter().any(|r| alike(c, *r)), "{c:?} by none of {found:?}");
            }
        }
        for (n, r) in found.iter().enumerate().filter(|(_, r)| r.is_ascii()) {
            prop_assert!(is_allowed(*r), "{r:?}");
            prop_assert!(found[..n].iter().all(|other| !alike(*r, *other)), "{r:?} twice in {found:?}");
        }
    }

    /// Where one of several sets must be gone through, a character in none of them is not tried.
    #[test]
    fn what_is_required_is_kept(required in proptest::collection::vec(set(), 0..4)) {
        let mut blocks = Blocks::new();
        blocks.allow(Set::ANY);
        let mut all = Required::default();
        for set in &required {
            blocks.split(*set);
            all.add(*set);
        }
        blocks.require(&all);
        let found = blocks.representatives();
        let is_wanted = |c: char| required.iter().any(|set| set.contains(c));
        prop_assert!(found.iter().filter(|c| c.is_ascii()).all(|c| is_wanted(*c)), "{found:?}");
        for c in alphabet().filter(|c| is_wanted(*c) && *c != '\u{85}') {
            prop_assert!(found.iter().any(|r| required.iter().all(|set| set.contains(c) == set.contains(*r))), "{c:?}");
        }
        let beyond = required.iter().any(|set| ['é', 'ü', '\u{4e00}'].iter().any(|c| set.contains(*c)));
        prop_assert_eq!(found.iter().any(|c| !c.is_ascii()), beyond, "{:?}", found);
    }

    /// The choice among alike characters is the one that a person reads best, whatever the block.
    #[test]
    fn the_most_readable_comes_first(mask in any::<u128>(), few in any::<u128>(), fewer in any::<u128>()) {
        for mask in [mask, mask & few, mask & few & fewer, 1 << (mask % 128), few & !(u128::MAX >> 6 << 3)] {
            let mut blocks = Blocks::new();
            blocks.allow(Set::In(mask));
            let best = READABLE.chars().find(|c| Set::In(mask).contains(*c));
            if let Some(best) = best {
                prop_assert_eq!(blocks.representatives(), [best]);
            }
        }
    }
}

/// Every printable character of ASCII, as a person would rather see it in a path.
const READABLE: &str =
    "xabcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/!\"#$%&'()*+,:;<=>?@[\\]^`{|}~";

#[test]
fn representatives_are_in_order_of_readability() {
    let mut blocks = Blocks::new();
    blocks.allow(Set::ascii(|b| b >= b' '));
    READABLE.chars().for_each(|c| blocks.split(Set::One(c)));
    blocks.split(Set::One(' '));
    let found: String = blocks.representatives().into_iter().collect();
    assert_eq!(found, format!("{READABLE} \u{7f}"));
    let mut one = Blocks::new();
    one.allow(Set::In(1 << b' ' | 1 << 0x7f));
    assert_eq!(one.representatives(), [' ']);
}

fn glob(text: &str) -> Vec<Elem> {
    let elem = |c| match c {
        '*' => Elem::Star,
        '?' => Elem::AnyOne,
        c => Elem::Char(c),
    };
    text.chars().map(elem).collect()
}

fn like(text: &str) -> Form {
    if text.contains(['*', '?']) { Form::leaf(Lang::Like(glob(text))) } else { Form::eq(text) }
}

fn path(text: &str) -> Form {
    let segment = |s| if s == "**" { Segment::Subtree } else { Segment::Glob(glob(s)) };
    Form::leaf(Lang::Path(text[1..].split('/').map(segment).collect()))
}

/// The shortcuts say yes where they are there to say yes: without them every such question builds an automaton. That
/// they never say yes wrongly is the property tests' to find.
#[test]
fn what_a_look_shows() {
    let any = |forms: &[Form]| forms.iter().cloned().reduce(Form::or).unwrap();
    let all = |forms: &[Form]| forms.iter().cloned().reduce(Form::and).unwrap();
    let yes = [
        (like("a"), like("a*")),
        (like("ab*"), like("a*")),
        (like("a*c"), like("a*c")),
        (like("a*b*c"), like("a*c")),
        (like("a?c"), like("a*c")),
        (like("abc"), like("a?c")),
        (like("xa*bx"), like("*a*b*")),
        (like("aab*"), like("*ab*")),
        (path("/a/b"), path("/a/*")),
        (path("/a/*"), path("/a/**")),
        (path("/a/b/c"), path("/a/**")),
        (path("/a/**/z"), path("/a/**/z")),
        (path("/a/b/z"), path("/a/**/z")),
        (path("/a/z"), path("/a/**/z")),
        (like("a").negate(), like("a").negate()),
        (like("a*").negate(), like("ab*").negate()),
        (like("a*"), like("b*").negate()),
        (like("*a"), like("*b").negate()),
        (like("a"), like("b").negate()),
        (like("a*"), like("b").negate()),
        (like("a*"), any(&[like("b*"), like("c*")]).negate()),
        (any(&[like("ab"), like("ac*")]), like("a*")),
        (like("ab*c"), all(&[like("a*"), like("*c")])),
        (all(&[like("a*"), like("*c")]), like("a*")),
        (all(&[like("a*"), like("*c")]), any(&[like("x*"), like("*c")])),
        (like("a*"), any(&[like("x*"), like("a*")])),
        (Form::Const(false), like("a")),
        (like("a*"), Form::Const(true)),
    ];
    for (a, b) in &yes {
        assert!(a.implies(b), "{a:?} in {b:?}");
    }
    let no = [
        (like("a*"), like("ab*")),
        (like("*"), like("?*")),
        (like("a*c"), like("a?c")),
        (like("a*"), like("a")),
        (like("b*"), like("a*")),
        (path("/a/**"), path("/a/*")),
        (path("/a"), path("/a/*")),
        (path("/a/**"), path("/a/**/z")),
        (path("/a/b/c"), path("/a/*")),
        (like("a*"), like("*b").negate()),
        (like("ab*"), like("a*").negate()),
        (like("a*"), any(&[like("b*"), like("ab*")]).negate()),
        (any(&[like("ab"), like("b*")]), like("a*")),
        (like("ab*"), all(&[like("a*"), like("*c")])),
        (like("a*").negate(), like("b*").negate()),
        (Form::Const(true), like("a*")),
        (like("a*"), Form::Const(false)),
    ];
    for (a, b) in &no {
        assert!(!a.implies(b), "{a:?} in {b:?}");
    }
}

#[test]
fn combining_simplifies() {
    let (a, b, c) = (like("a*"), like("*b"), like("*c*"));
    assert_eq!(a.clone().negate().negate(), a);
    assert_eq!(a.clone().and(a.clone()), a);
    assert_eq!(a.clone().or(a.clone()), a);
    assert_eq!(a.clone().and(Form::Const(true)), a);
    assert_eq!(a.clone().or(Form::Const(false)), a);
    assert_eq!(a.clone().and(Form::Const(false)), Form::Const(false));
    assert_eq!(a.clone().or(Form::Const(true)), Form::Const(true));
    assert_eq!(Form::eq("ab").and(a.clone()), Form::eq("ab"));
    assert_eq!(a.clone().and(Form::eq("b")), Form::Const(false));
    // A long list stays flat: it is walked by recursion.
    let Form::And(parts) = a.clone().and(b.clone()).and(c.clone()) else { panic!() };
    assert_eq!(parts, [a.clone(), b.clone(), c.clone()]);
    let Form::Or(parts) = a.clone().or(b.clone()).or(c.clone().or(like("d*"))) else { panic!() };
    assert_eq!(parts, [a, b, c, like("d*")]);
}

#[test]
fn a_form_knows_the_words_it_can_only_have() {
    let words = |form: Form| form.words().map(|words| words.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(words(Form::eq("a")), Some(vec!["a".to_owned()]));
    assert_eq!(words(Form::eq("b").or(Form::eq("a")).or(Form::eq("b"))), Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(words(Form::eq("a").or(like("b*"))), None);
    assert_eq!(words(like("b*")), None);
    assert_eq!(words(Form::eq("a").negate()), None);
    assert_eq!(words(Form::Const(false)), Some(vec![]));
    assert_eq!(words(Form::Const(true)), None);
    let two = Form::eq("a").or(Form::eq("b"));
    assert_eq!(words(two.clone().and(like("*c"))), Some(vec!["a".to_owned(), "b".to_owned()]));
    let three = two.clone().or(Form::eq("c"));
    assert_eq!(words(three.and(two)), Some(vec!["a".to_owned(), "b".to_owned()]), "the shorter list");
    assert_eq!(Form::eq("a").word(), Some("a"));
    assert_eq!(like("a*").word(), None);
    assert_eq!(Form::eq("a").negate().word(), None);
}

#[test]
fn a_form_knows_how_its_words_end() {
    for (form, expect) in [
        (like("*.x.com"), Some(".x.com")),
        (like("a*"), Some("")),
        (like("a*b?c"), Some("c")),
        (Form::eq("x.com"), Some("x.com")),
        (like("*m").and(like("*.com")).and(like("a*")), Some(".com")),
        (like("*m").or(like("*n")), None),
        (like("*m").negate(), None),
        (path("/a"), None),
    ] {
        assert_eq!(form.ending().as_deref(), expect, "{form:?}");
    }
}

#[test]
fn a_form_knows_the_characters_it_names() {
    let names =
        |form: Form| alphabet().filter(|c| c.is_ascii() && form.names() & (1 << *c as u32) != 0).collect::<String>();
    assert_eq!(names(like("a*é?b")), "ab");
    assert_eq!(names(Form::eq("ba")), "ab");
    assert_eq!(names(like("a*").and(like("*b")).or(like("c*")).negate()), "abc");
    assert_eq!(names(path("/x/**")), "/x");
    // Named twice is named.
    assert_eq!(names(path("/a.b/**/c.b")), "./abc");
    assert_eq!(names(like("a.*a.")), ".a");
    assert_eq!(names(Form::eq("abab")), "ab");
    assert_eq!(names(Form::leaf(Lang::Piece { head: true, n: 0, glob: glob("y*") })), "/y");
    assert_eq!(Form::Const(true).names(), 0);
    assert_eq!(Form::leaf(Lang::Address).names(), !0);
}

/// A slash in what stands for one segment matches nothing, as no segment has one.
#[test]
fn a_literal_outside_what_a_star_takes_never_matches() {
    let mut piece = Builder::new();
    piece.glob(&glob("a/b"), Set::NOT_SLASH);
    let piece = piece.finish();
    assert!(["a/b", "a", "a/", "axb"].iter().all(|word| !piece.matches(word)));
}

#[test]
fn where_everything_is_accepted() {
    let mut rest = Builder::new();
    rest.one(Set::One('a')).many(Set::ANY);
    let rest = rest.finish();
    let after = rest.step(&rest.step(&[0], 'a'), 'b');
    assert!(after.iter().any(|state| rest.accepts_all(*state)));
    assert!(!rest.accepts_all(0));
    for (set, then) in [(Set::NOT_SLASH, None), (Set::ANY, Some(Set::One('z')))] {
        let mut some = Builder::new();
        some.one(Set::One('a')).many(set);
        if let Some(then) = then {
            some.one(then);
        }
        let some = some.finish();
        let states = ['a', 'b', 'z'].iter().fold(vec![0], |states, c| some.step(&states, *c));
        assert!(states.iter().all(|state| !some.accepts_all(*state)), "{some:?}");
    }
}

#[test]
fn words_that_a_person_would_rather_not_see_cost_more() {
    use Universe::*;
    for (universe, cheap, dear) in [
        (Path, "/ab", "/a/"),
        (Process, "/ab", "/a/"),
        (Path, "/a", "/ab"),
        (Path, "/", "/a"),
        (Query, "x", ""),
        (Query, "x", REPEATED),
        (Query, ABSENT, REPEATED),
        (Host, "a.b", "a.bc"),
        (Sandbox, "", "x"),
    ] {
        assert!(universe.cost(cheap) < universe.cost(dear), "{universe:?}: {cheap:?} before {dear:?}");
    }
    assert_eq!(Host.cost("a/"), 2, "a slash at the end is odd in paths alone");
    for universe in [Host, Path, OtherMethod, Query, Process, Sha256, Sandbox] {
        assert!(!universe.preferred().is_empty(), "{universe:?}");
    }
}
