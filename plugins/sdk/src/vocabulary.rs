//! Builders, so that a vocabulary reads like a table.

use crate::{Action, Attribute, BodyNeed, DenialForm, Group, Kind, Vocabulary};

impl Vocabulary {
    /// A vocabulary without actions, for every host. `name` is a lower-case identifier.
    #[must_use]
    pub fn new(name: &str, version: &str, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            doc: doc.to_owned(),
            hosts: Vec::new(),
            headers: Vec::new(),
            body: None,
            denials: DenialForm::Problem,
            actions: Vec::new(),
        }
    }

    /// One more host pattern, as in a policy.
    #[must_use]
    pub fn host(mut self, pattern: &str) -> Self {
        self.hosts.push(pattern.to_owned());
        self
    }

    /// One more header that `classify` looks at, in lower case. Credentials are never shown.
    #[must_use]
    pub fn header(mut self, name: &str) -> Self {
        self.headers.push(name.to_owned());
        self
    }

    /// Bodies of requests with these methods are read, up to so many bytes (at most 4 MiB).
    #[must_use]
    pub fn body(mut self, methods: &[&str], limit: u32) -> Self {
        self.body = Some(BodyNeed { methods: owned(methods), limit });
        self
    }

    /// How denials are put, if not as HTTP problems.
    #[must_use]
    pub fn denials(mut self, form: DenialForm) -> Self {
        self.denials = form;
        self
    }

    /// One more action.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// More actions.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.actions.extend(actions);
        self
    }
}

impl Action {
    /// An action that looks; carried by GET (and so by HEAD) unless [`Action::methods`] says otherwise.
    #[must_use]
    pub fn read(name: &str, doc: &str) -> Self {
        Self::new(Group::Read, name, doc).methods(&["GET"])
    }

    /// An action that makes or changes; [`Action::methods`] must say what carries it.
    #[must_use]
    pub fn write(name: &str, doc: &str) -> Self {
        Self::new(Group::Write, name, doc)
    }

    /// An action that removes; carried by DELETE unless [`Action::methods`] says otherwise.
    #[must_use]
    pub fn delete(name: &str, doc: &str) -> Self {
        Self::new(Group::Delete, name, doc).methods(&["DELETE"])
    }

    /// An action that changes who may do what, or of which nobody knows what it does; [`Action::methods`] must say what
    /// carries it.
    #[must_use]
    pub fn admin(name: &str, doc: &str) -> Self {
        Self::new(Group::Admin, name, doc)
    }

    /// An action of a group, without methods and attributes.
    #[must_use]
    pub fn new(group: Group, name: &str, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            group,
            methods: Vec::new(),
            read_exemption: None,
            doc: doc.to_owned(),
            attributes: Vec::new(),
        }
    }

    /// The HTTP methods that can carry it, in place of those so far; `GET` stands for `HEAD` too.
    #[must_use]
    pub fn methods(mut self, methods: &[&str]) -> Self {
        self.methods = owned(methods);
        self
    }

    /// Why this action, in the group `read`, is carried by POST, PUT, PATCH or DELETE.
    #[must_use]
    pub fn read_exemption(mut self, why: &str) -> Self {
        self.read_exemption = Some(why.to_owned());
        self
    }

    /// One more attribute.
    #[must_use]
    pub fn attribute(mut self, name: &str, kind: Kind, optional: bool, doc: &str) -> Self {
        self.attributes.push(Attribute { name: name.to_owned(), kind, optional, doc: doc.to_owned() });
        self
    }

    /// A text that every operation has.
    #[must_use]
    pub fn text(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Text, false, doc)
    }

    /// A text that an operation may come without.
    #[must_use]
    pub fn optional_text(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Text, true, doc)
    }

    /// A whole number that every operation has.
    #[must_use]
    pub fn integer(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Integer, false, doc)
    }

    /// A whole number that an operation may come without.
    #[must_use]
    pub fn optional_integer(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Integer, true, doc)
    }

    /// A yes or no that every operation has.
    #[must_use]
    pub fn flag(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Flag, false, doc)
    }

    /// A yes or no that an operation may come without.
    #[must_use]
    pub fn optional_flag(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Flag, true, doc)
    }

    /// A set of texts that every operation has.
    #[must_use]
    pub fn texts(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Texts, false, doc)
    }

    /// A set of texts that an operation may come without.
    #[must_use]
    pub fn optional_texts(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Texts, true, doc)
    }

    /// Texts by name that every operation has.
    #[must_use]
    pub fn fields(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Fields, false, doc)
    }

    /// Texts by name that an operation may come without.
    #[must_use]
    pub fn optional_fields(self, name: &str, doc: &str) -> Self {
        self.attribute(name, Kind::Fields, true, doc)
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
