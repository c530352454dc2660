//! What to ask for instead, and what it would look like.

use narrowgate_plugin::{Operation, Request, Suggestion, Value, quoted, sample};

/// The field with these arguments; the field whatever its arguments. The operation's name never matters.
pub(crate) fn suggest(denied: &[Operation]) -> Vec<Suggestion> {
    let mut suggestions = Vec::new();
    for operation in denied {
        let exact = operation.clone().without("operation_name");
        let any = exact.clone().without("arguments").without("structured");
        suggestions.push(Suggestion::new(exact, "This root field, with these arguments."));
        suggestions.push(Suggestion::new(any, "This root field, with any arguments."));
    }
    suggestions
}

/// A POST of the shortest document. What would be selected below the field is left out. Strings are written the same way in
/// GraphQL as in JSON.
pub(crate) fn example(operation: &Operation) -> Option<Request> {
    let keyword = match operation.action.as_str() {
        keyword @ ("query" | "mutation" | "subscription") => keyword,
        _ => return None,
    };
    let name = operation.text_of("operation_name").map(sample).map(|name| format!(" {name}")).unwrap_or_default();
    let field = operation.text_of("field").map_or_else(|| "example".to_owned(), sample);
    let document = format!("{keyword}{name} {{ {field}{} }}", arguments(operation));
    let endpoint = operation.text_of("endpoint").map_or_else(|| "/graphql".to_owned(), sample);
    if endpoint.contains('%') {
        return None;
    }
    let request = Request::https("POST", "graphql.example")
        .segments_of(endpoint.trim_start_matches('/'))
        .header("content-type", "application/json")
        .body(format!("{{\"query\":{}}}", quoted(&document)));
    Some(request)
}

fn arguments(operation: &Operation) -> String {
    let mut arguments = Vec::new();
    if let Some(Value::Fields(fields)) = operation.value("arguments") {
        arguments.extend(fields.iter().map(|(name, text)| format!("{name}: {}", quoted(&sample(text)))));
    }
    arguments.extend(operation.texts_of("structured").unwrap_or_default().iter().map(|name| format!("{name}: []")));
    if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) }
}
