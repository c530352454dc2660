//! The stages: this program, started again, on its way to the command. Each reads what to do from its stdin, which is a
//! socket, and says on it what became of it.

mod init;
mod network;

use std::env::ArgsOs;
use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use crate::sys;

/// The argument behind that of [`crate::Entry`].
pub(crate) const NETWORK: &str = "narrowgate-sandbox:network";
const INIT: &str = "narrowgate-sandbox:init";

/// To be called first in `main`, before there are threads: does nothing unless this process was started as a stage, and
/// is then all that it does.
pub fn stage_main(arguments: ArgsOs) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    let [_, argument, stage] = arguments.as_slice() else { return None };
    let run = match stage.to_str()? {
        NETWORK => network::run,
        INIT => init::run,
        _ => return None,
    };
    // Whoever types this finds that a terminal is no socket: the first frame cannot be read.
    let channel = sys::process::take_stdin().map(UnixStream::from);
    match channel.and_then(|channel| run(argument, &channel)) {
        Ok(()) => Some(ExitCode::SUCCESS),
        // The supervisor sees that the channel is closed, and may be gone.
        Err(_) => Some(ExitCode::FAILURE),
    }
}
