//! A bound on how deep a hand-written policy can be.
//!
//! Cedar reads `a || b || c …`, `1 + 1 + …`, `!!!…`, `a.b.c…` and brackets in brackets as trees that are as deep as the
//! text is long, and whoever walks them recurses: some hundreds of levels would end the process with its stack. So the
//! text is counted before it is parsed.

/// How many operators (`&&`, `||`, `!`, `+`, `-`, `*`, `if`) one policy may combine.
pub(super) const MOST: usize = 256;
/// How deep brackets may stand in each other.
const DEEPEST: usize = 32;
/// How many `.` one operand may have.
const LONGEST: usize = 16;

/// The line and the problem of the first policy that is deeper, where there is one.
pub(super) fn too_deep(text: &str) -> Option<(usize, String)> {
    let mut count = Count { line: 1, start: 1, ..Count::default() };
    let mut chars = text.chars().peekable();
    let mut word = String::new();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        count.operators += usize::from(word == "if");
        word.clear();
        match (c, chars.peek()) {
            ('"', _) => count.line += string(&mut chars),
            ('/', Some('/')) => {
                chars.by_ref().find(|c| *c == '\n');
                count.line += 1;
            }
            ('|', Some('|')) | ('&', Some('&')) => {
                chars.next();
                count.operator();
            }
            ('!' | '+' | '-' | '*', _) => count.operator(),
            ('(' | '[' | '{', _) => count.open += 1,
            (')' | ']' | '}', _) => count.open = count.open.saturating_sub(1),
            ('.', _) => count.dots += 1,
            (',' | '=' | '<' | '>', _) => count.dots = 0,
            (';', _) => count = Count { line: count.line, start: count.line, ..Count::default() },
            ('\n', _) => count.line += 1,
            _ => {}
        }
        if let Some(problem) = count.problem() {
            return Some((count.start, problem));
        }
    }
    None
}

#[derive(Default)]
struct Count {
    line: usize,
    /// Where the policy starts.
    start: usize,
    operators: usize,
    open: usize,
    dots: usize,
}

impl Count {
    fn operator(&mut self) {
        self.operators += 1;
        self.dots = 0;
    }

    fn problem(&self) -> Option<String> {
        if self.operators > MOST {
            return Some(format!("a policy combines more than {MOST} conditions; write several policies"));
        }
        if self.open > DEEPEST {
            return Some(format!("brackets stand deeper than {DEEPEST} in each other"));
        }
        (self.dots > LONGEST).then(|| format!("more than {LONGEST} dots in one operand"))
    }
}

/// Skips to the closing quote (a backslash takes the next character with it); how many lines that was.
fn string(chars: &mut impl Iterator<Item = char>) -> usize {
    let mut lines = 0;
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => lines += usize::from(chars.next() == Some('\n')),
            '\n' => lines += 1,
            _ => {}
        }
    }
    lines
}
