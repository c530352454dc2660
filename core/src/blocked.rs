//! Which addresses a sandbox never reaches, however their name was allowed.
//!
//! Names are the policy's business; addresses are this module's. A name that the policy allows may resolve to the
//! machine's own services or to a cloud's metadata, by mistake or by a rebinding attack. An IPv6 address that carries an
//! IPv4 one (mapped, NAT64, 6to4, Teredo, ISATAP) is judged by what it carries, wherever a translator may sit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::request::Host;

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Whether no policy can open it. What is not always blocked, a policy opens by naming the address itself: a name
    /// that merely resolves to it stays blocked.
    pub always: bool,
    /// What sort of address it is, for a person.
    pub class: &'static str,
}

/// What is wrong with `ip` as a destination, if anything.
pub fn blocked(ip: IpAddr) -> Option<Blocked> {
    match ip {
        IpAddr::V4(ip) => blocked_v4(ip),
        IpAddr::V6(ip) => blocked_v6(ip),
    }
}

/// Whether `host` can be refused for good before anything is resolved: a literal that is always blocked, or a name whose
/// only use is to reach this machine or a cloud's metadata. No proposal is worth making for it.
pub fn always_blocked_host(host: &Host) -> Option<Blocked> {
    if let Some(ip) = host.ip() {
        return blocked(ip).filter(|blocked| blocked.always);
    }
    let is = |names: &[&str]| names.iter().any(|name| is_or_under(host.as_str(), name));
    if is(&[
        "localhost",
        "localhost.localdomain",
        "localhost6",
        "ip6-localhost",
        "ip6-loopback",
        "host.docker.internal",
    ]) {
        return Some(always("loopback"));
    }
    is(&METADATA_NAMES).then_some(always(METADATA))
}

/// What [`Blocked::class`] says of a cloud's metadata service, by name or by address.
pub const METADATA: &str = "metadata service";
/// What [`Blocked::class`] says of 169.254.0.0/16 and fe80::/10.
pub const LINK_LOCAL: &str = "link-local";
/// Names, with all that is under them, whose only use is to reach a cloud's metadata.
pub const METADATA_NAMES: [&str; 5] =
    ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal", "instance-data", "metadata"];

/// The prefixes of IPv4, narrowest claims first: (network, length, always, class).
const V4: &[(Ipv4Addr, u32, bool, &str)] = &[
    (Ipv4Addr::new(169, 254, 169, 254), 32, true, METADATA),
    (Ipv4Addr::new(169, 254, 170, 2), 32, true, METADATA),
    (Ipv4Addr::new(100, 100, 100, 200), 32, true, METADATA),
    (Ipv4Addr::new(168, 63, 129, 16), 32, true, METADATA),
    (Ipv4Addr::new(192, 0, 0, 192), 32, true, METADATA),
    (Ipv4Addr::new(255, 255, 255, 255), 32, true, "broadcast"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, true, "unspecified"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, true, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, true, LINK_LOCAL),
    (Ipv4Addr::new(224, 0, 0, 0), 4, true, "multicast"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, false, "private"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, false, "private"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, false, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, false, "carrier-grade NAT"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, false, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, false, "documentation"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, false, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, false, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, false, "reserved"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, false, "benchmarking"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, false, "reserved"),
];

/// The prefixes of IPv6 that carry no IPv4 address.
const V6: &[(Ipv6Addr, u32, bool, &str)] = &[
    (Ipv6Addr::LOCALHOST, 128, true, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 128, true, "unspecified"),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, true, METADATA),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23), 128, true, METADATA),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, true, METADATA),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, true, LINK_LOCAL),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, true, "multicast"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, false, "site-local"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, false, "unique local"),
    // Where in it the IPv4 address stands is the translator's choice, so that none of it can be judged.
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, true, "local-use NAT64"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, false, "documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, false, "documentation"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, false, "benchmarking"),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, false, "reserved"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, false, "discard-only"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, false, "segment routing"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 8, false, "reserved"),
];

fn blocked_v4(ip: Ipv4Addr) -> Option<Blocked> {
    let covers = |network: Ipv4Addr, length: u32| (ip.to_bits() ^ network.to_bits()).leading_zeros() >= length;
    V4.iter()
        .find(|(network, length, ..)| covers(*network, *length))
        .map(|&(_, _, always, class)| Blocked { always, class })
}

