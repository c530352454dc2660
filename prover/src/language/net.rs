//! Ranges of IP addresses, as languages over canonical hosts.

use std::net::IpAddr;

use super::chars::Set;
use super::nfa::{Builder, Nfa};

/// Cedar's `ip("10.0.0.0/8")`: an address, and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Net {
    address: IpAddr,
    prefix: u8,
}

impl Net {
    /// An address, or an address and `/` and a prefix length.
    pub(crate) fn parse(text: &str) -> Option<Net> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(&address);
        let prefix = prefix.unwrap_or(width);
        (prefix <= width).then_some(Net { address, prefix })
    }

    /// Whether it is one address.
    pub(crate) fn is_single(&self) -> bool {
        self.prefix == width(&self.address)
    }

    /// Whether every address of it is in `other`, as Cedar's `isInRange` sees it.
    pub(crate) fn is_within(&self, other: &Net) -> bool {
        let same_family = self.address.is_ipv4() == other.address.is_ipv4();
        same_family && self.prefix >= other.prefix && other.covers(bits(&self.address))
    }

    /// Whether a host is an address in the range.
    pub(crate) fn has(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        address.is_some_and(|a| a.is_ipv4() == self.address.is_ipv4() && self.covers(bits(&a)))
    }

    fn covers(&self, address: u128) -> bool {
        let free = u32::from(width(&self.address) - self.prefix);
        let cut = |bits: u128| bits.checked_shr(free).unwrap_or(0);
        cut(address) == cut(bits(&self.address))
    }

    /// INVARIANT: exact on canonical hosts only, which spell an address in one way.
    pub(super) fn compile(&self) -> Nfa {
        match self.address {
            IpAddr::V4(address) => {
                let octets = address.octets();
                let mut b = Builder::new();
                for (at, octet) in octets.iter().enumerate() {
                    if at > 0 {
                        b.one(Set::One('.'));
                    }
                    let (low, high) = part(u16::from(*octet), at, 8, self.prefix);
                    let numbers = (low..=high).map(|n| n.to_string().chars().map(Set::One).collect());
                    b.one_of(&numbers.collect::<Vec<_>>());
                }
                b.finish()
            }
            IpAddr::V6(address) => {
                let groups: Vec<(u16, u16)> = address
                    .segments()
                    .iter()
                    .enumerate()
                    .map(|(at, group)| part(*group, at, 16, self.prefix))
                    .collect();
                let mut all = spelled(&groups, &[]);
                // `::` stands for groups of zeros: so many groups before it, so many after it.
                for before in 0..=7 {
                    for after in 0..=(7 - before) {
                        let (head, rest) = groups.split_at(before);
                        let (gap, tail) = rest.split_at(rest.len() - after);
                        if gap.iter().all(|(low, _)| *low == 0) {
                            all = all.or(&spelled_with_gap(head, tail));
                        }
                    }
                }
                all
            }
        }
    }
}

fn width(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(*v4)),
        IpAddr::V6(v6) => u128::from(*v6),
    }
}

/// The numbers that the `at`th part, of `size` bits, has under a prefix.
fn part(value: u16, at: usize, size: u8, prefix: u8) -> (u16, u16) {
    let before = u8::try_from(at).unwrap_or(u8::MAX).saturating_mul(size);
    let fixed = prefix.saturating_sub(before).min(size);
    let all = u16::MAX >> (16 - size);
    let free = all.checked_shr(fixed.into()).unwrap_or(0);
    (value & !free & all, (value & all) | free)
}

fn spelled(head: &[(u16, u16)], tail: &[(u16, u16)]) -> Nfa {
    let mut b = Builder::new();
    join(&mut b, head);
    join(&mut b, tail);
    b.finish()
}

fn spelled_with_gap(head: &[(u16, u16)], tail: &[(u16, u16)]) -> Nfa {
    let mut b = Builder::new();
    join(&mut b, head);
    b.one(Set::One(':')).one(Set::One(':'));
    join(&mut b, tail);
    b.finish()
}

fn join(b: &mut Builder, groups: &[(u16, u16)]) {
    for (at, (low, high)) in groups.iter().enumerate() {
        if at > 0 {
            b.one(Set::One(':'));
        }
        b.one_of(&hexadecimal(*low, *high));
    }
}

