//! OpenAI's API, and the many servers that speak it: which endpoint, which model, and whether tools or files go along.
//!
//! What is asked of a model is never in an attribute: policies are about where data may go and with which abilities, and
//! prompts belong in no rule, denial or log. Requests that only compute are in the group `write` all the same: they send
//! data out.

mod examples;
mod generate;
mod multipart;
mod routes;
#[cfg(test)]
mod tests;
mod vocabulary;

use narrowgate_plugin::{Body, Operation, Plugin, Refusal, Request, Result, Suggestion, Vocabulary};

struct OpenAi;

impl Plugin for OpenAi {
    fn describe() -> Vocabulary {
        vocabulary::vocabulary()
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        if request.has_query("model") {
            return Err(Refusal::ambiguous("the query has `model`, which belongs in the body"));
        }
        if matches!(request.method.as_str(), "GET" | "HEAD") && has_body(request) {
            return Err(Refusal::ambiguous("a GET with a body: parameters could be in either place"));
        }
        let route = routes::find(request).ok_or_else(|| {
            Refusal::not_understood(format!(
                "{} {} is not a route that this plugin knows",
                request.method, request.path
            ))
        })?;
        generate::read(request, route).map(|operation| vec![operation])
    }

    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        denied.iter().flat_map(examples::suggestions).collect()
    }

    fn example(suggestion: &Suggestion) -> Option<Request> {
        examples::example(&suggestion.operation)
    }
}

narrowgate_plugin::export!(OpenAi);

fn has_body(request: &Request) -> bool {
    match &request.body {
        Body::Absent => false,
        Body::Complete(bytes) => !bytes.is_empty(),
        Body::Truncated(_) => true,
    }
}
