//! The network stage: makes the namespaces and what listens in them, and holds them until init has ended.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::INIT;
use crate::channel::{self, Frame, FromNetwork, StartInit};
use crate::error::SandboxError;
use crate::sys::network::Listeners;
use crate::sys::{capabilities, network, process, redirect, users};

pub(super) fn run(argument: &OsStr, channel: &UnixStream) -> io::Result<()> {
    process::leave_signals_to_the_command()?;
    let (listeners, lacks) = match prepare() {
        Ok(made) => made,
        Err(error) => return channel::send(channel, &FromNetwork::Failed(error), &[], &[]),
    };
    let Listeners { proxy, resolver: (udp, tcp), captured, port: _ } = &listeners;
    let mut files = vec![proxy.as_fd(), udp.as_fd(), tcp.as_fd()];
    files.extend(captured.iter().map(AsFd::as_fd));
    channel::send(channel, &FromNetwork::Ready { lacks }, &[], &files)?;
    drop(listeners);

    let Some(Frame { message: StartInit, files, .. }) = channel::receive(channel)? else { return Ok(()) };
    let Some(theirs) = files.into_iter().next() else { return Ok(()) };
    capabilities::keep()?;
    let mut init =
        Command::new("/proc/self/exe").arg(argument).arg(INIT).env_clear().stdin(Stdio::from(theirs)).spawn()?;
    capabilities::give_up()?;
    let end = process::end_of(&init)?;
    // The supervisor says nothing more: what can be read is its end, and everything's.
    let (_, ended) = process::wait_for(channel.as_fd(), end.as_fd())?;
    if !ended {
        init.kill()?;
    }
    init.wait().map(drop)
}

fn prepare() -> Result<(Listeners, Vec<String>), SandboxError> {
    let mut lacks = users::enter_namespaces()?;
    let ipv6 = network::bring_up()?;
    if !ipv6 {
        lacks.push("no IPv6: connections to IPv6 addresses fail inside".to_owned());
    }
    let listeners = network::open(ipv6)?;
    redirect::install(listeners.port)?;
    Ok((listeners, lacks))
}
