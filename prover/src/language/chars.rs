//! Sets of characters, and the coarsest partition of the alphabet that a handful of them cannot tell apart.

use std::collections::BTreeSet;

/// A set of characters. ASCII is a bit mask; all other characters are alike unless a pattern names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Set {
    /// One character.
    One(char),
    /// These ASCII characters.
    In(u128),
    /// Every character but these ASCII ones.
    NotIn(u128),
    /// Every character that is no control character.
    Printable,
}

impl Set {
    /// Every character.
    pub(crate) const ANY: Set = Set::NotIn(0);
    /// Every character but `/`.
    pub(crate) const NOT_SLASH: Set = Set::NotIn(1 << b'/');

    /// The ASCII characters for which `keep` holds.
    pub(crate) fn ascii(keep: impl Fn(u8) -> bool) -> Set {
        Set::In((0..128u8).filter(|b| keep(*b)).fold(0, |mask, b| mask | (1 << b)))
    }

    /// Whether `c` is in the set.
    pub(crate) fn contains(self, c: char) -> bool {
        match self {
            Set::One(one) => one == c,
            Set::In(mask) => bit(c).is_some_and(|b| mask & b != 0),
            Set::NotIn(mask) => bit(c).is_none_or(|b| mask & b == 0),
            Set::Printable => !c.is_control(),
        }
    }

    fn mask(self) -> u128 {
        match self {
            Set::One(c) => bit(c).unwrap_or(0),
            Set::In(mask) => mask,
            Set::NotIn(mask) => !mask,
            Set::Printable => PRINTABLE,
        }
    }

    /// Whether it has all characters beyond ASCII, but perhaps for control characters.
    fn goes_beyond_ascii(self) -> bool {
        matches!(self, Set::NotIn(_) | Set::Printable)
    }
}

/// The ASCII characters that are no control characters.
const PRINTABLE: u128 = !((1 << 32) - 1) & !(1 << 127);

fn bit(c: char) -> Option<u128> {
    c.is_ascii().then(|| 1u128 << (c as u32))
}

/// Collects the sets on the edges that leave a state, and splits the alphabet into blocks whose members all of them
/// treat alike: one representative of each block is enough to explore.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// What may come next at all.
    allowed: u128,
    other_allowed: bool,
    singles: u128,
    masks: Vec<u128>,
    named: BTreeSet<char>,
}

impl Blocks {
    /// Nothing may come next yet.
    pub(crate) fn new() -> Blocks {
        Blocks { allowed: 0, other_allowed: false, singles: 0, masks: Vec::new(), named: BTreeSet::new() }
    }

    /// Lets the members of `set` come next.
    pub(crate) fn allow(&mut self, set: Set) {
        self.allowed |= set.mask();
        self.other_allowed |= set.goes_beyond_ascii();
        self.split(set);
    }

    /// Keeps only what is required. Sound where a word can only be accepted through that.
    pub(crate) fn require(&mut self, required: &Required) {
        self.allowed &= required.mask;
        self.other_allowed &= required.other;
    }

    /// Distinguishes the members of `set` from the rest.
    pub(crate) fn split(&mut self, set: Set) {
        match set {
            Set::One(c) => match bit(c) {
                Some(b) => self.singles |= b,
                None => {
                    self.named.insert(c);
                }
            },
            Set::In(mask) if mask.count_ones() == 1 => self.singles |= mask,
            Set::In(mask) | Set::NotIn(mask) => self.split_mask(mask),
            Set::Printable => self.split_mask(PRINTABLE),
        }
    }

    fn split_mask(&mut self, mask: u128) {
        if mask != 0 && !self.masks.contains(&mask) {
            self.masks.push(mask);
        }
    }

    /// Stands for every non-ASCII character that no pattern names. No set but [`Set::Printable`] tells those apart,
    /// and it has none of the control characters that come last here: one of them stands for the others only where a
    /// pattern names all of Unicode.
    fn other(&self) -> Option<char> {
        let printable = ['é'].into_iter().chain('è'..='ÿ').chain('\u{a0}'..=char::MAX);
        printable.chain('\u{80}'..='\u{9f}').find(|c| !self.named.contains(c))
    }

