//! The names of sockets in a network namespace, as the kernel's table says them: where each was bound, in the eyes of
//! whoever bound it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// Names by the directory that they are in.
pub(super) type ByDirectory = BTreeMap<PathBuf, BTreeSet<OsString>>;

/// Names of sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Below the binder's root.
    pub(super) absolute: ByDirectory,
    /// Below the binder's working directory at the time.
    pub(super) relative: ByDirectory,
}

/// The names in a table, `/proc/PID/net/unix`. Some may be of no file.
pub(super) fn bound_names(table: &Path) -> io::Result<Names> {
    Ok(parse(&fs::read(table)?))
}

fn parse(table: &[u8]) -> Names {
    let mut names = Names::default();
    let mut last: Option<Vec<u8>> = None;
    let table = table.strip_suffix(b"\n").unwrap_or(table);
    for line in table.split(|byte| *byte == b'\n').skip(1) {
        match fields(line) {
            Some(name) => last = name.map(<[u8]>::to_vec),
            // A line feed in a name is written as it is.
            None => {
                if let Some(last) = &mut last {
                    last.push(b'\n');
                    last.extend(line);
                }
            }
        }
        if let Some(name) = &last {
            names.add(name);
        }
    }
    names
}

impl Names {
    /// Adds a name. `@` is written for the NUL of an abstract name, which is no file, and may be the first letter of one.
    fn add(&mut self, name: &[u8]) {
        let path = PathBuf::from(OsString::from_vec(name.to_vec()));
        // `.` and doubled slashes would make many directories of one; what `..` leads to only the kernel knows.
        let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return };
        let names = if path.is_absolute() { &mut self.absolute } else { &mut self.relative };
        names.entry(directory.to_owned()).or_default().insert(name.to_owned());
    }
}

/// The eighth field of a line, in which there may be spaces, where it has one; `None` where it is no line of the table.
fn fields(line: &[u8]) -> Option<Option<&[u8]>> {
    let mut rest = line;
    let address = rest.split(|byte| *byte == b' ').next()?.strip_suffix(b":")?;
    if address.len() < 8 || !address.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for _ in 0..7 {
        let Some(field) = rest.iter().position(|byte| *byte == b' ') else { return Some(None) };
        rest = rest.get(field..)?.trim_ascii_start();
    }
    Some((!rest.is_empty()).then_some(rest))
}

/// Whether a name looks like an abstract one.
pub(super) fn looks_abstract(directory: &Path, name: &OsStr) -> bool {
    directory.join(name).as_os_str().as_bytes().starts_with(b"@")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn names_are_read_as_the_kernel_writes_them() {
        let line = |name: &str| format!("ffff8881: 00000002 00000000 00010000 0001 01    45{name}\n");
        // The table after its heading, and directory and name of each that is absolute, or relative.
        let cases: [(String, Pairs<'_>, Pairs<'_>); 8] = [
            (line(" /run/a b"), &[("/run", "a b")], &[]),
            (line(" relative"), &[], &[("", "relative")]),
            (line(" ./a//b/./../s"), &[], &[("a/b/..", "s")]),
            (line(" @abstract"), &[], &[("", "@abstract")]),
            (line(" @/a/b"), &[], &[("@/a", "b")]),
            (line(""), &[], &[]),
            (line("") + &line(" /x/y"), &[("/x", "y")], &[]),
            (line(" /x/a\nb/s"), &[("/x", "a"), ("/x/a\nb", "s")], &[]),
        ];
        for (text, absolute, relative) in cases {
            let names = parse(format!("Num RefCount Protocol Flags Type St Inode Path\n{text}").as_bytes());
            let flat = |names: &ByDirectory| -> Vec<(PathBuf, OsString)> {
                names.iter().flat_map(|(at, names)| names.iter().map(|name| (at.clone(), name.clone()))).collect()
            };
            let expect = |pairs: &[(&str, &str)]| -> Vec<(PathBuf, OsString)> {
                pairs.iter().map(|(at, name)| (at.into(), name.into())).collect()
            };
            assert_eq!(flat(&names.absolute), expect(absolute), "{text:?}");
            assert_eq!(flat(&names.relative), expect(relative), "{text:?}");
        }
    }
}
