//! The network inside: `lo`, a route that makes every address local, and the listeners.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::netlink::{CREATE, Message, REQUEST, attribute, exchange};
use crate::error::SandboxError;

/// Where a client that knows of the proxy finds it.
const PROXY: u16 = 3128;
const DNS: u16 = 53;

/// `lo`, which is the first interface of every namespace.
const LOOPBACK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_HOST: u8 = 254;
const RTN_LOCAL: u8 = 2;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;

/// What listens inside.
pub(crate) struct Listeners {
    pub(crate) proxy: TcpListener,
    pub(crate) resolver: (UdpSocket, TcpListener),
    pub(crate) captured: Vec<TcpListener>,
    /// The port of all of `captured`.
    pub(crate) port: u16,
}

/// Brings `lo` up and makes every address local. Says whether there is IPv6.
pub(crate) fn bring_up() -> Result<bool, SandboxError> {
    let refused =
        |(what, reason): (&str, Errno)| SandboxError::Network { what: what.to_owned(), reason: reason.to_string() };
    exchange(None, &[link_up(), every_address_is_local(AF_INET, &Ipv4Addr::LOCALHOST.octets())]).map_err(refused)?;
    match exchange(None, &[every_address_is_local(AF_INET6, &Ipv6Addr::LOCALHOST.octets())]) {
        Ok(()) => Ok(true),
        // Without the module, and with `ipv6.disable=1` or `disable_ipv6=1`.
        Err((_, Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::NODEV | Errno::ACCESS | Errno::INVAL)) => Ok(false),
        Err(other) => Err(refused(other)),
    }
}

/// Opens what listens, with the capability to listen on port 53.
pub(crate) fn open(ipv6: bool) -> Result<Listeners, SandboxError> {
    let refused = |what: &'static str| {
        move |reason: std::io::Error| SandboxError::Network { what: what.to_owned(), reason: reason.to_string() }
    };
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY)).map_err(refused("the proxy's listener"))?;
    let resolver = resolver(ipv6).map_err(|errno| refused("the resolver's sockets")(errno.into()))?;
    let mut captured =
        vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(refused("the listener for connections"))?];
    let port = captured.first().map(TcpListener::local_addr);
    let port = port.and_then(Result::ok).map_or(0, |address| address.port());
    if ipv6 {
        captured.push(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).map_err(refused("the listener for IPv6"))?);
    }
    Ok(Listeners { proxy, resolver, captured, port })
}

/// One pair of sockets for both families: a redirect stays within its family.
fn resolver(ipv6: bool) -> Result<(UdpSocket, TcpListener), Errno> {
    let (family, any): (_, SocketAddr) = match ipv6 {
        true => (AddressFamily::INET6, (Ipv6Addr::UNSPECIFIED, DNS).into()),
        false => (AddressFamily::INET, (Ipv4Addr::UNSPECIFIED, DNS).into()),
    };
    let open = |kind| -> Result<OwnedFd, Errno> {
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        if ipv6 {
            set_ipv6_v6only(&socket, false)?;
        }
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &any)?;
        Ok(socket)
    };
    let udp = open(SocketType::DGRAM)?;
    let tcp = open(SocketType::STREAM)?;
    listen(&tcp, 128)?;
    Ok((udp.into(), tcp.into()))
}

/// `ip link set lo up`
fn link_up() -> Message {
    let mut body = vec![0; 4]; // family, padding, type
    body.extend(LOOPBACK.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes()); // of the flags, only this one
    Message { about: "the loopback interface", kind: RTM_NEWLINK, flags: REQUEST, body }
}

/// `ip route add local 0.0.0.0/0 dev lo src 127.0.0.1`. The source matters: without it a client's would be the address
/// that it speaks to, and the answer of a listener would take another way than the question.
fn every_address_is_local(family: u8, source: &[u8]) -> Message {
    let mut body = vec![family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL];
    body.extend(0_u32.to_ne_bytes());
    body.extend(attribute(RTA_OIF, &LOOPBACK.to_ne_bytes()));
    body.extend(attribute(RTA_PREFSRC, source));
    Message { about: "the route to every address", kind: RTM_NEWROUTE, flags: REQUEST | CREATE, body }
}
