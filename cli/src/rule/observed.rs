//! `narrowgate rule get NAME --observed`: what was denied and nobody proposed a rule for.

use std::fmt::Write as _;

use narrowgate_core::decide::Layer;
use narrowgate_core::observed::{ObservedDenial, ObservedDenials};
use owo_colors::OwoColorize as _;
use serde_json::Value;

use crate::output::plain;

/// The whole list, without a final line end.
pub(super) fn text(name: &str, found: &ObservedDenials) -> String {
    let mut blocks: Vec<String> = found.denials.iter().map(denial).collect();
    if blocks.is_empty() {
        blocks.push(format!("nothing was denied in {} that nobody proposed a rule for", plain(name)));
    }
    if found.dropped > 0 {
        blocks.push(format!("{} more denials were not kept; the audit log has them", found.dropped));
    }
    blocks.join("\n\n")
}

fn denial(denial: &ObservedDenial) -> String {
    let host = plain(&denial.host);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let place = format!("{host}:{}", denial.port);
    let request =
        [&denial.method, &denial.path].into_iter().flatten().map(|part| plain(part)).collect::<Vec<_>>().join(" ");
    let title = match denial.layer {
        Layer::L4 => format!("{place} [L4]"),
        Layer::L7 => format!("{place} [L7, {request}]"),
    };
    let mut out = format!("{}  {}", title.bold(), times(denial.count));
    let mut field = |name: &str, value: &str| {
        let _ = write!(out, "\n  {name:<15} {value}");
    };
    field("binary", &if denial.binary.is_empty() { "unidentified".to_owned() } else { plain(&denial.binary) });
    for operation in &denial.operations {
        let attributes = operation.attributes.iter().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!(" {}={}", plain(name), plain(&value))
        });
        field("operation", &format!("{}{}", plain(&operation.action), attributes.collect::<String>()));
    }
    let reason = serde_json::to_value(denial.reason).ok();
    field("reason", reason.as_ref().and_then(Value::as_str).unwrap_or_default());
    field("seen", &super::text::span(&denial.first_seen, &denial.last_seen));
    field("last denial", &plain(&denial.denial_id));
    if let Some(why) = &denial.not_drafted {
        field("no draft", &plain(why));
    }
    out
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn shown(found: Value) -> String {
        anstream::adapter::strip_str(&text("demo", &serde_json::from_value(found).unwrap())).to_string()
    }

    #[test]
    fn requests_and_connections() {
        let request = json!({ "layer": "l7", "host": "api.github.com", "port": 443, "binary": "/usr/bin/curl", "method": "PUT",
            "path": "/repos/acme/site/contents/a.md", "reason": "no_matching_rule", "count": 5, "denial_id": "d_5",
            "first_seen": "2026-01-01T00:00:00Z", "last_seen": "2026-01-01T00:05:00Z",
            "operations": [{ "plugin": "github", "action": "github::contents.write", "attributes": { "owner": "acme", "repo": "site" } }] });
        let connection = json!({ "layer": "l4", "host": "::1\u{1b}[2J", "port": 22, "binary": "", "reason": "lease_expired", "count": 1,
            "denial_id": "d_6", "first_seen": "2026-01-01T00:00:00Z", "last_seen": "2026-01-01T00:00:00Z",
            "not_drafted": "the program could not be identified" });
        insta::assert_snapshot!(shown(json!({ "denials": [request, connection], "dropped": 7 })), @r"
        api.github.com:443 [L7, PUT /repos/acme/site/contents/a.md]  5 times
          binary          /usr/bin/curl
          operation       github::contents.write owner=acme repo=site
          reason          no_matching_rule
          seen            2026-01-01T00:00:00Z to 2026-01-01T00:05:00Z
          last denial     d_5

        [::1\u{1b}[2J]:22 [L4]  once
          binary          unidentified
          reason          lease_expired
          seen            2026-01-01T00:00:00Z
          last denial     d_6
          no draft        the program could not be identified

        7 more denials were not kept; the audit log has them
        ");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let text = shown(json!({ "denials": [], "dropped": 0 }));
        assert_eq!(text, "nothing was denied in demo that nobody proposed a rule for");
    }
}
