//! Everything that asks the kernel for something, with safe functions only. Nothing in here knows what it is for.

pub(crate) mod capabilities;
pub(crate) mod landlock;
mod mount_table;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod network;
pub(crate) mod paths;
pub(crate) mod process;
pub(crate) mod redirect;
pub(crate) mod seccomp;
mod socket_names;
pub(crate) mod sockets;
pub(crate) mod users;
mod views;
