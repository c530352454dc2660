//! Globs as deterministic automata with one state a character.
//!
//! What stands between two stars may be taken at its first occurrence: whatever matches later still can. So a glob is
//! a sequence of searches, each a Knuth-Morris-Pratt automaton, and needs no sets of states, which for a literal of
//! length n would be as long as n, each.

use super::chars::Set;
use super::lang::Elem;

/// The automaton of a glob without `?`. A state is how many of the glob's characters are matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kmp {
    chars: Box<[char]>,
    /// By state: where the piece between stars begins that the state is in.
    start: Box<[u32]>,
    /// By state: where to go on when the next character is another one, [`NONE`] at a piece's start.
    fallback: Box<[u32]>,
    /// How many characters come before the first star; all of them where there is none.
    prefix: u32,
    has_star: bool,
    /// Whether the glob ends in a star.
    open: bool,
}

/// No way on.
pub(crate) const DEAD: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

impl Kmp {
    /// `None` for a glob with `?`.
    pub(crate) fn new(glob: &[Elem]) -> Option<Kmp> {
        if glob.contains(&Elem::AnyOne) || u32::try_from(glob.len()).is_err() {
            return None;
        }
        let pieces: Vec<Vec<char>> =
            glob.split(|elem| *elem == Elem::Star).map(|piece| piece.iter().filter_map(char_of).collect()).collect();
        let chars: Box<[char]> = pieces.concat().into();
        let (mut start, mut fallback) = (Vec::with_capacity(chars.len() + 1), Vec::with_capacity(chars.len() + 1));
        let mut at = 0u32;
        for (number, piece) in pieces.iter().enumerate() {
            let ends = number + 1 == pieces.len();
            // The state behind a piece is the first of the next; behind the last it is a state of its own.
            let count = piece.len() + usize::from(ends);
            start.extend(std::iter::repeat_n(at, count));
            fallback.extend(fallbacks(piece, at).into_iter().take(count));
            at += piece.len() as u32;
        }
        Some(Kmp {
            prefix: pieces.first().map_or(0, Vec::len) as u32,
            has_star: pieces.len() > 1,
            open: pieces.len() > 1 && pieces.last().is_some_and(Vec::is_empty),
            chars,
            start: start.into(),
            fallback: fallback.into(),
        })
    }

    pub(crate) fn step(&self, from: u32, c: char) -> u32 {
        if from == DEAD || self.settled(from).is_some() {
            return from;
        }
        let mut at = from;
        loop {
            if self.chars.get(at as usize) == Some(&c) {
                return at + 1;
            }
            if self.is_fixed(at) {
                return DEAD;
            }
            match self.fallback.get(at as usize) {
                Some(&NONE) | None => return self.start.get(from as usize).copied().unwrap_or(DEAD),
                Some(next) => at = *next,
            }
        }
    }

    /// Whether the whole of `word` is accepted.
    pub(crate) fn matches(&self, word: &str) -> bool {
        self.accepts(word.chars().fold(0, |at, c| self.step(at, c)))
    }

    /// Whether all continuations are accepted, or none.
    pub(crate) fn settled(&self, at: u32) -> Option<bool> {
        match at {
            DEAD => Some(false),
            _ if self.open && at as usize == self.chars.len() => Some(true),
            _ => None,
        }
    }

    pub(crate) fn accepts(&self, at: u32) -> bool {
        at as usize == self.chars.len()
    }

    /// The characters that make a difference next, and whether others lead on.
    pub(crate) fn sets(&self, at: u32) -> impl Iterator<Item = Set> {
        let others = (at != DEAD && !self.is_fixed(at)).then_some(Set::ANY);
        let mut next = (at != DEAD).then_some(at);
        let named = std::iter::from_fn(move || {
            let at = next?;
            next = match self.fallback.get(at as usize) {
                Some(&NONE) | None => None,
                Some(_) if self.is_fixed(at) => None,
                Some(fallback) => Some(*fallback),
            };
            // Only the last state has no character of its own, and it has a fallback.
            Some(self.chars.get(at as usize).map_or(Set::In(0), |c| Set::One(*c)))
        });
        others.into_iter().chain(named)
    }

