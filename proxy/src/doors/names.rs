//! Which name a synthetic address stands for.
//!
//! A name keeps its address for as long as the proxy lives, unless the table is full: then the one that nobody used for
//! the longest is given to another, if that was long ago and no connection uses it. Otherwise there is no address: giving
//! one to a second name while a client still has it for the first would send bytes to a host that was not meant.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use narrowgate_core::request::Host;

use crate::policy_local;

/// RFC 2544's: never routed, so that nobody means it.
const NETWORK: u32 = 0xC612_0000;
const NETWORK_BITS: u32 = 15;
/// The address of `policy.local`.
pub(crate) const POLICY_LOCAL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The first of the others.
const FIRST: u32 = NETWORK + 2;
/// As many names have an address at one time; an entry has some hundred bytes.
const MOST_NAMES: usize = 16 << 10;
/// Much longer than any client keeps an answer that was given for [`TTL`](super::resolver::TTL).
const REUSE: Duration = Duration::from_secs(60 * 60);
/// A table that was found full is not searched again for so long.
const FULL: Duration = Duration::from_secs(1);

/// The names of one sandbox.
#[derive(Debug)]
pub(crate) struct Names {
    table: Mutex<Table>,
    most: usize,
}

/// What an address stands for.
#[derive(Debug)]
pub(crate) enum Target {
    /// A name. Its address stays the name's for as long as this is kept.
    Name(Host, InUse),
    /// Itself.
    Literal(Host),
    /// Nothing: a synthetic address that no name has, or one that cannot be meant.
    Nothing,
}

/// Keeps an address from being given to another name.
#[derive(Debug)]
pub(crate) struct InUse {
    _entry: Option<Arc<()>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    by_name: HashMap<Host, usize>,
    full_until: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    name: Host,
    used: Instant,
    uses: Arc<()>,
}

impl Default for Names {
    fn default() -> Names {
        Names::with_room_for(MOST_NAMES)
    }
}

impl Names {
    pub(crate) fn with_room_for(most: usize) -> Names {
        Names { table: Mutex::default(), most }
    }

