//! `multipart/form-data`, read the one way that all servers agree on; whatever only some of them accept is refused.

use narrowgate_plugin::{Refusal, Request, Result};

pub(crate) struct Form<'b>(Vec<Part<'b>>);

struct Part<'b> {
    name: String,
    file: bool,
    content: &'b [u8],
}

impl<'b> Form<'b> {
    pub(crate) fn of(request: &'b Request) -> Result<Self> {
        let boundary = boundary(request)?;
        Self::parse(request.complete_body()?, &boundary)
    }

    fn parse(body: &'b [u8], boundary: &str) -> Result<Self> {
        let delimiter = format!("\r\n--{boundary}");
        let opening = delimiter.as_bytes().get(2..).unwrap_or_default();
        let mut rest = body.strip_prefix(opening).ok_or_else(|| malformed("does not begin with its boundary"))?;
        let mut parts = Vec::new();
        loop {
            if matches!(rest, b"--" | b"--\r\n") {
                return Ok(Self(parts));
            }
            let part = rest.strip_prefix(b"\r\n").ok_or_else(|| malformed("has something after a boundary"))?;
            let end = find(part, delimiter.as_bytes()).ok_or_else(|| malformed("does not end with its boundary"))?;
            let (part, after) = part.split_at(end);
            parts.push(Part::parse(part)?);
            rest = after.get(delimiter.len()..).unwrap_or_default();
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>> {
        let mut found = self.0.iter().filter(|part| part.name.eq_ignore_ascii_case(name));
        let Some(part) = found.next() else { return Ok(None) };
        if found.next().is_some() || part.name != name || part.file {
            return Err(Refusal::ambiguous(format!(
                "the field {name:?} is there twice, in other letters, or as a file"
            )));
        }
        let text = core::str::from_utf8(part.content).map_err(|_| malformed("has a field that is not UTF-8"))?;
        Ok(Some(text))
    }

    pub(crate) fn has_files(&self) -> bool {
        self.0.iter().any(|part| part.file)
    }
}

impl<'b> Part<'b> {
    fn parse(part: &'b [u8]) -> Result<Self> {
        let end = find(part, b"\r\n\r\n").ok_or_else(|| malformed("has a part without an empty line"))?;
        let (head, content) = part.split_at(end);
        let head = core::str::from_utf8(head).map_err(|_| malformed("has a part whose head is not UTF-8"))?;
        let mut disposition = None;
        for line in head.split("\r\n") {
            let (name, value) =
                line.split_once(':').ok_or_else(|| malformed("has a part with a line that is no header"))?;
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" if disposition.is_none() => disposition = Some(value.trim()),
                "content-disposition" => return Err(Refusal::ambiguous("a part of the form has two dispositions")),
                "content-type" | "content-length" => {}
                _ => return Err(Refusal::not_understood("a part of the form has a header that is not usual there")),
            }
        }
        let (name, file) = named(disposition.unwrap_or_default())?;
        Ok(Self { name, file, content: content.get(4..).unwrap_or_default() })
    }
}

/// `form-data; name="model"`, and `filename` for files. Nothing else: servers differ in what they make of the rest.
fn named(disposition: &str) -> Result<(String, bool)> {
    let odd = || malformed("has a part that is not `form-data; name=\"…\"`");
    let mut rest = disposition.strip_prefix("form-data").ok_or_else(odd)?;
    let (mut name, mut file) = (None, false);
    while !rest.is_empty() {
        let parameter = rest.strip_prefix(';').ok_or_else(odd)?.trim_start();
        let (key, quoted) = parameter.split_once("=\"").ok_or_else(odd)?;
        let (value, after) = quoted.split_once('"').ok_or_else(odd)?;
        match key {
            _ if value.contains(['\\', '%']) => {
                return Err(Refusal::ambiguous("a part of the form has an escaped name"));
            }
            "name" if name.is_none() => name = Some(value.to_owned()),
            "filename" if !file => file = true,
            _ => return Err(odd()),
        }
        rest = after;
    }
    Ok((name.ok_or_else(odd)?, file))
}

fn boundary(request: &Request) -> Result<String> {
    let header = request.header_one("content-type")?.unwrap_or_default();
    let (media, parameters) = header.split_once(';').unwrap_or((header, ""));
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(Refusal::not_understood("neither documented here: only multipart/form-data is"));
    }
    let (key, value) = parameters.trim().split_once('=').unwrap_or_default();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    if !key.eq_ignore_ascii_case("boundary") || !(1..=70).contains(&value.len()) || !value.bytes().all(plain) {
        return Err(malformed("has no plain `boundary` as its only parameter"));
    }
    Ok(value.to_owned())
}

fn malformed(why: &str) -> Refusal {
    Refusal::malformed(format!("the form of several parts {why}"))
}

/// Where `needle` begins. Only places where its first byte stands are compared.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window.first() == needle.first() && window == needle)
}
