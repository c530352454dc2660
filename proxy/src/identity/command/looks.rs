//! What secrets, their names and the options that carry them look like.

use super::HIDDEN;

/// What names of secrets have in them.
const NAMES: [&str; 16] = [
    "token",
    "secret",
    "pass",
    "pwd",
    "key",
    "auth",
    "cookie",
    "credential",
    "bearer",
    "session",
    "signature",
    "jwt",
    "otp",
    "private",
    "apikey",
    "header",
];
/// Words that have such a part and mean something else.
const HARMLESS: [&str; 8] = ["author", "authors", "keyword", "keywords", "keyboard", "bypass", "compass", "passive"];
/// The names of options whose values are credentials, headers or bodies.
const CARRIERS: [&str; 12] = [
    "user",
    "proxy-user",
    "data",
    "json",
    "form",
    "body",
    "body-data",
    "post-data",
    "header",
    "headers",
    "proxy-header",
    "raw",
];
/// The same as letters: header, user, user of the proxy, password, data, form, cookie.
const LETTERS: [char; 7] = ['H', 'u', 'U', 'p', 'd', 'F', 'b'];
/// Programs in which one of these means something else.
const ELSEWHERE: [(&str, &[&str]); 18] = [
    ("python", &["-u", "-b", "-d"]),
    ("pip", &["--user", "-U"]),
    ("mkdir", &["-p"]),
    ("cp", &["-p", "-u"]),
    ("ssh", &["-p", "-b"]),
    ("scp", &["-p"]),
    ("rsync", &["-p", "-u", "-b"]),
    ("git", &["-u", "-p", "-b", "-d", "-F"]),
    ("sort", &["-u", "-b", "-d"]),
    ("grep", &["-H", "-F", "-b", "-U"]),
    ("rg", &["-H", "-F", "-u", "-p"]),
    ("ls", &["-p", "-u", "-H", "-F", "-U", "-b", "-d"]),
    ("tar", &["-p", "-U"]),
    ("date", &["-u", "-d"]),
    ("node", &["-p"]),
    ("npm", &["-d"]),
    ("cargo", &["-p", "-F"]),
    ("make", &["-d", "-p", "-b"]),
];
/// Letters that carry secrets in these programs only.
const HERE: [(&str, char); 6] = [
    ("redis-cli", 'a'),
    ("ldapsearch", 'w'),
    ("mosquitto_pub", 'P'),
    ("mosquitto_sub", 'P'),
    ("zip", 'P'),
    ("http", 'a'),
];
/// Long options with a single dash that begin like a letter with a value.
const LONG: [&str; 14] = [
    "-classpath",
    "-cp",
    "-jar",
    "-path",
    "-type",
    "-print",
    "-prune",
    "-depth",
    "-perm",
    "-passin",
    "-passout",
    "-subj",
    "-pubkey",
    "-debug",
];
/// How the keys of well-known services begin.
const PREFIXES: [&str; 26] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "AKIA",
    "ASIA",
    "xox",
    "eyJ",
    "AIza",
    "ya29.",
    "npm_",
    "pypi-",
    "hf_",
    "dop_v1_",
    "SG.",
    "shpat_",
    "whsec_",
    "AGE-SECRET-KEY-",
    "ops_",
];
/// What stands before a credential in a header.
const SCHEMES: [&str; 6] = ["bearer", "basic", "digest", "negotiate", "token", "apikey"];

/// Whether the word says that a credential follows.
pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Whether this could be what a secret is called: `--api-token`, `AWS_SECRET_ACCESS_KEY`, `proxy.auth`.
pub(super) fn is_name_of_secret(name: &str) -> bool {
    let name = name.trim_start_matches('-').to_ascii_lowercase();
    let is_word =
        name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '[' | ']'));
    is_word
        && name.split(['-', '_', '.', '/', ':', '[', ']']).any(|part| {
            !HARMLESS.contains(&part)
                && (NAMES.iter().any(|known| part.contains(known)) || matches!(part, "pw" | "pin"))
        })
}

