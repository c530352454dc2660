//! Mounts inside: what is shown, what is covered, what is placed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount};

use super::mount_table::{self, Mounted};
use crate::error::SandboxError;

const TMPFS: &str = "tmpfs";
const HARMLESS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Nothing that is mounted here is seen outside, nor the other way round.
pub(crate) fn make_private() -> Result<(), SandboxError> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(|errno| files(Path::new("/"), errno))
}

/// Device nodes that lie around in the machine's files open nothing: to root, a disk is a way to all files. What cannot
/// be reached from here cannot be reached by the command either.
pub(crate) fn no_devices() -> Result<(), SandboxError> {
    let kernels = ["/dev", "/proc", "/sys"];
    for Mounted { point, flags, .. } in mounted()? {
        if kernels.iter().any(|kernel| point.starts_with(kernel)) {
            continue;
        }
        remount_if_seen(&point, flags | MountFlags::NODEV)?;
    }
    Ok(())
}

/// What the kernel tells and takes elsewhere than in `/proc` and `/sys`, as in a directory for another root: to root, it is
/// a way to this machine, and to anyone it shows other processes.
pub(crate) fn no_kernel_files() -> Result<(), SandboxError> {
    let own = ["/proc", "/sys", "/dev"];
    let kernels = |kind: &str| KERNEL_FILES.contains(&kind) || kind.starts_with("cgroup");
    for Mounted { point, kind, .. } in mounted()? {
        if !kernels(&kind) || own.iter().any(|own| point.starts_with(own)) {
            continue;
        }
        let covered = match fs::metadata(&point) {
            Ok(data) if data.is_dir() => mount(TMPFS, &point, TMPFS, HARMLESS | MountFlags::RDONLY, None),
            Ok(_) => mount_bind_recursive("/dev/null", &point),
            Err(_) => continue,
        };
        covered.map_err(|errno| files(&point, errno))?;
    }
    Ok(())
}

/// Of the machine's files, only what is at and below `writable` can be changed, whose names lead nowhere else. In `/dev`,
/// `/proc`, `/run` and `/sys` stays what was made of them.
pub(crate) fn read_only_but(writable: &[PathBuf]) -> Result<(), SandboxError> {
    let arranged = ["/dev", "/proc", "/run", "/sys"];
    let is_arranged = |path: &Path| arranged.iter().any(|own| path.starts_with(own));
    if writable.iter().any(|path| path == Path::new("/")) {
        return Ok(());
    }
    // As mounts of their own they stay as they are when what they are in is not to be written.
    for path in writable.iter().filter(|path| !is_arranged(path)) {
        mount_bind_recursive(path, path).map_err(|errno| files(path, errno))?;
    }
    for Mounted { point, flags, .. } in mounted()? {
        if is_arranged(&point) || writable.iter().any(|path| point.starts_with(path)) {
            continue;
        }
        remount_if_seen(&point, flags | MountFlags::RDONLY)?;
    }
    Ok(())
}

/// Kinds of file systems that are no files but the kernel.
const KERNEL_FILES: [&str; 9] =
    ["proc", "sysfs", "debugfs", "tracefs", "securityfs", "configfs", "efivarfs", "bpf", "binfmt_misc"];

/// Directories that were replaced, and are writable until they are sealed.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    sealed_later: BTreeSet<PathBuf>,
}

impl Replaced {
    /// Covers a directory or a file by an empty one.
    pub(crate) fn hide(&mut self, path: &Path) -> Result<(), SandboxError> {
        let covered = ["/run", "/var/run", "/dev"].iter().any(|covered| path.starts_with(covered));
        if covered && fs::symlink_metadata(path).is_err() {
            return Ok(());
        }
        let path = fs::canonicalize(path).map_err(|error| SandboxError::Files {
            what: format!("{} (to be hidden)", path.display()),
            reason: format!("{error}; what is not there cannot be covered"),
        })?;
        if path.is_dir() { self.cover_directory(&path, 0o555) } else { self.cover_file(&path) }
    }

    /// Covers a directory by an empty one, into which files can be placed before it is sealed.
    pub(crate) fn cover_directory(&mut self, path: &Path, mode: u32) -> Result<(), SandboxError> {
        empty_directory(path, mode)?;
        self.sealed_later.insert(path.to_owned());
        Ok(())
    }

