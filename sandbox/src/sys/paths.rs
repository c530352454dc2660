//! Names of files, followed to where they lead.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use crate::error::SandboxError;
use crate::spec::Filesystem;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A policy of files whose names lead nowhere else any more. Names of nothing are left out: they grant nothing.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) read_only: Vec<PathBuf>,
    pub(crate) read_write: Vec<PathBuf>,
}

/// Follows the policy's names, once for all who go by them, and refuses those that lead out of where the command may write
/// through a link that lies in there: a command could widen the policy of the next run by it.
pub(crate) fn resolve(policy: &Filesystem, workdir: Option<&Path>) -> Result<Resolved, SandboxError> {
    let follow_all = |paths: &mut dyn Iterator<Item = &Path>| -> Vec<(PathBuf, Followed)> {
        paths.filter_map(|path| Some((path.to_owned(), follow(path).ok()?))).collect()
    };
    let workdir = workdir.filter(|_| policy.include_workdir);
    let read_write = follow_all(&mut policy.read_write.iter().map(PathBuf::as_path).chain(workdir));
    let read_only = follow_all(&mut policy.read_only.iter().map(PathBuf::as_path));
    let is_writable = |path: &Path| read_write.iter().any(|(_, writable)| path.starts_with(&writable.end));
    for (path, followed) in read_only.iter().chain(&read_write) {
        // A name that leads through its own end says of itself that it can be written.
        let others = |path: &Path| {
            read_write.iter().any(|(_, writable)| writable.end != followed.end && path.starts_with(&writable.end))
        };
        if let Some(link) = followed.links.iter().find(|link| is_writable(link)).filter(|_| !others(&followed.end)) {
            let (path, link) = (path.display().to_string(), link.display().to_string());
            return Err(SandboxError::Link { path, link });
        }
    }
    let ends = |all: Vec<(PathBuf, Followed)>| all.into_iter().map(|(_, followed)| followed.end).collect();
    Ok(Resolved { read_only: ends(read_only), read_write: ends(read_write) })
}

/// Where a name leads, and the links on the way.
#[derive(Debug, PartialEq, Eq)]
struct Followed {
    end: PathBuf,
    links: Vec<PathBuf>,
}

fn follow(path: &Path) -> io::Result<Followed> {
    let mut followed = Followed { end: PathBuf::from("/"), links: Vec::new() };
    let mut rest: VecDeque<OsString> = names(path);
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            followed.end.pop();
            continue;
        }
        let next = followed.end.join(&name);
        if !fs::symlink_metadata(&next)?.is_symlink() {
            followed.end = next;
            continue;
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            followed.end = PathBuf::from("/");
        }
        names(&target).into_iter().rev().for_each(|name| rest.push_front(name));
        followed.links.push(next);
        if followed.links.len() > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
    }
    Ok(followed)
}

/// The names in a path, `..` among them.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_lead_where_the_kernel_says() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        symlink("a/b", root.join("relative")).unwrap();
        symlink(root.join("relative/.."), root.join("absolute")).unwrap();
        symlink("round", root.join("round")).unwrap();
        for (name, links) in [
            ("a/b/file", &[][..]),
            ("relative/file", &["relative"]),
            ("relative/../b", &["relative"]),
            ("absolute/b/file", &["absolute", "relative"]),
        ] {
            let followed = follow(&root.join(name)).unwrap();
            assert_eq!(followed.end, fs::canonicalize(root.join(name)).unwrap(), "{name}");
            assert_eq!(followed.links, links.iter().map(|link| root.join(link)).collect::<Vec<_>>(), "{name}");
        }
        for nothing in ["round", "a/none", "a/b/file/x"] {
            assert!(follow(&root.join(nothing)).is_err(), "{nothing}");
        }
    }
}
