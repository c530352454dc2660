//! How a document comes over HTTP: as JSON in a POST, alone or in a batch, or in the query of a GET.

use std::collections::BTreeMap;

use narrowgate_plugin::{Body, Json, MOST_OPERATIONS, Refusal, Request, Result, arguments::fold};

/// The members of a GraphQL request. All others are reserved, and some servers take a document's hash or number there.
const MEMBERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

/// One GraphQL request.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The document.
    pub(crate) document: String,
    /// Which of its operations is meant.
    pub(crate) operation_name: Option<String>,
    /// Values of variables, by name.
    pub(crate) variables: BTreeMap<String, Json>,
    /// Whether it came in a GET, which must not change anything.
    pub(crate) safe: bool,
}

/// Every GraphQL request of an HTTP request.
pub(crate) fn read(request: &Request) -> Result<Vec<Envelope>> {
    match request.method.as_str() {
        "GET" | "HEAD" => get(request).map(|envelope| vec![envelope]),
        "POST" => post(request),
        _ => Err(Refusal::not_understood("GraphQL comes in GET and POST")),
    }
}

fn get(request: &Request) -> Result<Envelope> {
    if !matches!(&request.body, Body::Absent) && !matches!(&request.body, Body::Complete(bytes) if bytes.is_empty()) {
        return Err(Refusal::ambiguous("a GET with a body: some servers read the query, others the body"));
    }
    if let Some((key, _)) = request.query.iter().find(|(key, _)| is_member(key) && !MEMBERS.contains(&key.as_str())) {
        return Err(misspelt(key));
    }
    let json = |key| request.query_one(key)?.map(|text| Json::parse(text.as_bytes())).transpose();
    let extensions = json("extensions")?;
    let Some(document) = request.query_one("query")? else { return Err(without_document(extensions.as_ref())) };
    check_extensions(extensions.as_ref())?;
    Ok(Envelope {
        document: document.to_owned(),
        // An absent name is often sent as an empty one.
        operation_name: request.query_one("operationName")?.filter(|name| !name.is_empty()).map(str::to_owned),
        variables: variables(json("variables")?)?,
        safe: true,
    })
}

fn post(request: &Request) -> Result<Vec<Envelope>> {
    match request.media_type()?.as_str() {
        "application/json" | "application/graphql-response+json" => request.check_charset()?,
        "multipart/form-data" => return Err(Refusal::not_understood("file uploads are not understood")),
        _ => return Err(Refusal::not_understood("a GraphQL POST has the content type application/json")),
    }
    if request.query.iter().any(|(key, _)| is_member(key)) {
        return Err(Refusal::ambiguous(
            "a POST with a GraphQL request in its query: some servers read that, others the body",
        ));
    }
    match request.json()? {
        Json::List(batch) if batch.is_empty() => Err(Refusal::malformed("the batch is empty")),
        Json::List(batch) if batch.len() > MOST_OPERATIONS => {
            Err(Refusal::not_understood(format!("the batch has more than {MOST_OPERATIONS} requests")))
        }
        Json::List(batch) => batch.into_iter().map(envelope).collect(),
        single => Ok(vec![envelope(single)?]),
    }
}

fn envelope(json: Json) -> Result<Envelope> {
    let Json::Object(members) = json else { return Err(Refusal::malformed("a GraphQL request is a JSON object")) };
    let (mut document, mut operation_name, mut given, mut extensions) = (None, None, None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("query", Json::Text(text)) => document = Some(text),
            ("operationName", Json::Text(text)) => operation_name = Some(text),
            ("query" | "operationName", Json::Null) => {}
            ("query" | "operationName", _) => return Err(Refusal::malformed(format!("`{name}` is a text"))),
            ("variables", value) => given = Some(value),
            ("extensions", value) => extensions = Some(value),
            _ if is_member(&name) => return Err(misspelt(&name)),
            _ => {
                let known = MEMBERS.join(", ");
                return Err(Refusal::not_understood(format!("a GraphQL request has the members {known} and no other")));
            }
        }
    }
    let Some(document) = document else { return Err(without_document(extensions.as_ref())) };
    check_extensions(extensions.as_ref())?;
    let operation_name = operation_name.filter(|name| !name.is_empty());
    Ok(Envelope { document, operation_name, variables: variables(given)?, safe: false })
}

fn variables(given: Option<Json>) -> Result<BTreeMap<String, Json>> {
    match given {
        None | Some(Json::Null) => Ok(BTreeMap::new()),
        Some(Json::Object(variables)) => Ok(variables.into_iter().collect()),
        Some(_) => Err(Refusal::malformed("`variables` is a JSON object")),
    }
}

/// A hash beside the document could stand for another document, which some servers would prefer.
fn check_extensions(extensions: Option<&Json>) -> Result<()> {
    match extensions {
        None | Some(Json::Null) => Ok(()),
        Some(extensions @ Json::Object(_)) if !is_persisted(extensions) => Ok(()),
        Some(Json::Object(_)) => {
            Err(Refusal::ambiguous("the request has a document and a persisted query's hash: send the document alone"))
        }
        Some(_) => Err(Refusal::malformed("`extensions` is a JSON object")),
    }
}

fn without_document(extensions: Option<&Json>) -> Refusal {
    if extensions.is_some_and(is_persisted) {
        Refusal::not_understood("a persisted query's hash does not say what it asks for: send the document in `query`")
    } else {
        Refusal::not_understood("not a GraphQL request: it has no `query`")
    }
}

fn is_persisted(extensions: &Json) -> bool {
    extensions.as_object().is_some_and(|members| members.iter().any(|(name, _)| fold(name) == "persistedquery"))
}

fn is_member(name: &str) -> bool {
    let folded = fold(name);
    MEMBERS.iter().any(|member| fold(member) == folded)
}

fn misspelt(name: &str) -> Refusal {
    Refusal::ambiguous(format!(
        "`{}` is read as one of {} by some servers alone",
        name.escape_debug(),
        MEMBERS.join(", ")
    ))
}
