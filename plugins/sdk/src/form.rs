//! `application/x-www-form-urlencoded`, read the one way that all servers agree on.

use crate::{Refusal, Result, percent};

/// The fields of a form, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// - [`Refusal::Malformed`]: a `%` without two hexadecimal digits, or what is not UTF-8.
    /// - [`Refusal::Ambiguous`]: a name twice (servers take the first, the last or all), or a `;`, which some servers
    ///   read as `&`.
    pub fn parse(body: &[u8]) -> Result<Self> {
        if body.contains(&b';') {
            return Err(Refusal::ambiguous("the form has a `;`, which some servers read as `&`; write it as `%3B`"));
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            let mut parts = field.splitn(2, |byte| *byte == b'=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let (Some(name), Some(value)) = (percent::decode(name, true), percent::decode(value, true)) else {
                return Err(Refusal::malformed("the form has a field that is not percent-encoded UTF-8"));
            };
            fields.push((name, value));
        }
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(name) = names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())?) {
            return Err(Refusal::ambiguous(format!("the form has the field {name:?} twice")));
        }
        Ok(Self(fields))
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        check("Action=ListUsers&Version=2010-05-08", Ok(&[("Action", "ListUsers"), ("Version", "2010-05-08")]));
        check("a=1+2%2b3&b", Ok(&[("a", "1 2+3"), ("b", "")]));
        check("", Ok(&[]));
        check("&&a=1&", Ok(&[("a", "1")]));
        check("a=b=c", Ok(&[("a", "b=c")]));
        check("Action=ListUsers&Action=DeleteUser", Err("ambiguous"));
        check("Action=ListUsers&%41ction=DeleteUser", Err("ambiguous"));
        check("Action=ListUsers;Action=DeleteUser", Err("ambiguous"));
        check("a=%4", Err("malformed"));
        check("a=%zz", Err("malformed"));
        check("a=%ff", Err("malformed"));
    }

    fn check(body: &str, expect: Result<&[(&str, &str)], &str>) {
        let form = Form::parse(body.as_bytes());
        let read = form.as_ref().map(|form| form.iter().collect::<Vec<_>>()).map_err(|why| match why {
            Refusal::Ambiguous(_) => "ambiguous",
            Refusal::Malformed(_) => "malformed",
            other => panic!("{other:?}"),
        });
        assert_eq!(read.as_deref().map_err(|kind| *kind), expect, "{body}");
    }
}
