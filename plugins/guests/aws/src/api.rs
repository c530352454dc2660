//! The query protocol (`Action=…` in a form or in the query) and the JSON protocol (`X-Amz-Target`).

use crate::services::Service;
use crate::{signs, verbs};
use narrowgate_plugin::{Body, Group, Json, MOST_OPERATIONS, Operation, Refusal, Request, Result};

pub(crate) const TARGET: &str = "x-amz-target";

pub(crate) fn classify(request: &Request, service: &Service, region: Option<&str>) -> Result<Vec<Operation>> {
    let call = Call { service, region };
    match request.header_one(TARGET)? {
        Some(target) => call.json(request, target),
        None => call.query(request),
    }
}

struct Call<'a> {
    service: &'a Service,
    region: Option<&'a str>,
}

impl Call<'_> {
    fn json(&self, request: &Request, target: &str) -> Result<Vec<Operation>> {
        let media = request.media_type()?;
        if request.method != "POST" || request.path != "/" || self.service.target.is_empty() {
            return Err(Refusal::not_understood(format!("{} does not take {TARGET} here", self.service.name)));
        }
        if !["application/x-amz-json-1.0", "application/x-amz-json-1.1", "application/json"].contains(&media.as_str()) {
            return Err(Refusal::ambiguous(format!(
                "{TARGET} with the media type {media:?}, which is not one of JSON"
            )));
        }
        request.check_charset()?;
        if request.query.iter().any(|(key, _)| !signs(key)) {
            return Err(Refusal::ambiguous(format!("{TARGET} with a query: an action could be in either")));
        }
        let action = (target.strip_prefix(self.service.target))
            .and_then(|rest| rest.strip_prefix('.'))
            .filter(|action| is_action(action))
            .ok_or_else(|| Refusal::not_understood(format!("{target:?} is not an action of {}", self.service.name)))?;
        if self.service.name == "dynamodb" && ["BatchGetItem", "BatchWriteItem"].contains(&action) {
            return self.batch(action, &request.json()?);
        }
        let mut resource = None;
        if !self.service.resource.is_empty() && request.body != Body::Absent {
            let json = request.json()?;
            for member in self.service.resource {
                resource = resource.or(json.text_member(member)?.map(short_resource).map(str::to_owned));
            }
        }
        Ok(vec![self.operation(verbs::group(action), action, resource.as_deref())])
    }

    /// One operation for each table, and for what is done to it.
    fn batch(&self, action: &str, json: &Json) -> Result<Vec<Operation>> {
        let malformed = || Refusal::malformed(format!("{action} without RequestItems as DynamoDB documents them"));
        let tables = json.member("RequestItems")?.and_then(Json::as_object).ok_or_else(malformed)?;
        let mut operations = Vec::new();
        for (table, requests) in tables {
            if action == "BatchGetItem" {
                operations.push(self.operation(Group::Read, action, Some(table)));
                continue;
            }
            let (mut puts, mut deletes) = (false, false);
            for request in requests.as_list().ok_or_else(malformed)? {
                match request.as_object().ok_or_else(malformed)? {
                    [(kind, _)] if kind == "PutRequest" => puts = true,
                    [(kind, _)] if kind == "DeleteRequest" => deletes = true,
                    _ => return Err(malformed()),
                }
            }
            for (group, _) in [(Group::Write, puts), (Group::Delete, deletes)].into_iter().filter(|(_, there)| *there) {
                operations.push(self.operation(group, action, Some(table)));
            }
        }
        match operations.len() {
            0 => Err(malformed()),
            1..=MOST_OPERATIONS => Ok(operations),
            _ => Err(Refusal::not_understood(format!(
                "{action} over more tables than {MOST_OPERATIONS} operations tell apart"
            ))),
        }
    }

    fn query(&self, request: &Request) -> Result<Vec<Operation>> {
        if !self.service.query {
            return Err(Refusal::not_understood(format!(
                "{} has no {TARGET}, and takes no other protocol",
                request.path
            )));
        }
        let mut fields: Vec<(String, String)> = request.query.iter().filter(|(key, _)| !signs(key)).cloned().collect();
        match (request.method.as_str(), &request.body) {
            ("GET", Body::Absent) => {}
            ("GET", Body::Complete(bytes)) if bytes.is_empty() => {}
            ("GET", _) => return Err(Refusal::ambiguous("a GET with a body: the action could be in either place")),
            ("POST", _) if request.media_type()? == "application/x-www-form-urlencoded" => {
                request.check_charset()?;
                let form = request.form()?;
                fields.extend(form.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            _ => return Err(Refusal::not_understood("neither a GET nor a POST of a form")),
        }
        let action = field(&fields, "Action")?.ok_or_else(|| Refusal::not_understood("there is no `Action`"))?;
        if !is_action(action) {
            return Err(Refusal::malformed("`Action` is not a name of letters and digits"));
        }
        let mut resource = self.path_resource(request)?;
        for name in self.service.resource {
            let named = field(&fields, name)?.map(short_resource);
            if let (Some(path), Some(named)) = (resource, named)
                && path != named
            {
                return Err(Refusal::ambiguous(format!("the path names another resource than `{name}`")));
            }
            resource = resource.or(named);
        }
        Ok(vec![self.operation(verbs::group(action), action, resource)])
    }

    /// SQS takes the queue's address as the path: `/123456789012/queue`.
    fn path_resource<'r>(&self, request: &'r Request) -> Result<Option<&'r str>> {
        match request.segments.as_slice() {
            [root] if root.is_empty() => Ok(None),
            [_, queue] if self.service.name == "sqs" && !queue.is_empty() => Ok(request.path.strip_prefix('/')),
            _ => Err(Refusal::not_understood(format!("{} has nothing at {}", self.service.name, request.path))),
        }
    }

    fn operation(&self, group: Group, action: &str, resource: Option<&str>) -> Operation {
        let name = match if self.service.admin { Group::Admin } else { group } {
            Group::Read => "api.read",
            Group::Write => "api.write",
            Group::Delete => "api.delete",
            Group::Admin => "api.admin",
        };
        Operation::new(name)
            .text("service", self.service.name)
            .optional_text("region", self.region)
            .text("action", action)
            .optional_text("resource", resource)
    }
}

/// One field, from the query and the form together.
fn field<'f>(fields: &'f [(String, String)], name: &str) -> Result<Option<&'f str>> {
    let mut found = fields.iter().filter(|(held, _)| held.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some((held, value)), None) if held == name => Ok(Some(value)),
        (Some(_), None) => Err(Refusal::ambiguous(format!("`{name}` is there in other letters"))),
        (Some(_), Some(_)) => Err(Refusal::ambiguous(format!("`{name}` is there twice"))),
    }
}

/// A queue's address names its account and itself at the end: the rest is the host, which is known.
fn short_resource(resource: &str) -> &str {
    match resource.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or(resource, |(_, path)| path),
        None => resource,
    }
}

fn is_action(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
