//! Reading what people wrote and writing what others will read, never half.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use narrowgate_core::credentials::Credentials;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::Schema;
use narrowgate_prover::Ceiling;

use crate::exit::Failure;
use crate::output;

/// Nothing that we read as text is bigger than this; the parsers have tighter limits of their own.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Who may read a file that we write.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    /// 0600: tokens and keys.
    Owner,
    /// 0644: what holds no secret.
    Anyone,
}

/// A file's text; the message names the file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::invalid(format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(|error| named(&error))?;
    if size.is_dir() {
        return Err(named(&"is a directory, a file was expected"));
    }
    if size.len() > LIMIT {
        return Err(named(&format!("is {} bytes; at most {LIMIT} are read", size.len())));
    }
    fs::read_to_string(path).map_err(|error| named(&error))
}

/// A policy in the rule language.
pub(crate) fn policy(path: &Path) -> Result<Policy, Failure> {
    Policy::parse(&read(path)?, &path.display().to_string(), Role::Policy).map_err(Failure::invalid)
}

/// The ceiling that a gateway starts with, as text and its file's name; `None`, said aloud, where there is none. Read
/// once: the text that is checked here is the one that counts.
pub(crate) fn optional_ceiling(path: Option<&Path>, schema: &Arc<Schema>) -> Result<Option<(String, String)>, Failure> {
    let Some(path) = path else {
        output::remark("no --ceiling: whatever a reviewer approves is granted");
        return Ok(None);
    };
    let (text, name) = (read(path)?, path.display().to_string());
    Ceiling::parse_over(&text, &name, schema).map_err(Failure::invalid)?;
    Ok(Some((text, name)))
}

/// For which hosts there are credentials; none where no file says.
pub(crate) fn credentials(path: Option<&Path>) -> Result<Credentials, Failure> {
    let Some(path) = path else { return Ok(Credentials::none()) };
    Credentials::parse(&read(path)?, &path.display().to_string()).map_err(Failure::invalid)
}

/// A bearer token: one line of visible characters.
pub(crate) fn token(path: &Path) -> Result<String, Failure> {
    let text = read(path).map_err(|error| Failure::invalid(format!("token file {error}")))?;
    let token = text.trim();
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Failure::invalid(format!(
            "token file {}: expected one line that holds a token, as `narrowgate up` and `narrowgate sandbox create` write it",
            path.display()
        )));
    }
    Ok(token.to_owned())
}

/// A secret's bytes, unless others could have read or replaced them.
pub(crate) fn read_secret(path: &Path) -> std::io::Result<Vec<u8>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => fs::read(path),
        _ => Err(std::io::Error::other(format!(
            "has mode {mode:03o}, so others can read it; a secret there must be replaced, and the file be of mode 600"
        ))),
    }
}

/// Replaces a file in one step: a reader sees the old content or the new, and so does a machine that lost power.
pub(crate) fn write(path: &Path, content: &[u8], readers: Readers) -> Result<(), Failure> {
    replace(path, content, readers)
        .map_err(|error| Failure::invalid(format!("could not write {}: {error}", path.display())))
}

fn replace(path: &Path, content: &[u8], readers: Readers) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let name = path.file_name().ok_or_else(|| std::io::Error::other("the path names no file"))?;
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Anyone => 0o644,
    };
    let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        // The file may have been left behind by an earlier process with other permissions.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if result.is_err() {
        // Best effort: the error that matters is the first.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Makes a data directory that only its owner can enter. One that exists is left as it is.
pub(crate) fn private_dir(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::invalid(format!("could not create {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.token");
        write(&path, b"first", Readers::Owner).unwrap();
        write(&path, b"second", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_token_file_holds_one_visible_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        for (content, good) in [("abc\n", true), ("", false), ("a b", false), ("a\nb", false)] {
            fs::write(&path, content).unwrap();
            assert_eq!(token(&path).is_ok(), good, "{content:?}");
        }
        assert!(token(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
    }
}
