//! Every gate before a person is asked. What does not pass is refused at once, persists nothing, and says nothing of the
//! ceiling but that it was in the way.

use narrowgate_core::blocked::always_blocked_host;
use narrowgate_core::decide::Reason;
use narrowgate_core::denial::{DenialRecord, narrowest_rule};
use narrowgate_core::digest::Digest;
use narrowgate_core::held::{HeldOutcome, HeldProcess, HeldStatus, Hold};
use narrowgate_core::policy::{Entry, OnMiss, Policy, Role};
use narrowgate_core::proposal::Operation;
use narrowgate_core::request::{Host, Port};
use serde_json::json;

use super::{Fitting, endless, read, read_operation};
use crate::automatic;
use crate::clock;
use crate::config::Mode;
use crate::failure::Failure;
use crate::judge::{Code, Lasting, Refused};
use crate::review::ROUNDS;
use crate::service::Service;
use crate::store::{Asked, HeldRow, NewHeld, Share, Unasked};
use crate::submit::without_query;
use crate::token::new_id;
use crate::turns::Behalf;

/// What one sandbox may ask of people: no person reads more than 200 at a time; a run that begins may need much at once;
/// and whoever asks on and on gets no more than a person could answer beside their work.
const SHARE: Share = Share { waiting: 200, at_once: 1000, seconds_each: 10 };
/// A command line is shown to a person; what is longer is cut, visibly.
const LONGEST_COMMAND: usize = 4096;

/// A request of a proxy to ask somebody, whose parts are well-formed.
pub(crate) struct Asking(Hold);

impl Asking {
    /// Reads the body.
    pub(crate) fn parse(body: &[u8]) -> Result<Asking, Failure> {
        let mut hold: Hold = serde_json::from_slice(body).map_err(|e| invalid("", format!("the body: {e}")))?;
        for (pointer, id) in [("/key", &hold.key), ("/session", &hold.session)] {
            check_id(pointer, id)?;
        }
        let HeldProcess { binary, sha256, ancestors, command, .. } = &mut hold.process;
        if *binary != hold.record.binary {
            let message = format!("it is {binary:?}, and the record's is {:?}", hold.record.binary);
            return Err(invalid("/process/binary", message));
        }
        let is_path = |path: &str| path.len() <= 4096 && !path.chars().any(char::is_control);
        if !is_path(binary) || ancestors.len() > 64 || !ancestors.iter().all(|path| is_path(path)) {
            return Err(invalid(
                "/process",
                "at most 64 ancestors, each path at most 4096 bytes without control characters",
            ));
        }
        if !sha256.is_empty() && (sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(invalid("/process/sha256", format!("{sha256:?} is not 64 hexadecimal digits")));
        }
        if let Some((cut, _)) = command.char_indices().nth(LONGEST_COMMAND) {
            command.truncate(cut);
            command.push('…');
        }
        hold.record = without_query(hold.record);
        Ok(Asking(hold))
    }
}

/// What the gates came to.
pub(crate) enum Gates {
    /// The answer is known; nobody is asked.
    Known(Box<HeldOutcome>),
    /// Somebody may be asked.
    Open(Box<Ask>),
}

/// What passed the gates.
pub(crate) struct Ask {
    new: NewHeld,
    record: DenialRecord,
    operation: Operation,
    /// In mode auto: whether nobody needs to be asked.
    is_automatic: bool,
}

impl Service {
    /// Passes the gates, one by one. Changes nothing, so that a proxy that goes away leaves nothing to be judged.
    pub(crate) async fn gates(&self, sandbox: &str, Asking(hold): Asking) -> Result<Gates, Failure> {
        let active = self.sandbox(sandbox).await?.active;
        if let Some(row) = self.store.held_by_key(sandbox, &hold.session, &hold.key).await? {
            return self.repeated(row, &hold).await.map(known);
        }
        let policy = Policy::parse(&active.policy_yaml, "the active policy", Role::Policy)
            .map_err(|e| Failure::Internal(e.to_string()))?;
        let (operation, timeout) = match self.grantable(&hold, &policy) {
            Ok(found) => found,
            Err(message) => return Ok(refused(message)),
        };
        if self.store.is_session_over(sandbox, &hold.session).await? {
            return Ok(refused("session_ended: the session that this is from is over"));
        }
        let rule = rule_digest(&operation);
        if let Some((by, reason)) = self.store.held_never(sandbox, &rule).await? {
            return Ok(known(never(by, reason)));
        }
        let lasting = Lasting::ForNow;
        let behalf = Behalf::Sandbox(sandbox);
        let fit = match self.fitting(&active, &operation, lasting, &hold.record, behalf).await? {
            // The proxy is behind: what was granted meanwhile has not reached it yet.
            Fitting::Already(_) => {
                return Ok(known(in_force(HeldStatus::Always, active.version(), None)));
            }
            Fitting::Refused(no) => return Ok(refused(reason(&no))),
            Fitting::Fits(fit) => fit,
        };
        let now = clock::now();
        let new = NewHeld {
            id: new_id("h")?,
            rule,
            record: super::json(&hold.record)?,
            process: super::json(&hold.process)?,
            operation: super::json(&operation)?,
            session: hold.session,
            key: hold.key,
            // The second that has begun is not the request's to lose.
            deadline: now.saturating_add(i64::from(timeout)).saturating_add(1),
            now,
        };
        let ask = Ask { new, record: hold.record, operation, is_automatic: fit.is_automatic() };
        Ok(Gates::Open(Box::new(ask)))
    }

