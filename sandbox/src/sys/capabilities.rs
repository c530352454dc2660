//! Capabilities: kept over `exec` for the next stage, and given up for good.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// The next program has what this one has.
pub(crate) fn keep() -> Result<(), Errno> {
    let mut sets = capabilities(None)?;
    sets.inheritable = sets.permitted;
    set_capabilities(None, sets)?;
    each(sets.permitted, |capability| configure_capability_in_ambient_set(capability, true))
}

/// No capability now, and none to be had: not by a program's file, not by being root, not inherited.
pub(crate) fn give_up() -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    // The kernel knows more than it says here, and fewer than there are bits: the first that it does not know ends it.
    match each(CapabilitySet::all(), remove_capability_from_bounding_set) {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(other) => return Err(other),
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

fn each(set: CapabilitySet, what: impl Fn(CapabilitySet) -> Result<(), Errno>) -> Result<(), Errno> {
    (0..u64::BITS)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        .filter(|capability| set.contains(*capability))
        .try_for_each(what)
}
