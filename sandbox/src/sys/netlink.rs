//! Netlink messages, written and acknowledged. Only what is needed to set up a namespace that has nothing yet: no
//! dumps, no events.
//!
//! By hand, since there is no well-kept crate under a permissive licence that writes nftables rules, and a second one
//! for three routing messages would be larger than this file.

use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// `NLM_F_REQUEST | NLM_F_ACK`
pub(crate) const REQUEST: u16 = 0x1 | 0x4;
/// `NLM_F_CREATE`
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`
pub(crate) const APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 0x8000;
const HEADER: usize = 16;

/// One message and what it is about, for whoever reads that it was refused.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) about: &'static str,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) body: Vec<u8>,
}

/// An attribute: length, type, payload, padding to four bytes.
pub(crate) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute of attributes.
pub(crate) fn nest(kind: u16, inner: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &inner.concat())
}

/// A text, with the NUL that the kernel expects.
pub(crate) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// A number in network order, as nftables wants all of them.
pub(crate) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// Sends messages as one datagram, which nftables takes as one transaction, and waits until each that asks for it is
/// acknowledged. The error is of the first that was refused.
pub(crate) fn exchange(protocol: Option<Protocol>, messages: &[Message]) -> Result<(), (&'static str, Errno)> {
    let about = messages.first().map_or("", |message| message.about);
    let failed = |error| (about, error);
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map_err(failed)?;
    // The kernel answers before `sendto` returns; this is for a kernel that does not.
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(5))).map_err(failed)?;
    let mut datagram = Vec::new();
    for (sequence, message) in (1_u32..).zip(messages) {
        let length = u32::try_from(HEADER + message.body.len()).unwrap_or(u32::MAX);
        datagram.extend(length.to_ne_bytes());
        datagram.extend(message.kind.to_ne_bytes());
        datagram.extend(message.flags.to_ne_bytes());
        datagram.extend(sequence.to_ne_bytes());
        datagram.extend(0_u32.to_ne_bytes());
        datagram.extend(&message.body);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
    }
    sendto(&socket, &datagram, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
    let mut awaited = messages.iter().filter(|message| message.flags & REQUEST == REQUEST).count();
    let mut buffer = vec![MaybeUninit::uninit(); 16 << 10];
    while awaited > 0 {
        let ((answers, _), _) = recv(&socket, &mut *buffer, RecvFlags::empty()).map_err(failed)?;
        let mut rest = &*answers;
        while let Some((sequence, error, after)) = answer(rest) {
            rest = after;
            if error != 0 {
                let refused = messages.get(sequence.saturating_sub(1) as usize);
                let about = refused.map_or(about, |message| message.about);
                return Err((about, Errno::from_raw_os_error(error.saturating_neg())));
            }
            awaited = awaited.saturating_sub(1);
        }
    }
    Ok(())
}

/// The first acknowledgement: which message, the negative error number, what follows.
fn answer(bytes: &[u8]) -> Option<(u32, i32, &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let sequence = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    let error = i32::from_ne_bytes(*bytes.get(HEADER..)?.first_chunk()?);
    let after = bytes.get(length.next_multiple_of(4).max(HEADER)..).unwrap_or_default();
    if kind == NLMSG_ERROR { Some((sequence, error, after)) } else { answer(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_their_length_is_not() {
        assert_eq!(attribute(7, b"abcde"), [9, 0, 7, 0, b'a', b'b', b'c', b'd', b'e', 0, 0, 0]);
        assert_eq!(nest(1, &[number(2, 3)]), [12, 0, 1, 0x80, 8, 0, 2, 0, 0, 0, 0, 3]);
        assert_eq!(text(1, "nat"), [8, 0, 1, 0, b'n', b'a', b't', 0]);
    }

    #[test]
    fn what_is_refused_is_named() {
        let nothing = Message { about: "nonsense", kind: 0xfff0, flags: REQUEST, body: vec![0; 4] };
        assert_eq!(exchange(None, &[nothing]), Err(("nonsense", Errno::OPNOTSUPP)));
    }
}