    /// Asks: from here on reviewers see it. In mode auto nobody is, where nobody needs to be.
    pub(crate) async fn ask(&self, sandbox: &str, ask: &Ask) -> Result<HeldOutcome, Failure> {
        if ask.is_automatic
            && let Some(outcome) = self.unasked(sandbox, &ask.operation, &ask.record).await?
        {
            return Ok(outcome);
        }
        let new = &ask.new;
        let row = match self.store.hold(sandbox, new, SHARE).await? {
            Asked::Held(row) => row,
            Asked::Never { by, reason } => return Ok(never(by, reason)),
            Asked::SessionEnded => return Ok(no("session_ended: the session that this is from is over")),
            Asked::Full => {
                return Ok(no(format!("too_many_waiting: {} requests wait for a person already", SHARE.waiting)));
            }
            Asked::TooMany { seconds } => return Ok(too_many(seconds)),
            Asked::NoSandbox => return Err(Failure::no_sandbox(sandbox)),
        };
        self.changed();
        tracing::info!(sandbox, held = row.id, "a request waits for a person");
        self.told(*row).await
    }

    /// What comes before the policy is asked: the exact rule, and for how long it is waited, or why nobody is asked.
    fn grantable(&self, hold: &Hold, policy: &Policy) -> Result<(Operation, u32), String> {
        let record = &hold.record;
        if self.mode == Mode::Locked {
            return Err("locked: the policy cannot be changed at this time".to_owned());
        }
        let OnMiss::Ask { timeout } = policy.on_miss else {
            return Err("not_asked: the policy denies what it does not allow, without asking".to_owned());
        };
        if record.binary.is_empty() {
            // Its rule would be for every program.
            return Err("unidentified: nobody is asked about a process that is not identified".to_owned());
        }
        if !matches!(record.reason, Reason::NoMatchingRule | Reason::LeaseExpired) {
            return Err(format!("not_asked: {} is not for a person to change", record.reason.as_str()));
        }
        let host = Host::parse(&record.host).ok().filter(|host| host.as_str() == record.host);
        let (Some(host), Some(_)) = (host, Port::new(record.port)) else {
            return Err(format!("invalid: {:?}:{} is not a canonical destination", record.host, record.port));
        };
        if let Some(blocked) = always_blocked_host(&host) {
            return Err(format!("destination_blocked: {} is never reachable ({})", record.host, blocked.class));
        }
        Ok((operation(record, hold.inspected, policy)?, timeout))
    }

    /// The same key again is the same request, unless it is about something else.
    async fn repeated(&self, row: HeldRow, hold: &Hold) -> Result<HeldOutcome, Failure> {
        let about = |record: DenialRecord| DenialRecord { denial_id: String::new(), time: String::new(), ..record };
        let record: DenialRecord = read(&row, "record", &row.record)?;
        let process: HeldProcess = read(&row, "process", &row.process)?;
        if about(record) != about(hold.record.clone()) || process != hold.process {
            return Err(Failure::NotAsHeld {
                code: "key_reused",
                message: format!(
                    "{:?} is the key of another request, {}; a new request has a new key",
                    hold.key, row.id
                ),
                held: None,
            });
        }
        self.told(self.held_as_now(&row.id).await?).await
    }

