//! Hosts and ports: every spelling of a destination becomes one form, or is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Ambiguity;

/// A destination's name in canonical form: lower case, A-labels, no trailing dot; or an IP literal as the standard
/// library prints it, IPv6 without brackets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    text: SmolStr,
    ip: Option<IpAddr>,
}

impl Host {
    /// Reads a host as it stands in an authority, with or without brackets around an IPv6 address.
    ///
    /// # Errors
    /// Whatever two resolvers could read differently: octal, hexadecimal, short or integer IPv4 spellings, zone ids,
    /// percent-encoding, control bytes, empty labels, labels that IDNA refuses, a numeric last label. An IPv6 address
    /// that carries an IPv4 one (`::ffff:127.0.0.1`) is refused in favour of the IPv4 spelling.
    pub fn parse(text: &str) -> Result<Host, Ambiguity> {
        let refuse = |problem| Err(Ambiguity::new("host", text, problem));
        if text.is_empty() || text.len() > 1024 {
            return refuse("a host has 1 to 253 characters");
        }
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if unbracketed.is_some() || text.contains(':') {
            let Ok(ip) = unbracketed.unwrap_or(text).parse::<Ipv6Addr>() else {
                return refuse("not an IPv6 address (zone ids are not accepted)");
            };
            if ip.to_ipv4_mapped().is_some() {
                return refuse("write the IPv4 address that this maps to");
            }
            return Ok(Host { text: SmolStr::new(ip.to_string()), ip: Some(IpAddr::V6(ip)) });
        }
        if text.bytes().any(|b| b.is_ascii_control() || b"%/\\@?#[]<>^|\" *".contains(&b)) {
            return refuse("a host has no such character");
        }
        let ascii = match idna::domain_to_ascii_strict(text.strip_suffix('.').unwrap_or(text)) {
            Ok(ascii) => ascii,
            // IDNA's strict profile refuses `_`, which real service names use; ASCII needs no mapping but case.
            Err(_) if text.is_ascii() => text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase(),
            Err(_) => return refuse("not a name that IDNA accepts"),
        };
        if let Ok(ip) = ascii.parse::<Ipv4Addr>() {
            return Ok(Host { text: SmolStr::new(ip.to_string()), ip: Some(IpAddr::V4(ip)) });
        }
        if ascii.len() > 253 || !ascii.split('.').all(is_label) {
            return refuse("labels are 1 to 63 letters, digits, '-' and '_', and neither begin nor end with '-'");
        }
        if ascii.rsplit('.').next().is_some_and(is_numeric) {
            return refuse("a last label that reads as a number is an IPv4 address to some");
        }
        Ok(Host { text: SmolStr::new(ascii), ip: None })
    }

    /// The canonical text, IPv6 without brackets.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, where the host is an IP literal.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// How many labels the name has; 0 for an IP literal.
    pub fn labels(&self) -> usize {
        if self.ip.is_some() { 0 } else { self.text.split('.').count() }
    }
}

/// Whether `label` may stand in a canonical host name.
pub(crate) fn is_label(label: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b != b'-');
    label.len() <= 63
        && edge(label.bytes().next())
        && edge(label.bytes().last())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// Whether some resolver would read `label` as a number: all digits, or `0x` and hex digits.
pub(crate) fn is_numeric(label: &str) -> bool {
    let digits = |text: &str, ok: fn(&u8) -> bool| text.bytes().all(|b| ok(&b));
    digits(label, u8::is_ascii_digit) || label.strip_prefix("0x").is_some_and(|hex| digits(hex, u8::is_ascii_hexdigit))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// `https`' port.
    pub const HTTPS: Port = Port(match NonZeroU16::new(443) {
        Some(port) => port,
        None => unreachable!(),
    });
    /// `http`'s port.
    pub const HTTP: Port = Port(match NonZeroU16::new(80) {
        Some(port) => port,
        None => unreachable!(),
    });

    /// `None` for port 0.
    pub fn new(port: u16) -> Option<Port> {
        NonZeroU16::new(port).map(Port)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Host and port, as in a `CONNECT` target, a `Host` header or an absolute-form target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: Port,
}

impl Authority {
    /// Reads `host:port` or, with a `default` port, `host`. Userinfo is refused; IPv6 needs its brackets.
    ///
    /// # Errors
    /// See [`Host::parse`]; a port that is missing, zero, out of range or not plain decimal.
    pub fn parse(text: &str, default: Option<Port>) -> Result<Authority, Ambiguity> {
        let refuse = |problem| Err(Ambiguity::new("authority", text, problem));
        if text.contains('@') {
            // Not quoted: what stands before the @ may be a password.
            return Err(Ambiguity::new("authority", "", "userinfo is not accepted"));
        }
        let (host, port) = match text.rfind(':') {
            Some(at) if !text.ends_with(']') => text.split_at(at),
            _ => (text, ""),
        };
        if host.contains(':') && !host.starts_with('[') {
            return refuse("an IPv6 address stands in brackets");
        }
        let port = match (port.strip_prefix(':'), default) {
            (Some(digits), _) => {
                let plain =
                    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
                match digits.parse().ok().and_then(Port::new) {
                    Some(port) if plain => port,
                    _ => return refuse("a port is a decimal number from 1 to 65535"),
                }
            }
            (None, Some(default)) => default,
            (None, None) => return refuse("a port is required"),
        };
        Ok(Authority { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.ip {
            Some(IpAddr::V6(_)) => write!(f, "[{}]:{}", self.host, self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_spelling_becomes_one_form_or_is_refused() {
        let cases = [
            ("API.GitHub.com.", Some("api.github.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("_dmarc.example.com", Some("_dmarc.example.com")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[2001:DB8::1]", Some("2001:db8::1")),
            ("localhost", Some("localhost")),
            ("127.1", None),
            ("0x7f.0.0.1", None),
            ("0177.0.0.1", None),
            ("2130706433", None),
            ("a.0x7f", None),
            ("::ffff:127.0.0.1", None),
            ("fe80::1%eth0", None),
            ("a..b", None),
            ("-a.com", None),
            ("a b.com", None),
            ("a\0.com", None),
            ("a%2ecom", None),
            ("", None),
            (".", None),
            ("a.com..", None),
        ];
        for (input, expect) in cases {
            assert_eq!(Host::parse(input).ok().as_ref().map(Host::as_str), expect, "{input:?}");
        }
    }

    #[test]
    fn authorities() {
        let cases = [
            ("a.com:443", None, Some("a.com:443")),
            ("a.com", Some(Port::HTTPS), Some("a.com:443")),
            ("[::2]:8443", None, Some("[::2]:8443")),
            ("a.com", None, None),
            ("a.com:", None, None),
            ("a.com:0", None, None),
            ("a.com:0443", None, None),
            ("a.com:65536", None, None),
            ("a.com:+443", None, None),
            ("user:secret@a.com:443", None, None),
            ("::2:8443", None, None),
        ];
        for (input, default, expect) in cases {
            assert_eq!(Authority::parse(input, default).ok().map(|a| a.to_string()).as_deref(), expect, "{input:?}");
        }
        assert!(!Authority::parse("u:secret@a.com:1", None).unwrap_err().to_string().contains("secret"));
    }
}
