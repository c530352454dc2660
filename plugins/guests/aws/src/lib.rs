//! Amazon Web Services: what requests to `amazonaws.com` mean.
//!
//! Three protocols are read. S3's own, by path and by virtual host, down to bucket and key ([`s3`]); the query protocol,
//! where a form or the query has an `Action`; and the JSON protocol, where a header `X-Amz-Target` has it ([`api`]). The
//! rest, above all the services with routes of their own (Lambda, Route 53, Bedrock), is not understood, and so denied.
//!
//! Service and region are read off the host's name, never off a signature: credentials are not shown to plugins, and
//! the parameters of a presigned request are not looked at.

mod api;
mod endpoint;
mod examples;
mod s3;
mod services;
#[cfg(test)]
mod tests;
mod verbs;
mod vocabulary;

use endpoint::Endpoint;
use narrowgate_plugin::{Operation, Plugin, Request, Result, Suggestion, Vocabulary};

struct Aws;

impl Plugin for Aws {
    fn describe() -> Vocabulary {
        vocabulary::vocabulary()
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        match Endpoint::of(&request.host)? {
            Endpoint::S3 { bucket, region } => s3::classify(request, bucket, region),
            Endpoint::Api { service, region } => api::classify(request, service, region),
        }
    }

    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        denied.iter().flat_map(examples::suggestions).collect()
    }

    fn example(suggestion: &Suggestion) -> Option<Request> {
        examples::example(&suggestion.operation)
    }
}

narrowgate_plugin::export!(Aws);

/// The parameters that sign a request, by any signature version: they say who asks, not what for.
pub(crate) fn signs(key: &str) -> bool {
    const SIGNING: [&str; 13] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
        "x-amz-content-sha256",
        "x-amz-user-agent",
        "awsaccesskeyid",
        "signature",
        "signatureversion",
        "signaturemethod",
    ];
    SIGNING.iter().any(|signing| key.eq_ignore_ascii_case(signing)) || ["Expires", "Timestamp"].contains(&key)
}
