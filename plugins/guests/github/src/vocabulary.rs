//! The vocabulary, read off the table.

use crate::attributes::ATTRIBUTES;
use crate::route::{Declared, Topic};
use crate::{API, OVERRIDES, UPLOADS, topics};
use narrowgate_plugin::{Action, Vocabulary};

/// A file of 750 KiB still fits in the JSON that writes it. What is longer is streamed on unread, and denied only where
/// the body decides.
const BODY_LIMIT: u32 = 1 << 20;

pub(crate) fn vocabulary() -> Vocabulary {
    let mut vocabulary = Vocabulary::new("github", env!("CARGO_PKG_VERSION"), "GitHub's REST API, version 3.")
        .host(API)
        .host(UPLOADS)
        .header("content-type")
        .body(&["POST", "PUT", "PATCH", "DELETE"], BODY_LIMIT);
    for name in OVERRIDES {
        vocabulary = vocabulary.header(name);
    }
    for topic in topics::TOPICS {
        vocabulary = vocabulary.actions(topic.actions.iter().map(|declared| action(declared, topic)));
    }
    vocabulary
}

/// An action's methods are those of its routes; its attributes too, each optional where a route may be without it.
fn action(declared: &Declared, topic: &'static Topic) -> Action {
    let mut methods = Vec::new();
    // By attribute: how many routes have it, and how many always.
    let mut held = [(0, 0); ATTRIBUTES.len()];
    let mut count = 0;
    for route in topic.routes().filter(|route| route.row.action == declared.name) {
        methods.push(route.row.method);
        count += 1;
        for (named, optional) in route.attributes() {
            let counts = ATTRIBUTES.iter().zip(&mut held).find(|(attribute, _)| attribute.name == named.name);
            if let Some((_, (some, always))) = counts {
                *some += 1;
                *always += usize::from(!optional);
            }
        }
    }
    methods.sort_unstable();
    methods.dedup();
    let mut action = Action::new(declared.group, declared.name, declared.doc).methods(&methods);
    if let Some(why) = declared.exemption {
        action = action.read_exemption(why);
    }
    for (attribute, (some, always)) in ATTRIBUTES.iter().zip(held) {
        if some > 0 {
            action = action.attribute(attribute.name, attribute.kind(), always < count, attribute.doc);
        }
    }
    action
}
