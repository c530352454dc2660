//! From a host to addresses, once per connection, with the operator's own answers first.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;

use narrowgate_core::request::{Authority, Host, Port};
use thiserror::Error;

/// `HOST:PORT:ADDR:PORT`: where connections to one host and port go instead, as curl's `--resolve`. Only an operator
/// writes these, and such a destination is exempt from the check of its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveEntry {
    destination: Authority,
    address: SocketAddr,
}

/// A text that is not `HOST:PORT:ADDR:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not HOST:PORT:ADDR:PORT, such as api.example.com:443:127.0.0.1:8443 (brackets around IPv6): {problem}"
)]
pub struct ResolveEntryError {
    text: String,
    problem: String,
}

impl FromStr for ResolveEntry {
    type Err = ResolveEntryError;

    fn from_str(text: &str) -> Result<ResolveEntry, ResolveEntryError> {
        let refuse = |problem: &str| ResolveEntryError { text: text.to_owned(), problem: problem.to_owned() };
        let (destination, address) = split(text).ok_or_else(|| refuse("two of its four parts are missing"))?;
        let destination = Authority::parse(destination, None).map_err(|e| refuse(&e.to_string()))?;
        let address: SocketAddr =
            address.parse().map_err(|_| refuse("the third part is an address, the fourth its port"))?;
        if address.port() == 0 {
            return Err(refuse("a port is a decimal number from 1 to 65535"));
        }
        Ok(ResolveEntry { destination, address })
    }
}

/// The operator's answers, and the system's resolver for the rest.
pub(crate) struct Resolver {
    pinned: HashMap<Authority, Vec<SocketAddr>>,
}

/// What a destination resolved to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// The operator said so: exempt from the check.
    Pinned(Vec<SocketAddr>),
    /// An IP literal: the address is the destination that the policy names.
    Literal(SocketAddr),
    /// A name's addresses, which whoever runs its DNS has chosen.
    Looked(Vec<SocketAddr>),
}

impl Resolver {
    pub(crate) fn new(entries: Vec<ResolveEntry>) -> Resolver {
        let mut pinned: HashMap<Authority, Vec<SocketAddr>> = HashMap::new();
        for entry in entries {
            pinned.entry(entry.destination).or_default().push(entry.address);
        }
        Resolver { pinned }
    }

    /// Whether the operator has said where `host`:`port` is.
    pub(crate) fn is_pinned(&self, host: &Host, port: Port) -> bool {
        self.pinned.contains_key(&Authority { host: host.clone(), port })
    }

    /// One lookup; the caller checks and connects to exactly these addresses.
    ///
    /// # Errors
    /// What the system's resolver says. An empty answer is an error too.
    pub(crate) async fn resolve(&self, host: &Host, port: Port) -> io::Result<Resolved> {
        if let Some(addresses) = self.pinned.get(&Authority { host: host.clone(), port }) {
            return Ok(Resolved::Pinned(addresses.clone()));
        }
        if let Some(ip) = host.ip() {
            return Ok(Resolved::Literal(SocketAddr::new(ip, port.get())));
        }
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), port.get())).await?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(Resolved::Looked(addresses))
    }
}

/// Cuts at the colon after the first port: `HOST:PORT` and `ADDR:PORT`.
fn split(text: &str) -> Option<(&str, &str)> {
    let host_end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':')?,
    };
    let port_start = host_end + 1;
    let port_end = port_start + text.get(port_start..)?.find(':')?;
    Some((text.get(..port_end)?, text.get(port_end + 1..)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_entry_is_four_parts() {
        let cases = [
            ("api.example.com:443:127.0.0.1:8443", Some(("api.example.com:443", "127.0.0.1:8443"))),
            ("API.example.com.:443:[::1]:8443", Some(("api.example.com:443", "[::1]:8443"))),
            ("[2001:db8::1]:443:10.0.0.1:1", Some(("[2001:db8::1]:443", "10.0.0.1:1"))),
            ("api.example.com:443:127.0.0.1", None),
            ("api.example.com:443:::1:8443", None),
            ("api.example.com:443:localhost:8443", None),
            ("api.example.com:443:127.0.0.1:0", None),
            ("api.example.com:0:127.0.0.1:1", None),
            ("api.example.com:443", None),
            ("*.example.com:443:127.0.0.1:1", None),
            ("é[:443:127.0.0.1:1", None),
            ("[", None),
            ("", None),
        ];
        for (input, expect) in cases {
            let parsed: Result<ResolveEntry, _> = input.parse();
            let got = parsed.as_ref().ok().map(|e| (e.destination.to_string(), e.address.to_string()));
            assert_eq!(got, expect.map(|(a, b)| (a.to_owned(), b.to_owned())), "{input:?}");
            if let Err(error) = parsed {
                assert!(error.to_string().contains("HOST:PORT:ADDR:PORT"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn an_entry_is_for_its_port_only() {
        let resolver = Resolver::new(vec!["api.example.com:443:127.0.0.1:8443".parse().unwrap()]);
        let host = Host::parse("api.example.com").unwrap();
        assert!(resolver.is_pinned(&host, Port::HTTPS));
        assert!(!resolver.is_pinned(&host, Port::HTTP));
        let pinned = resolver.resolve(&host, Port::HTTPS).await.unwrap();
        assert_eq!(pinned, Resolved::Pinned(vec!["127.0.0.1:8443".parse().unwrap()]));
        let literal = resolver.resolve(&Host::parse("[2001:db8::1]").unwrap(), Port::HTTP).await.unwrap();
        assert_eq!(literal, Resolved::Literal("[2001:db8::1]:80".parse().unwrap()));
    }
}
