//! Reading requests, and making them for examples and tests.

use crate::{Body, Json, Refusal, Request, Result, form::Form, percent};

impl Request {
    /// The decoded segments, to match on.
    #[must_use]
    pub fn segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The value of a query key; `None` where it is absent.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] where it is repeated: servers take the first, the last or all.
    pub fn query_one(&self, key: &str) -> Result<Option<&str>> {
        one(&self.query, key, "query key")
    }

    /// Whether a query key is there, with or without a value.
    #[must_use]
    pub fn has_query(&self, key: &str) -> bool {
        self.query.iter().any(|(held, _)| held == key)
    }

    /// The value of a header (in lower case, and named in the vocabulary); `None` where it is absent.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] where it is repeated.
    pub fn header_one(&self, name: &str) -> Result<Option<&str>> {
        one(&self.headers, name, "header")
    }

    /// The media type of the body, in lower case and without parameters; empty where there is no `content-type`. The
    /// vocabulary must name that header.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] where the header is repeated.
    pub fn media_type(&self) -> Result<String> {
        let value = self.header_one("content-type")?.unwrap_or_default();
        Ok(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// Refuses a body whose content type names a charset that is not UTF-8: a server that believed it would read another
    /// text. The vocabulary must name the header `content-type`.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`], also where the header is repeated.
    pub fn check_charset(&self) -> Result<()> {
        let value = self.header_one("content-type")?.unwrap_or_default().to_ascii_lowercase();
        let mut charsets = value.split(';').skip(1).filter_map(|parameter| parameter.trim().strip_prefix("charset="));
        if charsets.all(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8")) {
            Ok(())
        } else {
            Err(Refusal::ambiguous("the body is read as UTF-8, but its content type names another charset"))
        }
    }

    /// All of the body; empty where there is none.
    ///
    /// # Errors
    /// [`Refusal::NeedsBody`] where it is longer than the vocabulary asks for, or not of a method that it names.
    pub fn complete_body(&self) -> Result<&[u8]> {
        match &self.body {
            Body::Absent => Ok(&[]),
            Body::Complete(bytes) => Ok(bytes),
            Body::Truncated(_) => Err(Refusal::needs_body("the body is longer than what is read of it")),
        }
    }

    /// The body as strict JSON.
    ///
    /// # Errors
    /// [`Refusal::NeedsBody`] without a complete body, and what [`Json::parse`] refuses.
    pub fn json(&self) -> Result<Json> {
        match self.complete_body()? {
            [] => Err(Refusal::needs_body("what decides is in a JSON body, and there is no body")),
            bytes => Json::parse(bytes),
        }
    }

    /// The body as a form.
    ///
    /// # Errors
    /// [`Refusal::NeedsBody`] without a complete body, and what [`Form::parse`] refuses.
    pub fn form(&self) -> Result<Form> {
        Form::parse(self.complete_body()?)
    }

    /// A request without query, headers and body for `/`, over https to port 443.
    #[must_use]
    pub fn https(method: &str, host: &str) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            host: host.to_owned(),
            port: 443,
            path: "/".to_owned(),
            segments: vec![String::new()],
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Absent,
        }
    }

    /// With one more segment at the end of its path, which is encoded.
    #[must_use]
    pub fn segment(mut self, segment: &str) -> Self {
        match self.segments.as_mut_slice() {
            [only] if only.is_empty() => segment.clone_into(only),
            _ => {
                self.path.push('/');
                self.segments.push(segment.to_owned());
            }
        }
        percent::encode_segment(segment, &mut self.path);
        self
    }

    /// With several more segments, given with `/` between them.
    #[must_use]
    pub fn segments_of(self, path: &str) -> Self {
        path.split('/').fold(self, Self::segment)
    }

    /// With one more query key.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.query.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a complete body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Complete(bytes.into());
        self
    }
}

fn one<'a>(pairs: &'a [(String, String)], name: &str, what: &str) -> Result<Option<&'a str>> {
    let mut found = pairs.iter().filter(|(held, _)| held == name);
    let first = found.next();
    if found.next().is_some() {
        return Err(Refusal::ambiguous(format!("the {what} {name:?} is there twice")));
    }
    Ok(first.map(|(_, value)| value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_none() {
        let request = Request::https("GET", "x.example").query("ref", "main").query("a", "1").query("a", "1");
        assert_eq!(request.query_one("ref"), Ok(Some("main")));
        assert_eq!(request.query_one("absent"), Ok(None));
        assert!(matches!(request.query_one("a"), Err(Refusal::Ambiguous(_))));
        let request = request.header("content-type", "Application/JSON; charset=utf-8");
        assert_eq!(request.media_type().as_deref(), Ok("application/json"));
        assert!(matches!(request.header("content-type", "text/plain").media_type(), Err(Refusal::Ambiguous(_))));
    }

    #[test]
    fn charsets() {
        let check = |value: &str| Request::https("POST", "x.example").header("content-type", value).check_charset();
        for good in ["application/json", "application/json; charset=UTF-8", "text/plain;charset=\"utf8\";x=y", ""] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in
            ["application/json; charset=utf-16", "text/plain; x=y; charset=latin1", "a/b; charset=utf-8; charset=utf-7"]
        {
            assert!(matches!(check(bad), Err(Refusal::Ambiguous(_))), "{bad}");
        }
    }

    #[test]
    fn bodies() {
        let mut request = Request::https("POST", "x.example");
        assert_eq!(request.complete_body(), Ok(&[][..]));
        assert!(matches!(request.json(), Err(Refusal::NeedsBody(_))));
        request.body = Body::Truncated(b"{}".to_vec());
        assert!(matches!(request.json(), Err(Refusal::NeedsBody(_))));
        assert!(matches!(request.form(), Err(Refusal::NeedsBody(_))));
        assert_eq!(request.body("{}").json(), Ok(Json::Object(vec![])));
    }

    #[test]
    fn made_paths_are_canonical() {
        let request = Request::https("GET", "x.example").segments_of("a b/ü;x/c:d@e%");
        assert_eq!(request.path, "/a%20b/%C3%BC%3Bx/c:d@e%25");
        assert_eq!(request.segments(), ["a b", "ü;x", "c:d@e%"]);
        assert_eq!(Request::https("GET", "x.example").segment("a").segment("").path, "/a/");
    }
}