fn blocked_v6(ip: Ipv6Addr) -> Option<Blocked> {
    let covers = |network: Ipv6Addr, length: u32| (ip.to_bits() ^ network.to_bits()).leading_zeros() >= length;
    let own = V6
        .iter()
        .find(|(network, length, ..)| covers(*network, *length))
        .map(|&(_, _, always, class)| Blocked { always, class });
    let translates = covers(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
    if own.is_some_and(|own| own.always) {
        return own;
    }
    let carried: Vec<Blocked> = carried(ip).into_iter().flatten().filter_map(blocked_v4).collect();
    let worst = carried.iter().find(|blocked| blocked.always).or(carried.first()).copied();
    match worst {
        Some(worst) if worst.always => Some(worst),
        // The well-known NAT64 prefix lies in the reserved ::/8 and is a public address if what it carries is one.
        worst if translates || ip.to_ipv4_mapped().is_some() => worst,
        worst => own.or(worst),
    }
}

/// Every IPv4 address that some router may take out of `ip`.
fn carried(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let bits = ip.to_bits();
    let low = Ipv4Addr::from_bits((bits & 0xffff_ffff) as u32);
    let at = |shift: u32| Ipv4Addr::from_bits(((bits >> shift) & 0xffff_ffff) as u32);
    let mut found = [None; 3];
    match ip.segments() {
        // IPv4-compatible, IPv4-mapped and IPv4-translated.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => found[0] = Some(low),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => found[0] = Some(low),
        [0x2002, ..] => found[0] = Some(at(80)),
        // Teredo: the client's address is stored inverted, the server's as it is.
        [0x2001, 0, ..] => {
            found[0] = Some(Ipv4Addr::from_bits(!low.to_bits()));
            found[1] = Some(at(64));
        }
        _ => {}
    }
    if matches!(ip.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, ..]) {
        found[2] = Some(low); // ISATAP
    }
    found
}

fn is_or_under(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

const fn always(class: &'static str) -> Blocked {
    Blocked { always: true, class }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn check(input: &str, expect: Option<(bool, &str)>) {
        let ip = input.parse().unwrap_or_else(|_| panic!("{input}"));
        assert_eq!(blocked(ip).map(|b| (b.always, b.class)), expect, "{input}");
    }

    #[test]
    fn addresses_are_judged_by_what_they_reach() {
        for public in
            ["1.1.1.1", "140.82.121.6", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "11.0.0.1"]
        {
            check(public, None);
        }
        for public in
            ["2606:4700::1111", "2a00:1450:4001::1", "2002:8c52:7906::1", "64:ff9b::8c52:7906", "::ffff:1.1.1.1"]
        {
            check(public, None);
        }
        check("0.0.0.0", Some((true, "unspecified")));
        check("0.1.2.3", Some((true, "unspecified")));
        check("127.0.0.1", Some((true, "loopback")));
        check("127.255.255.254", Some((true, "loopback")));
        check("169.254.169.254", Some((true, "metadata service")));
        check("169.254.1.1", Some((true, "link-local")));
        check("100.100.100.200", Some((true, "metadata service")));
        check("168.63.129.16", Some((true, "metadata service")));
        check("224.0.0.251", Some((true, "multicast")));
        check("255.255.255.255", Some((true, "broadcast")));
        check("10.1.2.3", Some((false, "private")));
        check("172.31.255.255", Some((false, "private")));
        check("192.168.1.1", Some((false, "private")));
        check("100.64.0.1", Some((false, "carrier-grade NAT")));
        check("198.19.0.1", Some((false, "benchmarking")));
        check("203.0.113.9", Some((false, "documentation")));
        check("250.0.0.1", Some((false, "reserved")));
        check("::1", Some((true, "loopback")));
        check("::", Some((true, "unspecified")));
        check("fe80::1", Some((true, "link-local")));
        check("febf::1", Some((true, "link-local")));
        check("ff02::1", Some((true, "multicast")));
        check("fd00:ec2::254", Some((true, "metadata service")));
        check("fd12:3456::1", Some((false, "unique local")));
        check("fec0::1", Some((false, "site-local")));
        check("2001:db8::1", Some((false, "documentation")));
    }

    #[test]
    fn an_address_inside_an_address_is_found() {
        check("::ffff:127.0.0.1", Some((true, "loopback")));
        check("::ffff:169.254.169.254", Some((true, "metadata service")));
        check("::ffff:10.0.0.1", Some((false, "private")));
        check("::127.0.0.1", Some((true, "loopback")));
        check("::ffff:0:127.0.0.1", Some((true, "loopback")));
        check("64:ff9b::127.0.0.1", Some((true, "loopback")));
        check("64:ff9b::a00:1", Some((false, "private")));
        check("64:ff9b:1::7f00:1", Some((true, "local-use NAT64")));
        check("64:ff9b:1:7f00:0:100::", Some((true, "local-use NAT64")));
        check("2002:7f00:1::1", Some((true, "loopback")));
        check("2002:a9fe:a9fe::", Some((true, "metadata service")));
        check("2002:c0a8:101::1", Some((false, "private")));
        // Teredo with the server 65.54.227.120 and, inverted, the client 127.0.0.1.
        check("2001:0:4136:e378:8000:63bf:80ff:fffe", Some((true, "loopback")));
        check("2a00::5efe:7f00:1", Some((true, "loopback")));
        check("2a00::200:5efe:a9fe:a9fe", Some((true, "metadata service")));
    }

    #[test]
    fn names_that_mean_this_machine_are_refused_unresolved() {
        let cases = [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("app.localhost", true),
            ("notlocalhost", false),
            ("localhost.example.com", false),
            ("metadata.google.internal", true),
            ("metadata.example.com", false),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("169.254.169.254", true),
            ("10.0.0.1", false),
            ("1.1.1.1", false),
            ("api.github.com", false),
        ];
        for (host, expect) in cases {
            assert_eq!(always_blocked_host(&Host::parse(host).unwrap()).is_some(), expect, "{host}");
        }
    }
}
