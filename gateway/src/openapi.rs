//! The API's OpenAPI document: the routes as a table, the bodies from the types that are sent.

mod held;

use narrowgate_core::{observed, wire};
use narrowgate_prover::Report;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

/// One operation of the API.
struct Route {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Which roles' tokens; empty for none needed.
    roles: &'static [&'static str],
    query: &'static [(&'static str, &'static str, &'static str)],
    body: Option<Value>,
    /// Status, what it means, the body's schema.
    answers: Vec<(u16, &'static str, Option<Value>)>,
    /// The error statuses beyond those that roles and bodies imply.
    errors: &'static [u16],
}

/// The document, in a stable order.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes(&mut generator) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.to_owned(), operation(&route, &mut generator));
        }
    }
    // The type of `ProposalView.report`, which `core` cannot name.
    generator.subschema_for::<Report>();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Narrowgate gateway", "version": "1", "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" } },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "A token of the role sandbox, reviewer or admin." } },
        },
    })
}

fn routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    let mut routes = sandbox_routes(generator);
    routes.extend(proposal_routes(generator));
    routes.extend(held::held_routes(generator));
    routes.extend(held::reviewer_routes(generator));
    routes.extend(other_routes(generator));
    routes
}

fn sandbox_routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    let mut of = Schemas(generator);
    vec![
        Route {
            body: Some(of.schema::<wire::CreateSandbox>()),
            answers: vec![(201, "Created. The token is shown this once.", Some(of.schema::<wire::CreatedSandbox>()))],
            errors: &[409],
            ..route(
                "post",
                "/v1/sandboxes",
                "Create a sandbox; its baseline must be proven inside the ceiling.",
                &["admin"],
            )
        },
        Route {
            answers: vec![(200, "By name.", Some(of.schema::<wire::Sandboxes>()))],
            ..route("get", "/v1/sandboxes", "List sandboxes.", &["reviewer", "admin"])
        },
        Route {
            answers: vec![(200, "The sandbox.", Some(of.schema::<wire::SandboxView>()))],
            ..route("get", "/v1/sandboxes/{name}", "Show a sandbox.", &["reviewer", "admin"])
        },
        Route {
            answers: vec![(204, "Its token is void, its pending proposals expired.", None)],
            ..route("delete", "/v1/sandboxes/{name}", "Delete a sandbox.", &["admin"])
        },
        Route {
            query: &[
                ("after", "integer", "Only a version above this one; 0 where absent."),
                ("wait", "integer", "Seconds to wait for one, at most 300; 0 where absent."),
            ],
            answers: vec![
                (200, "The active version.", Some(of.schema::<wire::Bundle>())),
                (204, "Nothing newer in that time.", None),
            ],
            ..route(
                "get",
                "/v1/sandboxes/{name}/bundle",
                "The policy in force, with its certificate.",
                &["sandbox (its own)", "reviewer", "admin"],
            )
        },
        Route {
            answers: vec![(200, "Oldest first.", Some(of.schema::<wire::History>()))],
            ..route(
                "get",
                "/v1/sandboxes/{name}/history",
                "The versions of a sandbox's policy.",
                &["reviewer", "admin"],
            )
        },
        Route {
            body: Some(of.schema::<wire::SubmitProposal>()),
            answers: vec![(
                202,
                "One entry per operation, in one of the two lists.",
                Some(of.schema::<wire::SubmitAnswer>()),
            )],
            ..route("post", "/v1/sandboxes/{name}/proposals", "Submit a proposal.", &["sandbox (its own)"])
        },
        Route {
            body: Some(of.schema::<wire::SubmitProposal>()),
            answers: vec![(200, "The prover's advice.", Some(of.schema::<wire::CheckAnswer>()))],
            ..route(
                "post",
                "/v1/sandboxes/{name}/proposals/check",
                "Judge a proposal without submitting it.",
                &["sandbox (its own)"],
            )
        },
        Route {
            body: Some(of.schema::<observed::ReportDenials>()),
            answers: vec![(200, "Counted.", Some(of.schema::<observed::ReportAnswer>()))],
            ..route(
                "post",
                "/v1/sandboxes/{name}/denials",
                "Tell what was denied; of denied connections, drafts are made.",
                &["sandbox (its own)"],
            )
        },
        Route {
            answers: vec![(200, "The last seen first.", Some(of.schema::<observed::ObservedDenials>()))],
            ..route(
                "get",
                "/v1/sandboxes/{name}/observed",
                "What was denied and nobody proposed a rule for.",
                &["sandbox (its own)", "reviewer"],
            )
        },
    ]
}

