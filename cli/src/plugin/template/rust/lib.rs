//! What requests to a notebook's API mean. Replace it with yours.

use narrowgate_plugin::{
    Action, Json, Operation, Plugin, Refusal, Request, Result, Suggestion, Vocabulary, quoted, sample,
};

/// The plugin.
pub struct Notes;

narrowgate_plugin::export!(Notes);

const HOST: &str = "notes.example";

impl Plugin for Notes {
    fn describe() -> Vocabulary {
        let book = "The notebook.";
        let id = "The note.";
        Vocabulary::new("{{name}}", env!("CARGO_PKG_VERSION"), "A notebook's API.")
            .host(HOST)
            .header("content-type")
            .header("x-http-method-override")
            .body(&["POST", "PUT"], 64 * 1024)
            .action(Action::read("note.list", "Lists a notebook's notes.").text("book", book))
            .action(Action::read("note.read", "Reads a note.").text("book", book).text("id", id))
            .action(
                Action::read("note.search", "Searches all notebooks.")
                    .methods(&["POST"])
                    .read_exemption("What is searched for is in the body."),
            )
            .action(
                Action::write("note.write", "Makes or replaces a note.")
                    .methods(&["PUT"])
                    .text("book", book)
                    .text("id", id)
                    .text("title", "Its title.")
                    .optional_texts("tags", "The note's tags."),
            )
            .action(Action::delete("note.delete", "Removes a note.").text("book", book).text("id", id))
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        // A server that heeds it would do something else than the method says.
        if request.header_one("x-http-method-override")?.is_some() {
            return Err(Refusal::ambiguous("x-http-method-override names another method"));
        }
        let of_note = |action, book: &str, id: &str| Operation::new(action).text("book", book).text("id", id);
        let operation = match (request.method.as_str(), request.segments().as_slice()) {
            (_, [.., ""]) => return Err(not_a_route()),
            ("POST", ["v1", "search"]) => {
                json(request, &["query"])?;
                Operation::new("note.search")
            }
            ("GET" | "HEAD", ["v1", "notebooks", book, "notes"]) => Operation::new("note.list").text("book", *book),
            ("GET" | "HEAD", ["v1", "notebooks", book, "notes", id]) => of_note("note.read", book, id),
            ("PUT", ["v1", "notebooks", book, "notes", id]) => write(of_note("note.write", book, id), request)?,
            ("DELETE", ["v1", "notebooks", book, "notes", id]) => of_note("note.delete", book, id),
            _ => return Err(not_a_route()),
        };
        Ok(vec![operation])
    }

    /// Advice, narrowest first: what was denied, and the same for every note of the notebook.
    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        let mut suggestions = Vec::new();
        for operation in denied {
            suggestions.push(Suggestion::new(operation.clone(), "Exactly what was denied."));
            if operation.value("id").is_some() {
                let whole = operation.clone().without("id").without("title").without("tags");
                suggestions.push(Suggestion::new(whole, "Every note of that notebook."));
            }
        }
        suggestions
    }

    /// A request that `classify` reads as this operation, for people to look at.
    fn example(suggestion: &Suggestion) -> Option<Request> {
        let operation = &suggestion.operation;
        let held = |name: &str| sample(operation.text_of(name).unwrap_or(name));
        let request = |method| Request::https(method, HOST).segment("v1");
        let notes = |method| request(method).segment("notebooks").segment(&held("book")).segment("notes");
        let json = |request: Request, body: String| request.header("content-type", "application/json").body(body);
        Some(match operation.action.as_str() {
            "note.list" => notes("GET"),
            "note.read" => notes("GET").segment(&held("id")),
            "note.search" => json(request("POST").segment("search"), r#"{"query":"example"}"#.to_owned()),
            "note.write" => {
                let list = |tags: &[String]| tags.iter().map(|tag| quoted(tag)).collect::<Vec<_>>().join(",");
                let tags = operation.texts_of("tags").map(|tags| format!(r#","tags":[{}]"#, list(tags)));
                let tags = tags.unwrap_or_default();
                let body = format!(r#"{{"title":{}{tags}}}"#, quoted(&held("title")));
                json(notes("PUT").segment(&held("id")), body)
            }
            "note.delete" => notes("DELETE").segment(&held("id")),
            _ => return None,
        })
    }
}

fn write(operation: Operation, request: &Request) -> Result<Operation> {
    let body = json(request, &["title", "text", "tags"])?;
    let title = body.text_member("title")?.ok_or_else(|| Refusal::malformed("a note has a title"))?;
    let operation = operation.text("title", title);
    match body.member("tags")? {
        None => Ok(operation),
        Some(Json::List(tags)) => Ok(operation.texts("tags", tags.iter().map(text).collect::<Result<_>>()?)),
        Some(_) => Err(Refusal::malformed("tags are a list")),
    }
}

fn text(value: &Json) -> Result<String> {
    match value {
        Json::Text(text) => Ok(text.clone()),
        _ => Err(Refusal::malformed("a tag is a text")),
    }
}

/// The body, an object without members that this plugin does not know: they might mean anything.
fn json(request: &Request, known: &[&str]) -> Result<Json> {
    if request.media_type()? != "application/json" {
        return Err(Refusal::not_understood("the body is not application/json"));
    }
    let body = request.json()?;
    let Json::Object(members) = &body else { return Err(Refusal::malformed("the body is not an object")) };
    match members.iter().all(|(name, _)| known.contains(&name.as_str())) {
        true => Ok(body),
        false => Err(Refusal::not_understood("the body has a member that this plugin does not know")),
    }
}

fn not_a_route() -> Refusal {
    Refusal::not_understood("not a route of the notebook's API")
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrowgate_plugin::testing::{check, check_example, check_vocabulary};

    #[test]
    fn requests() {
        check::<Notes>("GET https://notes.example/v1/notebooks/plans/notes", "note.list book=plans");
        check::<Notes>("DELETE https://notes.example/v1/notebooks/plans/notes/a%20b", "note.delete book=plans id=a b");
        check::<Notes>("GET https://notes.example/v1/notebooks/plans/notes/", "not-understood");
        check::<Notes>("PUT https://notes.example/v1/notebooks/plans/notes/a\n\n{}", "not-understood");
    }

    #[test]
    fn advice() {
        check_vocabulary::<Notes>();
        let of_note = |action| Operation::new(action).text("book", "plans").text("id", "a b");
        check_example::<Notes>(&of_note("note.read"));
        check_example::<Notes>(&of_note("note.write").text("title", "Fourth \"quarter\""));
        check_example::<Notes>(&of_note("note.write").text("title", "x").texts("tags", vec!["draft".to_owned()]));
    }
}
