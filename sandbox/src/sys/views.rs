//! What other processes mean by a path, and where that is here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, open, openat, openat2, statx};

use super::mount_table::{self, Mounted};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A table of mounts.
type Mounts = Rc<Vec<Mounted>>;

/// A process, of those that share its view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// `/proc/PID`
    process: PathBuf,
    mounts: PathBuf,
    root: PathBuf,
}

/// A network, and the views that there are in it.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// `/proc/PID` of one that is in it.
    pub(super) process: PathBuf,
    /// Those whose paths begin elsewhere than here.
    pub(super) roots: Vec<View>,
    /// One for each working directory.
    pub(super) directories: Vec<View>,
}

/// The networks of all processes that this user may look at, this one's first.
pub(super) fn networks() -> io::Result<Vec<Network>> {
    let link = |process: &Path, name: &str| fs::read_link(process.join(name));
    let own = Path::new("/proc/self");
    let (own_network, own_mounts) = (link(own, "ns/net")?, link(own, "ns/mnt")?);
    let own_root = link(own, "root")?;
    let mut networks =
        BTreeMap::from([(own_network.clone(), Network { process: own.to_owned(), ..Network::default() })]);
    let mut known = BTreeSet::new();
    for process in fs::read_dir("/proc")?.flatten().map(|entry| entry.path()) {
        let Ok(network) = link(&process, "ns/net") else { continue };
        let found = networks.entry(network.clone()).or_default();
        if found.process.as_os_str().is_empty() {
            found.process.clone_from(&process);
        }
        let (Ok(mounts), Ok(root)) = (link(&process, "ns/mnt"), link(&process, "root")) else { continue };
        let cwd = link(&process, "cwd").ok();
        let view = View { process, mounts, root };
        let is_elsewhere = view.mounts != own_mounts || view.root != own_root;
        if is_elsewhere && known.insert((network.clone(), view.mounts.clone(), view.root.clone(), None)) {
            found.roots.push(view.clone());
        }
        if cwd.is_some() && known.insert((network, view.mounts.clone(), view.root.clone(), cwd)) {
            found.directories.push(view);
        }
    }
    let own = networks.remove(&own_network);
    Ok(own.into_iter().chain(networks.into_values()).collect())
}

/// What can be reached from here.
#[derive(Debug)]
pub(super) struct Reach {
    own: Mounts,
    namespace: PathBuf,
    /// Of other mount namespaces, by what tells them apart.
    others: RefCell<BTreeMap<(PathBuf, PathBuf), Mounts>>,
}

/// A directory to begin at.
#[derive(Debug)]
pub(super) struct Place {
    at: OwnedFd,
    is_root: bool,
    mounts: Mounts,
}

impl Reach {
    pub(super) fn read() -> io::Result<Self> {
        let own = Rc::new(mount_table::mounted()?);
        Ok(Self { own, namespace: fs::read_link("/proc/self/ns/mnt")?, others: RefCell::default() })
    }

    /// Here.
    pub(super) fn here(&self) -> io::Result<Place> {
        Ok(Place { at: open("/", DIRECTORY, Mode::empty())?, is_root: false, mounts: self.own.clone() })
    }

    /// Where a process's absolute paths begin.
    pub(super) fn root_of(&self, view: &View) -> Option<Place> {
        self.place(view, "root")
    }

    /// Where a process's relative paths begin.
    pub(super) fn working_directory_of(&self, view: &View) -> Option<Place> {
        self.place(view, "cwd")
    }

    fn place(&self, view: &View, link: &str) -> Option<Place> {
        let at = open(view.process.join(link), DIRECTORY, Mode::empty()).ok()?;
        let is_here = view.mounts == self.namespace;
        let mounts = if is_here { self.own.clone() } else { self.mounts_of(view)? };
        Some(Place { at, is_root: link == "root", mounts })
    }

    fn mounts_of(&self, view: &View) -> Option<Mounts> {
        let mut others = self.others.borrow_mut();
        let key = (view.mounts.clone(), view.root.clone());
        if let Some(known) = others.get(&key) {
            return Some(known.clone());
        }
        let table = Rc::new(mount_table::read(&view.process.join("mountinfo")).ok()?);
        others.insert(key, table.clone());
        Some(table)
    }

    /// The paths of a directory from here, where there are any: its own, and those that the same directory has where its
    /// file system is mounted again. Some may lead elsewhere.
    pub(super) fn paths(&self, place: &Place, directory: &Path) -> Vec<PathBuf> {
        let Some(directory) = place.open(directory) else { return Vec::new() };
        let Ok(path) = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())) else { return Vec::new() };
        let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
        if let Some((mounted, below)) = place.mount_of(&directory, &path) {
            let inside = mounted.root.join(below);
            let same = self.own.iter().filter(|other| other.device == mounted.device);
            paths.extend(same.filter_map(|other| Some(other.point.join(inside.strip_prefix(&other.root).ok()?))));
        }
        // Mounts of a process whose root is a directory of one are not told; namespaces begin as copies of each other.
        if path.is_absolute() {
            paths.insert(path);
        }
        // What was joined to nothing ends in a slash.
        paths.into_iter().map(|path| path.components().collect()).collect()
    }
}

impl Place {
    fn open(&self, directory: &Path) -> Option<OwnedFd> {
        if self.is_root {
            // Links too begin at that root.
            return openat2(&self.at, directory, DIRECTORY, Mode::empty(), ResolveFlags::IN_ROOT).ok();
        }
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        openat(if directory.is_absolute() { CWD } else { self.at.as_fd() }, directory, DIRECTORY, Mode::empty()).ok()
    }

    /// Which mount a directory is in, and where in it.
    fn mount_of<'a>(&'a self, directory: &OwnedFd, path: &'a Path) -> Option<(&'a Mounted, &'a Path)> {
        let data = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
        let has_id = data.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        let mounted = self.mounts.iter().find(|mounted| has_id && mounted.id == data.stx_mnt_id)?;
        Some((mounted, path.strip_prefix(&mounted.point).ok()?))
    }
}
