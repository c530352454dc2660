//! How new rules are broader than the denials they answer.

use narrowgate_core::denial::is_http;
use narrowgate_core::finding::{Finding, FindingName};
use narrowgate_core::pattern::{HostForm, MethodPattern, Segment};
use narrowgate_core::policy::{Access, RestRule, Rule};
use narrowgate_core::request::Port;
use narrowgate_core::schema::Schema;
use serde_json::Value;

use super::change::{Change, Grant, What};
use super::evidence::{Evidence, Record, tightest};

/// Programs that run whatever they are given, by the name of their file without a version: naming one names anybody.
const INTERPRETERS: [&str; 29] = [
    "awk",
    "ash",
    "bash",
    "bun",
    "busybox",
    "dash",
    "deno",
    "dotnet",
    "elixir",
    "env",
    "erl",
    "fish",
    "java",
    "ksh",
    "lua",
    "luajit",
    "node",
    "nodejs",
    "osascript",
    "perl",
    "php",
    "pwsh",
    "python",
    "Rscript",
    "ruby",
    "sh",
    "tclsh",
    "xargs",
    "zsh",
];

/// The findings, in the order of the policy.
pub(super) fn findings(change: &Change<'_>, evidence: &Evidence) -> Vec<Finding> {
    let mut out = Notes(Vec::new());
    let schema = change.after_compiled.schema();
    for grant in change.added() {
        let is_about = |record: &&Record| record.is_about(&grant, schema);
        let records: Vec<&Record> = evidence.records().iter().filter(is_about).collect();
        let known = Known { grant, records, evidence, schema };
        known.binaries(&mut out);
        known.host(&mut out);
        known.relation(&mut out);
        match known.grant.what {
            What::Opaque => known.opaque(&mut out),
            What::Preset(access) if known.grant.plugin().is_some() => known.operations_of(access, &mut out),
            What::Preset(access) => {
                known.methods(access.actions(), &mut out);
                known.whole_host(access, &mut out);
            }
            What::Rule(_, Rule::Operation(rule)) => known.operation(rule, &mut out),
            What::Rule(_, Rule::Rest(rule)) => {
                if rule.method == MethodPattern::Any {
                    known.methods(Access::Full.actions(), &mut out);
                }
                known.paths(rule, &mut out);
            }
        }
    }
    out.0
}

/// Collects; what several rules of one entry share is noted once.
pub(super) struct Notes(Vec<Finding>);

impl Notes {
    pub(super) fn add(
        &mut self,
        name: FindingName,
        at: String,
        segment: impl Into<String>,
        detail: String,
        tightest: Option<Value>,
    ) {
        let segment = segment.into();
        if !self.0.iter().any(|known| known.name == name && known.at == at && known.segment == segment) {
            self.0.push(Finding { name, at, segment, detail, tightest, credential: None, witness: None });
        }
    }
}

/// A new rule and the denials that it answers.
pub(super) struct Known<'a> {
    pub(super) grant: Grant<'a>,
    pub(super) records: Vec<&'a Record>,
    evidence: &'a Evidence,
    pub(super) schema: &'a Schema,
}

