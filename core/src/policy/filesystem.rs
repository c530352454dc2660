//! What of the file system a confined command may use. The network is what is proven; this is enforced beside it, by
//! whoever confines the command, and is part of the compiled text so that a certificate covers it.

use serde_json::{Map, Value, json};

use super::decode::{Decoder, Spot};

/// How many paths one list may have: each is a rule in the kernel.
const MOST: usize = 256;

/// Directories and files, each with all that is under it. What is named nowhere may not be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filesystem {
    /// May be read and executed. Absolute paths without `.` and `..`.
    pub read_only: Vec<String>,
    /// May also be written, created and removed.
    pub read_write: Vec<String>,
    /// Whether the directory that the command starts in may be written.
    pub include_workdir: bool,
}

impl Filesystem {
    /// As it is written in a policy.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("include_workdir".into(), json!(self.include_workdir));
        for (name, paths) in [("read_only", &self.read_only), ("read_write", &self.read_write)] {
            if !paths.is_empty() {
                out.insert(name.into(), json!(paths));
            }
        }
        Value::Object(out)
    }
}

impl Decoder<'_> {
    pub(super) fn filesystem(&mut self, spot: Spot<'_>) -> Option<Filesystem> {
        let fields = self.fields(spot, &["include_workdir", "read_only", "read_write"])?;
        let include_workdir = match fields.get("include_workdir") {
            Some(spot) => self.flag(&spot)?,
            None => false,
        };
        let mut paths = |name: &str| match fields.get(name) {
            Some(spot) => {
                let spots = self.list(&spot)?;
                if spots.len() > MOST {
                    return self.fail(&spot, format!("at most {MOST} paths"));
                }
                self.each(spots, |this, spot| this.absolute(&spot))
            }
            None => Some(Vec::new()),
        };
        let (read_only, read_write) = (paths("read_only")?, paths("read_write")?);
        let spots = fields.get("read_only").map(|spot| self.list(&spot)).unwrap_or(Some(Vec::new()))?;
        for (path, spot) in read_only.iter().zip(&spots) {
            if let Some(writable) = read_write.iter().find(|writable| is_below(path, writable)) {
                let problem = format!(
                    "{path:?} would be written all the same: read_write has {writable:?}; name what is beside it"
                );
                return self.fail(spot, problem);
            }
        }
        Some(Filesystem { read_only, read_write, include_workdir })
    }

    /// A path with one reading: where `..` leads depends on links.
    fn absolute(&mut self, spot: &Spot<'_>) -> Option<String> {
        let path = self.line(spot, 4096)?;
        let trimmed = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
        let plain = |segment: &str| !matches!(segment, "" | "." | "..");
        let absolute = trimmed == "/" || trimmed.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
        if !absolute || path.contains(['*', '?', '[', '{', '~', '$']) {
            return self.fail(spot, format!("{path:?} is not an absolute path without \".\", \"..\" and wildcards"));
        }
        Some(trimmed.to_owned())
    }
}

fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above);
    above == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
