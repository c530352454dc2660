//! Sockets below or beside TCP and UDP.

use crate::confined;

const KINDS: &str = "
import errno, socket, sys
kinds = {
    'raw': (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP),
    'icmp': (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    'ping': (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
    'raw6': (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP),
    'packet': (socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
    'netlink': (socket.AF_NETLINK, socket.SOCK_RAW, 0),
    'vsock': (40, socket.SOCK_STREAM, 0),
    'sctp': (socket.AF_INET, socket.SOCK_STREAM, 132),
    'mptcp': (socket.AF_INET, socket.SOCK_STREAM, 262),
    'udplite': (socket.AF_INET, socket.SOCK_DGRAM, 136),
    'alg': (38, socket.SOCK_SEQPACKET, 0),
    'bluetooth': (31, socket.SOCK_RAW, 1),
    'xdp': (44, socket.SOCK_RAW, 0),
}
for name, (family, kind, protocol) in kinds.items():
    try:
        socket.socket(family, kind, protocol)
        print(name, 'made')
    except OSError as e:
        print(name, errno.errorcode[e.errno])
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        socket.socket(family, kind)
print('usual made')
";

#[tokio::test(flavor = "multi_thread")]
async fn cannot_be_made() {
    let (confined, _) = confined().await;
    let outside = confined.python_outside(KINDS, &[]).await;
    assert!(outside.stdout.contains("netlink made"), "the attack itself does not work: {outside:?}");
    let inside = confined.python(KINDS, &[]).await;
    let made: Vec<&str> = inside.stdout.lines().filter(|line| line.ends_with(" made")).collect();
    assert_eq!(made, ["usual made"], "{inside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cannot_be_made_through_a_ring() {
    // IORING_OP_SOCKET makes sockets that no filter of system calls sees.
    const RING: &str = "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print('ring', libc.syscall(425, 8, ctypes.create_string_buffer(120)), ctypes.get_errno())
";
    let (confined, _) = confined().await;
    let inside = confined.python(RING, &[]).await;
    assert!(inside.stdout.starts_with("ring -1 "), "{inside:?}");
}
