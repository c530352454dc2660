//! The denials that a proposal answers, as far as they say what is needed.

use narrowgate_core::decide::Reason;
use narrowgate_core::denial::{DenialRecord, DeniedOperation, narrowest_rule};
use narrowgate_core::policy::{Access, Rule};
use narrowgate_core::request::{CanonicalPath, Host, Method, PathOptions};
use narrowgate_core::schema::Schema;
use narrowgate_core::vocabulary::Group;
use serde_json::Value;

use super::change::{Grant, What};

/// A reviewer reads a few lines of a tighter rule; and what is stored with a proposal has a size.
const MAX_TIGHTEST: usize = 4096;

/// The proxy's records of the denials that a proposal cites.
///
/// Who vouches for them is whoever holds the sandbox's token: the proxy, which records what it denied itself. The agent
/// names denials by id only, and cannot make one up. Where the token is in other hands, so is the evidence.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    cited: bool,
    records: Vec<Record>,
}

/// A denial that a rule could answer.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) denial: DenialRecord,
    host: Host,
    /// Method and path, where they are known.
    request: Option<(Method, String)>,
}

impl Evidence {
    /// Nothing is cited.
    pub fn none() -> Evidence {
        Evidence::default()
    }

    /// What is known of the cited denials. A record that is not cited counts for nothing, nor does a denial that no rule
    /// could have prevented.
    pub fn new(cited: &[String], records: &[DenialRecord]) -> Evidence {
        let known = records.iter().filter(|record| cited.contains(&record.denial_id));
        Evidence { cited: !cited.is_empty(), records: known.filter_map(Record::new).collect() }
    }

    /// The denials that are cited, known, and such as a rule could have prevented.
    pub fn denials(&self) -> Vec<DenialRecord> {
        self.records.iter().map(|record| record.denial.clone()).collect()
    }

    /// Whether the proposal cites denials at all, known or not.
    pub(super) fn is_cited(&self) -> bool {
        self.cited
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The tightest entry that covers everything cited; `None` where nothing is.
    pub fn tightest(&self) -> Option<Value> {
        narrowest_rule(self.records.iter().map(|record| &record.denial), false)
    }
}

/// The tightest entry that covers `records`, where it is short enough to be read.
pub(super) fn tightest<'a>(records: impl IntoIterator<Item = &'a Record>, inspected: bool) -> Option<Value> {
    let rule = narrowest_rule(records.into_iter().map(|record| &record.denial), inspected)?;
    (rule.to_string().len() <= MAX_TIGHTEST).then_some(rule)
}

/// What a preset allows of a plugin's actions.
pub(super) fn groups(access: Access) -> &'static [Group] {
    match access {
        Access::ReadOnly => &[Group::Read],
        Access::ReadWrite => &[Group::Read, Group::Write],
        Access::Full => &[Group::Read, Group::Write, Group::Delete, Group::Admin],
    }
}

/// The path as it was decided, without a query. One that is not canonical was never decided on, and `*` in it would be
/// a wildcard in a rule.
fn canonical(path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    CanonicalPath::parse(path, &options).ok().filter(|parsed| parsed.as_str() == path).map(|_| path.to_owned())
}

impl Record {
    fn new(denial: &DenialRecord) -> Option<Record> {
        if !matches!(denial.reason, Reason::NoMatchingRule | Reason::LeaseExpired) {
            return None;
        }
        let host = Host::parse(&denial.host).ok()?;
        let mut denial = denial.clone();
        let request = match (&denial.method, &denial.path) {
            (Some(method), Some(path)) => Some((Method::parse(method).ok()?, canonical(path)?)),
            _ => None,
        };
        // What is offered as a rule is made of this record: it has the path that was decided, without a query.
        denial.path = request.as_ref().map(|(_, path)| path.clone());
        Some(Record { denial, host, request })
    }

    pub(super) fn port(&self) -> u16 {
        self.denial.port
    }

    pub(super) fn binary(&self) -> &str {
        &self.denial.binary
    }

    /// Its method, where it is a request's.
    pub(super) fn method(&self) -> Option<&Method> {
        self.request.as_ref().map(|(method, _)| method)
    }

    /// Whether `grant` answers it: host, port, binary and, where they are known, method and path or operation.
    pub(super) fn is_about(&self, grant: &Grant<'_>, schema: &Schema) -> bool {
        let named = |binaries: &[narrowgate_core::pattern::BinaryPattern]| {
            binaries.is_empty() || binaries.iter().any(|pattern| pattern.path().matches(self.binary()))
        };
        grant.endpoint.host.matches(&self.host)
            && grant.endpoint.ports.iter().any(|port| port.get() == self.port())
            && named(&grant.entry.binaries)
            && self.is_asked_by(grant, schema)
    }

    fn is_asked_by(&self, grant: &Grant<'_>, schema: &Schema) -> bool {
        let Some((method, path)) = &self.request else { return true };
        match &grant.what {
            What::Opaque => true,
            What::Preset(access) if grant.plugin().is_some() => {
                self.groups(schema).into_iter().any(|group| groups(*access).contains(&group))
            }
            What::Preset(access) => access.actions().contains(&method.action()),
            What::Rule(_, Rule::Rest(rule)) => rule.method.matches(method) && rule.path.matches(path),
            What::Rule(_, Rule::Operation(rule)) => {
                self.denial.operations.iter().any(|operation| rule.matches(operation))
            }
        }
    }

    /// The operations that it was, where a plugin spoke.
    pub(super) fn operations(&self) -> &[DeniedOperation] {
        &self.denial.operations
    }

    /// The groups of its operations' actions.
    pub(super) fn groups(&self, schema: &Schema) -> Vec<Group> {
        let declared = self.denial.operations.iter().filter_map(|operation| schema.operation(&operation.action));
        declared.map(|(_, action)| action.group).collect()
    }

    /// As a reviewer reads it.
    pub(super) fn text(&self) -> String {
        match &self.request {
            Some((method, path)) if !self.denial.operations.is_empty() => {
                let actions: Vec<&str> = self.denial.operations.iter().map(|one| one.action.as_str()).take(3).collect();
                format!("{} ({method} {path})", actions.join(", "))
            }
            Some((method, path)) => format!("{method} {path}"),
            None => format!("a connection to {}:{}", self.denial.host, self.port()),
        }
    }
}
