//! What of the machine's sockets is covered by what: each by an empty file, and where there are very many, the directory
//! that they are in. There may be only so many mounts, and anyone can make sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;
use crate::sys::sockets::Listeners;

/// More in one directory, with all below it, and it is covered itself.
const MOST_BELOW: usize = 1000;
/// More of all, or in a directory that has to stay, and there is no sandbox. Each is a mount; the kernel's limit is 100,000.
pub(crate) const MOST: usize = 4000;

/// What to cover.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Covers {
    /// Sockets by their directory.
    pub(crate) sockets: Vec<(OsString, Vec<OsString>)>,
    /// Directories, the deepest first, of which nothing stays but what is kept.
    pub(crate) emptied: Vec<OsString>,
    /// What the command works in, wherever it is.
    pub(crate) kept: Vec<OsString>,
}

impl Covers {
    /// Decides it. `kept` are paths free of links.
    ///
    /// # Errors
    /// Where too many sockets are in what has to stay.
    pub(crate) fn of(listeners: Listeners, kept: &BTreeSet<PathBuf>) -> Result<Self, SandboxError> {
        let mut open: BTreeMap<(usize, PathBuf), Part> = BTreeMap::new();
        for (directory, names) in listeners {
            open.entry(key(&directory)).or_default().own = names.into_iter().collect();
        }
        let mut whole = Covered::default();
        // The deepest first: whatever is below a directory is decided when that is.
        while let Some(((_, directory), part)) = open.pop_last() {
            match directory.parent() {
                Some(parent) if !kept.contains(&directory) => {
                    let covered = part.settle(&directory);
                    open.entry(key(parent)).or_default().below.push((directory, covered));
                }
                _ => whole.join(part.settle_kept(&directory)?),
            }
        }
        let mut emptied = whole.emptied;
        emptied.sort_by_key(|directory| std::cmp::Reverse(key(directory)));
        Ok(Self {
            sockets: whole.sockets.into_iter().map(|(directory, names)| (directory.into_os_string(), names)).collect(),
            emptied: emptied.into_iter().map(PathBuf::into_os_string).collect(),
            kept: kept.iter().map(|path| path.clone().into_os_string()).collect(),
        })
    }

    /// What the command does without, one sentence each, for a person.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let lack = |directory: &OsString| {
            let directory = Path::new(directory).display();
            format!("{directory} is empty inside, but for what the command works in: very many sockets are open there")
        };
        self.emptied.iter().map(lack).collect()
    }
}

fn key(directory: &Path) -> (usize, PathBuf) {
    (directory.components().count(), directory.to_owned())
}

/// What is decided.
#[derive(Debug, Default)]
struct Covered {
    sockets: Vec<(PathBuf, Vec<OsString>)>,
    emptied: Vec<PathBuf>,
}

impl Covered {
    fn mounts(&self) -> usize {
        self.sockets.iter().map(|(_, names)| names.len()).sum::<usize>() + self.emptied.len()
    }

    fn join(&mut self, other: Self) {
        self.sockets.extend(other.sockets);
        self.emptied.extend(other.emptied);
    }
}

/// A directory and what is decided of those in it.
#[derive(Debug, Default)]
struct Part {
    own: Vec<OsString>,
    below: Vec<(PathBuf, Covered)>,
}

impl Part {
    fn mounts(&self) -> usize {
        self.own.len() + self.below.iter().map(|(_, covered)| covered.mounts()).sum::<usize>()
    }

    /// Of a directory that may be covered: it is, unless most are in one below it.
    fn settle(mut self, directory: &Path) -> Covered {
        let mut mounts = self.mounts();
        while mounts > MOST_BELOW {
            match self.largest() {
                Some((below, covered)) if covered.mounts() > mounts / 2 => empty(below, covered),
                _ => return Covered { emptied: vec![directory.to_owned()], ..Covered::default() },
            }
            mounts = self.mounts();
        }
        self.whole(directory)
    }

