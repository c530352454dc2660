//! SPDX licence expressions, as far as crates use them: `OR`, `AND`, `WITH`, parentheses, and the old slash for `OR`.

/// Whether a set of accepted licences satisfies the expression; an error where it cannot be read.
pub(crate) fn satisfied(expression: &str, accepted: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), next: 0 };
    let answer = any(&mut words, accepted)?;
    match words.peek() {
        None => Ok(answer),
        Some(word) => Err(format!("unexpected `{word}` in the licence expression {expression:?}")),
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.next += 1;
        }
        found
    }
}

// `AND` binds tighter than `OR`. Both sides are always read: a short cut would leave words behind.
fn any(words: &mut Words<'_>, accepted: &[String]) -> Result<bool, String> {
    let mut answer = all(words, accepted)?;
    while words.take("OR") {
        answer |= all(words, accepted)?;
    }
    Ok(answer)
}

fn all(words: &mut Words<'_>, accepted: &[String]) -> Result<bool, String> {
    let mut answer = one(words, accepted)?;
    while words.take("AND") {
        answer &= one(words, accepted)?;
    }
    Ok(answer)
}

fn one(words: &mut Words<'_>, accepted: &[String]) -> Result<bool, String> {
    if words.take("(") {
        let answer = any(words, accepted)?;
        return if words.take(")") { Ok(answer) } else { Err("a parenthesis is not closed".to_owned()) };
    }
    let id = match words.peek() {
        None | Some("OR" | "AND" | "WITH" | ")") => return Err("a licence name is missing".to_owned()),
        Some(id) => id,
    };
    words.next += 1;
    if !words.take("WITH") {
        return Ok(accepted.iter().any(|name| name == id));
    }
    let exception = words.peek().ok_or("a licence exception is missing")?;
    words.next += 1;
    let with = format!("{id} WITH {exception}");
    // An exception only adds permissions, so the plain licence accepts it too.
    Ok(accepted.iter().any(|name| *name == with || name == id))
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    fn check(expression: &str, expect: Option<bool>) {
        let accepted = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned);
        assert_eq!(satisfied(expression, &accepted).ok(), expect, "{expression}");
    }

    #[test]
    fn expressions() {
        check("MIT", Some(true));
        check("GPL-3.0", Some(false));
        check("MIT OR GPL-3.0", Some(true));
        check("GPL-3.0/MIT", Some(true));
        check("GPL-3.0 / AGPL-3.0", Some(false));
        check("MIT AND GPL-3.0", Some(false));
        check("(MIT OR GPL-3.0) AND Unicode-3.0", Some(true));
        check("GPL-3.0 AND MIT OR Apache-2.0", Some(true));
        check("GPL-3.0 AND (MIT OR Apache-2.0)", Some(false));
        check("Apache-2.0 WITH LLVM-exception OR GPL-3.0", Some(true));
        check("GPL-2.0 WITH Classpath-exception-2.0", Some(false));
        check("", None);
        check("MIT OR", None);
        check("(MIT", None);
        check("MIT)", None);
        check("MIT GPL-3.0", None);
        check("MIT WITH", None);
    }
}
