//! GitHub's REST API, version 3: what its requests mean.
//!
//! One table of routes, by topic, in [`topics`]: a route names its action, and its placeholders are the action's
//! attributes. The vocabulary, the classification and the examples are all read off that table, so none of them can say
//! something that the others do not. What is not in the table is not understood, and so denied.
//!
//! Groups follow GitHub's own permissions: what needs *administration*, *secrets*, *webhooks* or an organisation's
//! settings is `admin`, also where it removes something.
//!
//! Names that GitHub compares without regard to case (owners, repositories, users, teams) are emitted in lower case.

mod attributes;
mod examples;
mod pattern;
mod route;
#[cfg(test)]
mod tests;
mod topics;
mod vocabulary;

use narrowgate_plugin::{Body, Operation, Plugin, Refusal, Request, Result, Suggestion, Vocabulary};

pub(crate) const API: &str = "api.github.com";
pub(crate) const UPLOADS: &str = "uploads.github.com";

/// Headers that make a server take a request for another method's.
pub(crate) const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

struct GitHub;

impl Plugin for GitHub {
    fn describe() -> Vocabulary {
        vocabulary::vocabulary()
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        one_reading(request)?;
        let path = request.segments();
        let method = if request.method == "HEAD" { "GET" } else { &request.method };
        for section in topics::sections().filter(|section| section.host == request.host) {
            for route in section.routes(method, &path) {
                if let Some(operation) = route.read(request, &path)? {
                    return Ok(vec![operation]);
                }
            }
        }
        Err(Refusal::not_understood(format!(
            "{} {} is not a route that this plugin knows",
            request.method, request.path
        )))
    }

    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        denied.iter().flat_map(examples::suggestions).collect()
    }

    fn example(suggestion: &Suggestion) -> Option<Request> {
        examples::example(&suggestion.operation)
    }
}

narrowgate_plugin::export!(GitHub);

/// GitHub runs on Rack, which can take a method from a header or a form's `_method`, and parameters from a GET's body.
fn one_reading(request: &Request) -> Result<()> {
    if OVERRIDES.iter().any(|name| request.headers.iter().any(|(held, _)| held == name)) {
        return Err(Refusal::ambiguous("a header overrides the method; send the method that is meant"));
    }
    if request.has_query("_method") {
        return Err(Refusal::ambiguous(
            "the query has `_method`, which overrides the method; send the method that is meant",
        ));
    }
    match (request.method.as_str(), &request.body) {
        (_, Body::Absent) => Ok(()),
        ("GET" | "HEAD", Body::Complete(bytes)) if bytes.is_empty() => Ok(()),
        ("GET" | "HEAD", _) => Err(Refusal::ambiguous("a GET with a body: parameters could be in either place")),
        ("POST", _) => not_a_form(request),
        _ => Ok(()),
    }
}

/// curl labels every body a form, and GitHub reads it as JSON all the same: so only a `_method` in it counts.
fn not_a_form(request: &Request) -> Result<()> {
    match request.media_type()?.as_str() {
        "" | "application/x-www-form-urlencoded" => {
            let body = request.complete_body().map_err(|_| {
                Refusal::needs_body(
                    "the body is too long to see that it is no form; send `content-type: application/json`",
                )
            })?;
            if body.windows(7).any(|bytes| bytes == b"_method" || bytes == b"%5Fmeth" || bytes == b"%5fmeth") {
                return Err(Refusal::ambiguous(
                    "a body labelled as a form has `_method`; send `content-type: application/json`",
                ));
            }
            Ok(())
        }
        "multipart/form-data" => Err(Refusal::not_understood("no route takes multipart/form-data")),
        _ => Ok(()),
    }
}
