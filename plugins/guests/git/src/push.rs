//! What a client sends to `git-receive-pack`: which refs it wants created, changed and deleted.
//!
//! ```text
//! *( "shallow" SP oid )
//! old SP new SP ref NUL capabilities
//! *( old SP new SP ref )
//! flush
//! [ *( push option ) flush ]      where the capability push-options was asked for
//! pack                            unless every command deletes
//! ```
//!
//! git itself is more lenient: capabilities may stand on any line, and it reads only up to the second NUL. What it and
//! another server could read apart is refused here.

use std::collections::BTreeSet;

use narrowgate_plugin::{Body, MOST_OPERATIONS, Operation, Refusal, Result};

use crate::pkt::{Packet, Packets};
use crate::refname;

/// Everything that a push says before its pack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Push {
    /// Empty for the probe that git sends before a large push, to find out whether it is let in.
    pub(crate) updates: Vec<Update>,
    /// Whether all refs change or none does.
    pub(crate) atomic: bool,
    /// The options' names, without what follows their `=`, which may be secret.
    pub(crate) options: Vec<String>,
}

/// One command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// What the client believes the ref to be; `None` where it believes that there is none.
    pub(crate) old: Option<String>,
    /// What it shall be; `None` to delete it.
    pub(crate) new: Option<String>,
    /// Its full name.
    pub(crate) name: String,
}

/// Reads a push up to its pack.
pub(crate) fn parse(body: &Body) -> Result<Push> {
    let mut packets = Packets::of(body)?;
    let Some((updates, capabilities)) = commands(&mut packets)? else {
        packets.end()?;
        return Ok(Push { updates: Vec::new(), atomic: false, options: Vec::new() });
    };
    let mut names = BTreeSet::new();
    if let Some(twice) = updates.iter().find(|update| !names.insert(update.name.as_str())) {
        return Err(Refusal::ambiguous(format!("the push names `{}` twice", twice.name)));
    }
    same_hash(&updates, &capabilities)?;
    let options = if capabilities.push_options { options(&mut packets)? } else { Vec::new() };
    if updates.iter().all(|update| update.new.is_none()) {
        packets.end()?;
    } else {
        pack_follows(&packets)?;
    }
    Ok(Push { updates, atomic: capabilities.atomic, options })
}

impl Push {
    /// One operation for each ref.
    pub(crate) fn operations(self, repository: &str) -> Vec<Operation> {
        let of = |update: &Update| {
            let (action, ids) = match (&update.old, &update.new) {
                (None, Some(new)) => ("ref.create", vec![("new", new)]),
                (Some(old), Some(new)) => ("ref.update", vec![("old", old), ("new", new)]),
                (old, None) => ("ref.delete", old.iter().map(|old| ("old", old)).collect()),
            };
            let operation = Operation::new(action)
                .text("repository", repository)
                .text("ref", update.name.as_str())
                .flag("atomic", self.atomic)
                .texts("push_options", self.options.clone());
            ids.into_iter().fold(operation, |operation, (name, id)| operation.text(name, id.as_str()))
        };
        self.updates.iter().map(of).collect()
    }
}

#[derive(Default)]
struct Capabilities {
    atomic: bool,
    push_options: bool,
    object_format: Option<String>,
}

fn commands(packets: &mut Packets) -> Result<Option<(Vec<Update>, Capabilities)>> {
    let mut updates = Vec::new();
    let mut capabilities = None;
    let mut shallow = false;
    loop {
        match packets.next_packet()? {
            Packet::Flush => break,
            Packet::Delimiter => return Err(Refusal::malformed("a push has no delimiter packets")),
            Packet::Line(line) if updates.is_empty() && line.starts_with(b"shallow ") => {
                object_id(line.get(8..).unwrap_or_default())?;
                shallow = true;
            }
            Packet::Line(line) => {
                let (command, asked) =
                    match line.iter().position(|&byte| byte == 0).and_then(|at| line.split_at_checked(at)) {
                        Some((command, asked)) if updates.is_empty() => (command, asked.get(1..)),
                        Some(_) => return Err(Refusal::malformed("capabilities stand on the first command alone")),
                        None => (line, None),
                    };
                if command == b"push-cert" {
                    return Err(Refusal::not_understood("signed pushes are not understood: push with --no-signed"));
                }
                if updates.is_empty() {
                    capabilities = Some(asked.map(parse_capabilities).transpose()?.unwrap_or_default());
                }
                updates.push(update(command)?);
                if updates.len() > MOST_OPERATIONS {
                    let why = format!("the push changes more than {MOST_OPERATIONS} refs: push fewer at a time");
                    return Err(Refusal::not_understood(why));
                }
            }
        }
    }
    match capabilities {
        Some(capabilities) => Ok(Some((updates, capabilities))),
        None if shallow => Err(Refusal::malformed("a push has a command")),
        None => Ok(None),
    }
}

