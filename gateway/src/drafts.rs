//! What a proxy tells about its denials: counted, and of denied connections, drafts for a person to decide on.
//!
//! A denied connection is nothing but a host, a port and a program, so that a rule made of it by rote is as good as
//! anybody's. A denied request is a method, a path, perhaps an operation: a rule made of those by rote would be too broad
//! or soon wrong, so that requests are shown as they were and wait for somebody who knows what they are for.
//!
//! A draft is a proposal like any other: judged by the same judge, against the same ceiling, and never more than its
//! evidence. What is particular:
//! - Nothing puts it in force but a person. Opaque bytes are never automatic.
//! - More of the same denials only count: what would be granted stays what it was, and so does the review token.
//! - It makes way for whoever asks about the same, and never takes anybody's place.
//! - A person's no holds for seven days, the ceiling's for as long as it is that ceiling.
//! - No name is resolved for it. What a name points to is nobody's until a connection is allowed.

mod advice;

use narrowgate_core::blocked::always_blocked_host;
use narrowgate_core::decide::Layer;
use narrowgate_core::denial::names_one_program;
use narrowgate_core::digest::Digest;
use narrowgate_core::observed::{
    MOST_IN_REPORT, ObservedDenial, ObservedDenials, ReportAnswer, ReportDenials, is_observed,
};
use narrowgate_core::proposal::{Operation, Proposal};
use narrowgate_core::request::Host;
use narrowgate_prover::Evidence;
use serde_json::json;

use crate::clock::{self, rfc3339};
use crate::config::Mode;
use crate::failure::Failure;
use crate::judge::{Code, Judgement};
use crate::review::LISTED;
use crate::service::Service;
use crate::store::{Drafted, NewObserved, NewProposal, ObservedRow, ProposalRow};
use crate::submit::MAX_PENDING;
use crate::token::new_id;
use crate::turns::Behalf;

pub(crate) use advice::{confidence, notes};

/// The `source` of a draft.
pub(crate) const SOURCE: &str = "l4_draft";
/// What mode auto says of every draft.
pub(crate) const NOT_AUTOMATIC: &str = "a draft grants opaque bytes and nobody asked for it: a person decides";
/// Drafts must leave room in the inbox for what was asked for.
const MAX_DRAFTS: u64 = MAX_PENDING / 2;
/// Proofs for one report. What is denied again is drafted with a later one.
const MOST_PROOFS: usize = 32;
/// Of a text in a report, in bytes; no canonical path is longer.
const LONGEST: usize = 16 * 1024;

/// A report as it is read: what cannot be a denial is left out, and counted.
pub(crate) struct Reported {
    report: String,
    denials: Vec<NewObserved>,
    dropped: u64,
}

impl Reported {
    /// Reads a report. The proxy is not distrusted, and its clock may be another: times are at most now.
    pub(crate) fn parse(body: ReportDenials) -> Result<Reported, Failure> {
        let wrong = |message: String, at: &str| Failure::Invalid {
            code: "invalid_request",
            message,
            pointer: Some(at.to_owned()),
        };
        if body.report.is_empty() || body.report.len() > 64 || !body.report.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("a report has a name of 1 to 64 visible ASCII characters".to_owned(), "/report"));
        }
        if body.denials.len() > MOST_IN_REPORT {
            return Err(wrong(format!("{} denials; at most {MOST_IN_REPORT}", body.denials.len()), "/denials"));
        }
        let now = clock::now();
        let (mut denials, mut dropped) = (Vec::with_capacity(body.denials.len()), body.dropped);
        for denial in body.denials {
            let count = denial.count;
            match read(denial, now) {
                Some(denial) => denials.push(denial),
                None => dropped = dropped.saturating_add(count),
            }
        }
        Ok(Reported { report: body.report, denials, dropped })
    }
}

