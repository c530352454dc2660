//! One HTTP request: read in one way, decided, and forwarded in the form that was decided.

use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use narrowgate_core::decide::{Decision, Permit, Reason, Refusal, Snapshot};
use narrowgate_core::denial::DeniedOperation;
use narrowgate_core::request::{self, Authority, Operation, PathOptions};
use narrowgate_core::vocabulary::{Meaning, PluginName};

use crate::active::Enforced;
use crate::body::{Body, streamed, uploaded};
use crate::classify::{Answer, classify};
use crate::forward::{ForwardError, Upstream, Wire, response_head};
use crate::grant::Watch;
use crate::held;
use crate::reading::{Canonical, shown};
use crate::respond::{Attempt, Denied, Form, bad_gateway};
use crate::shared::{Peer, Shared, Who, now};

const READ_OTHERWISE: &str = "the policy changed how this host's requests are read; send the request again";

/// The requests of one client connection, and its way upstream.
pub(crate) struct Conversation {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Arc<Peer>,
    upstream: Upstream,
}

/// A request on its way to a decision.
struct Pending<'a> {
    destination: &'a Authority,
    wire: Wire,
    who: &'a Who,
    attempt: Attempt,
    watch: Watch,
    request: Canonical,
    form: Form,
}

/// How a policy wants the requests to a destination read.
#[derive(PartialEq, Eq)]
struct Readers {
    plugin: Option<PluginName>,
    paths: PathOptions,
}

impl Conversation {
    pub(crate) fn new(shared: Arc<Shared>, peer: Arc<Peer>) -> Conversation {
        Conversation { shared, peer, upstream: Upstream::default() }
    }

    /// Answers `who`'s request to `destination`: with the origin's response, or with why there is none.
    pub(crate) async fn exchange(
        &self,
        destination: &Authority,
        wire: Wire,
        who: &Who,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let mut attempt = Attempt::http(destination, wire, request.method());
        // Before the policy is looked at, so that no change of it goes unnoticed.
        let watch = Watch::new(&self.shared);
        let now = now();
        let enforced = self.shared.active.load(now);
        let deny = |attempt: &Attempt, denied| self.shared.deny(who, attempt, denied, enforced.as_deref());
        if let Some(why) = &who.refusal {
            return deny(&attempt, Denied::ambiguous(why));
        }
        if let Some(blocked) = self.shared.dialer.always_blocked(&destination.host, destination.port) {
            return deny(&attempt, Denied::blocked(&destination.host, blocked));
        }
        let Some(policy) = enforced.as_deref() else {
            return deny(&attempt, Denied::new(Reason::PolicyUnavailable));
        };
        let readers = Readers::of(&policy.snapshot, destination);
        let path = shown(request.uri().path());
        let request = match Canonical::read(request, destination, wire, &readers.paths) {
            Ok(request) => request,
            Err(denied) => {
                attempt.set_path(&path);
                return deny(&attempt, denied.under(governs(policy, who, destination)));
            }
        };
        attempt.set_path(request.target.path.as_str());
        let pending = Pending { destination, wire, who, attempt, watch, request, form: Form::Problem };
        if readers.plugin.is_some() {
            return self.ask(pending, readers).await;
        }
        match decide(&policy.snapshot, pending.operations(&[], now)) {
            Ok((permit, operations)) => self.pass(pending, &permit, operations).await,
            Err(denied) => self.miss(pending, readers, &[], denied, enforced).await,
        }
    }