/// Whether what comes before an `=` or a `:` ends in such a name, quoted or not.
pub(super) fn ends_in_name_of_secret(before: &str) -> bool {
    let trimmed = before.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let name = trimmed.rsplit(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')).next();
    name.is_some_and(|name| !name.is_empty() && is_name_of_secret(name))
}

/// Whether this long option carries credentials, headers or bodies.
pub(super) fn carries_secrets(program: &str, option: &str) -> bool {
    let name = option.trim_start_matches('-');
    let known = CARRIERS.contains(&name) || name.starts_with("data-") || name.starts_with("form-");
    known && !means_something_else(program, option)
}

/// The same for an option of one letter.
pub(super) fn letter_carries_secrets(program: &str, letter: char) -> bool {
    if HERE.iter().any(|(name, own)| *name == program && *own == letter) {
        return true;
    }
    LETTERS.contains(&letter) && !means_something_else(program, &format!("-{letter}"))
}

fn means_something_else(program: &str, option: &str) -> bool {
    // python3.12 is python.
    let program = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    ELSEWHERE.iter().any(|(name, options)| *name == program && options.contains(&option))
}

/// Whether it is a word with a single dash, and not letters.
pub(super) fn is_long_with_one_dash(option: &str) -> bool {
    LONG.contains(&option.split(['=', ':']).next().unwrap_or_default())
}

/// The text without the user and the query of URLs, and without what looks like a key.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = text.to_owned();
    // Whatever follows a question mark may be a query. A path has none.
    if let Some((before, query)) = text.split_once('?')
        && !query.is_empty()
    {
        shown = format!("{before}?{HIDDEN}");
    }
    if let Some((before, fragment)) = shown.split_once('#')
        && before.contains("://")
        && !fragment.is_empty()
    {
        shown = format!("{before}#{HIDDEN}");
    }
    without_keys(&without_users(&shown))
}

/// `scheme://user:password@host`, and `user:password@host`.
fn without_users(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(['/', '?', '#', '\'', '"', ' ']).unwrap_or(after.len());
        let (authority, path) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.push_str(&format!("{HIDDEN}@{host}")),
            None => shown.push_str(authority),
        }
        rest = path;
    }
    match rest.rsplit_once('@') {
        // "git@host:path" has no password; "user:password@host" does.
        Some((user, host)) if shown.is_empty() && user.contains(':') => format!("{HIDDEN}@{host}"),
        _ => shown + rest,
    }
}

/// Replaces each run of characters that looks like a key.
fn without_keys(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~');
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        shown.push_str(&without_keys_in_run(run));
        let mut others = after.chars();
        shown.extend(others.next());
        rest = others.as_str();
    }
    shown
}

fn without_keys_in_run(run: &str) -> String {
    if let Some((name, value)) = run.split_once('=')
        && !name.contains('/')
        && !value.trim_matches('=').is_empty()
    {
        return format!("{}={}", without_keys_in_run(name), without_keys_in_run(value));
    }
    // Base64 may hold slashes, and then is no path: its kinds of characters change all the time.
    if run.len() >= 40 && !run.contains(['.', '~']) && is_mixed(run) {
        return HIDDEN.to_owned();
    }
    let parts = run.split('/').map(|part| if looks_like_key(part) { HIDDEN } else { part });
    parts.collect::<Vec<_>>().join("/")
}

fn looks_like_key(part: &str) -> bool {
    let begins = |text: &str| PREFIXES.iter().any(|prefix| text.strip_prefix(prefix).is_some_and(|key| key.len() >= 8));
    let known = part.split('=').any(begins);
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let solid = part.bytes().filter(u8::is_ascii_alphanumeric).count();
    let is_uuid =
        part.len() == 36 && part.matches('-').count() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let longest = part.split(['-', '_', '.', '+', '=', '~']).map(str::len).max().unwrap_or_default();
    known
        || is_uuid
        || (part.len() >= 20 && digits > 0 && solid > digits && is_mixed(part))
        || longest >= 32
        || (solid == digits && solid == part.len() && digits >= 16)
}

/// Whether letters, capitals and digits follow each other as in random text: more often than at every third place.
fn is_mixed(text: &str) -> bool {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    };
    let kinds: Vec<u8> = text.bytes().filter_map(kind).collect();
    let changes = kinds.windows(2).filter(|pair| pair.first() != pair.last()).count();
    kinds.len() >= 8 && changes * 3 >= kinds.len()
}

/// Whether there is a key in the form that files have.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN")
}

/// Whether a terminal does something else with it than show it: controls, and what hides or turns text.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