/// `None` for what is no denial that a rule could have prevented.
fn read(denial: ObservedDenial, now: i64) -> Option<NewObserved> {
    let host = Host::parse(&denial.host).ok()?;
    let (method, path) = (denial.method.unwrap_or_default(), denial.path.unwrap_or_default());
    let path = path.split(['?', '#']).next().unwrap_or_default().to_owned();
    let operations = serde_json::to_string(&denial.operations).ok()?;
    let layer = match denial.layer {
        Layer::L4 if method.is_empty() && path.is_empty() && denial.operations.is_empty() => "l4",
        Layer::L7 if !method.is_empty() && path.starts_with('/') => "l7",
        _ => return None,
    };
    let texts = [&denial.binary, &method, &path, &denial.denial_id];
    let is_text = |text: &str| text.len() <= LONGEST && !text.chars().any(char::is_control);
    let is_sound = texts.into_iter().all(|text| is_text(text)) && operations.len() <= LONGEST && denial.port > 0;
    if !is_sound || !is_observed(denial.reason) || always_blocked_host(&host).is_some() || denial.count == 0 {
        return None;
    }
    let time = |text: &str| text.parse::<jiff::Timestamp>().map_or(now, |time| time.as_second().clamp(0, now));
    let last_seen = time(&denial.last_seen);
    Some(NewObserved {
        layer,
        host: host.as_str().to_owned(),
        port: denial.port,
        binary: denial.binary,
        method,
        path,
        operations,
        reason: serde_json::to_value(denial.reason).ok()?.as_str()?.to_owned(),
        count: denial.count,
        first_seen: time(&denial.first_seen).min(last_seen),
        last_seen,
        denial_id: denial.denial_id,
    })
}

impl Service {
    /// Counts what was denied, and drafts what can be drafted of it.
    pub(crate) async fn report(&self, sandbox: &str, reported: Reported) -> Result<ReportAnswer, Failure> {
        let Reported { report, denials, dropped } = reported;
        let (ceiling, now) = (self.ceiling.digest.to_string(), clock::now());
        let mut answer = ReportAnswer { chunk_ids: Vec::new() };
        let Some(counted) = self.store.observe(sandbox, &report, &denials, dropped, &ceiling, now).await? else {
            return Ok(answer);
        };
        let undrafted = denials.iter().zip(counted).filter(|(denial, (_, open))| denial.layer == "l4" && *open);
        for (_, (seq, _)) in undrafted.take(MOST_PROOFS) {
            match self.draft(sandbox, seq).await {
                Ok(id) => answer.chunk_ids.extend(id),
                // It is counted; the next denial of its kind tries again.
                Err(failure) => tracing::warn!(sandbox, %failure, "no draft"),
            }
        }
        if !answer.chunk_ids.is_empty() {
            self.changed();
            tracing::info!(sandbox, drafts = answer.chunk_ids.len(), "denied connections drafted");
        }
        Ok(answer)
    }

    /// What was denied and nobody proposed a rule for: requests, and connections that there is no draft of.
    pub(crate) async fn observed(&self, sandbox: &str) -> Result<ObservedDenials, Failure> {
        let (rows, dropped) = self.store.observed(sandbox).await?;
        let mut cited = std::collections::HashSet::new();
        for list in self.store.cited(sandbox).await? {
            let records: Vec<narrowgate_core::denial::DenialRecord> = serde_json::from_str(&list)
                .map_err(|e| Failure::Internal(format!("evidence does not read back: {e}")))?;
            cited.extend(records.into_iter().map(|r| (r.host, r.port, r.binary, r.method, r.path)));
        }
        let denials = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
        let is_cited = |d: &ObservedDenial| {
            cited.contains(&(d.host.clone(), d.port, d.binary.clone(), d.method.clone(), d.path.clone()))
        };
        Ok(ObservedDenials { denials: denials.into_iter().filter(|denial| !is_cited(denial)).collect(), dropped })
    }

    /// Judges every pending draft of a sandbox anew, so that those whose reason is gone go too.
    pub(crate) async fn settle_drafts(&self, sandbox: &str) {
        let rows = match self.store.proposals(Some(sandbox), Some("pending"), LISTED).await {
            Ok(rows) => rows,
            Err(e) => return tracing::warn!(sandbox, "drafts are not judged anew: {e}"),
        };
        for row in rows.into_iter().filter(is_draft) {
            let id = row.id.clone();
            // Whoever looks at it next has it judged then.
            if let Err(failure) = self.current(row, Behalf::People).await {
                tracing::warn!(sandbox, proposal = id, %failure, "a draft is not judged anew");
            }
        }
    }

