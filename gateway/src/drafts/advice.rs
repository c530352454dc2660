//! What a reviewer is told of a draft besides the verdict: how likely it is needed, and what to consider.

use narrowgate_core::blocked::blocked;
use narrowgate_core::finding::FindingName;
use narrowgate_core::request::Host;
use narrowgate_prover::is_interpreter;
use serde_json::Value;

/// From 0 to 1, in hundredths: how likely it is that the connection is needed, and not a stray. It says nothing of risk.
///
/// - 0.2 for having been denied at all;
/// - up to 0.3 for how often, `n / (n + 3)` of it: a program that retries gives up after a few times;
/// - up to 0.2 for in how many minutes, all of it from five on: a need comes back;
/// - 0.2 if the program is not one that runs whatever it is given, whose name says little of who needs it;
/// - 0.1 if the destination has a name, which somebody wrote down somewhere.
pub(crate) fn confidence(hits: u64, minutes: u64, binary: &str, host: &str) -> f64 {
    let hits = hits as f64;
    let often = 0.3 * hits / (hits + 3.0);
    let spread = 0.2 * minutes.saturating_sub(1).min(4) as f64 / 4.0;
    let program = if binary.is_empty() || is_interpreter(binary) { 0.0 } else { 0.2 };
    let name = if is_address(host) { 0.0 } else { 0.1 };
    ((0.2 + often + spread + program + name) * 100.0).round() / 100.0
}

/// A sentence for each thing that a reviewer should consider. For the sandbox, without what is known of credentials.
pub(crate) fn notes(binary: &str, host: &str, port: u16, report: Option<&Value>, is_for_reviewer: bool) -> Vec<String> {
    let mut notes = vec!["Opaque: nothing that passes there would be inspected, whatever the protocol.".to_owned()];
    notes.extend(known_port(port).map(|known| format!("Port {port} is {known}")));
    if is_interpreter(binary) {
        let name = binary.rsplit('/').next().unwrap_or_default();
        notes.push(format!("{name} runs whatever it is given: every script in the sandbox could use this."));
    }
    if is_address(host) {
        notes.push("An address and no name: whoever has it tomorrow is reached then.".to_owned());
    }
    let class = Host::parse(host).ok().and_then(|host| host.ip()).and_then(blocked);
    notes.extend(class.map(|blocked| format!("The address is {}: nothing that the Internet leads to.", blocked.class)));
    let found = report.and_then(|report| report.get("findings")).and_then(Value::as_array);
    let has = |name: FindingName| {
        found.into_iter().flatten().any(|finding| finding.get("name").and_then(Value::as_str) == Some(name.as_str()))
    };
    if is_for_reviewer && (has(FindingName::L7BypassCredentialed) || has(FindingName::CredentialReachExpansion)) {
        notes.push("There are credentials for this host: they could be used for anything there, unseen.".to_owned());
    }
    notes
}

fn is_address(host: &str) -> bool {
    Host::parse(host).is_ok_and(|host| host.ip().is_some())
}

/// What the port is known for, and what follows of it.
fn known_port(port: u16) -> Option<&'static str> {
    Some(match port {
        20 | 21 => "FTP: passwords and files in the clear.",
        22 => "SSH: commands, files and tunnels to anywhere beyond.",
        23 => "Telnet: a shell in the clear.",
        25 | 465 | 587 => "mail: anything can be sent to anybody.",
        53 | 853 => "DNS: names can carry data out.",
        80 | 443 | 8080 | 8443 => "HTTP: a rule with a protocol would say which requests, and see them.",
        389 | 636 => "LDAP: a directory of people and their rights.",
        445 => "SMB: shared files.",
        1080 | 3128 => "a proxy: it leads anywhere.",
        1433 | 1521 | 3306 | 5432 | 6379 | 9200 | 27017 => "a database: reading and writing cannot be told apart.",
        2375 | 2376 | 6443 => "the control of a container host or a cluster.",
        3389 | 5900 => "somebody's screen and keyboard.",
        6667 | 6697 => "IRC: a common way to take orders.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_grows_with_hits_and_time_and_stays_within_one() {
        for (hits, minutes, binary, host, expect) in [
            (1, 1, "/usr/bin/psql", "db.example", 0.58),
            (5, 1, "/usr/bin/psql", "db.example", 0.69),
            (5, 3, "/usr/bin/psql", "db.example", 0.79),
            (u64::MAX, u64::MAX, "/usr/bin/psql", "db.example", 1.0),
            (5, 1, "/usr/bin/python3.12", "db.example", 0.49),
            (5, 1, "/usr/bin/psql", "192.0.2.1", 0.59),
            (1, 1, "", "::1", 0.28),
        ] {
            assert_eq!(confidence(hits, minutes, binary, host), expect, "{hits} {minutes} {binary} {host}");
        }
    }

    #[test]
    fn notes_say_what_there_is_to_consider() {
        let credentialed = serde_json::json!({ "findings": [{ "name": "l7_bypass_credentialed" }] });
        for (binary, host, port, report, expect) in [
            ("/usr/bin/psql", "db.example", 5432, None, &["Opaque", "a database"][..]),
            ("/usr/bin/psql", "db.example", 4999, None, &["Opaque"]),
            ("/bin/bash", "10.0.0.7", 22, None, &["Opaque", "SSH", "bash runs", "An address", "private"]),
            ("/usr/bin/curl", "api.example", 443, Some(&credentialed), &["Opaque", "HTTP", "credentials"]),
        ] {
            let notes = notes(binary, host, port, report, true);
            assert_eq!(notes.len(), expect.len(), "{notes:?}");
            assert!(notes.iter().zip(expect).all(|(note, part)| note.contains(part)), "{notes:?}");
        }
        let own = notes("/usr/bin/curl", "api.example", 443, Some(&credentialed), false);
        assert!(!own.concat().contains("credential"), "{own:?}");
    }
}
