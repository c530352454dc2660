//! From the two ends of a connection to the client's socket.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;

use procfs::net::{TcpNetEntries, TcpNetEntry, TcpState};
use procfs::{FromBufReadSI, current_system_info};

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum SocketError {
    /// Closed, or never this machine's.
    Gone,
    /// The kernel's table cannot be read.
    Unreadable(String),
}

/// The same address however it is written: a client's IPv6 socket may speak IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The inode of the socket whose own end is `peer` and whose other end is `local`, both canonical, in the network
/// namespace of the process `namespace`, or in ours.
pub(super) fn inode(peer: SocketAddr, local: SocketAddr, namespace: Option<i32>) -> Result<u64, SocketError> {
    let unreadable = |e: io::Error| SocketError::Unreadable(format!("the kernel's table of sockets: {e}"));
    let table = |name: &str| match namespace {
        Some(pid) => format!("/proc/{pid}/net/{name}"),
        None => format!("/proc/net/{name}"),
    };
    if peer.is_ipv4()
        && let Some(inode) = find(&table("tcp"), peer, local).map_err(unreadable)?
    {
        return Ok(inode);
    }
    // An IPv6 socket may speak IPv4. A kernel without IPv6 has no such table.
    match find(&table("tcp6"), peer, local) {
        Ok(Some(inode)) => Ok(inode),
        Ok(None) => Err(SocketError::Gone),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(SocketError::Gone),
        Err(e) => Err(unreadable(e)),
    }
}

/// Reads a table as far as the first match, of which the kernel admits no second. The kernel walks all its hash buckets
/// to write a table, milliseconds on a large machine: what need not be read is not.
fn find(table: &str, peer: SocketAddr, local: SocketAddr) -> io::Result<Option<u64>> {
    let ports = [format!(":{:04X} ", peer.port()), format!(":{:04X} ", local.port())];
    for line in BufReader::new(File::open(table)?).lines() {
        let line = line?;
        // Most lines are told apart by their ports, without being parsed.
        if !ports.iter().all(|port| line.contains(port)) {
            continue;
        }
        let entries = TcpNetEntries::from_buf_read(format!("header\n{line}").as_bytes(), current_system_info());
        let entries = entries.map_err(io::Error::other)?.0;
        let matches = |entry: &&TcpNetEntry| {
            entry.state != TcpState::Listen
                && entry.inode != 0
                && canonical(entry.local_address) == peer
                && canonical(entry.remote_address) == local
        };
        if let Some(entry) = entries.iter().find(matches) {
            return Ok(Some(entry.inode));
        }
    }
    Ok(None)
}
