//! Where socket files are that somebody listens on. A network namespace does not close them: a path is a path.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Paths of sockets that there are names for, in this network namespace and in those of all processes that this user
/// may look at: other sandboxes have their own. Some of the paths may be of no socket, or of none any more.
///
/// # Errors
/// Where this namespace's table cannot be read. Others, whose processes may end meanwhile, are left out then.
pub(crate) fn bound() -> io::Result<Vec<OsString>> {
    let mut names = names(Path::new("/proc/net/unix"))?;
    let mut directories = BTreeSet::new();
    let mut networks: BTreeSet<PathBuf> = fs::read_link("/proc/self/ns/net").into_iter().collect();
    for process in fs::read_dir("/proc")?.flatten().map(|entry| entry.path()) {
        let Ok(network) = fs::read_link(process.join("ns/net")) else { continue };
        if networks.insert(network) {
            names.extend(self::names(&process.join("net/unix")).unwrap_or_default());
        }
        directories.extend(fs::read_link(process.join("cwd")));
    }
    let (absolute, relative): (BTreeSet<OsString>, BTreeSet<OsString>) =
        names.into_iter().partition(|name| name.as_bytes().starts_with(b"/"));
    // Whoever bound a relative path did so in its working directory, which it is likely to be in still.
    let in_each = |name| directories.iter().map(move |directory| directory.join(name).into_os_string());
    let anywhere = relative.iter().flat_map(in_each);
    let bound: BTreeSet<OsString> = absolute.iter().cloned().chain(anywhere).collect();
    // A socket that was linked or renamed after it was bound, as OpenSSH does, is in the same directory most often.
    let beside: BTreeSet<&Path> = bound.iter().filter_map(|name| Path::new(name).parent()).collect();
    let beside = beside.into_iter().filter_map(|directory| fs::read_dir(directory).ok());
    let beside = beside.flat_map(|entries| entries.flatten().filter(is_socket)).map(|entry| entry.path().into());
    Ok(bound.iter().cloned().chain(beside).collect::<BTreeSet<_>>().into_iter().collect())
}

fn is_socket(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_socket())
}

fn names(table: &Path) -> io::Result<BTreeSet<OsString>> {
    let text = fs::read(table)?;
    let names = text.split(|byte| *byte == b'\n').skip(1).filter_map(name);
    Ok(names.map(OsStr::to_owned).collect())
}

/// The eighth field, in which there may be spaces. `@` is an abstract name, which is no path.
fn name(line: &[u8]) -> Option<&OsStr> {
    let mut rest = line;
    for _ in 0..7 {
        let field = rest.iter().position(|byte| *byte == b' ')?;
        rest = rest.get(field..)?.trim_ascii_start();
    }
    (!rest.is_empty() && !rest.starts_with(b"@")).then(|| OsStr::from_bytes(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_kernel_writes_them() {
        let cases = [
            ("ffff8881: 00000002 00000000 00010000 0001 01 12345 /run/a b", Some("/run/a b")),
            ("ffff8881: 00000002 00000000 00010000 0001 01    45 relative", Some("relative")),
            ("ffff8881: 00000002 00000000 00010000 0001 01 12345 @abstract", None),
            ("ffff8881: 00000003 00000000 00000000 0001 03 12345", None),
        ];
        for (line, expect) in cases {
            assert_eq!(name(line.as_bytes()), expect.map(OsStr::new), "{line}");
        }
    }
}
