//! Which processes descend from which: `/proc/PID/stat` says it of every process to everybody.

use std::collections::HashSet;

use procfs::process::Process as Entry;

/// How often a chain of parents is walked anew because one of them ended meanwhile.
const WALKS: usize = 16;

/// Whether the process is one that a sandbox confines, or might be. The sandbox's processes descend from `top`, its first
/// process, which is the supervisor's own as process 1 inside is. None of them can become another user.
pub(super) fn is_suspect(process: &Entry, top: i32) -> bool {
    let Ok(supervisor) = Entry::new(top) else { return true };
    let is_other_user = match (process.uid(), supervisor.uid()) {
        (Ok(user), Ok(supervisor)) => user != supervisor,
        _ => false,
    };
    !is_other_user && process.pid != top && is_below(process, top)
}

/// Whether the process descends from `top` and is not process 1 of a namespace that `top` started. Where it cannot be
/// told, it does.
fn is_below(process: &Entry, top: i32) -> bool {
    for _ in 0..WALKS {
        match parent_below(process, top) {
            Walk::Reached(child) => return !(child == process.pid && is_first(process)),
            Walk::Missed => return false,
            Walk::Broken => {}
        }
    }
    true
}

enum Walk {
    /// From this child of `top`.
    Reached(i32),
    /// It ended, or has other parents.
    Missed,
    /// A parent ended while its own parent was looked for.
    Broken,
}

fn parent_below(process: &Entry, top: i32) -> Walk {
    let mut seen = HashSet::new();
    let mut above: Option<Entry> = None;
    loop {
        let child = above.as_ref().unwrap_or(process);
        match child.stat() {
            Ok(stat) if stat.ppid == top => return Walk::Reached(child.pid),
            Ok(stat) if stat.ppid == 0 => return Walk::Missed,
            Ok(_) => {}
            Err(procfs::ProcError::NotFound(_)) if above.is_none() => return Walk::Missed,
            Err(_) => return Walk::Broken,
        }
        // Pids that are used again while we walk could lead in a circle.
        match parent(child) {
            Some(parent) if seen.insert(parent.pid) => above = Some(parent),
            _ => return Walk::Broken,
        }
    }
}

/// Whether the process is the first of a namespace of processes.
fn is_first(process: &Entry) -> bool {
    let inner = process.status().ok().and_then(|status| status.nspid);
    inner.is_some_and(|pids| pids.len() > 1 && pids.last() == Some(&1))
}

/// The parent, held open; `None` at the top, or if the parent ended meanwhile.
pub(super) fn parent(child: &Entry) -> Option<Entry> {
    let ppid = child.stat().ok()?.ppid;
    let parent = Entry::new(ppid).ok().filter(|_| ppid > 0)?;
    // A child whose parent ends is given another one. As it still has this one, the pid was not reused before we opened it.
    (child.stat().ok()?.ppid == ppid).then_some(parent)
}