    /// Has a plugin say what the request means, and decides each of its operations.
    async fn ask(&self, mut pending: Pending<'_>, readers: Readers) -> Response<Body> {
        let plugin = readers.plugin.as_ref().and_then(|name| {
            pending.attempt.set_plugin(name);
            self.shared.plugins.get(name)
        });
        let Pending { destination, wire, who, .. } = pending;
        let Answer { form, meanings } = match plugin {
            Some(plugin) => classify(&self.shared, plugin, destination, wire, &mut pending.request).await,
            // No bundle is adopted whose plugins are not here.
            None => Answer { form: Form::Problem, meanings: Err(Denied::unasked("the plugin is not loaded")) },
        };
        pending.form = form;
        // Reading may have taken seconds. What is decided is decided by what is in force after it, and for whom it is then.
        let now = now();
        let enforced = self.shared.active.load(now);
        let Some(policy) = enforced.as_deref() else {
            return self.refuse(pending, Denied::new(Reason::PolicyUnavailable), None).await;
        };
        let meanings: Vec<Arc<Meaning>> = match meanings {
            Ok(meanings) => meanings.into_iter().map(Arc::new).collect(),
            Err(denied) => {
                let denied = denied.under(governs(policy, who, destination));
                return self.refuse(pending, denied, Some(policy)).await;
            }
        };
        pending.attempt.set_operations(meanings.iter().map(AsRef::as_ref));
        if Readers::of(&policy.snapshot, destination) != readers {
            return self.refuse(pending, Denied::ambiguous(READ_OTHERWISE), Some(policy)).await;
        }
        // Who sent the head was asked before; what was read since may be another's. Looking costs more than the plugin.
        if pending.request.upload.is_begun() {
            let still = self.peer.who().await;
            if still.refusal.is_some() || still.process != who.process {
                let why = "another program has the connection by now than when the request began";
                return self.refuse(pending, Denied::ambiguous(why), Some(policy)).await;
            }
        }
        match decide(&policy.snapshot, pending.operations(&meanings, now)) {
            Ok((permit, operations)) => self.pass(pending, &permit, operations).await,
            Err(denied) => self.miss(pending, readers, &meanings, denied, enforced).await,
        }
    }

    /// Has a person asked where the policy wants that, and else denies.
    async fn miss(
        &self,
        mut pending: Pending<'_>,
        readers: Readers,
        meanings: &[Arc<Meaning>],
        denied: Denied,
        enforced: Option<Arc<Enforced>>,
    ) -> Response<Body> {
        let case = enforced
            .as_deref()
            .and_then(|policy| held::Case::of(&self.shared, &self.peer, pending.who, policy, &denied, true));
        let Some(case) = case else { return self.refuse(pending, denied, enforced.as_deref()).await };
        // What may wait for minutes must not keep a policy that is replaced meanwhile.
        drop(enforced);
        let (operations, destination) = (pending.operations(meanings, 0), pending.destination.clone());
        let anew = move |snapshot: &Snapshot, now: i64| match Readers::of(snapshot, &destination) == readers {
            true => decide(snapshot, at(operations.clone(), now)),
            false => Err(Denied::ambiguous(READ_OTHERWISE)),
        };
        let kept = pending.request.upload.kept();
        match held::wait(&case, &mut pending.attempt, denied, kept, &anew).await {
            Ok(held::Passed { permit, operations, watch }) => {
                pending.watch = watch;
                self.pass(pending, &permit, operations).await
            }
            Err(denied) => self.refuse(pending, denied, self.shared.active.load(now()).as_deref()).await,
        }
    }

    /// Denies in the form that the client understands, and lets it read that.
    async fn refuse(&self, pending: Pending<'_>, denied: Denied, enforced: Option<&Enforced>) -> Response<Body> {
        let response = self.shared.deny_as(&pending.form, pending.who, &pending.attempt, denied, enforced);
        let late = response.status() == StatusCode::REQUEST_TIMEOUT;
        if !late && (response.status().is_success() || pending.request.upload.is_begun()) {
            pending.request.upload.drain().await;
        }
        response
    }

