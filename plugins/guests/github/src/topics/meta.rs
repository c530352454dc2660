//! Search, and what belongs to nobody.

use crate::route::{Declared, Topic, get, post, read, section};
use narrowgate_plugin::Group;

pub(crate) const META: Topic = Topic {
    actions: &[
        read("search.read", "Searches everything that the caller can see."),
        read("meta.read", "Reads GitHub's own facts: limits, versions, addresses, licenses, templates, public events."),
        Declared {
            name: "markdown.render",
            group: Group::Read,
            doc: "Renders Markdown as HTML.",
            exemption: Some("it computes HTML from the text that it is sent, and stores nothing"),
        },
    ],
    sections: &[
        section("/search", &[get("/{kind}", "search.read")]),
        section(
            "",
            &[
                get("/", "meta.read"),
                get("/meta", "meta.read"),
                get("/zen", "meta.read"),
                get("/octocat", "meta.read"),
                get("/rate_limit", "meta.read"),
                get("/versions", "meta.read"),
                get("/emojis", "meta.read"),
                get("/events", "meta.read"),
                get("/feeds", "meta.read"),
                get("/codes_of_conduct", "meta.read"),
                get("/codes_of_conduct/{name}", "meta.read"),
                get("/gitignore/templates", "meta.read"),
                get("/gitignore/templates/{name}", "meta.read"),
                get("/licenses", "meta.read"),
                get("/licenses/{name}", "meta.read"),
                post("/markdown", "markdown.render"),
                post("/markdown/raw", "markdown.render"),
            ],
        ),
    ],
};