/// The numbers from `low` to `high`, in hexadecimal without leading zeros. The range is a block: all numbers that begin
/// with some bits.
fn hexadecimal(low: u16, high: u16) -> Vec<Vec<Set>> {
    let digit = |from: u16, to: u16| {
        Set::ascii(|b| {
            char::from(b).to_digit(16).is_some_and(|d| (u32::from(from)..=u32::from(to)).contains(&d))
                && !b.is_ascii_uppercase()
        })
    };
    let nibble = |n: u16, at: u32| (n >> (4 * at)) & 15;
    (1..=4u32)
        .filter_map(|length| {
            let (least, most) = match length {
                1 => (0, 15),
                _ => (1 << (4 * (length - 1)), u16::MAX >> (16 - 4 * length)),
            };
            let (from, to) = (low.max(least), high.min(most));
            // Of a block only one digit is neither free nor fixed, so the bounds can be taken digit by digit.
            (from <= to).then(|| (0..length).rev().map(|at| digit(nibble(from, at), nibble(to, at))).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn check(net: &str, inside: &[&str], outside: &[&str]) {
        let range = Net::parse(net).unwrap();
        let nfa = range.compile();
        for (hosts, expect) in [(inside, true), (outside, false)] {
            for host in hosts {
                assert_eq!(range.has(host), expect, "{net} {host}");
                assert_eq!(nfa.matches(host), expect, "{net} {host}");
            }
        }
    }

    #[test]
    fn ranges_are_what_cedar_says() {
        check("10.0.0.0/8", &["10.0.0.0", "10.255.1.2"], &["11.0.0.0", "1.0.0.0", "example.com", "::"]);
        check("172.16.0.0/12", &["172.16.0.1", "172.31.255.255"], &["172.15.0.1", "172.32.0.0"]);
        check("192.0.2.7", &["192.0.2.7"], &["192.0.2.8", "192.0.2.70"]);
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1", "x"]);
        check("::1", &["::1"], &["::", "::2", "1::1", "::1:1"]);
        check("fe80::/10", &["fe80::", "febf::1", "fe80:1:2:3:4:5:6:7"], &["fec0::", "fe8::", "::fe80"]);
        check(
            "2001:db8::/32",
            &["2001:db8::", "2001:db8:0:1::", "2001:db8:1:2:3:4:5:6"],
            &["2001:db9::", "2001:db80::"],
        );
        check("::/0", &["::", "1:2:3:4:5:6:7:8", "1::8"], &["1.2.3.4"]);
        assert_eq!(Net::parse("10.0.0.0/33"), None);
        assert_eq!(Net::parse("x"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn the_automaton_is_the_range(a in any::<u32>(), b in any::<u32>(), prefix in 0..=32u8, same in any::<bool>()) {
            let net = Net::parse(&format!("{}/{prefix}", Ipv4Addr::from(a))).unwrap();
            let near = if same { a ^ (b.checked_shr(prefix.into()).unwrap_or(0)) } else { b };
            let host = Ipv4Addr::from(near).to_string();
            prop_assert_eq!(net.compile().matches(&host), net.has(&host));
            prop_assert_eq!(net.has(&host), (a ^ near).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0);
        }

        #[test]
        fn likewise_for_the_longer_addresses(
            a in any::<u128>(), b in any::<u128>(), zeros in any::<u8>(), prefix in 0..=128u8, same in any::<bool>(),
        ) {
            // Groups of zeros are what makes their spelling hard.
            let clear = |n: u128| (0..8).filter(|at| zeros & (1 << at) != 0).fold(n, |n, at| n & !(0xffff << (16 * at)));
            let (a, b) = (clear(a), clear(b));
            let net = Net::parse(&format!("{}/{prefix}", Ipv6Addr::from(a))).unwrap();
            let near = if same { a ^ (b.checked_shr(prefix.into()).unwrap_or(0)) } else { b };
            let host = Ipv6Addr::from(near).to_string();
            prop_assume!(!host.contains('.'));
            prop_assert_eq!(net.compile().matches(&host), net.has(&host));
            prop_assert_eq!(net.has(&host), (a ^ near).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0);
        }
    }
}
