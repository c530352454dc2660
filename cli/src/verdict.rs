//! A verdict, shown where it comes from: as text with the rules underlined, and as SARIF.

use std::collections::BTreeMap;

use annotate_snippets::Level as Shade;
use narrowgate_prover::analyse::{Concern, Near, concern, unsupported};
use narrowgate_prover::{Ceiling, Counterexample, Outcome, Report, Verdict};
use serde_json::{Value, json};

use crate::candidate::Candidate;
use crate::exit::{Exit, Failure};
use crate::sarif::{Level, Log, Said, Where};
use crate::snippet::Shown;
use crate::source::{Place, Source};

/// Everything that a verdict can point to.
pub(crate) struct Explained<'a> {
    pub(crate) candidate: &'a Candidate,
    pub(crate) ceiling: &'a Ceiling,
    /// What the ceiling was read from.
    pub(crate) bound: &'a Source,
    pub(crate) outcome: &'a Outcome,
}

impl<'a> Explained<'a> {
    /// The rules that the verdict is about, underlined; `None` where it is about none.
    pub(crate) fn text(&self) -> Option<String> {
        let (places, notes) = match &self.outcome.verdict {
            Verdict::Exceeds(found) => {
                let mut places = vec![(self.allowing(found), "this allows it".to_owned())];
                let (concerned, note) = self.concerned(found);
                places.extend(concerned);
                (places, note.into_iter().collect())
            }
            Verdict::Unsupported(_) => (self.unsupported(), Vec::new()),
            Verdict::Within(_) | Verdict::Inconclusive(_) | Verdict::Disagree(_) => return None,
        };
        let level = if matches!(self.outcome.verdict, Verdict::Exceeds(_)) { Shade::ERROR } else { Shade::WARNING };
        let shown = Shown { level, title: None, id: None, places, file: None, notes };
        (!shown.places.is_empty()).then(|| shown.render())
    }

    /// The verdict and the findings as SARIF.
    ///
    /// # Errors
    /// Where the report cannot be written as JSON.
    pub(crate) fn sarif(&self, report: &Report, exit: Exit) -> Result<Value, Failure> {
        let mut log = Log::default();
        match &self.outcome.verdict {
            Verdict::Within(_) => {}
            Verdict::Exceeds(found) => self.exceeds(found, &mut log),
            Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => {
                let rule = report.verdict.as_str();
                let mut to_blame = self.unsupported().into_iter();
                let at = to_blame.next().map_or_else(|| self.candidate.start(), |(place, _)| place);
                log.add(Said {
                    rule,
                    level: Level::Note,
                    message: format!("not proven: {} ({})", reason.message, reason.code),
                    at: Where::Place(at),
                    related: to_blame.collect(),
                    properties: BTreeMap::from([("reason_code".to_owned(), reason.code.into())]),
                });
                log.problem(rule, reason.message.clone());
            }
            Verdict::Disagree(disagreement) => log.problem("disagree", disagreement.reason.message.clone()),
        }
        let report = serde_json::to_value(report).map_err(Failure::undecided)?;
        findings(self.candidate, &report, &mut log);
        let about = ["verdict", "engine", "environments_checked", "digests"];
        let about = about.map(|name| (name.to_owned(), report.get(name).cloned().unwrap_or_default()));
        Ok(log.finish(exit, json!(BTreeMap::from(about))))
    }

    fn exceeds(&self, found: &Counterexample, log: &mut Log) {
        let (mut related, note) = self.concerned(found);
        if related.is_empty() {
            related.push((self.bound.start(), note.unwrap_or_else(|| "no permit covers it".to_owned())));
        }
        let binary = match found.request.process.path.as_str() {
            "" => "an unidentified binary",
            path => path,
        };
        let curl = found.curl();
        // SARIF's link to the first of the related locations.
        let why = match concern(self.ceiling, found) {
            Concern::Forbidden(_) => "[this forbid](1) matches it".to_owned(),
            Concern::Uncovered(near) => match near.first() {
                Some(near) => lacking(near).replacen("this", "[this permit](1)", 1),
                None => "no permit is about the host".to_owned(),
            },
        };
        let message = format!("this lets {binary} do `{curl}`, which {} does not allow: {why}", self.bound.name);
        log.add(Said {
            rule: "exceeds",
            level: Level::Error,
            message,
            at: Where::Place(self.allowing(found)),
            related,
            properties: BTreeMap::from([
                ("counterexample".to_owned(), curl.into()),
                ("binary".to_owned(), binary.into()),
            ]),
        });
    }

