//! The data directory: a lock, the first tokens, and where the database is. Secrets are files of
//! mode 0600, written whole or not at all, and refused where others could read them.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::token::{NoRandomness, Role, Token};

/// What is wrong with the data directory; for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// It cannot be created, read or written.
    #[error("cannot {what} {path:?}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another gateway runs on it.
    #[error("{0:?} is in use by another gateway; give each its own --data directory")]
    InUse(PathBuf),
    /// A secret that others may read.
    #[error(
        "{path:?} has mode {mode:03o}, so others can read it; a secret there must be replaced, and the file be of mode 600"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not what it should be.
    #[error("{path:?} does not hold {wanted}; restore it from a backup, or remove it to have a new one made")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

impl From<NoRandomness> for DataDirError {
    fn from(_: NoRandomness) -> Self {
        DataDirError::NoRandomness
    }
}

/// An opened data directory. The lock goes with it, also when the process is killed.
pub(crate) struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory where it is missing, and locks it.
    pub(crate) fn open(root: &Path) -> Result<DataDir, DataDirError> {
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(|e| io_error("create", root, e))?;
        let path = root.join("narrowgate.lock");
        let lock = private().create(true).truncate(false).open(&path).map_err(|e| io_error("open", &path, e))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(root.to_owned())),
            Err(TryLockError::Error(e)) => Err(io_error("lock", &path, e)),
        }
    }

    /// The database's file; it is made here so that it, its log and its index are nobody else's to read.
    pub(crate) fn database(&self) -> Result<PathBuf, DataDirError> {
        let path = self.root.join("narrowgate.db");
        private().create(true).truncate(false).open(&path).map_err(|e| io_error("open", &path, e))?;
        Ok(path)
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn token_path(&self, role: Role) -> PathBuf {
        self.root.join(format!("{}.token", role.as_str()))
    }

    /// The token in a role's file, if there is one.
    pub(crate) fn read_token(&self, role: Role) -> Result<Option<Token>, DataDirError> {
        let path = self.token_path(role);
        let Some(bytes) = read_secret(&path)? else { return Ok(None) };
        let token = str::from_utf8(&bytes).ok().map(str::trim).and_then(Token::parse);
        token.map(Some).ok_or(DataDirError::Damaged { path, wanted: "a token" })
    }

    pub(crate) fn write_token(&self, role: Role, token: &Token) -> Result<(), DataDirError> {
        write_secret(&self.token_path(role), format!("{}\n", token.reveal()).as_bytes())
    }
}

/// Whole or not at all: a crash leaves a `.new` file that the next start overwrites.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    let new = path.with_added_extension("new");
    let written = (|| {
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = private().create_new(true).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |root| File::open(root)?.sync_all())
    })();
    written.map_err(|e| io_error("write", path, e))
}

/// A file's bytes; none where there is no such file.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, DataDirError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("read", path, e)),
    };
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DataDirError::Exposed { path: path.to_owned(), mode });
    }
    fs::read(path).map(Some).map_err(|e| io_error("read", path, e))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

pub(crate) fn io_error(what: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io { what, path: path.to_owned(), source }
}
