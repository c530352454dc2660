//! What is mounted where, as the kernel says it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::mount::MountFlags;

/// Something that is mounted.
pub(super) struct Mounted {
    /// Where, in this process's view.
    pub(super) point: PathBuf,
    /// Those that a namespace may not take away.
    pub(super) flags: MountFlags,
    /// `ext4`, `proc`, …
    pub(super) kind: String,
}

/// Where the kernel says it.
pub(super) const TABLE: &str = "/proc/self/mountinfo";

/// All that is mounted, in the order in which it was.
pub(super) fn mounted() -> io::Result<Vec<Mounted>> {
    let text = fs::read(TABLE)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(mount_line).collect())
}

fn mount_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let (point, options) = (fields.next()?, fields.next()?);
    let flags = options.split(|byte| *byte == b',').map(|option| match option {
        b"ro" => MountFlags::RDONLY,
        b"nosuid" => MountFlags::NOSUID,
        b"nodev" => MountFlags::NODEV,
        b"noexec" => MountFlags::NOEXEC,
        b"noatime" => MountFlags::NOATIME,
        b"nodiratime" => MountFlags::NODIRATIME,
        b"relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    });
    // After as many optional fields as there are.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mounted {
        point: PathBuf::from(OsString::from_vec(unescape(point))),
        flags: flags.fold(MountFlags::empty(), MountFlags::union),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

/// `\040` and its like.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}