    /// Mode auto: what needs no person comes into force for a while, as a proposal of its kind would. `None` where a
    /// person is to be asked after all.
    async fn unasked(
        &self,
        sandbox: &str,
        operation: &Operation,
        record: &DenialRecord,
    ) -> Result<Option<HeldOutcome>, Failure> {
        let Some(leased) = self.leased(operation) else { return Ok(None) };
        let granted = |version| Some(in_force(HeldStatus::Session, version, Some(automatic::APPROVER.to_owned())));
        for _ in 0..ROUNDS {
            let active = self.sandbox(sandbox).await?.active;
            let behalf = Behalf::Sandbox(sandbox);
            let fit = match self.fitting(&active, &leased, Lasting::ForNow, record, behalf).await? {
                Fitting::Already(_) => return Ok(granted(active.version())),
                Fitting::Fits(fit) if fit.is_automatic() => fit,
                _ => return Ok(None),
            };
            let (signer, next, yaml) = (self.signer().await, active.version() + 1, fit.policy_yaml.clone());
            let version = Service::certified(&signer, sandbox, next, automatic::APPROVER, &fit.proven, yaml)?;
            let intent = format!("held request, applied without a person: {}", super::view::what(record));
            let proposal = self.proposal_of(sandbox, &active, &leased, record, intent, fit)?;
            match self.store.grant_unasked(sandbox, &proposal, &version, SHARE).await? {
                Unasked::Overtaken => continue,
                Unasked::TooMany { seconds } => return Ok(Some(too_many(seconds))),
                Unasked::Done => {}
            }
            drop(signer);
            self.changed();
            self.settle_drafts(sandbox).await;
            tracing::info!(sandbox, proposal = proposal.id, version = next, "held request applied without a person");
            return Ok(granted(next));
        }
        Ok(None)
    }
}

/// The narrowest rule that lets the request through, under a name that no other rule of the policy has.
fn operation(record: &DenialRecord, inspected: bool, policy: &Policy) -> Result<Operation, String> {
    let none = |detail: String| format!("invalid: no rule says exactly this: {detail}");
    let rule = narrowest_rule([record], inspected).ok_or_else(|| none("nothing is known of it".to_owned()))?;
    let name = rule.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
    let wire = json!({ "addRule": { "ruleName": name, "rule": rule } });
    let operation = read_operation(&wire.to_string()).map_err(none)?;
    let Operation::AddRule { rule_name, rule } = operation else { return Err(none("it adds nothing".to_owned())) };
    let is_free = |name: &str| policy.entries.get(name).is_none_or(|entry| endless(entry) == endless(&rule));
    let others = (2..100).map(|n| format!("{rule_name}_{n}"));
    let free = std::iter::once(rule_name.clone()).chain(others).find(|name| is_free(name));
    let rule_name = free.ok_or_else(|| none(format!("the name {rule_name:?} is taken")))?;
    Ok(Operation::AddRule { rule_name, rule })
}

/// Two with the same rule ask for the same, whatever it is called.
fn rule_digest(operation: &Operation) -> String {
    let rule = match operation {
        Operation::AddRule { rule, .. } => Entry::to_json(rule).to_string(),
        other => other.to_json().to_string(),
    };
    Digest::of(rule.as_bytes()).hex()
}

/// For the sandbox: the code, and nothing of the ceiling.
fn reason(no: &Refused) -> String {
    let why = match no.code {
        Code::OutsideOrgCeiling => "what would let this through is outside the organisation's ceiling",
        Code::Redundant => "a deny rule of the policy forbids it, which nobody's answer overrides",
        Code::Invalid => "the policy cannot take a rule for it",
        Code::Unsupported | Code::Inconclusive | Code::Disagree => {
            "what would let this through could not be proven inside the organisation's ceiling"
        }
    };
    format!("{}: {why}", no.code.as_str())
}

fn refused(message: impl Into<String>) -> Gates {
    known(no(message))
}

fn known(outcome: HeldOutcome) -> Gates {
    Gates::Known(Box::new(outcome))
}

fn no(message: impl Into<String>) -> HeldOutcome {
    HeldOutcome { message: Some(message.into()), ..bare(HeldStatus::Refused) }
}

fn too_many(seconds: i64) -> HeldOutcome {
    let Share { at_once, seconds_each, .. } = SHARE;
    no(format!(
        "too_many_questions: {at_once} may be asked at once, and then one every {seconds_each} s; the next one can be asked in {seconds} s"
    ))
}

fn never(by: String, message: Option<String>) -> HeldOutcome {
    HeldOutcome { decided_by: Some(by), message, ..bare(HeldStatus::Never) }
}

fn in_force(status: HeldStatus, version: u64, by: Option<String>) -> HeldOutcome {
    HeldOutcome { version: Some(version), decided_by: by, ..bare(status) }
}

pub(super) fn bare(status: HeldStatus) -> HeldOutcome {
    HeldOutcome { held_id: None, status, deadline: None, decided_by: None, message: None, grant: None, version: None }
}

/// A name that a proxy makes up: of a key, or of a session.
pub(super) fn check_id(pointer: &'static str, id: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 100 || !id.chars().all(plain) {
        let shown: String = id.chars().take(120).collect();
        return Err(invalid(pointer, format!("{shown:?} is not 1 to 100 letters, digits, '-', '_' and '.'")));
    }
    Ok(())
}

fn invalid(pointer: &str, message: impl Into<String>) -> Failure {
    Failure::Invalid { code: "invalid_request", message: message.into(), pointer: Some(pointer.to_owned()) }
}
