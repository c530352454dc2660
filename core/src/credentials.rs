//! For which hosts a sandbox is given credentials. Never the credentials themselves: hosts, names, and what each is
//! good for, so that a proposal which would put one at risk can be told from one that would not.

use crate::digest::Digest;
use crate::pattern::HostPattern;
use crate::policy::{Access, Decoder, ParseErrors, Role, Spot};
use crate::request::Port;
use crate::tree::Node;

/// How many may be declared; each is a question or two of every proposal that is near it.
const MAX_CREDENTIALS: usize = 256;

/// The declarations, and the digest of the text that they are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    declared: Vec<Credential>,
    digest: Digest,
}

/// One credential, by where it is good for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What people call it.
    pub name: String,
    /// The hosts that accept it.
    pub host: HostPattern,
    /// The ports; empty for any.
    pub ports: Vec<Port>,
    /// What it can do there at most: a token that can only read gives no write, whatever a rule allows.
    pub scope: Access,
}

impl Credentials {
    /// None at all.
    pub fn none() -> Credentials {
        Credentials { declared: Vec::new(), digest: Digest::of(b"") }
    }

    /// Reads YAML or JSON. `file` is only quoted in errors.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line, column and field. A field that could hold a secret is refused by
    /// name, since a file of hosts is not kept like one.
    pub fn parse(text: &str, file: &str) -> Result<Credentials, ParseErrors> {
        let mut decoder = Decoder::new(file, Role::Policy);
        match Node::parse(text) {
            Ok(root) => {
                let declared = decoder.credentials(Spot::root(&root));
                let declared = decoder.finish(declared)?;
                Ok(Credentials { declared, digest: Digest::of(text.as_bytes()) })
            }
            Err(error) => Err(decoder.broken(error)),
        }
    }

    /// As they were declared.
    pub fn declared(&self) -> &[Credential] {
        &self.declared
    }

    /// The digest of the text they were read from.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl Default for Credentials {
    fn default() -> Credentials {
        Credentials::none()
    }
}

impl Decoder<'_> {
    fn credentials(&mut self, root: Spot<'_>) -> Option<Vec<Credential>> {
        let fields = self.fields(root, &["version", "credentials"])?;
        if let Some(spot) = self.required(&fields, "version") {
            self.choice(&spot, &[("1", ())]);
        }
        let spot = self.required(&fields, "credentials")?;
        let spots = self.list(&spot)?;
        if spots.len() > MAX_CREDENTIALS {
            return self.fail(&spot, format!("at most {MAX_CREDENTIALS} credentials"));
        }
        self.each(spots, Self::credential)
    }

    fn credential(&mut self, spot: Spot<'_>) -> Option<Credential> {
        const SECRETS: [&str; 7] = ["token", "secret", "password", "value", "key", "header", "env"];
        if let Some(secret) = SECRETS.iter().find_map(|name| spot.member(name)) {
            return self.fail(&secret, "declare the host only; nothing secret belongs in this file");
        }
        let fields = self.fields(spot, &["name", "host", "port", "ports", "scope"])?;
        let name = self.required(&fields, "name").and_then(|spot| Some(self.line(&spot, 100)?.to_owned()));
        let host = self.required(&fields, "host").and_then(|spot| self.host(&spot));
        let ports = match (fields.get("port"), fields.get("ports")) {
            (None, None) => Some(Vec::new()),
            _ => self.ports(&fields),
        };
        let scope = match fields.get("scope") {
            Some(spot) => self.access(&spot),
            None => Some(Access::Full),
        };
        Some(Credential { name: name?, host: host?, ports: ports?, scope: scope? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_declared_is_read() {
        let text = "
version: 1
credentials:
  - { name: github, host: api.github.com, port: 443, scope: read-only }
  - { name: registry, host: '**.pkg.example.com' }
";
        let credentials = Credentials::parse(text, "credentials.yaml").unwrap();
        let [github, registry] = credentials.declared() else { unreachable!("there are two") };
        assert_eq!((github.name.as_str(), github.scope, github.ports.len()), ("github", Access::ReadOnly, 1));
        assert_eq!(
            (registry.host.as_str(), registry.scope, registry.ports.len()),
            ("**.pkg.example.com", Access::Full, 0)
        );
        assert_ne!(credentials.digest(), Credentials::none().digest());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let of = |members: &str| format!("version: 1\ncredentials:\n  - {{ {members} }}\n");
        for (text, field, message) in [
            (of("name: x"), "/credentials/0", "\"host\" is required"),
            (of("host: a.example"), "/credentials/0", "\"name\" is required"),
            (of("name: x, host: '*'"), "/credentials/0/host", "a wildcard needs a domain"),
            (of("name: x, host: a.example, scope: write"), "/credentials/0/scope", "read-only, read-write, full"),
            (of("name: x, host: a.example, port: 0"), "/credentials/0/port", "expected a port"),
            (of("name: x, host: a.example, token: abc"), "/credentials/0/token", "nothing secret belongs"),
            (of("name: x, host: a.example, hosts: b"), "/credentials/0/hosts", "did you mean \"host\""),
            ("version: 2\ncredentials: []\n".to_owned(), "/version", "not one of 1"),
            ("credentials: []\n".to_owned(), "", "\"version\" is required"),
        ] {
            let errors = Credentials::parse(&text, "c.yaml").unwrap_err();
            let error = &errors.errors()[0];
            assert_eq!(error.field, field, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
