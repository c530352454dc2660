//! Where somebody listens on a socket that has a name among the files. A network namespace does not close those: a path is
//! a path.
//!
//! What the kernel's tables say is where a socket was bound, in the eyes of whoever bound it. So every directory that
//! could have been meant is looked into, and of each socket in there it is found out whether there is anybody: files that
//! nobody listens on are harmless, and anyone may leave any number of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::socket_names::{Names, bound_names, looks_abstract};
use super::views::{self, Network, Place, Reach};

/// Sockets that somebody listens on: names by directory, which is absolute and free of links.
pub(crate) type Listeners = BTreeMap<PathBuf, BTreeSet<OsString>>;

/// How many directories are tried for this network's names, and for those of all others, where it is not said which was
/// meant. More are only there where somebody made them for that.
const MOST_TRIED: usize = 20_000;
/// So many names are looked for one by one, where they are not likely to be files at all.
const FEW: usize = 64;
/// What is replaced inside anyway.
const REPLACED: [&str; 3] = ["/run", "/dev", "/proc"];

/// Finds them, in this network namespace and in those of all processes that this user may look at: other sandboxes have
/// their own. Says as well whether everything was looked for. Of one directory, `most` and one more are enough: the kernel
/// takes longer for each the more there are.
///
/// # Errors
/// Where this namespace's table cannot be read. Others, whose processes may end meanwhile, are left out then.
pub(crate) fn listeners(most: usize) -> io::Result<(Listeners, bool)> {
    let own = bound_names(Path::new("/proc/self/net/unix"))?;
    let networks = views::networks()?;
    let others = networks.iter().skip(1).map(|network| bound_names(&network.process.join("net/unix")));
    let tables: Vec<Names> = std::iter::once(own).chain(others.map(Result::unwrap_or_default)).collect();
    let reach = Reach::read()?;
    let mut search = Search { reach: &reach, found: BTreeMap::new(), is_complete: true };
    let here = reach.here()?;
    // Whoever has the most names waits: they use up what is tried of the rest.
    let mut all: Vec<_> = networks.iter().zip(&tables).collect();
    if let Some((_, others)) = all.split_first_mut() {
        others.sort_by_key(|(network, names)| Search::tries(network, names));
    }
    let (mut left, mut left_to_others) = (MOST_TRIED, MOST_TRIED);
    for (number, (network, names)) in all.into_iter().enumerate() {
        for (directory, names) in &names.absolute {
            search.look(&here, directory, names);
        }
        search.try_views(network, names, if number == 0 { &mut left } else { &mut left_to_others });
    }
    let is_complete = search.is_complete;
    Ok((search.listeners(most)?, is_complete))
}

/// The directories that could have been meant, and the names that were looked for there.
struct Search<'a> {
    reach: &'a Reach,
    found: BTreeMap<PathBuf, Vec<(&'a Path, &'a BTreeSet<OsString>)>>,
    is_complete: bool,
}

impl<'a> Search<'a> {
    /// Names as those mean them who have another root, and relative ones, who bound which being unknown: it did so in its
    /// working directory, which it is likely to be in still.
    fn try_views(&mut self, network: &Network, names: &'a Names, left: &mut usize) {
        let roots = network.roots.iter().filter(|_| !names.absolute.is_empty());
        let roots = roots.filter_map(|view| Some((self.reach.root_of(view)?, &names.absolute)));
        let directories = network.directories.iter().filter(|_| !names.relative.is_empty());
        let directories =
            directories.filter_map(|view| Some((self.reach.working_directory_of(view)?, &names.relative)));
        for (place, names) in roots.chain(directories).collect::<Vec<_>>() {
            for (directory, names) in names.iter().take(*left) {
                self.look(&place, directory, names);
            }
            self.is_complete &= names.len() <= *left;
            *left = left.saturating_sub(names.len());
        }
    }

    /// How many directories those are.
    fn tries(network: &Network, names: &Names) -> usize {
        network.roots.len() * names.absolute.len() + network.directories.len() * names.relative.len()
    }

    fn look(&mut self, place: &Place, directory: &'a Path, names: &'a BTreeSet<OsString>) {
        for path in self.reach.paths(place, directory) {
            if !REPLACED.iter().any(|replaced| path.starts_with(replaced)) {
                let wanted = self.found.entry(path).or_default();
                if !wanted.iter().any(|(_, known)| std::ptr::eq(*known, names)) {
                    wanted.push((directory, names));
                }
            }
        }
    }

    fn listeners(self, most: usize) -> io::Result<Listeners> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut caller = Caller::new()?;
        let mut listeners = Listeners::new();
        for (path, wanted) in self.found {
            let Ok(directory) = open(&path, flags, Mode::empty()) else { continue };
            let mut names = BTreeSet::new();
            for name in candidates(&path, &wanted) {
                let is_wanted = || wanted.iter().any(|(_, names)| names.contains(&name));
                if caller.is_listening(&directory, &name, is_wanted)? {
                    names.insert(name);
                }
                if names.len() > most {
                    break;
                }
            }
            if !names.is_empty() {
                listeners.insert(path, names);
            }
        }
        Ok(listeners)
    }
}

/// The sockets in a directory. A socket that was linked or renamed after it was bound, as OpenSSH does, is in the same
/// directory most often, so it is not those with the names alone.
fn candidates(path: &Path, wanted: &[(&Path, &BTreeSet<OsString>)]) -> BTreeSet<OsString> {
    let by_name = || wanted.iter().flat_map(|(_, names)| names.iter().cloned()).collect();
    let is_few = wanted.iter().map(|(_, names)| names.len()).sum::<usize>() <= FEW;
    let mut all = wanted.iter().flat_map(|(directory, names)| names.iter().map(|name| (*directory, name)));
    if is_few && all.all(|(directory, name)| looks_abstract(directory, name)) {
        return by_name();
    }
    // What may be searched but not listed has its names all the same.
    let Ok(entries) = fs::read_dir(path) else { return by_name() };
    let sockets = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    sockets.map(|entry| entry.file_name()).collect()
}

/// Somebody who finds out whether anybody listens.
struct Caller {
    socket: OwnedFd,
}

impl Caller {
    fn new() -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket })
    }

    /// A datagram socket connects to a listener of its own kind without that noticing, and to another kind's not at all.
    fn is_listening(&mut self, directory: &OwnedFd, name: &OsStr, is_wanted: impl Fn() -> bool) -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(directory.as_fd(), name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(errno.into()),
            Err(_) => return Ok(false),
        };
        // An address is shorter than a file's name may be.
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        match connect(&self.socket, &address) {
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
            // Whoever may not write to it cannot tell, and might be let later: where there is a name for it, there is somebody.
            Err(Errno::ACCESS) => Ok(is_wanted()),
            Ok(()) => {
                *self = Self::new()?;
                Ok(true)
            }
            Err(_) => Ok(true),
        }
    }
}