    /// A draft of one kind of denied connection, if there can be one: its id.
    async fn draft(&self, sandbox: &str, seq: i64) -> Result<Option<String>, Failure> {
        let Some(row) = self.store.observation(seq).await? else { return Ok(None) };
        let why_not = if self.mode == Mode::Locked {
            Some("locked: the policy cannot be changed at this time")
        } else if row.binary.is_empty() {
            Some("the program could not be identified: a rule for it would be one for every program")
        } else if !names_one_program(&row.binary) {
            Some("no rule can name this program alone: its path has a wildcard in it")
        } else if self.store.pending_drafts(sandbox).await? >= MAX_DRAFTS
            || self.store.pending(sandbox).await? >= MAX_PENDING
        {
            Some("too many proposals wait for a decision already")
        } else {
            None
        };
        if let Some(why) = why_not {
            self.store.not_drafted(seq, why).await?;
            return Ok(None);
        }
        let active = self.sandbox(sandbox).await?.active;
        let (id, record) = (new_id("p")?, view(&row)?.record());
        let operation = operation(&row)?;
        let evidence = Evidence::new(std::slice::from_ref(&record.denial_id), std::slice::from_ref(&record));
        let (yaml, judged) = (active.policy_yaml.clone(), operation.clone());
        let judgement =
            self.judged(Behalf::Sandbox(sandbox), move |judge| judge.operations(&yaml, &[judged], &evidence)).await?;
        let wire = to_json(&operation)?;
        let (mut judged, is_kept) = self.recorded(&id, sandbox, &wire, &active, &judgement);
        judged.not_automatic = self.not_automatic();
        if !is_kept {
            let Judgement::Refused(refused) = &judgement else { return Ok(None) };
            match refused.code {
                // It was denied before what is in force now.
                Code::Redundant => self.store.forget_observation(seq).await?,
                _ => self.store.not_drafted(seq, &refused.reason()).await?,
            }
            return Ok(None);
        }
        let subject = |binary: &str| format!("{}:{} {binary}", row.host, row.port());
        let draft = NewProposal {
            id: id.clone(),
            source: SOURCE,
            binary: row.binary.clone(),
            intent_summary: format!("Denied: a connection to {}:{}. Nobody said what it is for.", row.host, row.port()),
            denial_ids: to_json(&[&record.denial_id])?,
            evidence: to_json(&[&record])?,
            operation: wire,
            subject: subject(&row.binary),
            judged,
            now: clock::now(),
        };
        match self.store.draft(sandbox, seq, &draft, &[subject(&row.binary), subject("*")]).await? {
            Drafted::Stored => Ok(Some(id)),
            Drafted::Overtaken => Ok(None),
            Drafted::Proposed => {
                self.store.not_drafted(seq, "a proposal about the same waits for a decision").await?;
                Ok(None)
            }
        }
    }

    /// Why a draft is not applied by itself, where other proposals may be.
    pub(crate) fn not_automatic(&self) -> Option<String> {
        (self.mode == Mode::Auto).then(|| NOT_AUTOMATIC.to_owned())
    }
}

pub(crate) fn is_draft(row: &ProposalRow) -> bool {
    row.source == SOURCE
}

/// Opaque bytes between exactly this program and this place.
fn operation(row: &ObservedRow) -> Result<Operation, Failure> {
    let (host, port, binary) = (&row.host, row.port(), &row.binary);
    let readable: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(60).collect();
    let digest = Digest::of(format!("{host}:{port} {binary}").as_bytes()).hex();
    let name = format!("connect_{readable}_{port}_{}", digest.get(..8).unwrap_or_default());
    let rule = json!({
        "name": name, "binaries": [{ "path": binary }], "endpoints": [{ "host": host, "port": port }],
    });
    let proposal = json!({
        "intent_summary": "a draft", "operations": [{ "addRule": { "ruleName": name, "rule": rule } }],
    });
    let proposal = Proposal::parse(proposal.to_string().as_bytes());
    let proposal = proposal.map_err(|e| Failure::Internal(format!("a draft is no proposal: {e}")))?;
    let operation = proposal.operations.into_iter().next();
    operation.ok_or_else(|| Failure::Internal("a draft has no operation".to_owned()))
}

fn view(row: &ObservedRow) -> Result<ObservedDenial, Failure> {
    let unreadable =
        |e: serde_json::Error| Failure::Internal(format!("observation {} does not read back: {e}", row.seq));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(ObservedDenial {
        layer: if row.layer == "l4" { Layer::L4 } else { Layer::L7 },
        host: row.host.clone(),
        port: row.port(),
        binary: row.binary.clone(),
        method: some(&row.method),
        path: some(&row.path),
        operations: serde_json::from_str(&row.operations).map_err(unreadable)?,
        reason: serde_json::from_value(json!(row.reason)).map_err(unreadable)?,
        count: row.hits(),
        first_seen: rfc3339(row.first_seen),
        last_seen: rfc3339(row.last_seen),
        denial_id: row.denial_id.clone(),
        chunk_id: row.draft.clone(),
        not_drafted: row.not_drafted.clone(),
    })
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::Internal(format!("a draft does not serialise: {e}")))
}