    /// Covers a file, or a socket, by an empty file.
    pub(crate) fn cover_file(&self, path: &Path) -> Result<(), SandboxError> {
        // `/dev/null` of the new `/dev` would be written to without an error; a socket is connected to, and is none.
        mount_bind_recursive(empty_file(), path).map_err(|errno| files(path, errno))
    }

    /// Covers a socket by an empty file. One that is gone is none.
    pub(crate) fn cover_socket(&self, directory: &File, name: &OsStr) -> Result<(), SandboxError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(directory, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => return Err(files(Path::new(name), Errno::NOMEM)),
            // What cannot be reached from here, with capabilities, the command cannot reach either.
            Err(_) => return Ok(()),
        };
        if !file.metadata().is_ok_and(|data| data.file_type().is_socket()) {
            return Ok(());
        }
        match mount_bind_recursive(empty_file(), reopened(&file)) {
            // Removed meanwhile.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(files(Path::new(name), errno)),
        }
    }

    /// Covers a directory by one in which there is nothing but what is kept. It can be written to where everybody could
    /// before, as in `/tmp`; elsewhere, what is written would be lost without a word.
    pub(crate) fn empty_but(&mut self, path: &Path, kept: &[&Path]) -> Result<(), SandboxError> {
        let failed = |error| files(path, error);
        // One within another comes with it.
        let within =
            |one: &Path| kept.iter().any(|other| one != *other && one.starts_with(other) && other.starts_with(path));
        let kept = kept.iter().filter(|kept| kept.starts_with(path) && !within(kept));
        let kept: Vec<(&Path, File)> = kept.filter_map(|kept| Some((*kept, open_path(kept)?))).collect();
        let Ok(data) = fs::metadata(path) else { return Ok(()) };
        let mode = data.permissions().mode() & 0o7777;
        empty_directory(path, mode)?;
        self.sealed_later
            .retain(|sealed| !sealed.starts_with(path) || kept.iter().any(|(kept, _)| sealed.starts_with(kept)));
        for (kept, file) in &kept {
            let is_directory = file.metadata().map_err(failed)?.is_dir();
            let above = if is_directory { Some(*kept) } else { kept.parent() };
            let mut made = DirBuilder::new();
            above.map_or(Ok(()), |above| made.recursive(true).mode(0o755).create(above)).map_err(failed)?;
            if !is_directory {
                File::create(kept).map_err(failed)?;
            }
            mount_bind_recursive(reopened(file), *kept).map_err(|errno| files(kept, errno))?;
        }
        if !is_for_everybody(mode) {
            self.sealed_later.insert(path.to_owned());
        }
        Ok(())
    }

    /// Places a file. Its directory is replaced by one that shows the same entries, unless it was already.
    pub(crate) fn place(&mut self, path: &Path, content: &[u8]) -> Result<PathBuf, SandboxError> {
        let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute()) else {
            return Err(SandboxError::Files {
                what: format!("{} (to be placed)", path.display()),
                reason: "the path of a file has to be absolute, and have a name".to_owned(),
            });
        };
        // The part of the way that exists, with symbolic links resolved, and the part that does not.
        let missing = |parent: &Path| fs::symlink_metadata(parent).is_err();
        let existing = parent.ancestors().find(|ancestor| !missing(ancestor)).unwrap_or(Path::new("/"));
        let rest = parent.strip_prefix(existing).unwrap_or(Path::new(""));
        let existing = fs::canonicalize(existing).map_err(|error| files(existing, error))?;
        let first = rest.components().next().map_or(name, |component| component.as_os_str());
        if !self.is_replaced(&existing) {
            self.mirror(&existing, first)?;
        }
        let directory = existing.join(rest);
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&directory);
        made.map_err(|error| files(&directory, error))?;
        let path = directory.join(name);
        let write = || {
            let mut file = File::options().write(true).create_new(true).mode(0o444).open(&path)?;
            file.write_all(content)
        };
        match write() {
            // A mirror of an earlier file shows what is to be replaced now.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.replace(&path, content)?,
            other => other.map_err(|error| files(&path, error))?,
        }
        Ok(path)
    }

    /// All that was replaced becomes read-only.
    pub(crate) fn seal(&self) -> Result<(), SandboxError> {
        self.sealed_later.iter().try_for_each(|path| read_only(path, HARMLESS))
    }

    fn is_replaced(&self, directory: &Path) -> bool {
        // What is mounted below a replaced directory is the host's again, unless it was replaced as well.
        let nearest = directory.ancestors().find(|ancestor| is_mount_point(ancestor));
        nearest.is_some_and(|nearest| self.sealed_later.contains(nearest))
    }

    /// Replaces a directory by one with the same entries, but for one.
    fn mirror(&mut self, directory: &Path, without: &OsStr) -> Result<(), SandboxError> {
        let failed = |error| files(directory, error);
        let mode = fs::metadata(directory).map_err(failed)?.permissions().mode() & 0o7777;
        let (old, entries) = open_directory(directory).map_err(failed)?;
        empty_directory(directory, mode)?;
        for (name, kind) in entries {
            if name == without && !kind.is_dir() {
                continue;
            }
            show(&old, &name, &directory.join(&name), kind).map_err(|error| files(&directory.join(&name), error))?;
        }
        self.sealed_later.insert(directory.to_owned());
        Ok(())
    }

    /// Covers a file, which is in a directory that was replaced before, or replaces a symbolic link there.
    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), SandboxError> {
        let failed = |error| files(path, error);
        if fs::symlink_metadata(path).map_err(failed)?.is_symlink() {
            fs::remove_file(path).map_err(failed)?;
            fs::write(path, content).map_err(failed)?;
            return fs::set_permissions(path, fs::Permissions::from_mode(0o444)).map_err(failed);
        }
        let count = fs::read_dir(STAGING).map_err(failed)?.count();
        let staged = Path::new(STAGING).join(format!("file-{count}"));
        fs::write(&staged, content).map_err(failed)?;
        fs::set_permissions(&staged, fs::Permissions::from_mode(0o444)).map_err(failed)?;
        mount_bind_recursive(&staged, path).map_err(|errno| files(path, errno))?;
        read_only(path, HARMLESS)
    }
}

