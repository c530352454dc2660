//! Tokens of the GraphQL language, by its specification of September 2025.

use std::str::Chars;

use narrowgate_plugin::{Refusal, Result};

/// How many tokens a document may have.
const MOST: usize = 32_768;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Mark(char),
    /// `...`
    Spread,
    /// A name, keywords included.
    Name(&'a str),
    /// An integer or a float.
    Number(f64),
    /// What a string says, its escapes resolved.
    Text(String),
    /// The end of the document.
    End,
}

/// Reads a document's tokens, one by one.
pub(crate) struct Lexer<'a> {
    chars: Chars<'a>,
    read: usize,
}

impl<'a> Lexer<'a> {
    /// Before the first token.
    pub(crate) fn new(document: &'a str) -> Self {
        Self { chars: document.chars(), read: 0 }
    }

    /// The next token.
    pub(crate) fn next_token(&mut self) -> Result<Token<'a>> {
        self.skip_ignored();
        self.read += 1;
        if self.read > MOST {
            return Err(Refusal::not_understood(format!("the document has more than {MOST} tokens")));
        }
        let before = self.chars.as_str();
        let Some(first) = self.chars.next() else { return Ok(Token::End) };
        match first {
            '!' | '$' | '&' | '(' | ')' | ':' | '=' | '@' | '[' | ']' | '{' | '|' | '}' => Ok(Token::Mark(first)),
            '.' if self.eat("..") => Ok(Token::Spread),
            'a'..='z' | 'A'..='Z' | '_' => {
                Ok(Token::Name(self.take(before, |c| c.is_ascii_alphanumeric() || c == '_')))
            }
            '-' | '0'..='9' => {
                number(self.take(before, |c| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')), self.peek())
            }
            '"' if self.eat("\"\"") => self.block(),
            '"' => self.string(),
            _ => Err(Refusal::malformed("the document has a character that starts no token")),
        }
    }

    fn skip_ignored(&mut self) {
        loop {
            let rest = self.chars.as_str().trim_start_matches(['\u{feff}', '\t', ' ', '\n', '\r', ',']);
            let rest = match rest.strip_prefix('#') {
                Some(comment) => comment.trim_start_matches(|c| c != '\n' && c != '\r'),
                None => {
                    self.chars = rest.chars();
                    return;
                }
            };
            self.chars = rest.chars();
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.clone().next()
    }

    fn eat(&mut self, text: &str) -> bool {
        let Some(rest) = self.chars.as_str().strip_prefix(text) else { return false };
        self.chars = rest.chars();
        true
    }

    /// The longest start of `text` whose characters after the first are all taken.
    fn take(&mut self, text: &'a str, taken: impl Fn(char) -> bool) -> &'a str {
        let end = text.char_indices().skip(1).find(|&(_, c)| !taken(c)).map_or(text.len(), |(at, _)| at);
        let (token, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        self.chars = rest.chars();
        token
    }

    fn string(&mut self) -> Result<Token<'a>> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(Token::Text(text)),
                Some('\\') => text.push(self.escape()?),
                Some(c) if c != '\n' && c != '\r' => text.push(c),
                _ => return Err(Refusal::malformed("a string in the document does not end on its line")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let simple = match self.chars.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode(),
            _ => return Err(Refusal::malformed("a string in the document has an escape that GraphQL does not have")),
        };
        Ok(simple)
    }

    /// `XXXX`, `{X…}`, or two surrogates.
    fn unicode(&mut self) -> Result<char> {
        let code = if self.eat("{") { self.braced()? } else { self.four_digits()? };
        let code = match code {
            0xd800..=0xdbff if self.eat("\\u") => match self.four_digits()? {
                low @ 0xdc00..=0xdfff => 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                _ => code,
            },
            code => code,
        };
        char::from_u32(code)
            .ok_or_else(|| Refusal::malformed("a string in the document has an escape that is no character"))
    }

    fn four_digits(&mut self) -> Result<u32> {
        (0..4).try_fold(0, |code, _| {
            let digit = self.chars.next().and_then(|c| c.to_digit(16));
            digit.map(|digit| code * 16 + digit).ok_or_else(|| Refusal::malformed("\\u has four hexadecimal digits"))
        })
    }

    fn braced(&mut self) -> Result<u32> {
        let mut code = None;
        loop {
            let digit = match self.chars.next() {
                Some('}') => break,
                Some(c) => c.to_digit(16),
                None => None,
            };
            let so_far: u32 = code.unwrap_or(0);
            code = digit.and_then(|digit| so_far.checked_mul(16)?.checked_add(digit));
            if code.is_none() {
                break;
            }
        }
        match code {
            // A surrogate in braces is no half of a pair.
            Some(code) if char::from_u32(code).is_some() => Ok(code),
            _ => Err(Refusal::malformed("\\u{…} has the hexadecimal number of a character")),
        }
    }

    /// A block string: its lines without common indentation, and without blank lines at either end.
    fn block(&mut self) -> Result<Token<'a>> {
        let mut raw = String::new();
        loop {
            if self.eat("\"\"\"") {
                return Ok(Token::Text(dedent(&raw)));
            }
            if self.eat("\\\"\"\"") {
                raw.push_str("\"\"\"");
                continue;
            }
            match self.chars.next() {
                Some(c) => raw.push(c),
                None => return Err(Refusal::malformed("a block string in the document does not end")),
            }
        }
    }
}

fn dedent(raw: &str) -> String {
    let unified = raw.replace("\r\n", "\n").replace('\r', "\n");
    let blank = |line: &str| line.chars().all(|c| c == ' ' || c == '\t');
    let indent_of = |line: &str| line.chars().take_while(|&c| c == ' ' || c == '\t').count();
    let common = unified.split('\n').skip(1).filter(|line| !blank(line)).map(indent_of).min().unwrap_or(0);
    let mut lines: Vec<&str> = unified
        .split('\n')
        .enumerate()
        .map(|(at, line)| if at == 0 { line } else { line.get(common.min(line.len())..).unwrap_or_default() })
        .collect();
    while lines.last().is_some_and(|line| blank(line)) {
        lines.pop();
    }
    let text = lines.iter().position(|line| !blank(line)).and_then(|first| lines.get(first..));
    text.unwrap_or_default().join("\n")
}

/// A number by the grammar: no leading zero, digits on both sides of a dot, and no letter or dot right after.
fn number<'a>(token: &str, next: Option<char>) -> Result<Token<'a>> {
    let fault = || Refusal::malformed("a number in the document is not written as GraphQL writes numbers");
    if next.is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
        return Err(fault());
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let well_formed = digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits);
    if !well_formed {
        return Err(fault());
    }
    token.parse().map(Token::Number).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(document: &str) -> Result<Vec<Token<'_>>> {
        let mut lexer = Lexer::new(document);
        let mut tokens = Vec::new();
        loop {
            match lexer.next_token()? {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[track_caller]
    fn check(document: &str, expect: Option<&[Token<'_>]>) {
        assert_eq!(tokens(document).ok().as_deref(), expect, "{document}");
    }

    fn text(text: &str) -> Token<'static> {
        Token::Text(text.into())
    }

    #[test]
    fn ignores_what_means_nothing() {
        check(
            "\u{feff}{ a, # b }\r\n,,c\t}",
            Some(&[Token::Mark('{'), Token::Name("a"), Token::Name("c"), Token::Mark('}')]),
        );
        check("a # no newline at the end", Some(&[Token::Name("a")]));
        check("{\u{a0}a}", None);
        check("{ a ; b }", None);
        check("...a", Some(&[Token::Spread, Token::Name("a")]));
        check("..a", None);
    }

    #[test]
    fn strings() {
        check(r#""a\u0062\u{63}\n\ud83d\ude00 # no comment""#, Some(&[text("abc\n😀 # no comment")]));
        check(r#""\"\\\/\b\f\n\r\t""#, Some(&[text("\"\\/\u{8}\u{c}\n\r\t")]));
        check(r#""" "#, Some(&[text("")]));
        check("\"a\nb\"", None);
        check(r#""\ud83d""#, None);
        check(r#""\u{d83d}\u{de00}""#, None);
        check(r#""\u{d83d}\ude00""#, None);
        check(r#""\ud83dx""#, None);
        check(r#""\u{110000}""#, None);
        check(r#""\u{}""#, None);
        check(r#""\x41""#, None);
    }

    #[test]
    fn block_strings() {
        check("\"\"\"\n    a\n      b\n\n    c \\\"\"\" \\n\n  \"\"\"", Some(&[text("a\n  b\n\nc \"\"\" \\n")]));
        check("\"\"\"a } { mutation\"\"\"", Some(&[text("a } { mutation")]));
        check("\"\"\" \"\"\"\"\"\" \"\"\"", Some(&[text(""), text("")]));
        check("\"\"\"a", None);
    }

    #[test]
    fn numbers() {
        check(
            "0 -1 2.50 3e2",
            Some(&[Token::Number(0.0), Token::Number(-1.0), Token::Number(2.5), Token::Number(300.0)]),
        );
        for wrong in ["01", "1.", ".5", "1a", "1_", "0x1", "1.e2", "--1", "1-2", "1.2.3", "-"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_flood_of_tokens_ends() {
        assert!(matches!(tokens(&"a ".repeat(40_000)), Err(Refusal::NotUnderstood(_))));
    }
}
