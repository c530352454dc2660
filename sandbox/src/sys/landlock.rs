//! Landlock: which files are reached at all, and that no signal and no abstract socket leaves.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::paths::Resolved;
use crate::error::SandboxError;

/// The newest that is understood; older kernels do less, and it is said.
const NEWEST: ABI = ABI::V9;

/// Restricts this process, and all that it starts. `placed` can always be read. Says what the kernel does not have.
pub(crate) fn restrict(filesystem: Option<&Resolved>, placed: &[PathBuf]) -> Result<Vec<String>, SandboxError> {
    let mut lacks = Vec::new();
    // Without this nothing of what was asked for would hold.
    if filesystem.is_some() && !supports(AccessFs::from_all(ABI::V1)) {
        return Err(SandboxError::Landlock { reason: "the kernel has none, or it is switched off".to_owned() });
    }
    if !supports_scopes() {
        lacks.push(
            "no Landlock scopes (Linux 6.12): signals to processes of the same group outside are possible".into(),
        );
    }
    if !supports(AccessFs::ResolveUnix.into()) {
        lacks.push(
            "no Landlock control of Unix sockets (Linux 7.1): a socket file that appears outside after the start, in a \
             directory that the command sees, can be connected to"
                .into(),
        );
    }
    if filesystem.is_some() && !supports(AccessFs::from_all(ABI::V3)) {
        lacks.push("no Landlock control of truncation (Linux 6.2): files that can be read may be emptied".into());
    }
    if filesystem.is_some() && !supports(AccessFs::IoctlDev.into()) {
        lacks.push("no Landlock control of ioctl on devices (Linux 6.10)".into());
    }
    let status = ruleset(filesystem, placed)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| SandboxError::Confine { what: "Landlock".to_owned(), reason: error.to_string() })?;
    if filesystem.is_some() && status.ruleset == RulesetStatus::NotEnforced {
        return Err(SandboxError::Landlock { reason: "the kernel did not enforce it".to_owned() });
    }
    Ok(lacks)
}

fn ruleset(filesystem: Option<&Resolved>, placed: &[PathBuf]) -> Result<RulesetCreated, RulesetError> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::from_all(NEWEST))?;
    let Some(filesystem) = filesystem else {
        // Connecting to a socket file is all that is controlled; those made inside may be.
        return ruleset.handle_access(AccessFs::ResolveUnix)?.create();
    };
    // To connect to a socket that was made outside is no way of reading or writing files.
    let all = AccessFs::from_all(NEWEST);
    let write = all & !BitFlags::from(AccessFs::ResolveUnix);
    let read = AccessFs::from_read(NEWEST) & write;
    let mut ruleset = ruleset.handle_access(all)?.create()?;
    let read_only = filesystem.read_only.iter().chain(placed).map(|path| (path, read));
    let read_write = filesystem.read_write.iter().map(|path| (path, write));
    for (path, access) in read_only.chain(read_write) {
        // What cannot be opened cannot be reached: it grants nothing. Of the rights, the crate drops those that do not
        // apply to a file that is no directory.
        if let Ok(file) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(file, access))?;
        }
    }
    Ok(ruleset)
}

fn supports(access: BitFlags<AccessFs>) -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(access);
    ruleset.and_then(Ruleset::create).is_ok()
}

fn supports_scopes() -> bool {
    let scopes = Scope::from_all(NEWEST);
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).scope(scopes);
    ruleset.and_then(Ruleset::create).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_not_connecting() {
        assert!(!AccessFs::from_read(NEWEST).contains(AccessFs::WriteFile));
        assert!(AccessFs::from_all(NEWEST).contains(AccessFs::ResolveUnix));
    }
}