/// Where files are made that are then mounted elsewhere. In the new `/run`, and gone from there afterwards.
const STAGING: &str = "/run/.staging";

/// Makes the staging directory: `/run` must be covered.
pub(crate) fn stage() -> Result<(), SandboxError> {
    let failed = |error| files(Path::new(STAGING), error);
    DirBuilder::new().mode(0o700).create(STAGING).map_err(failed)?;
    empty_directory(Path::new(STAGING), 0o700)?;
    let empty = empty_file();
    fs::write(&empty, b"").map_err(failed)?;
    fs::set_permissions(&empty, fs::Permissions::from_mode(0o000)).map_err(failed)?;
    // What is mounted from it is read-only as it is.
    mount_bind_recursive(&empty, &empty).map_err(|errno| files(&empty, errno))?;
    read_only(&empty, HARMLESS)
}

fn empty_file() -> PathBuf {
    Path::new(STAGING).join("empty")
}

/// Whether a directory is one that everybody writes in, as `/tmp` is.
pub(crate) fn is_for_everybody(mode: u32) -> bool {
    mode & 0o1002 == 0o1002
}

/// A file or directory to mount, or to mount something over, whatever its path leads to meanwhile.
pub(crate) fn open_path(path: &Path) -> Option<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
}

fn reopened(file: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

/// Takes the staging directory away. What was mounted from it stays.
pub(crate) fn unstage() -> Result<(), SandboxError> {
    let staging = Path::new(STAGING);
    read_only(staging, HARMLESS)?;
    rustix::mount::unmount(staging, rustix::mount::UnmountFlags::DETACH).map_err(|errno| files(staging, errno))?;
    fs::remove_dir(staging).map_err(|error| files(staging, error))
}

/// An empty directory for oneself, in memory, in place of another.
pub(crate) fn empty_directory(path: &Path, mode: u32) -> Result<(), SandboxError> {
    let options = std::ffi::CString::new(format!("mode={mode:o},size=64m")).unwrap_or_default();
    mount(TMPFS, path, TMPFS, HARMLESS, options.as_c_str()).map_err(|errno| files(path, errno))
}

/// An empty directory for oneself below the new `/run`, which stays writable.
pub(crate) fn empty_directory_in_run(path: &Path) -> Result<(), SandboxError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(|error| files(path, error))?;
    empty_directory(path, 0o700)
}