fn update(command: &[u8]) -> Result<Update> {
    let mut parts = command.splitn(3, |&byte| byte == b' ');
    let (Some(old), Some(new), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Refusal::malformed("a command is `old new ref`"));
    };
    let (old, new) = (object_id(old)?, object_id(new)?);
    if old.len() != new.len() {
        return Err(Refusal::malformed("a command's ids are of one hash"));
    }
    let named = |id: &String| id.bytes().any(|digit| digit != b'0');
    let update = Update { old: Some(old).filter(named), new: Some(new).filter(named), name: refname::parse(name)? };
    if update.old.is_none() && update.new.is_none() {
        return Err(Refusal::malformed(format!("nothing happens to `{}`: both ids are zero", update.name)));
    }
    Ok(update)
}

/// Lower-case digits alone, as git writes them, so that one object has one name in policies.
fn object_id(id: &[u8]) -> Result<String> {
    let fits = matches!(id.len(), 40 | 64) && id.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    match core::str::from_utf8(id) {
        Ok(id) if fits => Ok(id.to_owned()),
        _ => Err(Refusal::malformed("an object's id has 40 or 64 lower-case hexadecimal digits")),
    }
}

fn parse_capabilities(asked: &[u8]) -> Result<Capabilities> {
    let asked = core::str::from_utf8(asked).ok().filter(|asked| !asked.contains(|c: char| c.is_control()));
    let Some(asked) = asked else {
        // git would end a capability at any white space, and the list at a NUL.
        return Err(Refusal::malformed("capabilities are separated by single spaces, and have no other"));
    };
    let mut capabilities = Capabilities::default();
    let mut names = BTreeSet::new();
    for capability in asked.split(' ').filter(|capability| !capability.is_empty()) {
        let (name, value) = match capability.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (capability, None),
        };
        if !names.insert(name) {
            return Err(Refusal::ambiguous(format!("the capability `{name}` is asked for twice")));
        }
        match (name, value) {
            ("atomic", None) => capabilities.atomic = true,
            ("push-options", None) => capabilities.push_options = true,
            ("object-format", Some(format)) => capabilities.object_format = Some(format.to_owned()),
            ("report-status" | "report-status-v2" | "side-band-64k" | "quiet" | "ofs-delta" | "delete-refs", None)
            | ("agent" | "session-id", Some(_)) => {}
            _ => return Err(Refusal::not_understood("the push asks for a capability that is not known")),
        }
    }
    Ok(capabilities)
}

fn same_hash(updates: &[Update], capabilities: &Capabilities) -> Result<()> {
    let expected = match capabilities.object_format.as_deref() {
        None => None,
        Some("sha1") => Some(40),
        Some("sha256") => Some(64),
        Some(_) => return Err(Refusal::not_understood("the object format is neither sha1 nor sha256")),
    };
    let mut lengths = updates.iter().flat_map(|update| update.old.iter().chain(&update.new)).map(String::len);
    let first = expected.or_else(|| lengths.clone().next());
    if lengths.all(|length| Some(length) == first) {
        Ok(())
    } else {
        Err(Refusal::malformed("all ids of a push are of its object format"))
    }
}

fn options(packets: &mut Packets) -> Result<Vec<String>> {
    let mut options = BTreeSet::new();
    loop {
        match packets.next_packet()? {
            Packet::Flush => return Ok(options.into_iter().collect()),
            Packet::Delimiter => return Err(Refusal::malformed("a push has no delimiter packets")),
            Packet::Line(line) => {
                let name = line.split(|&byte| byte == b'=').next().unwrap_or_default();
                let name = core::str::from_utf8(name).ok().filter(|name| !name.contains(|c: char| c.is_control()));
                let Some(name) = name else {
                    return Err(Refusal::not_understood("a push option's name is not printable text"));
                };
                options.insert(name.to_owned());
            }
        }
    }
}

fn pack_follows(packets: &Packets) -> Result<()> {
    let (rest, truncated) = packets.rest();
    if rest.starts_with(b"PACK") || (truncated && b"PACK".starts_with(rest)) {
        Ok(())
    } else {
        Err(Refusal::malformed("a pack follows the commands of a push"))
    }
}
