//! Advice: what would be worth asking for, and a request for an operation.

use crate::{Aws, services};
use narrowgate_plugin::{Operation, Request, Suggestion, is_read_as, quoted, sample};

/// The operation itself, and everything beside its object.
pub(crate) fn suggestions(denied: &Operation) -> Vec<Suggestion> {
    let mut suggestions = vec![Suggestion::new(denied.clone(), "Exactly what was denied.")];
    if let Some((folder, _)) = denied.text_of("key").and_then(|key| key.rsplit_once('/')) {
        let operation = denied.clone().replaced("key", format!("{folder}/**")).without("version");
        suggestions.push(Suggestion::new(operation, "Everything under the same prefix."));
    }
    suggestions
}

/// None where the request would not be read as what was asked for.
pub(crate) fn example(operation: &Operation) -> Option<Request> {
    let asked = Asked(operation);
    let requests = match operation.action.strip_prefix("s3.") {
        Some(action) => asked.storage(action)?,
        None => asked.call()?,
    };
    requests.into_iter().find(|request| is_read_as::<Aws>(request, operation))
}

struct Asked<'a>(&'a Operation);

impl Asked<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.text_of(name).map(sample)
    }

    fn storage(&self, action: &str) -> Option<Vec<Request>> {
        let part = self.text("subresource").unwrap_or_default();
        let (method, part) = match action {
            "buckets.list" | "object.list" => ("GET", ""),
            "bucket.read" | "object.read" if part == "select" => ("POST", part.as_str()),
            "bucket.read" if part.is_empty() => ("HEAD", ""),
            "bucket.read" | "object.read" => ("GET", part.as_str()),
            "bucket.create" | "object.write" => ("PUT", ""),
            "bucket.admin" | "object.admin" if part.is_empty() => ("PUT", "acl"),
            "bucket.admin" | "object.admin" => ("PUT", part.as_str()),
            "bucket.delete" | "object.delete" => ("DELETE", ""),
            "object.delete_many" => ("POST", "delete"),
            "upload.abort" => ("DELETE", "uploadId"),
            "object.tag" => ("PUT", "tagging"),
            "object.restore" => ("POST", "restore"),
            _ => return None,
        };
        let host = match self.text("region") {
            Some(region) => format!("s3.{region}.amazonaws.com"),
            None => "s3.amazonaws.com".to_owned(),
        };
        let mut request = Request::https(method, &host);
        if action != "buckets.list" {
            request = request.segment(&self.text("bucket").unwrap_or_else(|| "example".to_owned()));
        }
        if action.starts_with("object") && !["object.list", "object.delete_many"].contains(&action)
            || action == "upload.abort"
        {
            request = request.segments_of(&self.text("key").unwrap_or_else(|| "example".to_owned())).plus_encoded();
        }
        if !part.is_empty() {
            request = request.query(part, if part == "uploadId" { "1" } else { "" });
        }
        for (attribute, key) in [("version", "versionId"), ("prefix", "prefix")] {
            if let Some(text) = self.text(attribute) {
                request = request.query(key, &text);
            }
        }
        Some(vec![request])
    }

    /// In the JSON protocol, or else in the query protocol.
    fn call(&self) -> Option<Vec<Request>> {
        let service = services::named(self.0.text_of("service").unwrap_or("dynamodb"))?;
        let action = match (self.0.text_of("action"), self.0.action.as_str()) {
            (Some(action), _) => action.replace('*', "Example"),
            (None, "api.read") => "ListTables".to_owned(),
            (None, "api.write") => "UpdateTable".to_owned(),
            (None, "api.delete") => "DeleteTable".to_owned(),
            (None, _) => "Example".to_owned(),
        };
        let host = match self.text("region") {
            Some(region) => format!("{}.{region}.amazonaws.com", service.name),
            None if service.global => format!("{}.amazonaws.com", service.name),
            None => format!("{}.us-east-1.amazonaws.com", service.name),
        };
        let resource = self.text("resource");
        let mut requests = Vec::new();
        if !service.target.is_empty() {
            for member in service.resource.iter().take(if resource.is_some() { 2 } else { 0 }) {
                let body = resource.as_ref().map(|held| format!("{{\"{member}\":{}}}", quoted(held)))?;
                requests.push(body);
            }
            if requests.is_empty() {
                requests.push("{}".to_owned());
            }
            let target = format!("{}.{action}", service.target);
            return Some(requests.into_iter().map(|body| json(&host, &target, body)).collect());
        }
        let mut form = format!("Action={action}");
        if let (Some(resource), Some(name)) = (resource, service.resource.first()) {
            form.push_str(&format!("&{name}={}", encoded(&resource)));
        }
        let request = Request::https("POST", &host).header("content-type", "application/x-www-form-urlencoded");
        Some(vec![request.body(form)])
    }
}

fn json(host: &str, target: &str, body: String) -> Request {
    Request::https("POST", host)
        .header("content-type", "application/x-amz-json-1.1")
        .header(crate::api::TARGET, target)
        .body(body)
}

trait PlusEncoded {
    fn plus_encoded(self) -> Self;
}

impl PlusEncoded for Request {
    /// S3 may read a `+` in a path as a space.
    fn plus_encoded(self) -> Self {
        Self { path: self.path.replace('+', "%2B"), ..self }
    }
}

fn encoded(text: &str) -> String {
    let path = Request::https("GET", "").segment(text).path;
    path.trim_start_matches('/').replace('&', "%26").replace('+', "%2B").replace('=', "%3D")
}