/// A `/proc` of this namespace's processes, of which nothing can be written: to root, most of it is this machine's.
pub(crate) fn proc() -> Result<(), SandboxError> {
    let proc = Path::new("/proc");
    let flags = HARMLESS | MountFlags::NOEXEC;
    mount("proc", proc, "proc", flags, None).map_err(|errno| SandboxError::Files {
        what: "/proc".to_owned(),
        reason: format!("{errno}; parts of it may not be covered outside, as they are in a container"),
    })?;
    for entry in fs::read_dir(proc).map_err(|error| files(proc, error))? {
        let entry = entry.map_err(|error| files(proc, error))?;
        let kind = entry.file_type().map_err(|error| files(proc, error))?;
        let process = entry.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        if process || kind.is_symlink() {
            continue;
        }
        let path = entry.path();
        let writable = kind.is_dir() || entry.metadata().is_ok_and(|data| data.permissions().mode() & 0o222 != 0);
        if writable {
            mount_bind_recursive(&path, &path).map_err(|errno| files(&path, errno))?;
            read_only(&path, flags)?;
        }
    }
    // Nor what belongs to a process: another one's memory is in there.
    read_only(proc, flags)
}

/// Everything mounted at or below a path becomes read-only.
pub(crate) fn read_only_below(path: &Path) -> Result<(), SandboxError> {
    let below = mounted()?.into_iter().filter(|mounted| mounted.point.starts_with(path));
    below.into_iter().try_for_each(|mounted| read_only(&mounted.point, mounted.flags))
}

/// A `/dev` of what every program needs, and its own terminals and shared memory. To root, the rest is this machine's.
pub(crate) fn dev() -> Result<(), SandboxError> {
    let dev = Path::new("/dev");
    let failed = |error| files(dev, error);
    let (old, _) = open_directory(dev).map_err(failed)?;
    empty_directory(dev, 0o755)?;
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let from = format!("/proc/self/fd/{}/{name}", old.as_raw_fd());
        let to = dev.join(name);
        File::create(&to).map_err(failed)?;
        mount_bind_recursive(from.as_str(), &to).map_err(|errno| files(&to, errno))?;
    }
    for name in ["pts", "shm"] {
        DirBuilder::new().mode(0o755).create(dev.join(name)).map_err(failed)?;
    }
    let pts = dev.join("pts");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", &pts, "devpts", flags, c"newinstance,ptmxmode=0666,mode=620")
        .map_err(|errno| files(&pts, errno))?;
    empty_directory(&dev.join("shm"), 0o1777)?;
    let links =
        [("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
    links.into_iter().try_for_each(|(name, target)| symlink(target, dev.join(name))).map_err(failed)?;
    read_only(dev, HARMLESS)
}

fn open_directory(path: &Path) -> io::Result<(File, Vec<(OsString, fs::FileType)>)> {
    let entries = fs::read_dir(path)?.map(|entry| {
        let entry = entry?;
        Ok((entry.file_name(), entry.file_type()?))
    });
    let entries = entries.collect::<io::Result<_>>()?;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    Ok((File::from(directory), entries))
}

/// Shows an entry of a directory that is covered by now.
fn show(old: &File, name: &OsStr, to: &Path, kind: fs::FileType) -> io::Result<()> {
    if kind.is_symlink() {
        let target = rustix::fs::readlinkat(old.as_fd(), name, Vec::new())?;
        return symlink(OsStr::from_bytes(target.as_bytes()), to);
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
    } else {
        File::create(to)?;
    }
    let from = Path::new("/proc/self/fd").join(old.as_raw_fd().to_string()).join(name);
    Ok(mount_bind_recursive(&from, to)?)
}

fn read_only(path: &Path, flags: MountFlags) -> Result<(), SandboxError> {
    let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
    mount_remount(path, flags, c"").map_err(|errno| files(path, errno))
}

/// Restricts a mount, unless it cannot be reached from here: by another name it is another mount.
fn remount_if_seen(path: &Path, flags: MountFlags) -> Result<(), SandboxError> {
    match mount_remount(path, flags | MountFlags::BIND, c"") {
        // Hidden by another mount, gone, or out of reach.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(()),
        Err(other) => Err(files(path, other)),
    }
}

fn is_mount_point(path: &Path) -> bool {
    // Of a directory that is `..` to itself, as the root is, it is true as well.
    let device = |path: &Path| fs::metadata(path).map(|data| std::os::unix::fs::MetadataExt::dev(&data)).ok();
    path.parent().is_none_or(|parent| device(parent) != device(path))
}

fn mounted() -> Result<Vec<Mounted>, SandboxError> {
    mount_table::mounted().map_err(|error| files(Path::new(mount_table::TABLE), error))
}

fn files(path: &Path, reason: impl Into<io::Error>) -> SandboxError {
    SandboxError::Files { what: path.display().to_string(), reason: reason.into().to_string() }
}
