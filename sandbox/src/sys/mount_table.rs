//! What is mounted where, as the kernel says it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

/// Something that is mounted.
#[derive(Debug)]
pub(super) struct Mounted {
    /// What `statx` says of what is in it.
    pub(super) id: u64,
    /// Which file system.
    pub(super) device: Vec<u8>,
    /// Which directory of it.
    pub(super) root: PathBuf,
    /// Where, in the process's view.
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
    read(Path::new(TABLE))
}

/// The same of another process.
pub(super) fn read(table: &Path) -> io::Result<Vec<Mounted>> {
    let text = fs::read(table)?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(mount_line).collect())
}

fn mount_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let _parent = fields.next()?;
    let (device, root) = (fields.next()?.to_vec(), path(fields.next()?));
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
        id,
        device,
        root,
        point: path(point),
        flags: flags.fold(MountFlags::empty(), MountFlags::union),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

fn path(text: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(text)))
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
