//! Files that are there as a whole or not at all, whatever happens in between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

/// Replaces `path` as a whole or not at all, surviving a crash at any point.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    sync_directory(path)
}

/// Writes `bytes` to a new file beside `path`, flushed to the disk; its name.
pub(crate) fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let mut tag = [0_u8; 8];
    SystemRandom::new().fill(&mut tag).map_err(|_| io::Error::other("no randomness"))?;
    let temporary = path.with_extension(format!("{}.tmp", HEXLOWER.encode(&tag)));
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        new.write_all(bytes)?;
        new.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    Ok(temporary)
}

/// Makes the directory entry of `path` durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}