    /// The candidate's rule that allows the counterexample.
    fn allowing(&self, found: &Counterexample) -> Place<'a> {
        let pointer = found.rule.as_ref().map(crate::source::pointer).unwrap_or_default();
        self.candidate.place(&pointer)
    }

    /// The parts of the ceiling that the counterexample is about, each with why it does not allow it; and a note where
    /// there are none.
    fn concerned(&self, found: &Counterexample) -> (Vec<(Place<'a>, String)>, Option<String>) {
        let place = |id: &str| self.bound.policy(self.ceiling.compiled(), id);
        match concern(self.ceiling, found) {
            Concern::Forbidden(ids) => (ids.iter().map(|id| (place(id), "this forbids it".to_owned())).collect(), None),
            Concern::Uncovered(near) if near.is_empty() => {
                let note = format!("no permit of {} is about {}", self.bound.name, found.request.host);
                (Vec::new(), Some(note))
            }
            Concern::Uncovered(near) => (near.iter().map(|near| (place(&near.policy), lacking(near))).collect(), None),
        }
    }

    /// What is not modelled, in either.
    fn unsupported(&self) -> Vec<(Place<'a>, String)> {
        if !matches!(self.outcome.verdict, Verdict::Unsupported(_)) {
            return Vec::new();
        }
        let named = unsupported(self.ceiling).into_iter();
        named
            .map(|(id, what)| (self.bound.policy(self.ceiling.compiled(), &id), format!("not modelled: {what}")))
            .collect()
    }
}

/// Findings are read from the report, where each has a name, a place and a detail.
fn findings(candidate: &Candidate, report: &Value, log: &mut Log) {
    let findings = report.get("findings").and_then(Value::as_array).into_iter().flatten();
    for finding in findings {
        let text = |name: &str| finding.get(name).and_then(Value::as_str).unwrap_or_default();
        let tightest = finding.get("tightest").filter(|value| !value.is_null());
        log.add(Said {
            rule: text("name"),
            level: Level::Warning,
            message: text("detail").to_owned(),
            at: Where::Place(candidate.place(text("where"))),
            related: Vec::new(),
            properties: tightest.map(|value| ("tightest".to_owned(), value.clone())).into_iter().collect(),
        });
    }
}

/// `this comes nearest, but does not cover the path and the query parameter "ref"`.
fn lacking(near: &Near) -> String {
    match near.lacks.as_slice() {
        // The constraints of one alternative hold, and yet Cedar does not allow the request.
        [] => "this comes nearest".to_owned(),
        [only] => format!("this comes nearest, but does not cover the {only}"),
        [first @ .., last] => {
            format!("this comes nearest, but does not cover the {} and the {last}", first.join(", the "))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn findings_point_to_the_part_that_they_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        let text = "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n      - { host: a.example, port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /* } }] }\n";
        std::fs::write(&file, text).unwrap();
        let candidate = Candidate::read(&file, None, None).unwrap();
        let tightest = json!({ "allow": { "method": "GET", "path": "/a" } });
        let place = "/network_policies/a/endpoints/0/rules/0/allow/path";
        let finding = json!({ "name": "path_wildcard", "where": place, "detail": "why", "tightest": tightest });
        let mut log = Log::default();
        findings(&candidate, &json!({ "findings": [finding] }), &mut log);
        let log = log.finish(Exit::Done, json!({}));
        let result = &log["runs"][0]["results"][0];
        assert_eq!((&result["ruleId"], &result["level"]), (&"narrowgate/path_wildcard".into(), &"warning".into()));
        assert_eq!((&result["message"]["text"], &result["properties"]["tightest"]), (&"why".into(), &tightest));
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert_eq!((&region["startLine"], &region["snippet"]["text"]), (&5.into(), &"/*".into()));
    }

    #[test]
    fn what_lacks_is_a_list() {
        for (lacks, end) in [
            (&["path"][..], "does not cover the path"),
            (&["action", "path"], "does not cover the action and the path"),
            (&["a", "b", "c"], "does not cover the a, the b and the c"),
        ] {
            let near = Near { policy: String::new(), lacks: lacks.iter().map(|s| (*s).to_owned()).collect() };
            assert!(lacking(&near).ends_with(end), "{}", lacking(&near));
        }
    }
}