    /// The address of `name`; `None` where all are taken.
    pub(crate) fn address(&self, name: &Host, now: Instant) -> Option<Ipv4Addr> {
        if name.as_str() == policy_local::HOST {
            return Some(POLICY_LOCAL);
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match table.by_name.get(name) {
            Some(at) => *at,
            None => table.place(name, self.most, now)?,
        };
        table.entries.get_mut(at)?.used = now;
        u32::try_from(at).ok().map(|at| Ipv4Addr::from_bits(FIRST + at))
    }

    /// The name that has `address`, which is not used by that.
    pub(crate) fn name(&self, address: Ipv4Addr) -> Option<Host> {
        if address == POLICY_LOCAL {
            return Host::parse(policy_local::HOST).ok();
        }
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.entries.get(index(address)?).map(|entry| entry.name.clone())
    }

    /// Where a connection to `address` goes.
    pub(crate) fn target(&self, address: IpAddr, now: Instant) -> Target {
        let address = address.to_canonical();
        let IpAddr::V4(v4) = address else { return literal(address) };
        if v4 == POLICY_LOCAL {
            let name = Host::parse(policy_local::HOST);
            return name.map_or(Target::Nothing, |name| Target::Name(name, InUse { _entry: None }));
        }
        if !is_synthetic(v4) {
            return literal(address);
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        match index(v4).and_then(|at| table.entries.get_mut(at)) {
            Some(entry) => {
                entry.used = now;
                Target::Name(entry.name.clone(), InUse { _entry: Some(entry.uses.clone()) })
            }
            None => Target::Nothing,
        }
    }
}

impl Table {
    /// A place for a new name.
    fn place(&mut self, name: &Host, most: usize, now: Instant) -> Option<usize> {
        let entry = Entry { name: name.clone(), used: now, uses: Arc::default() };
        if self.entries.len() < most {
            self.entries.push(entry);
            let at = self.entries.len() - 1;
            self.by_name.insert(name.clone(), at);
            return Some(at);
        }
        if self.full_until.is_some_and(|until| now < until) {
            return None;
        }
        let unused = self.entries.iter_mut().enumerate().filter(|(_, entry)| Arc::strong_count(&entry.uses) == 1);
        let oldest = unused.min_by_key(|(_, entry)| entry.used);
        let Some((at, old)) = oldest.filter(|(_, entry)| now.duration_since(entry.used) >= REUSE) else {
            self.full_until = Some(now + FULL);
            return None;
        };
        let old = std::mem::replace(old, entry);
        self.by_name.remove(&old.name);
        self.by_name.insert(name.clone(), at);
        Some(at)
    }
}

/// Whether `address` is one that names are given.
pub(crate) fn is_synthetic(address: Ipv4Addr) -> bool {
    address.to_bits() >> (32 - NETWORK_BITS) == NETWORK >> (32 - NETWORK_BITS)
}

fn index(address: Ipv4Addr) -> Option<usize> {
    usize::try_from(address.to_bits().checked_sub(FIRST)?).ok()
}

fn literal(address: IpAddr) -> Target {
    Host::parse(&address.to_string()).map_or(Target::Nothing, Target::Literal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    #[test]
    fn a_name_keeps_its_address_and_no_two_share_one() {
        let (names, now) = (Names::default(), Instant::now());
        let one = names.address(&host("one.test"), now).unwrap();
        let two = names.address(&host("two.test"), now).unwrap();
        assert_ne!(one, two);
        assert!(is_synthetic(one) && is_synthetic(two));
        assert_eq!(names.address(&host("ONE.test."), now + REUSE * 9), Some(one));
        assert_eq!(names.address(&host("policy.local"), now), Some(POLICY_LOCAL));
        assert_eq!(names.name(two), Some(host("two.test")));
        assert_eq!(names.name(POLICY_LOCAL), Some(host("policy.local")));
    }

    #[test]
    fn an_address_is_a_name_or_itself_or_nothing() {
        let (names, now) = (Names::default(), Instant::now());
        names.address(&host("one.test"), now).unwrap();
        for (address, expect) in [
            ("198.18.0.1", Some("policy.local")),
            ("198.18.0.2", Some("one.test")),
            ("::ffff:198.18.0.2", Some("one.test")),
            ("198.18.0.3", None),
            ("198.18.0.0", None),
            ("198.19.255.255", None),
            ("198.20.0.0", Some("198.20.0.0")),
            ("198.17.255.255", Some("198.17.255.255")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("2001:db8::1", Some("2001:db8::1")),
        ] {
            let found = match names.target(address.parse().unwrap(), now) {
                Target::Name(name, _) | Target::Literal(name) => Some(name.to_string()),
                Target::Nothing => None,
            };
            assert_eq!(found.as_deref(), expect, "{address}");
        }
    }

    #[test]
    fn a_full_table_gives_only_what_nobody_used_for_long() {
        let (names, start) = (Names::with_room_for(2), Instant::now());
        let one = names.address(&host("one.test"), start).unwrap();
        let two = names.address(&host("two.test"), start + Duration::from_secs(9)).unwrap();
        assert_eq!(names.address(&host("three.test"), start + Duration::from_secs(60)), None);
        let Target::Name(_, in_use) = names.target(one.into(), start) else { panic!() };
        // The oldest has a connection, the other was used a little less long ago than is needed.
        assert_eq!(names.address(&host("three.test"), start + REUSE), None);
        let later = start + REUSE + Duration::from_secs(10);
        assert_eq!(names.address(&host("three.test"), later), Some(two));
        assert_eq!(names.name(two), Some(host("three.test")));
        assert_eq!(names.address(&host("two.test"), later), None);
        drop(in_use);
        assert_eq!(names.address(&host("two.test"), later + FULL), Some(one));
    }
}