fn proposal_routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    let mut of = Schemas(generator);
    let view = of.schema::<wire::ProposalView>();
    vec![
        Route {
            query: &[("sandbox", "string", "Only of this sandbox."), ("status", "string", "Only with this status.")],
            answers: vec![(
                200,
                "Oldest first; at most 1000. What waits comes before what was decided; of what waits, the oldest of each \
                 sandbox; of what was decided, the newest.",
                Some(of.schema::<wire::Proposals>()),
            )],
            ..route("get", "/v1/proposals", "List proposals.", &["reviewer"])
        },
        Route {
            query: &[("wait", "integer", "Seconds to wait for a decision, at most 300; 0 where absent.")],
            answers: vec![(
                200,
                "As of now; timed_out where it was waited for and is pending still.",
                Some(view.clone()),
            )],
            ..route("get", "/v1/proposals/{id}", "Show a proposal.", &["sandbox (its own)", "reviewer"])
        },
        Route {
            body: Some(of.schema::<wire::Approve>()),
            answers: vec![(200, "In force.", Some(view.clone()))],
            errors: &[409],
            ..route(
                "post",
                "/v1/proposals/{id}/approve",
                "Put a proposal in force, exactly as it was reviewed.",
                &["reviewer"],
            )
        },
        Route {
            body: Some(of.schema::<wire::Reject>()),
            answers: vec![(200, "Rejected.", Some(view))],
            errors: &[409],
            ..route("post", "/v1/proposals/{id}/reject", "Reject a proposal.", &["reviewer"])
        },
    ]
}

fn other_routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    let mut of = Schemas(generator);
    let status = json!({ "type": "object", "properties": { "status": { "type": "string" } }, "required": ["status"] });
    vec![
        Route {
            answers: vec![(200, "As it was given.", Some(of.schema::<wire::CeilingView>()))],
            ..route("get", "/v1/ceiling", "The ceiling.", &["reviewer", "admin"])
        },
        Route {
            answers: vec![(200, "The keys that certificates verify with.", Some(of.schema::<wire::Keys>()))],
            ..route("get", "/v1/keys", "The gateway's public keys.", &["sandbox", "reviewer", "admin"])
        },
        Route {
            body: Some(of.schema::<wire::RotateKey>()),
            answers: vec![(
                200,
                "The keys from now on. Every policy in force is a new version, signed by the new key.",
                Some(of.schema::<wire::Keys>()),
            )],
            errors: &[409],
            ..route(
                "post",
                "/v1/keys/rotate",
                "Replace the signing key; the old one stays trusted for a while.",
                &["admin"],
            )
        },
        Route { answers: vec![(200, "It runs.", Some(status.clone()))], ..route("get", "/healthz", "Liveness.", &[]) },
        Route {
            answers: vec![(200, "It can serve.", Some(status.clone())), (503, "It cannot.", Some(status))],
            ..route("get", "/readyz", "Readiness.", &[])
        },
    ]
}

fn route(method: &'static str, path: &'static str, summary: &'static str, roles: &'static [&'static str]) -> Route {
    Route { method, path, summary, roles, query: &[], body: None, answers: Vec::new(), errors: &[] }
}

struct Schemas<'a>(&'a mut SchemaGenerator);

impl Schemas<'_> {
    fn schema<T: schemars::JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation =
        json!({ "summary": route.summary, "parameters": parameters(route), "responses": responses(route, generator) });
    if let Value::Object(members) = &mut operation {
        if let Some(body) = &route.body {
            members.insert(
                "requestBody".to_owned(),
                json!({ "required": true, "content": { "application/json": { "schema": body } } }),
            );
        }
        if !route.roles.is_empty() {
            members.insert("description".to_owned(), json!(format!("Roles: {}.", route.roles.join(", "))));
            members.insert("security".to_owned(), json!([{ "token": [] }]));
        }
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let placeholders = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = placeholders
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.query.iter().map(|(name, kind, description)| {
        json!({ "name": name, "in": "query", "required": false, "description": description, "schema": { "type": kind } })
    });
    in_path.chain(in_query).collect()
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for (status, description, schema) in &route.answers {
        let mut response = json!({ "description": description });
        if let (Some(schema), Value::Object(members)) = (schema, &mut response) {
            let media = if route.path == "/v1/inbox/events" { "text/event-stream" } else { "application/json" };
            members.insert("content".to_owned(), json!({ media: { "schema": schema } }));
        }
        responses.insert(status.to_string(), response);
    }
    let mut errors: Vec<u16> = route.errors.to_vec();
    if !route.roles.is_empty() {
        errors.push(401);
        if !route.roles.contains(&"sandbox") {
            errors.push(403);
        }
        if route.roles.iter().any(|role| role.starts_with("sandbox")) {
            errors.push(503);
        }
    }
    if route.path.contains('{') {
        errors.push(404);
    }
    if route.body.is_some() {
        errors.extend([400, 408, 413]);
    } else if !route.query.is_empty() {
        errors.push(400);
    }
    errors.sort_unstable();
    let schema = generator.subschema_for::<wire::ApiError>().to_value();
    for status in errors {
        let response =
            json!({ "description": meaning(status), "content": { "application/json": { "schema": schema } } });
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The body or a parameter is wrong.",
        401 => "No valid token.",
        403 => "Not in this role.",
        404 => "There is none that this caller may know of.",
        408 => "The body took longer than 15 s.",
        409 => {
            "Not in the state that this needs: sandbox_exists, stale_review_token (with the proposal or held request as of now), not_pending, locked, not_proven, busy; of held requests (as they are now) not_waiting, no_longer_fits, key_reused, session_ended."
        }
        503 => {
            "busy, for a sandbox: too many calls of its own, or of all sandboxes, are answered right now. Retry-After."
        }
        _ => "The body is too large.",
    }
}
