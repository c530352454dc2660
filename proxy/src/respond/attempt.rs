//! What a client tries to do: the one subject that log lines, denials and questions to a person are made of.

use std::sync::OnceLock;

use http::header::HeaderName;
use http::{Method, Response};
use narrowgate_core::decide::Layer;
use narrowgate_core::denial::{Denial, DenialRecord, DeniedOperation, DeniedRequest};
use narrowgate_core::request::{Authority, Port};
use narrowgate_core::vocabulary::{Meaning, PluginName};

use super::denied::{Denied, Words};
use crate::audit::{Flow, Outcome, What};
use crate::body::Body;
use crate::forward::Wire;
use crate::held::Review;
use crate::shared::{Who, id};

/// Says that the request waited for a person, and until when it could have.
pub(crate) const HELD: HeaderName = HeaderName::from_static("x-narrowgate-held");

/// What a client tries to do, as far as it is known; the subject of log lines and denials.
pub(crate) struct Attempt {
    /// The same on every audit line of this request.
    pub(super) correlation: String,
    host: String,
    port: Port,
    kind: Kind,
    /// The plugin that says what it means, where one does.
    plugin: Option<String>,
    /// The operations that it is, where a plugin said so, by their actions.
    pub(super) operations: Vec<String>,
    /// Its denial's id, if it comes to one: a question to a person names it before.
    denial: OnceLock<String>,
    /// How it came to its decision, where it waited for a person.
    pub(super) review: Option<Review>,
}

enum Kind {
    Tunnel,
    Http { scheme: &'static str, method: Option<String>, path: Option<String> },
}

impl Attempt {
    /// A `CONNECT`.
    pub(crate) fn tunnel(to: &Authority) -> Attempt {
        Attempt::new(to.host.as_str(), to.port, Kind::Tunnel)
    }

    /// An HTTP request, whose path is not known yet.
    pub(crate) fn http(to: &Authority, wire: Wire, method: &Method) -> Attempt {
        let kind = Kind::Http { scheme: wire.scheme(), method: Some(method.to_string()), path: None };
        Attempt::new(to.host.as_str(), to.port, kind)
    }

    /// A request to `to`, or to who knows where, whose head was refused before it was parsed.
    pub(crate) fn unread(to: Option<&Authority>, wire: Wire) -> Attempt {
        let kind = Kind::Http { scheme: wire.scheme(), method: None, path: None };
        match to {
            Some(to) => Attempt::new(to.host.as_str(), to.port, kind),
            None => Attempt::new("", Port::HTTP, kind),
        }
    }

    /// A request whose destination could not be read.
    pub(crate) fn nowhere(method: &Method) -> Attempt {
        match *method {
            Method::CONNECT => Attempt::new("", Port::HTTP, Kind::Tunnel),
            _ => Attempt::new(
                "",
                Port::HTTP,
                Kind::Http { scheme: "http", method: Some(method.to_string()), path: None },
            ),
        }
    }

    fn new(host: &str, port: Port, kind: Kind) -> Attempt {
        Attempt {
            correlation: id("c_"),
            host: host.to_owned(),
            port,
            kind,
            plugin: None,
            operations: Vec::new(),
            denial: OnceLock::new(),
            review: None,
        }
    }

    /// Says how it came to its decision.
    pub(crate) fn set_review(&mut self, review: Review) {
        self.review = Some(review);
    }

    /// The policy decided it, whatever a person was asked or said.
    pub(crate) fn decided_by_policy(&mut self) {
        self.review = self.review.take().map(Review::by_policy);
    }

    pub(crate) fn review(&self) -> Option<Review> {
        self.review.clone()
    }

    /// Tells the client that its request waited.
    pub(crate) fn mark(&self, response: &mut Response<Body>) {
        if let Some(held) = self.review.as_ref().and_then(Review::header) {
            response.headers_mut().insert(HELD, held);
        }
    }

    /// What a person is shown of it, as a denial would record it.
    pub(crate) fn record(&self, binary: &str, denied: &Denied) -> DenialRecord {
        self.denial(binary, denied, false).record(jiff::Timestamp::now().to_string())
    }

    pub(super) fn denial(&self, binary: &str, denied: &Denied, proposals: bool) -> Denial {
        let cause = match &denied.words {
            Words::Cause(why) => Some(why.clone()),
            Words::General | Words::Instead(_) => None,
        };
        let request = self.denied(binary, denied.operations.clone(), cause);
        let id = self.denial.get_or_init(|| id("d_")).clone();
        let mut denial = Denial::new(id, request, &denied.refusal, proposals);
        if let Words::Instead(why) = &denied.words {
            denial.detail.clone_from(why);
        }
        denial
    }

    /// Sets the path, which has no query: canonical, or as it came where it has no canonical form.
    pub(crate) fn set_path(&mut self, without_query: &str) {
        if let Kind::Http { path, .. } = &mut self.kind {
            *path = Some(without_query.to_owned());
        }
    }

    /// Names the plugin that is asked what the request means.
    pub(crate) fn set_plugin(&mut self, plugin: &PluginName) {
        self.plugin = Some(plugin.to_string());
    }

    /// Says what the request means.
    pub(crate) fn set_operations<'a>(&mut self, meanings: impl Iterator<Item = &'a Meaning>) {
        self.operations = meanings.map(|meaning| meaning.action().to_owned()).collect();
    }

    pub(super) fn flow(&self, who: &Who, outcome: Outcome) -> Flow {
        Flow {
            process: who.process.clone(),
            pid: who.execution.map(|execution| execution.pid),
            command: who.command.as_ref().map(ToString::to_string),
            host: self.host.clone(),
            port: self.port.get(),
            outcome,
            policy: None,
            rule: None,
            version: None,
            hash: None,
            plugin: self.plugin.clone(),
            operations: self.operations.clone(),
            review: self.review.clone(),
        }
    }

    /// For people: `GET host:443/path`.
    pub(super) fn shown(&self) -> String {
        let Attempt { host, port, .. } = self;
        match &self.kind {
            Kind::Tunnel => format!("CONNECT {host}:{port}"),
            Kind::Http { method, path, .. } => {
                let (method, path) = (method.as_deref().unwrap_or("?"), path.as_deref().unwrap_or_default());
                format!("{method} {host}:{port}{path}")
            }
        }
    }

    pub(super) fn what(&self, flow: Flow) -> What {
        match &self.kind {
            Kind::Tunnel => What::Network(flow),
            Kind::Http { scheme, method, path } => What::Http {
                flow,
                method: method.clone().unwrap_or_default(),
                scheme: (*scheme).to_owned(),
                path: path.clone().unwrap_or_default(),
            },
        }
    }

    fn denied(&self, binary: &str, operations: Vec<DeniedOperation>, cause: Option<String>) -> DeniedRequest {
        let (layer, protocol, method, path) = match &self.kind {
            Kind::Tunnel => (Layer::L4, "tcp", None, None),
            Kind::Http { method, path, .. } => {
                (Layer::L7, self.plugin.as_deref().unwrap_or("rest"), method.clone(), path.clone())
            }
        };
        DeniedRequest {
            layer,
            protocol: protocol.to_owned(),
            host: self.host.clone(),
            port: self.port,
            method,
            path,
            binary: binary.to_owned(),
            operations,
            cause,
            answer: self.review.as_ref().and_then(|review| review.answer),
        }
    }
}