    /// Whether the next character must be one, before the first star.
    fn is_fixed(&self, at: u32) -> bool {
        !self.has_star || at < self.prefix
    }
}

fn char_of(elem: &Elem) -> Option<char> {
    match elem {
        Elem::Char(c) => Some(*c),
        Elem::AnyOne | Elem::Star => None,
    }
}

/// For each number of matched characters of `piece`, which begins at state `base`: the longest shorter match to go on
/// with when the next character is another one.
fn fallbacks(piece: &[char], base: u32) -> Vec<u32> {
    // The longest proper border of each prefix, and then without those that the same character would fail again.
    let mut border: Vec<usize> = vec![0; piece.len() + 1];
    for at in 1..piece.len() {
        let mut length = border.get(at).copied().unwrap_or(0);
        while length > 0 && piece.get(length) != piece.get(at) {
            length = border.get(length).copied().unwrap_or(0);
        }
        if let Some(next) = border.get_mut(at + 1) {
            *next = length + usize::from(piece.get(length) == piece.get(at));
        }
    }
    let mut out: Vec<u32> = Vec::with_capacity(piece.len() + 1);
    for (at, length) in border.iter().enumerate() {
        let fallback = match (at, at < piece.len() && piece.get(*length) == piece.get(at)) {
            (0, _) => NONE,
            (_, true) => out.get(*length).copied().unwrap_or(NONE),
            (_, false) => base + *length as u32,
        };
        out.push(fallback);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::language::{Lang, Leaf};

    fn glob(text: &str) -> Vec<Elem> {
        text.chars().map(|c| if c == '*' { Elem::Star } else { Elem::Char(c) }).collect()
    }

    fn run(kmp: &Kmp, word: &str) -> (bool, Option<bool>) {
        let end = word.chars().fold(0, |at, c| kmp.step(at, c));
        (kmp.accepts(end), kmp.settled(end))
    }

    #[test]
    fn a_long_literal_has_as_many_states_as_letters() {
        let text = "a".repeat(5000);
        let kmp = Kmp::new(&glob(&format!("*{text}b*"))).unwrap();
        assert!(run(&kmp, &format!("x{text}aaab")).0);
        assert!(!run(&kmp, &format!("x{text}aaa")).0);
        assert!(kmp.sets(4000).count() <= 4, "a character that would fail again is not tried again");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6000))]
        #[test]
        fn it_is_the_glob(pattern in "[ab*]{0,10}", word in "[abc]{0,14}", more in "[abc]{0,6}") {
            let kmp = Kmp::new(&glob(&pattern)).unwrap();
            let matches = |word: &str| Leaf::new(Lang::Like(glob(&pattern))).matches(word);
            let (accepted, settled) = run(&kmp, &word);
            prop_assert_eq!(accepted, matches(&word));
            if let Some(settled) = settled {
                prop_assert_eq!(settled, matches(&format!("{word}{more}")));
            }
        }

        #[test]
        fn what_no_set_tells_apart_goes_the_same_way(pattern in "[ab*]{0,10}", word in "[abc]{0,8}") {
            let kmp = Kmp::new(&glob(&pattern)).unwrap();
            let at = word.chars().fold(0, |at, c| kmp.step(at, c));
            if kmp.settled(at).is_some() {
                return Ok(());
            }
            let sets: Vec<Set> = kmp.sets(at).collect();
            for (one, other) in [('a', 'b'), ('a', 'c'), ('b', 'c'), ('c', 'd')] {
                if sets.iter().all(|set| set.contains(one) == set.contains(other)) {
                    prop_assert_eq!(kmp.step(at, one), kmp.step(at, other));
                }
            }
            // Where a word can only be accepted through one of the sets, nothing else leads on.
            if !sets.iter().any(|set| set.contains('c')) {
                prop_assert_eq!(kmp.step(at, 'c'), DEAD);
            }
        }
    }
}
