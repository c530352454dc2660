//! A command in namespaces of its own, whose only ways out are listeners that its supervisor holds.
//!
//! The command's network namespace has nothing but `lo`. Every address there is local, and whatever the command sends is
//! led to a [`Doors`] listener, or refused. The supervisor holds the listeners and lives outside: it decides what
//! happens to a connection, and this crate knows nothing of how.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use narrowgate_sandbox::{Entry, Namespace, Spec};
//!
//! fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     if let Some(code) = narrowgate_sandbox::stage_main(std::env::args_os()) {
//!         return Ok(code);
//!     }
//!     let (namespace, doors) = Namespace::create(&Entry::default())?;
//!     let spec = Spec { command: vec!["curl".into(), "http://example.com".into()], ..Spec::default() };
//!     let mut running = namespace.launch(spec)?;
//!     let listener = doors.captured.first().ok_or("no listener")?;
//!     let (connection, _) = listener.accept()?; // and answer it
//!     drop(connection);
//!     Ok(ExitCode::from(running.wait()?.exit_code()))
//! }
//! ```
//!
//! # Stages
//! A process with threads cannot go into a user namespace, and nothing of what a supervisor holds should be in the
//! address space of what it confines. So this program is started again, twice:
//!
//! 1. The *network* stage makes the user, network, process and IPC namespaces, sets up addresses, routes and redirects,
//!    opens the listeners and hands them out. It waits for the next stage and holds the namespace until then.
//! 2. The *init* stage is process 1 in there. It arranges the mounts, gives up every capability, restricts itself with
//!    Landlock and seccomp and only then starts the command, which inherits all of that. When the command ends it ends,
//!    and the kernel ends everything else.
//!
//! Rejected: `fork` without `exec`, which is unsafe in a process with threads; a third stage that confines itself and
//! becomes the command, since an init that is itself confined is one thing less to attack, and `exec` by
//! `std::process` reports why it failed; a file in `/tmp` as the channel, since a socket can be handed down as stdin.
//!
//! Linux only. What each part confines, and what it does not, is in `docs/sandbox.md`.

#![cfg(target_os = "linux")]

mod channel;
mod covers;
mod error;
mod namespace;
mod running;
mod spec;
mod stage;
mod sys;

pub use error::SandboxError;
pub use namespace::{Doors, Namespace, Network};
pub use running::{Ended, Handle, Running};
pub use spec::{Entry, Filesystem, PlacedFile, Spec};
pub use stage::stage_main;
pub use sys::process::raise_descriptor_limit;
