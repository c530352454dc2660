//! Events in the words of OCSF 1.8 (<https://schema.ocsf.io/1.8.0>).
//!
//! | what | class |
//! |---|---|
//! | connections | 4001 network activity |
//! | HTTP requests | 4002 HTTP activity |
//! | policies and proposals | 5019 device config state change, the device being the sandbox |
//! | findings | 2004 detection finding |
//!
//! The profiles `host` (device, actor) and `security_control` (action, disposition, rule, policy) apply. What OCSF has no
//! word for is in `unmapped`.
//!
//! The objects are written here and not with a crate's types: `ocsf-types`, the fullest, is thirty thousand generated
//! lines in which every attribute is an `Option`, required ones too, and every enumeration an integer, so that it would
//! check none of what the tests here check, and cost more to compile than the rest of this crate.

use narrowgate_core::decide::Reason;
use serde_json::{Map, Value, json};

use crate::held::Source;

use super::{Change, Event, Flow, Outcome, Severity, What};

const VERSION: &str = "1.8.0";

/// A class and what was done, as OCSF numbers them.
struct Class {
    category: (u64, &'static str),
    class: (u64, &'static str),
    activity: (u64, &'static str),
    profiles: &'static [&'static str],
}

/// The event as one object. Attributes without a value are absent, not null.
pub(super) fn event(event: &Event) -> Value {
    let mut object = match &event.what {
        What::Network(flow) => network(flow),
        What::Http { flow, method, scheme, path } => http(flow, method, scheme, path),
        What::Config { change, version, hash, subject, detail } => {
            let hash = hash.map(|hash| hash.to_string());
            config(*change, *version, hash, subject.as_deref(), detail)
        }
        What::Finding { title, detail, severity, flow } => {
            let mut object = finding(title, detail, *severity, flow.as_ref());
            set(&mut object, "finding_info", json!({"uid": event.correlation, "title": title, "desc": detail}));
            object
        }
    };
    set(&mut object, "time", json!(event.time.as_millisecond()));
    set(&mut object, "device", device(&event.sandbox));
    let profiles = object.remove("profiles");
    let product = json!({"name": "Narrowgate", "vendor_name": "Narrowgate", "version": env!("CARGO_PKG_VERSION")});
    let metadata = json!({
        "version": VERSION, "product": product, "profiles": profiles, "correlation_uid": event.correlation,
    });
    set(&mut object, "metadata", metadata);
    Value::Object(object)
}

fn network(flow: &Flow) -> Map<String, Value> {
    let activity = match flow.outcome {
        Outcome::Allowed => (1, "Open"),
        Outcome::Denied(_) => (5, "Refuse"),
        Outcome::Waiting => (99, "Wait"),
    };
    let class = Class {
        category: (4, "Network Activity"),
        class: (4001, "Network Activity"),
        activity,
        profiles: &["host", "security_control"],
    };
    let mut object = decided(&class, flow);
    set(&mut object, "connection_info", connection());
    object
}

fn http(flow: &Flow, method: &str, scheme: &str, path: &str) -> Map<String, Value> {
    let class = Class {
        category: (4, "Network Activity"),
        class: (4002, "HTTP Activity"),
        activity: http_activity(method),
        profiles: &["host", "security_control"],
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let host = if flow.host.contains(':') { format!("[{}]", flow.host) } else { flow.host.clone() };
    let url = json!({
        "scheme": scheme, "hostname": flow.host, "port": flow.port, "path": path,
        "url_string": format!("{scheme}://{host}:{}{path}", flow.port),
    });
    let mut object = decided(&class, flow);
    set(&mut object, "http_request", json!({"http_method": method, "url": url}));
    set(&mut object, "connection_info", connection());
    object
}

fn config(
    change: Change,
    version: Option<u64>,
    hash: Option<String>,
    subject: Option<&str>,
    detail: &str,
) -> Map<String, Value> {
    let (severity, failed) = match change {
        Change::Refused => (Severity::High, true),
        Change::RolledBack | Change::Revoked => (Severity::Medium, false),
        Change::Proposed
        | Change::Approved
        | Change::Rejected
        | Change::Superseded
        | Change::Loaded
        | Change::KeysReplaced => (Severity::Informational, false),
    };
    let class = Class {
        category: (5, "Discovery"),
        class: (5019, "Device Config State Change"),
        activity: (1, "Log"),
        profiles: &["security_control"],
    };
    let mut object = base(&class, severity, failed);
    set(&mut object, "message", json!(detail));
    set(
        &mut object,
        "policy",
        some([("uid", hash.map(Value::from)), ("version", version.map(|v| json!(v.to_string())))]),
    );
    set(&mut object, "unmapped", some([("change", Some(json!(change.name()))), ("subject", subject.map(Value::from))]));
    object
}

fn finding(title: &str, detail: &str, severity: Severity, flow: Option<&Flow>) -> Map<String, Value> {
    let class = Class {
        category: (2, "Findings"),
        class: (2004, "Detection Finding"),
        activity: (1, "Create"),
        profiles: &["host", "security_control"],
    };
    let mut object = match flow {
        Some(flow) => {
            let mut object = decided(&class, flow);
            // This class has no destination of its own.
            let destination = object.remove("dst_endpoint");
            set(&mut object, "evidences", json!([some([("dst_endpoint", destination)])]));
            object
        }
        None => base(&class, severity, false),
    };
    set_severity(&mut object, severity);
    set(&mut object, "status_id", json!(1));
    set(&mut object, "status", json!("New"));
    set(&mut object, "is_alert", json!(severity >= Severity::Medium));
    set(&mut object, "message", json!(format!("{title}: {detail}")));
    object
}

/// What every decision has: who, where to, the outcome, the rule and the policy.
fn decided(class: &Class, flow: &Flow) -> Map<String, Value> {
    let (severity, action, disposition, reason) = match flow.outcome {
        Outcome::Allowed => (Severity::Informational, (1, "Allowed"), (1, "Allowed"), None),
        Outcome::Denied(reason) => (Severity::Medium, (2, "Denied"), (2, "Blocked"), Some(reason_text(reason))),
        Outcome::Waiting => (Severity::Informational, (99, "Waiting"), (14, "Delayed"), None),
    };
    let mut object = base(class, severity, reason.is_some());
    set(&mut object, "action_id", json!(action.0));
    set(&mut object, "action", json!(action.1));
    set(&mut object, "disposition_id", json!(disposition.0));
    set(&mut object, "disposition", json!(disposition.1));
    set(&mut object, "status_detail", reason.clone().unwrap_or_default());
    set(&mut object, "actor", json!({"process": process(flow)}));
    let endpoint = if flow.host.parse::<std::net::IpAddr>().is_ok() { "ip" } else { "hostname" };
    set(&mut object, "dst_endpoint", json!({endpoint: flow.host, "port": flow.port}));
    let version = flow.version.map(|version| json!(version.to_string()));
    let rule = [
        ("name", flow.policy.as_deref().map(Value::from)),
        ("uid", flow.rule.as_deref().map(Value::from)),
        ("version", version.clone()),
    ];
    if flow.policy.is_some() || flow.rule.is_some() {
        set(&mut object, "firewall_rule", some(rule));
    }
    let hash = flow.hash.map(|hash| json!(hash.to_string()));
    set(&mut object, "policy", some([("uid", hash), ("version", version)]));
    let review = flow.review.as_ref();
    let source = review.map_or(Source::Policy, |review| review.source).as_str();
    let held = review.and_then(|review| review.held.as_ref());
    let unmapped = [
        // Nobody has decided yet.
        ("decision_source", (flow.outcome != Outcome::Waiting).then(|| json!(source))),
        ("held_id", held.map(|held| json!(held.held_id))),
        ("held_deadline", held.map(|held| json!(held.deadline))),
        ("decided_by", review.and_then(|review| review.decided_by.as_deref()).map(Value::from)),
        ("reason", reason),
        ("sandbox", Some(json!(flow.process.sandbox))),
        ("plugin", flow.plugin.as_deref().map(Value::from)),
        ("operations", (!flow.operations.is_empty()).then(|| json!(flow.operations))),
    ];
    set(&mut object, "unmapped", some(unmapped));
    object
}

fn base(class: &Class, severity: Severity, failed: bool) -> Map<String, Value> {
    let mut object = Map::new();
    let activity = class.activity;
    let status = if failed { (2, "Failure") } else { (1, "Success") };
    let fields = [
        ("category_uid", json!(class.category.0)),
        ("category_name", json!(class.category.1)),
        ("class_uid", json!(class.class.0)),
        ("class_name", json!(class.class.1)),
        ("activity_id", json!(activity.0)),
        ("activity_name", json!(activity.1)),
        ("type_uid", json!(class.class.0 * 100 + activity.0)),
        ("type_name", json!(format!("{}: {}", class.class.1, activity.1))),
        ("status_id", json!(status.0)),
        ("status", json!(status.1)),
        ("profiles", json!(class.profiles)),
    ];
    for (name, value) in fields {
        set(&mut object, name, value);
    }
    set_severity(&mut object, severity);
    object
}

fn process(flow: &Flow) -> Value {
    let process = &flow.process;
    if process.path.is_empty() {
        return json!({"name": "unidentified"});
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let hashes = json!([{"algorithm_id": 3, "algorithm": "SHA-256", "value": process.sha256}]);
    let file = json!({"name": name(&process.path), "path": process.path, "type_id": 1, "hashes": hashes});
    let ancestry: Vec<Value> = process.ancestors.iter().map(|path| json!({"name": name(path), "path": path})).collect();
    some([
        ("name", Some(json!(name(&process.path)))),
        ("path", Some(json!(process.path))),
        ("pid", flow.pid.map(Value::from)),
        ("cmd_line", flow.command.as_deref().map(Value::from)),
        ("file", Some(file)),
        ("ancestry", Some(json!(ancestry))),
    ])
}

fn device(sandbox: &str) -> Value {
    json!({"type_id": 99, "type": "Sandbox", "name": sandbox, "uid": sandbox})
}

fn connection() -> Value {
    json!({"direction_id": 2, "direction": "Outbound", "protocol_name": "tcp", "protocol_num": 6})
}

fn http_activity(method: &str) -> (u64, &'static str) {
    match method {
        "CONNECT" => (1, "Connect"),
        "DELETE" => (2, "Delete"),
        "GET" => (3, "Get"),
        "HEAD" => (4, "Head"),
        "OPTIONS" => (5, "Options"),
        "POST" => (6, "Post"),
        "PUT" => (7, "Put"),
        "TRACE" => (8, "Trace"),
        "PATCH" => (9, "Patch"),
        _ => (99, "Other"),
    }
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Change::Proposed => "proposed",
            Change::Approved => "approved",
            Change::Rejected => "rejected",
            Change::Superseded => "superseded",
            Change::Loaded => "loaded",
            Change::RolledBack => "rolled_back",
            Change::Refused => "refused",
            Change::Revoked => "revoked",
            Change::KeysReplaced => "keys_replaced",
        }
    }
}

fn reason_text(reason: Reason) -> Value {
    serde_json::to_value(reason).unwrap_or_default()
}

fn set_severity(object: &mut Map<String, Value>, severity: Severity) {
    let name = match severity {
        Severity::Informational => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    };
    set(object, "severity_id", json!(severity as u8));
    set(object, "severity", json!(name));
}

/// An object of what has a value.
fn some<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// Sets what is neither null nor an empty object.
fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    if !value.is_null() && value.as_object().is_none_or(|inner| !inner.is_empty()) {
        object.insert(name.to_owned(), value);
    }
}
