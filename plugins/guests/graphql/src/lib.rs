//! What GraphQL requests ask for: one operation for each root field of the operation that runs, after aliases, fragments
//! and variables, with its arguments.
//!
//! GraphQL says with a document what REST says with a path, and aliases, fragments, several operations in one document,
//! and batches are so many ways to have the same text look like something else. Read here is what a server would run;
//! what two servers could run differently is refused.
//!
//! A root field counts as asked for even where `@skip` or `@include` leaves it out. Introspection (`__schema`, `__type`)
//! and `__typename` are root fields like any other. Persisted queries, file uploads and subscriptions over WebSocket are
//! not understood. What is selected below root fields is not seen: a schema says what is reached there, and a rule that
//! must bound it names the fields that may be asked for at the root.

mod advice;
mod document;
mod envelope;
mod lexer;
mod operations;
#[cfg(test)]
mod tests;

use narrowgate_plugin::{Action, Operation, Plugin, Request, Result, Suggestion, Vocabulary};

/// The plugin.
pub struct GraphQl;

narrowgate_plugin::export!(GraphQl);

const BODY_LIMIT: u32 = 512 * 1024;

impl Plugin for GraphQl {
    fn describe() -> Vocabulary {
        let version = env!("CARGO_PKG_VERSION");
        let query =
            Action::read("query", "Reads a root field of the query type.").methods(&["GET", "POST"]).read_exemption(
                "GraphQL sends queries as POST; a document whose operation is a query cannot run a mutation.",
            );
        let subscription = Action::read("subscription", "Reads a root field of the subscription type, as it changes.")
            .methods(&["GET", "POST"])
            .read_exemption("GraphQL sends subscriptions as POST; they cannot run a mutation.");
        let mutation = Action::write("mutation", "Runs a root field of the mutation type.").methods(&["POST"]);
        Vocabulary::new("graphql", version, "GraphQL over HTTP: the root fields that a document asks for.")
            .header("content-type")
            .body(&["POST"], BODY_LIMIT)
            .actions([query, mutation, subscription].map(attributes))
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        let mut operations = Vec::new();
        for envelope in envelope::read(request)? {
            operations.append(&mut operations::of(&envelope, &request.path)?);
        }
        Ok(operations)
    }

    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        advice::suggest(denied)
    }

    fn example(suggestion: &Suggestion) -> Option<Request> {
        advice::example(&suggestion.operation)
    }
}

fn attributes(action: Action) -> Action {
    action
        .text("endpoint", "The path that the request goes to, such as `/graphql`.")
        .optional_text("operation_name", "The operation's name. The client chooses it: it bounds nothing.")
        .text("field", "The root field's own name, whatever its alias.")
        .fields(
            "arguments",
            "The root field's arguments that are scalars: strings, numbers in shortest decimal, `true` and `false`, and enum \
             values by their name. Variables have been put in.",
        )
        .texts(
            "structured",
            "The names of the root field's other arguments: lists, objects, `null`, and texts that are longer than 4096 \
             bytes or have control characters.",
        )
}