    /// Of one that has to stay.
    fn settle_kept(mut self, directory: &Path) -> Result<Covered, SandboxError> {
        while self.mounts() > MOST {
            match self.largest() {
                Some((below, covered)) if covered.mounts() > 1 => empty(below, covered),
                _ => return Err(too_many(directory)),
            }
        }
        Ok(self.whole(directory))
    }

    fn largest(&mut self) -> Option<&mut (PathBuf, Covered)> {
        self.below.iter_mut().max_by_key(|(_, covered)| covered.mounts())
    }

    fn whole(self, directory: &Path) -> Covered {
        let mut covered = Covered::default();
        if !self.own.is_empty() {
            covered.sockets.push((directory.to_owned(), self.own));
        }
        self.below.into_iter().for_each(|(_, below)| covered.join(below));
        covered
    }
}

fn empty(directory: &Path, covered: &mut Covered) {
    *covered = Covered { emptied: vec![directory.to_owned()], ..Covered::default() };
}

fn too_many(directory: &Path) -> SandboxError {
    SandboxError::Files {
        what: directory.display().to_string(),
        reason: format!(
            "more than {MOST} sockets are open there, and no more can be covered; end what holds them (`ss -xlp` says who), or let \
             the command work elsewhere"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many sockets are in which directories; what has to stay; what is covered.
    #[track_caller]
    fn check(sockets: &[(&str, usize)], kept: &[&str], expect: Result<(&[&str], usize), &str>) {
        let names = |count: usize| (0..count).map(|number| OsString::from(number.to_string())).collect();
        let listeners = sockets.iter().map(|(directory, count)| (PathBuf::from(directory), names(*count))).collect();
        let covers = Covers::of(listeners, &kept.iter().map(PathBuf::from).collect());
        let said = covers.map(|covers| (covers.emptied, covers.sockets.iter().map(|(_, names)| names.len()).sum()));
        match (said, expect) {
            (Ok((emptied, sockets)), Ok((directories, count))) => {
                assert_eq!((emptied, sockets), (directories.iter().map(OsString::from).collect(), count));
            }
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (said, expect) => panic!("{said:?}, not {expect:?}"),
        }
    }

    #[test]
    fn directories_are_covered_where_there_are_very_many() {
        check(&[("/tmp", 1000), ("/home/me", 1)], &[], Ok((&[], 1001)));
        check(&[("/tmp", 1001), ("/home/me", 1)], &[], Ok((&["/tmp"], 1)));
        // Not what is above it.
        check(&[("/var/tmp", 999), ("/var/lib/x", 2)], &[], Ok((&["/var/tmp"], 2)));
        // What the command works in stays, with what is covered there.
        check(&[("/tmp", 1001), ("/tmp/work/a", 3)], &["/tmp/work"], Ok((&["/tmp"], 3)));
        check(&[("/work", 4000)], &["/work"], Ok((&[], 4000)));
        check(&[("/work/in", 1500), ("/work", 2)], &["/work"], Ok((&["/work/in"], 2)));
        check(&[("/work", 4001)], &["/work"], Err("/work: more than 4000 sockets"));
        // Many directories with one each.
        let many: Vec<String> = (0..5000).map(|number| format!("/tmp/m/{number}")).collect();
        let many: Vec<(&str, usize)> = many.iter().map(|path| (path.as_str(), 1)).collect();
        check(&many, &[], Ok((&["/tmp/m"], 0)));
        check(&many, &["/tmp/m"], Err("/tmp/m: more than 4000 sockets"));
        // Everywhere a little.
        let everywhere: Vec<String> = (0..20).map(|number| format!("/{number:02}")).collect();
        let everywhere: Vec<(&str, usize)> = everywhere.iter().map(|path| (path.as_str(), 900)).collect();
        let covers = Covers::of(
            everywhere
                .iter()
                .map(|(at, count)| ((*at).into(), (0..*count).map(|n| n.to_string().into()).collect()))
                .collect(),
            &BTreeSet::new(),
        );
        let covers = covers.unwrap();
        assert_eq!((covers.emptied.len(), covers.sockets.len()), (16, 4));
    }
}