    /// Sends the request on, for as long as its grant lasts.
    async fn pass(&self, pending: Pending<'_>, permit: &Permit, operations: Vec<request::Request>) -> Response<Body> {
        let Pending { wire, who, attempt, watch, request, form, .. } = pending;
        if let Err(unlogged) = self.shared.allow(who, &attempt, permit) {
            return unlogged;
        }
        let body = uploaded(request.upload, watch.revoked(operations.clone()));
        let outgoing = Request::from_parts(request.head, body);
        let mut revoked = watch.revoked(operations.clone());
        let report = held::Report::new(&self.shared, who, attempt);
        let attempt = report.attempt();
        let deny = |denied, enforced: Option<&Enforced>| self.shared.deny_as(&form, who, attempt, denied, enforced);
        let sent = tokio::select! {
            sent = self.upstream.send(&self.shared.dialer, permit, wire, outgoing) => sent,
            gone = &mut revoked => {
                let now = now();
                let enforced = self.shared.active.load(now);
                let refused = enforced.as_deref().and_then(|policy| decide(&policy.snapshot, at(operations, now)).err());
                let denied = gone.map_or_else(Denied::unavailable, Denied::from);
                return deny(refused.unwrap_or(denied), enforced.as_deref());
            }
        };
        match sent {
            Ok(mut response) => {
                response_head(&mut response);
                if form.ends_connection() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                let mut response = response.map(|body| streamed(body, report.late(revoked)));
                attempt.mark(&mut response);
                response
            }
            Err(ForwardError::Dial(e)) if e.reason().is_some() => {
                let reason = e.reason().unwrap_or(Reason::DestinationBlocked);
                deny(Denied::new(reason).because(e.to_string()), self.shared.active.load(now()).as_deref())
            }
            Err(e) => {
                tracing::info!("{}:{}: {e}", permit.host(), permit.port());
                let mut response = bad_gateway(&e.to_string());
                attempt.mark(&mut response);
                response
            }
        }
    }
}

impl Pending<'_> {
    /// What is decided: the request as it is or, in a plugin's words, each of its operations.
    fn operations(&self, meanings: &[Arc<Meaning>], now: i64) -> Vec<request::Request> {
        let one = |meaning: Option<&Arc<Meaning>>| request::Request {
            process: self.who.process.clone(),
            host: self.destination.host.clone(),
            port: self.destination.port,
            operation: Operation::Http {
                method: self.request.method.clone(),
                target: self.request.target.clone(),
                meaning: meaning.cloned(),
            },
            now,
        };
        match meanings {
            [] => vec![one(None)],
            all => all.iter().map(|meaning| one(Some(meaning))).collect(),
        }
    }
}

impl Readers {
    fn of(snapshot: &Snapshot, destination: &Authority) -> Readers {
        let Authority { host, port } = destination;
        Readers { plugin: snapshot.plugin(host, *port).cloned(), paths: snapshot.path_options(host, *port) }
    }
}

fn governs(policy: &Enforced, who: &Who, destination: &Authority) -> Option<String> {
    policy.snapshot.governs(&who.process, &destination.host, destination.port)
}

fn at(mut operations: Vec<request::Request>, now: i64) -> Vec<request::Request> {
    operations.iter_mut().for_each(|operation| operation.now = now);
    operations
}

/// A permit for all of `operations`, which are given back; or the denial, which says which of them are not allowed.
fn decide(snapshot: &Snapshot, operations: Vec<request::Request>) -> Result<(Permit, Vec<request::Request>), Denied> {
    let first = match snapshot.decide_all(&operations) {
        Decision::Allow(permit) => return Ok((permit, operations)),
        Decision::Deny(first) => first,
    };
    let refused = operations.iter().filter_map(|operation| match snapshot.decide(operation) {
        Decision::Deny(refusal) => Some((operation, refusal)),
        Decision::Allow(_) => None,
    });
    let refused: Vec<(&request::Request, Refusal)> = refused.collect();
    let told = refused.iter().filter_map(|(operation, _)| operation.operation.meaning()).map(DeniedOperation::of);
    let told = told.collect();
    // Where a proposal cannot help with one of them, it does not help with the request.
    let grantable = |reason| matches!(reason, Reason::NoMatchingRule | Reason::LeaseExpired);
    let refusal = refused.into_iter().map(|(_, refusal)| refusal).find(|refusal| !grantable(refusal.reason));
    Err(Denied::from(refusal.unwrap_or(first)).of(told))
}
