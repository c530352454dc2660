//! From the two ends of a connection to the processes that hold the client's socket.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;

use procfs::net::{TcpNetEntries, TcpNetEntry, TcpState};
use procfs::process::{Process as Entry, all_processes};
use procfs::{FromBufReadSI, current_system_info};
use rustix::fs::{Dir, OFlags, readlinkat};
use rustix::io::Errno;

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

/// Every process that holds the socket. All of `/proc` is read: the first holder found is not the answer while a second
/// may exist. Processes of other users, whose files cannot be read, are passed over.
pub(super) fn owners(inode: u64) -> Vec<Entry> {
    let Ok(processes) = all_processes() else { return Vec::new() };
    processes.flatten().filter(|process| holds(process, inode)).collect()
}

/// Whether one of the process's files is the socket.
pub(super) fn holds(process: &Entry, inode: u64) -> bool {
    descriptor(process, inode).is_some()
}

/// Whether this file of the process is still the socket: one look instead of one at each of its files.
pub(super) fn holds_as(process: &Entry, descriptor: &str, inode: u64) -> bool {
    let link = std::fs::read_link(format!("/proc/{}/fd/{descriptor}", process.pid));
    link.is_ok_and(|link| link.as_os_str().as_encoded_bytes() == format!("socket:[{inode}]").as_bytes())
}

/// The name of the first of the process's files that is the socket.
pub(super) fn descriptor(process: &Entry, inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let files = process.open_relative_flags("fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC).ok()?;
    let entries = Dir::read_from(&files).ok()?;
    let mut buffer = Vec::new();
    for entry in entries.flatten().filter(|entry| !entry.file_name().to_bytes().starts_with(b".")) {
        match readlinkat(&files, entry.file_name(), std::mem::take(&mut buffer)) {
            Ok(target) if target.as_bytes() == wanted.as_bytes() => {
                return entry.file_name().to_str().ok().map(str::to_owned);
            }
            Ok(target) => buffer = target.into_bytes(),
            // Whose file may not be read: none of its files may.
            Err(Errno::ACCESS) => return None,
            // Closed meanwhile.
            Err(_) => {}
        }
    }
    None
}
