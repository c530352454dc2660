//! The short form, for people: one event on one line of a terminal.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

/// Renders one OCSF object of this log as `[t+26] HTTP:PUT [MED] DENIED PUT https://api.github.com:443/repos/… [policy:…
/// reason:…]`; `None` for an object of a class that the log does not have. What a client chose is escaped: it cannot
/// forge a second line or move the cursor.
pub fn short(line: &Value, since: Duration) -> Option<String> {
    let severity = match line.get("severity_id")?.as_u64()? {
        1 => "INFO",
        2 => "LOW",
        3 => "MED",
        4 => "HIGH",
        _ => "CRIT",
    };
    let (tag, text) = match line.get("class_uid")?.as_u64()? {
        4001 => (format!("NET:{}", field(line, "/activity_name").to_uppercase()), decision(line, &endpoint(line))),
        4002 => {
            let method = field(line, "/http_request/http_method");
            let what = format!("{method} {}", field(line, "/http_request/url/url_string"));
            (format!("HTTP:{method}"), decision(line, &what))
        }
        5019 => (format!("CONFIG:{}", field(line, "/unmapped/change").to_uppercase()), change(line)),
        2004 => ("FINDING".to_owned(), field(line, "/message").to_owned()),
        _ => return None,
    };
    Some(format!("[t+{}] {} [{severity}] {}", since.as_secs(), printable(&tag), printable(&text)))
}

fn decision(line: &Value, what: &str) -> String {
    let action = line.get("action_id").and_then(Value::as_u64);
    if action == Some(99) {
        let (held, until) = (field(line, "/unmapped/held_id"), field(line, "/unmapped/held_deadline"));
        return format!("WAITING {what} [held:{held} until:{until}]");
    }
    let denied = action != Some(1);
    let policy = match field(line, "/firewall_rule/name") {
        "" => "-",
        policy => policy,
    };
    let (word, name, why) = match denied {
        true => ("DENIED", "reason", field(line, "/unmapped/reason")),
        false => ("ALLOWED", "rule", field(line, "/firewall_rule/uid")),
    };
    let operations = line.pointer("/unmapped/operations").and_then(Value::as_array);
    let named: Vec<&str> = operations.into_iter().flatten().filter_map(Value::as_str).collect();
    let operations = if named.is_empty() { String::new() } else { format!(" operations:{}", named.join(",")) };
    let held = match (field(line, "/unmapped/held_id"), field(line, "/unmapped/decided_by")) {
        ("", _) => String::new(),
        (held, "") => format!(" held:{held} by:{}", field(line, "/unmapped/decision_source")),
        (held, by) => format!(" held:{held} by:{by}"),
    };
    format!("{word} {what} [policy:{policy} {name}:{why}{operations}{held}]")
}

fn change(line: &Value) -> String {
    let mut text = field(line, "/message").to_owned();
    let known = [("version", "/policy/version"), ("policy", "/policy/uid"), ("subject", "/unmapped/subject")];
    let known: Vec<String> = known
        .iter()
        .map(|(name, pointer)| (name, field(line, pointer)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    if !known.is_empty() {
        let _ = write!(text, " [{}]", known.join(" "));
    }
    text
}

fn endpoint(line: &Value) -> String {
    let port = line.pointer("/dst_endpoint/port").and_then(Value::as_u64).unwrap_or_default();
    match (field(line, "/dst_endpoint/hostname"), field(line, "/dst_endpoint/ip")) {
        ("", ip) if ip.contains(':') => format!("[{ip}]:{port}"),
        ("", ip) => format!("{ip}:{port}"),
        (host, _) => format!("{host}:{port}"),
    }
}

fn field<'a>(line: &'a Value, pointer: &str) -> &'a str {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Escapes what a terminal acts on or a reader cannot see: controls, line separators, direction marks.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if c.is_control() || hidden {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
