//! What supervisor and stages tell each other: frames over a socket pair, with file descriptors beside them.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::covers::Covers;
use crate::error::SandboxError;
use crate::running::Ended;
use crate::spec::Filesystem;

/// The network stage to the supervisor. `Ready` comes with the listeners, in the order of [`crate::Doors`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromNetwork {
    Ready { lacks: Vec<String> },
    Failed(SandboxError),
}

/// The supervisor to the network stage, with the init stage's end of its channel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StartInit;

/// The supervisor to the init stage. `Launch` comes with stdin, and with the placed files' contents one after another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToInit {
    Launch(Box<Order>),
    Signal(i32),
}

/// The init stage to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    Started { lacks: Vec<String> },
    Failed(SandboxError),
    Ended(Ended),
}

/// A [`crate::Spec`] as it travels: paths are bytes, the environment is whole.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) command: Vec<OsString>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) files: Vec<(OsString, usize)>,
    pub(crate) hidden: Vec<OsString>,
    pub(crate) covers: Covers,
    pub(crate) filesystem: Option<Filesystem>,
}

/// A frame: what is said, bytes that are too many for JSON, file descriptors.
#[derive(Debug)]
pub(crate) struct Frame<T> {
    pub(crate) message: T,
    pub(crate) blob: Vec<u8>,
    pub(crate) files: Vec<OwnedFd>,
}

/// More than any frame needs; whoever sends more has lost its mind.
const LARGEST: usize = 64 << 20;
/// The listeners are six.
const MOST_FILES: usize = 8;
const HEADER: usize = 8;

/// Sends one frame. The file descriptors are duplicated for the other side.
pub(crate) fn send<T: Serialize>(
    mut socket: &UnixStream,
    message: &T,
    blob: &[u8],
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
    let mut header = length(&text)?.to_ne_bytes().to_vec();
    header.extend(length(blob)?.to_ne_bytes());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many file descriptors for one frame"));
    }
    // The header goes first and alone, so that it carries all file descriptors.
    let sent = sendmsg(socket.as_fd(), &[IoSlice::new(&header)], &mut ancillary, SendFlags::NOSIGNAL)?;
    socket.write_all(header.get(sent..).unwrap_or_default())?;
    socket.write_all(&text)?;
    socket.write_all(blob)
}

/// Receives one frame, and `None` where the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<Frame<T>>> {
    let mut header = [0; HEADER];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let read =
            recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut header)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        match read {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("file descriptors of a frame were lost"));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    socket.read_exact(header.get_mut(received.bytes..).unwrap_or_default())?;
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    let (text, blob) = header.split_at(HEADER / 2);
    let text = read_exactly(socket, text)?;
    let blob = read_exactly(socket, blob)?;
    Ok(Some(Frame { message: serde_json::from_slice(&text)?, blob, files }))
}

fn read_exactly(mut socket: &UnixStream, length: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::from_ne_bytes(length.try_into().map_err(io::Error::other)?) as usize;
    if length > LARGEST {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
}
