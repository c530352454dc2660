//! A glob over one string: `*` is any number of characters, and in segments `?` is exactly one.

/// What a glob is made of, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Piece {
    /// This character.
    Char(char),
    /// Exactly one character (`?`).
    One,
    /// Any number of characters, none included (`*`).
    Many,
}

/// A glob over a query value: `*` any characters, everything else itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    text: String,
    pieces: Vec<Piece>,
}

impl Glob {
    /// Every text is a glob of this kind.
    pub fn parse(text: &str) -> Glob {
        Glob { text: text.to_owned(), pieces: pieces(text, false) }
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether `value` is meant.
    pub fn matches(&self, value: &str) -> bool {
        matches(&self.pieces, value)
    }
}

/// Splits `text`; `?` is special only where `question` says so. Runs of `*` become one.
pub(crate) fn pieces(text: &str, question: bool) -> Vec<Piece> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' if out.last() == Some(&Piece::Many) => {}
            '*' => out.push(Piece::Many),
            '?' if question => out.push(Piece::One),
            _ => out.push(Piece::Char(c)),
        }
    }
    out
}

/// Greedy matching with one point of return: linear in practice, quadratic at worst, no recursion.
pub(crate) fn matches(pieces: &[Piece], value: &str) -> bool {
    let chars: Vec<char> = value.chars().collect();
    let (mut piece, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pieces.get(piece), chars.get(at)) {
            (None, None) => return true,
            (Some(Piece::Many), _) => {
                retry = Some((piece + 1, at));
                piece += 1;
            }
            (Some(Piece::Char(c)), Some(d)) if c == d => (piece, at) = (piece + 1, at + 1),
            (Some(Piece::One), Some(_)) => (piece, at) = (piece + 1, at + 1),
            _ => match retry {
                Some((p, a)) if a < chars.len() => {
                    retry = Some((p, a + 1));
                    (piece, at) = (p, a + 1);
                }
                _ => return false,
            },
        }
    }
}
