//! What a client sends to `git-upload-pack`. All of it reads; it is looked at so that nothing else passes for it.

use narrowgate_plugin::{Refusal, Request, Result};

use crate::pkt::{Packet, Packets};

/// What the client asked for in the header `git-protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// 0 and 1, whose requests are the same.
    Old,
    Two,
}

/// Refuses what is no fetch.
pub(crate) fn check(request: &Request) -> Result<()> {
    let version = version(request)?;
    let mut packets = Packets::of(&request.body)?;
    match version {
        Version::Old => negotiation(&mut packets),
        Version::Two => command(&mut packets),
    }
}

fn version(request: &Request) -> Result<Version> {
    let Some(parameters) = request.header_one("git-protocol")? else { return Ok(Version::Old) };
    let mut versions = parameters.split(':').filter_map(|parameter| parameter.strip_prefix("version="));
    match (versions.next(), versions.next()) {
        (None | Some("0" | "1"), None) => Ok(Version::Old),
        (Some("2"), None) => Ok(Version::Two),
        (Some(_), None) => Err(Refusal::not_understood("the versions of git's protocol that are known are 0, 1 and 2")),
        _ => Err(Refusal::ambiguous("git-protocol names two versions")),
    }
}

/// Wants, then haves. The haves of a long history may well be more than what is read.
fn negotiation(packets: &mut Packets) -> Result<()> {
    let mut wants = 0_usize;
    loop {
        match packets.next_packet() {
            Err(Refusal::NeedsBody(_)) if wants > 0 => return Ok(()),
            Err(refusal) => return Err(refusal),
            // git sends a lone flush before a large request, to find out whether it is let in.
            Ok(Packet::Flush) if wants == 0 => return packets.end(),
            Ok(Packet::Flush) if packets.end().is_ok() => return Ok(()),
            Ok(Packet::Flush) => {}
            Ok(Packet::Line(line)) if line.starts_with(b"want ") => wants += 1,
            Ok(Packet::Line(line)) if wants > 0 && follows_a_want(line) => {
                if line == b"done" {
                    return packets.end();
                }
            }
            Ok(_) => return Err(Refusal::malformed("a fetch is `want`, then `have` lines and `done`")),
        }
    }
}

fn follows_a_want(line: &[u8]) -> bool {
    let starts: [&[u8]; 7] =
        [b"have ", b"shallow ", b"deepen ", b"deepen-since ", b"deepen-not ", b"deepen-relative", b"filter "];
    line == b"done" || starts.iter().any(|start| line.starts_with(start))
}

/// `command=…` among capabilities, then, after a delimiter, the command's arguments, which only narrow what is read.
fn command(packets: &mut Packets) -> Result<()> {
    let mut commands = 0_usize;
    let delimited = loop {
        match packets.next_packet()? {
            Packet::Flush => break false,
            Packet::Delimiter => break true,
            Packet::Line(line) => match line.strip_prefix(b"command=".as_slice()) {
                Some(b"ls-refs" | b"fetch" | b"object-info" | b"bundle-uri") => commands += 1,
                Some(_) => return Err(Refusal::not_understood("the git command is not known")),
                None if is_capability(line) => {}
                None => return Err(Refusal::not_understood("the request has a capability that is not known")),
            },
        }
    };
    match commands {
        1 if delimited => arguments(packets),
        1 => packets.end(),
        0 if !delimited => packets.end(),
        0 => Err(Refusal::malformed("a request has a command")),
        _ => Err(Refusal::ambiguous("the request has two commands")),
    }
}

fn is_capability(line: &[u8]) -> bool {
    let starts: [&[u8]; 5] = [b"agent=", b"object-format=", b"session-id=", b"server-option=", b"promisor-remote="];
    starts.iter().any(|start| line.starts_with(start))
}

fn arguments(packets: &mut Packets) -> Result<()> {
    loop {
        match packets.next_packet() {
            // A command's arguments cannot make anything else of it.
            Err(Refusal::NeedsBody(_)) => return Ok(()),
            Err(refusal) => return Err(refusal),
            Ok(Packet::Flush) => return packets.end(),
            Ok(Packet::Delimiter) => return Err(Refusal::malformed("a request has one delimiter")),
            Ok(Packet::Line(_)) => {}
        }
    }
}