impl Known<'_> {
    fn binaries(&self, out: &mut Notes) {
        let entry = self.grant.entry_pointer();
        if self.grant.entry.binaries.is_empty() {
            let detail = format!("Any program in the sandbox may use this rule{}.", self.who());
            out.add(FindingName::AnyBinary, entry.clone(), "binaries", detail, self.tightest());
        }
        for (at, pattern) in self.grant.entry.binaries.iter().enumerate() {
            let text = pattern.as_str();
            let detail = match pattern.literal() {
                None => format!("{text} is a pattern: whatever is put there may use this rule{}.", self.who()),
                Some(path) if is_interpreter(path) => {
                    format!("{text} runs whatever it is given, so naming it says nothing about which program asks.")
                }
                Some(_) => continue,
            };
            // A rule for the very interpreter that was denied is as tight as a rule can be.
            let tightest = if pattern.literal().is_some() { None } else { self.tightest() };
            out.add(FindingName::AnyBinary, format!("{entry}/binaries/{at}"), text, detail, tightest);
        }
    }

    fn host(&self, out: &mut Notes) {
        let host = &self.grant.endpoint.host;
        let what = match host.form() {
            HostForm::Exact(_) => return,
            HostForm::OneLabel { suffix, .. } => format!("every host directly under {suffix} that fits it"),
            HostForm::AnyLabels { suffix } => format!("every host under {suffix}, at any depth"),
        };
        let detail = format!("{} is {what}{}.", host.as_str(), self.asked(|record| record.denial.host.clone()));
        let at = format!("{}/host", self.grant.endpoint_pointer());
        out.add(FindingName::HostWildcard, at, host.as_str(), detail, self.tightest());
    }

    /// Each combination of rule, port and binary should have been denied at least once.
    fn relation(&self, out: &mut Notes) {
        if !self.evidence.is_cited() {
            return;
        }
        let name = FindingName::UnrelatedToDenial;
        if self.records.is_empty() {
            let why = match self.evidence.records() {
                [] => "the proxy has no record of a cited denial that a rule could answer",
                _ => "no cited denial is about this",
            };
            let detail = format!("{} at {}: {why}.", self.grant.text(), self.grant.place());
            out.add(name, self.grant.pointer(), self.grant.text(), detail, self.tightest());
            return;
        }
        let (known, unknown): (Vec<&Port>, Vec<&Port>) = self
            .grant
            .endpoint
            .ports
            .iter()
            .partition(|port| self.records.iter().any(|record| record.port() == port.get()));
        for port in unknown {
            let at = format!("{}/ports", self.grant.endpoint_pointer());
            let detail = format!("Port {port}: no cited denial is about it.");
            out.add(name, at, port.to_string(), detail, self.tightest());
        }
        for (at, pattern) in self.grant.entry.binaries.iter().enumerate() {
            let at = format!("{}/binaries/{at}", self.grant.entry_pointer());
            let by = |record: &Record| pattern.path().matches(record.binary());
            let on = |port: &Port| self.records.iter().any(|record| record.port() == port.get() && by(record));
            let (who, what) = (pattern.as_str(), self.grant.text());
            if !self.records.iter().any(|record| by(record)) {
                out.add(name, at, who, format!("{who}: it was not denied {what}."), self.tightest());
            } else if let Some(port) = known.iter().find(|port| !on(port)) {
                let detail = format!("{who}: it was not denied {what} on port {port}.");
                out.add(name, at, format!("{who} {port}"), detail, self.tightest());
            }
        }
    }

    /// Of a connection to a port that does not say HTTP nothing is known but host and port: there, opaque bytes are what
    /// was asked for.
    fn opaque(&self, out: &mut Notes) {
        let opaque = |record: &&Record| record.method().is_none() && !is_http(record.port());
        if !self.records.is_empty() && self.records.iter().all(opaque) {
            return;
        }
        let detail = format!(
            "Nothing that passes to {} would be inspected: any request of any protocol is allowed{}.",
            self.grant.place(),
            self.asked(Record::text)
        );
        out.add(FindingName::L7ToL4, self.grant.endpoint_pointer(), "no protocol", detail, self.tightest());
    }

    /// `granted` against what was denied. One read stands for all of them, and so does a refused connection.
    fn methods(&self, granted: &[&str], out: &mut Notes) {
        let reads = Access::ReadOnly.actions();
        let asked = |action: &str| {
            self.records.iter().any(|record| match record.method().map(|method| method.action()) {
                None => reads.contains(&action),
                Some(denied) => denied == action || (reads.contains(&denied) && reads.contains(&action)),
            })
        };
        let extra: Vec<&str> = granted
            .iter()
            .copied()
            .filter(|action| if self.records.is_empty() { !reads.contains(action) } else { !asked(action) })
            .collect();
        // `*` is any method whatever was denied: nobody knows what OTHER is.
        if extra.is_empty() {
            return;
        }
        let any = granted.contains(&"OTHER");
        let what = if any { "any method, DELETE included".to_owned() } else { format!("{} too", extra.join(", ")) };
        let detail = format!("{} allows {what}{}.", self.grant.text(), self.asked(Record::text));
        out.add(FindingName::MethodAny, self.grant.pointer(), self.grant.text(), detail, self.tightest());
    }

    fn whole_host(&self, access: Access, out: &mut Notes) {
        if self.may_read_anything(access.actions()) {
            return;
        }
        let detail = format!(
            "access: {} covers every path of {}{}.",
            access.as_str(),
            self.grant.endpoint.host.as_str(),
            self.asked(Record::text)
        );
        out.add(FindingName::RecursivePath, self.grant.pointer(), self.grant.text(), detail, self.tightest());
    }

    fn paths(&self, rule: &RestRule, out: &mut Notes) {
        let granted: Vec<&str> = match &rule.method {
            MethodPattern::Any => Access::Full.actions().to_vec(),
            MethodPattern::Exact(method) => vec![method.action()],
        };
        if self.may_read_anything(&granted) {
            return;
        }
        let (path, at) = (rule.path.as_str(), self.grant.pointer());
        if rule.path.segments().contains(&Segment::Any) {
            let detail = format!("{path} covers paths of any depth{}.", self.asked(Record::text));
            out.add(FindingName::RecursivePath, at.clone(), path, detail, self.tightest());
        }
        if let Some(Segment::Glob(glob)) = rule.path.segments().iter().find(|s| matches!(s, Segment::Glob(_))) {
            let detail = format!("{path} has the wildcard segment {glob}{}.", self.asked(Record::text));
            out.add(FindingName::PathWildcard, at, path, detail, self.tightest());
        }
    }

    /// A refused connection does not say which paths: reading all of them is then the narrowest that is known to do.
    pub(super) fn may_read_anything(&self, granted: &[&str]) -> bool {
        self.records.iter().any(|record| record.method().is_none())
            && granted.iter().all(|action| Access::ReadOnly.actions().contains(action))
    }

    /// What would do instead: for what the rule answers, or, where it answers nothing, for all that is cited.
    pub(super) fn tightest(&self) -> Option<Value> {
        let inspected = self.grant.what != What::Opaque;
        match self.records.is_empty() {
            true => tightest(self.evidence.records(), inspected),
            false => tightest(self.records.iter().copied(), inspected),
        }
    }

    fn who(&self) -> String {
        self.asked(|record| match record.binary() {
            "" => "a program that could not be identified".to_owned(),
            path => path.to_owned(),
        })
    }

    /// `; denied was …`, where that is known.
    pub(super) fn asked(&self, text: impl Fn(&Record) -> String) -> String {
        let mut all: Vec<String> = self.records.iter().map(|record| text(record)).collect();
        all.sort();
        all.dedup();
        match all.as_slice() {
            [] if self.evidence.is_cited() => String::new(),
            [] => "; no denial is cited that would say what is needed".to_owned(),
            [one] => format!("; denied was {one}"),
            [first, rest @ ..] => format!("; denied were {first} and {} more", rest.len()),
        }
    }
}

/// Whether the executable runs whatever it is given: `/usr/bin/python3.11` does, `/usr/bin/pythonic` does not.
pub fn is_interpreter(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    let version = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
    INTERPRETERS.iter().any(|name| file.strip_prefix(name).is_some_and(|rest| rest.chars().all(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_by_their_file() {
        for (path, expect) in [
            ("/usr/bin/python3", true),
            ("/usr/bin/python3.11", true),
            ("/opt/node-22/bin/node", true),
            ("/bin/sh", true),
            ("/usr/bin/perl5.36.0", true),
            ("/usr/bin/curl", false),
            ("/usr/bin/pythonic", false),
            ("/usr/bin/git", false),
            ("/usr/bin/sha256sum", false),
            ("/usr/bin/envsubst", false),
        ] {
            assert_eq!(is_interpreter(path), expect, "{path}");
        }
    }
}
