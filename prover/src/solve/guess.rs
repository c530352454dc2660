//! Words that a constraint describes almost literally.

use crate::language::{Elem, Form, Lang};

/// Constraints shorter than this have short words, which exploring finds at once, and the shortest first.
const LONG: usize = 48;
/// No path is longer.
const TOO_LONG: usize = 16 * 1024;

/// Words that may be in `target`, where its globs are long or many: what they spell out, one after another. They are
/// guesses, to be checked.
pub(super) fn guesses(target: &Form) -> Vec<String> {
    let mut globs: Vec<&[Elem]> = Vec::new();
    collect(target, &mut globs);
    let length: usize = globs.iter().map(|glob| glob.len()).sum();
    if length < LONG && globs.len() < 5 || length > TOO_LONG {
        return Vec::new();
    }
    let mut guesses: Vec<String> = ["", "x", "/x"].iter().map(|filler| spell(&globs, filler)).collect();
    guesses.dedup();
    guesses
}

/// Globs that every word must match; of alternatives, the first.
fn collect<'a>(form: &'a Form, out: &mut Vec<&'a [Elem]>) {
    match form {
        Form::Leaf(leaf) => {
            if let Lang::Like(glob) = leaf.lang() {
                out.push(glob);
            }
        }
        Form::And(parts) => parts.iter().for_each(|part| collect(part, out)),
        Form::Or(parts) => parts.iter().take(1).for_each(|part| collect(part, out)),
        Form::Const(_) | Form::Not(_) => {}
    }
}

/// The longest beginning that a glob asks for, all that stands between stars, and the longest ending.
fn spell(globs: &[&[Elem]], filler: &str) -> String {
    let (mut first, mut last) = (String::new(), String::new());
    let mut middle: Vec<String> = Vec::new();
    for glob in globs {
        let mut pieces: Vec<String> = glob.split(|elem| *elem == Elem::Star).map(text).collect();
        let end = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        for (place, piece) in [(&mut first, pieces.next()), (&mut last, end)] {
            if let Some(piece) = piece.filter(|piece| piece.len() > place.len()) {
                *place = piece;
            }
        }
        middle.extend(pieces.filter(|piece| !piece.is_empty()));
    }
    let mut word = first;
    if word.is_empty() && globs.iter().all(|glob| glob.first() == Some(&Elem::Star)) {
        // What the executable's and the request's path begin with; where it is wrong, it is not the word.
        word.push('/');
    }
    for piece in middle.iter().chain([&last]) {
        word.push_str(filler);
        word.push_str(piece);
    }
    word
}

fn text(piece: &[Elem]) -> String {
    piece.iter().map(|elem| if let Elem::Char(c) = elem { *c } else { 'x' }).collect()
}
