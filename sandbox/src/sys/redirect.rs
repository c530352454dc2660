//! Redirects inside, as one nftables transaction. What `nft list ruleset` would show:
//!
//! ```text
//! table inet narrowgate {
//!     chain out {
//!         type nat hook output priority dstnat; policy accept;
//!         udp dport 53 redirect to :53
//!         tcp dport 53 redirect to :53
//!         ip daddr 127.0.0.0/8 accept
//!         ip6 daddr ::1 accept
//!         meta l4proto tcp redirect to :CAPTURED
//!     }
//!     chain last {
//!         type filter hook output priority filter; policy drop;
//!         ip daddr 127.0.0.0/8 accept
//!         ip6 daddr ::1 accept
//!         reject with icmpx port-unreachable
//!     }
//! }
//! ```
//!
//! A redirect of what is sent here leads to 127.0.0.1 or ::1, so the second chain refuses what the first did not lead
//! anywhere: all other UDP, and `ping`. Nothing would leave without it either, since there is no interface to leave by;
//! it makes clients fail at once, and for the right reason.

use rustix::io::Errno;

use super::netlink::{APPEND, CREATE, Message, REQUEST, attribute, exchange, nest, number, text};
use crate::error::SandboxError;

/// Redirects, and refuses, everything that is sent to anywhere. `captured` is the port for connections.
pub(crate) fn install(captured: u16) -> Result<(), SandboxError> {
    exchange(Some(rustix::net::netlink::NETFILTER), &transaction(captured)).map_err(|(what, errno)| {
        // A missing module is `ENOENT` for a chain or an expression and `EPROTONOSUPPORT` for the socket.
        let reason = if errno == Errno::NOENT { "the kernel does not know it".to_owned() } else { errno.to_string() };
        SandboxError::Redirect { what: what.to_owned(), reason }
    })
}

const TABLE: &str = "narrowgate";
const NFPROTO_INET: u8 = 1;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = 0;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
/// `NF_INET_LOCAL_OUT`
const OUTPUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;

fn transaction(captured: u16) -> Vec<Message> {
    let to_dns = |protocol| [l4_protocol(protocol), destination_port(DNS), redirect(DNS)].concat();
    let rule = |about, chain, expressions| {
        let body = [text(1, TABLE), text(2, chain), nest(4, expressions)]; // table, chain, expressions
        table_message(about, NEWRULE, CREATE | APPEND, &body.concat())
    };
    vec![
        batch(BATCH_BEGIN),
        table_message("the table", NEWTABLE, CREATE, &text(1, TABLE)),
        chain("the chain of type nat", "out", "nat", -100, ACCEPT),
        rule("the redirect of DNS over UDP", "out", &to_dns(UDP)),
        rule("the redirect of DNS over TCP", "out", &to_dns(TCP)),
        rule("the exception for 127.0.0.0/8", "out", &[ipv4_loopback(), accept()].concat()),
        rule("the exception for ::1", "out", &[ipv6_loopback(), accept()].concat()),
        rule("the redirect of connections", "out", &[l4_protocol(TCP), redirect(captured)].concat()),
        chain("the chain of type filter", "last", "filter", 0, DROP),
        rule("what 127.0.0.0/8 may be sent", "last", &[ipv4_loopback(), accept()].concat()),
        rule("what ::1 may be sent", "last", &[ipv6_loopback(), accept()].concat()),
        rule("the refusal of everything else", "last", &[reject()]),
        batch(BATCH_END),
    ]
}

/// `nfgenmsg`: family, version, resource.
fn batch(kind: u16) -> Message {
    let body = [[0, 0], NFNL_SUBSYS_NFTABLES.to_be_bytes()].concat();
    Message { about: "nftables", kind, flags: 1, body }
}

fn table_message(about: &'static str, kind: u16, flags: u16, attributes: &[u8]) -> Message {
    let body = [&[NFPROTO_INET, 0, 0, 0], attributes].concat();
    Message { about, kind: NFNL_SUBSYS_NFTABLES << 8 | kind, flags: REQUEST | flags, body }
}

fn chain(about: &'static str, name: &str, kind: &str, priority: i32, policy: u32) -> Message {
    // NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY
    let hook = [number(1, OUTPUT), attribute(2, &priority.to_be_bytes())];
    // NFTA_CHAIN_TABLE, _NAME, _HOOK, _POLICY, _TYPE
    let body = [text(1, TABLE), text(3, name), nest(4, &hook), number(5, policy), text(7, kind)];
    table_message(about, NEWCHAIN, CREATE, &body.concat())
}

const VERDICT: u32 = 0;
const REGISTER: u32 = 1;
/// `NFT_META_NFPROTO`, `NFT_META_L4PROTO`
const META_FAMILY: u32 = 15;
const META_L4_PROTOCOL: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// One expression of a rule: `NFTA_LIST_ELEM` with name and data.
fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nest(1, &[text(1, name), nest(2, data)])
}

/// `meta KEY`, into the register
fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(1, REGISTER), number(2, key)])
}

/// `==`, else the rule ends
fn equals(value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, REGISTER), number(2, 0), nest(3, &[attribute(1, value)])])
}

/// Bytes of a header, into the register
fn payload(header: u32, offset: u32, length: u32) -> Vec<u8> {
    expression("payload", &[number(1, REGISTER), number(2, header), number(3, offset), number(4, length)])
}

/// `meta l4proto PROTOCOL`
fn l4_protocol(protocol: u8) -> Vec<Vec<u8>> {
    vec![meta(META_L4_PROTOCOL), equals(&[protocol])]
}

/// `th dport PORT`
fn destination_port(port: u16) -> Vec<Vec<u8>> {
    vec![payload(TRANSPORT_HEADER, 2, 2), equals(&port.to_be_bytes())]
}

/// `ip daddr 127.0.0.0/8`: the first byte of the destination
fn ipv4_loopback() -> Vec<Vec<u8>> {
    const NFPROTO_IPV4: u8 = 2;
    vec![meta(META_FAMILY), equals(&[NFPROTO_IPV4]), payload(NETWORK_HEADER, 16, 1), equals(&[127])]
}

/// `ip6 daddr ::1`
fn ipv6_loopback() -> Vec<Vec<u8>> {
    const NFPROTO_IPV6: u8 = 10;
    let address = std::net::Ipv6Addr::LOCALHOST.octets();
    vec![meta(META_FAMILY), equals(&[NFPROTO_IPV6]), payload(NETWORK_HEADER, 24, 16), equals(&address)]
}

/// `redirect to :PORT`, the port by way of the register
fn redirect(port: u16) -> Vec<Vec<u8>> {
    let value = nest(2, &[attribute(1, &port.to_be_bytes())]);
    vec![expression("immediate", &[number(1, REGISTER), value]), expression("redir", &[number(1, REGISTER)])]
}

/// `accept`
fn accept() -> Vec<Vec<u8>> {
    let verdict = nest(2, &[nest(2, &[number(1, ACCEPT)])]);
    vec![expression("immediate", &[number(1, VERDICT), verdict])]
}

/// `reject with icmpx port-unreachable`
fn reject() -> Vec<u8> {
    const ICMPX: u32 = 2;
    const PORT_UNREACHABLE: u8 = 1;
    expression("reject", &[number(1, ICMPX), attribute(2, &[PORT_UNREACHABLE])])
}
