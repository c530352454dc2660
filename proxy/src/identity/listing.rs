//! Directories of numbers: the processes in `/proc`, the threads in a process's `task`.

use std::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::RawDir;
use rustix::io::Errno;

/// In bytes: room for three numbers. The kernel lists what lives as it is asked, and what it listed long before it is
/// looked at may by then have ended and left its files to a child. Names in these directories are shorter.
const FEW: usize = 96;

/// The first thing that `visit` finds, which is called with each number as it is listed.
pub(super) fn find<T, E: From<Errno>>(
    directory: OwnedFd,
    mut visit: impl FnMut(i32) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let mut buffer = [MaybeUninit::uninit(); FEW];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else { continue };
        if let Some(found) = visit(number)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
