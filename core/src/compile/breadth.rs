//! A bound on how many conditions one hand-written policy combines.
//!
//! Cedar reads `a || b || c …` as a tree that is as deep as the chain is long, and whoever walks it recurses: a chain
//! of some hundreds would end the process with its stack. So the text is counted before it is parsed.

/// How many `&&` and `||` one policy may have.
pub(super) const MOST: usize = 256;

/// The line of the first policy that combines more, where there is one.
pub(super) fn too_broad(text: &str) -> Option<usize> {
    let mut operators = 0;
    let (mut line, mut start) = (1, 1);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\n', _) => line += 1,
            ('"', _) => {
                // To the closing quote; a backslash takes the next character with it.
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => drop(chars.next()),
                        '\n' => line += 1,
                        _ => {}
                    }
                }
            }
            ('/', Some('/')) => {
                chars.by_ref().find(|c| *c == '\n');
                line += 1;
            }
            ('|', Some('|')) | ('&', Some('&')) => {
                chars.next();
                operators += 1;
                if operators > MOST {
                    return Some(start);
                }
            }
            (';', _) => (operators, start) = (0, line),
            _ => {}
        }
    }
    None
}
