//! Namespaces, and who one is in them.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};

use crate::error::SandboxError;

/// Goes into new user, network, process and IPC namespaces; processes are those of children. Without a user namespace
/// where the kernel refuses one and this is root. Says what it did without.
pub(crate) fn enter_namespaces() -> Result<Vec<String>, SandboxError> {
    let (user, group) = (geteuid(), getegid());
    let inner = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
    let mut lacks = Vec::new();
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => map(user.as_raw(), group.as_raw()).map_err(|error| refused("the user namespace's maps", &error))?,
        Err(error) if user.is_root() => lacks
            .push(format!("no user namespace ({error}): the command's root is this machine's, without capabilities")),
        Err(error) => return Err(refused("a user namespace", &error.into())),
    }
    unshare(inner).map_err(|error| refused("network, process and IPC namespaces", &error.into()))?;
    Ok(lacks)
}

/// A mount namespace, of which nothing is seen outside, and in which nothing is seen that is mounted outside later.
pub(crate) fn enter_mount_namespace() -> Result<(), SandboxError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| refused("a mount namespace", &error.into()))
}

/// Oneself to oneself, and nobody else: the one map that needs no privilege.
fn map(user: u32, group: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

fn refused(what: &str, reason: &io::Error) -> SandboxError {
    SandboxError::Namespaces { what: what.to_owned(), reason: reason.to_string(), enable: enable() }
}

/// Which setting stands in the way, as far as can be seen.
fn enable() -> String {
    let setting = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).map(|text| text.trim().to_owned());
    if setting("user/max_user_namespaces").is_ok_and(|value| value == "0") {
        return "set the sysctl user.max_user_namespaces above 0".to_owned();
    }
    if setting("kernel/unprivileged_userns_clone").is_ok_and(|value| value == "0") {
        return "set the sysctl kernel.unprivileged_userns_clone to 1".to_owned();
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns").is_ok_and(|value| value == "1") {
        return "give this program an AppArmor profile with `userns,`, or set the sysctl \
                kernel.apparmor_restrict_unprivileged_userns to 0"
            .to_owned();
    }
    "allow user namespaces to this user (in a container: its seccomp profile and CAP_SYS_ADMIN), or run as root"
        .to_owned()
}