    /// One representative of each block, the most readable first, in an order that depends on nothing else.
    pub(crate) fn representatives(&self) -> Vec<char> {
        let mut rest = vec![self.allowed & !self.singles];
        rest.retain(|block| *block != 0);
        for mask in &self.masks {
            rest = rest.iter().flat_map(|block| [block & mask, block & !mask]).filter(|block| *block != 0).collect();
        }
        let mut out: Vec<char> = rest.into_iter().filter_map(most_readable).collect();
        let mut singles = self.allowed & self.singles;
        while singles != 0 {
            let lowest = singles & singles.wrapping_neg();
            out.extend(most_readable(lowest));
            singles ^= lowest;
        }
        out.sort_by_key(|c| (rank(*c), *c));
        if self.other_allowed {
            out.extend(self.named.iter().copied());
            out.extend(self.other());
        }
        out
    }
}

/// What one automaton that must accept can go on with.
#[derive(Debug, Default)]
pub(crate) struct Required {
    mask: u128,
    other: bool,
}

impl Required {
    pub(crate) fn add(&mut self, set: Set) {
        self.mask |= set.mask();
        // A named character lets it and its like through; the exploration finds out which of them lead on.
        self.other |= set.goes_beyond_ascii() || matches!(set, Set::One(c) if !c.is_ascii());
    }
}

fn most_readable(block: u128) -> Option<char> {
    const X: u128 = 1 << b'x';
    const LOWER: u128 = ((1 << 26) - 1) << b'a';
    const UPPER: u128 = ((1 << 26) - 1) << b'A';
    const DIGITS: u128 = ((1 << 10) - 1) << b'0';
    // In the order of `rank`, without looking at each character: this is asked at every step of every search.
    let best = [X, LOWER, UPPER, DIGITS].into_iter().map(|kind| block & kind).find(|kind| *kind != 0);
    match best {
        Some(kind) => u8::try_from(kind.trailing_zeros()).ok().map(char::from),
        None => (0..128u8).filter(|b| block & (1 << b) != 0).map(char::from).min_by_key(|c| (rank(*c), *c)),
    }
}

fn rank(c: char) -> u8 {
    match c {
        'x' => 0,
        'a'..='z' => 1,
        'A'..='Z' => 2,
        '0'..='9' => 3,
        '.' => 4,
        '-' | '_' => 5,
        '/' => 6,
        '!'..='~' => 7,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_no_set_tells_apart() {
        let mut blocks = Blocks::new();
        blocks.allow(Set::ascii(|b| b.is_ascii_lowercase() || b == b'/'));
        blocks.split(Set::One('q'));
        blocks.split(Set::NOT_SLASH);
        assert_eq!(blocks.representatives(), ['x', 'q', '/']);
        blocks.split(Set::One('x'));
        assert_eq!(blocks.representatives(), ['x', 'a', 'q', '/']);
        let mut required = Required::default();
        required.add(Set::One('q'));
        blocks.require(&required);
        assert_eq!(blocks.representatives(), ['q']);
    }

    #[test]
    fn characters_beyond_ascii_are_alike_unless_named() {
        let mut blocks = Blocks::new();
        blocks.allow(Set::NotIn(!0));
        assert_eq!(blocks.representatives(), ['é']);
        blocks.split(Set::One('ü'));
        assert_eq!(blocks.representatives(), ['ü', 'é']);
        blocks.split(Set::One('é'));
        assert_eq!(blocks.representatives(), ['é', 'ü', 'è']);
        ('\u{a0}'..='\u{2000}').for_each(|c| blocks.split(Set::One(c)));
        assert_eq!(blocks.representatives().last(), Some(&'\u{2001}'));
    }

    #[test]
    fn control_characters_are_not_printable() {
        for c in ('\0'..='\u{ff}').chain(['\u{2028}', char::MAX]) {
            assert_eq!(Set::Printable.contains(c), !c.is_control());
            assert!(!c.is_ascii() || Set::In(PRINTABLE).contains(c) == Set::Printable.contains(c));
        }
    }
}
