//! `narrowgate check FILE…`: does what you wrote say something valid, and does all of it count?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annotate_snippets::Level as Shade;
use clap::{Args, ValueEnum};
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::Proposal;
use narrowgate_core::schema::Schema;
use narrowgate_prover::analyse::{self, Analysis, CheckReport, CheckedFile, FindingReport, PlaceReport};
use narrowgate_prover::{Ceiling, Options};
use owo_colors::OwoColorize as _;
use serde_json::json;

use crate::exit::{Ended, Exit, Failure};
use crate::files;
use crate::output::{self, FileFormat};
use crate::plugins::Given;
use crate::sarif::{Level, Log, Said, Where};
use crate::snippet::Shown;
use crate::source::Source;

/// Validate policies, ceilings and proposals, and say what in them does nothing or has no bound
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The files: .cedar is a ceiling, JSON with `operations` a proposal, any other YAML or JSON a policy (a ceiling if its name says so)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are, instead of guessing
    #[arg(long = "as", value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    /// End with exit code 1 where there is a warning
    #[arg(long)]
    deny_warnings: bool,
    /// How long the analysis of a file may take, such as 10s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = crate::prove::duration)]
    timeout: Duration,
    #[command(flatten)]
    plugins: Given,
    #[arg(long, value_enum, default_value_t)]
    format: FileFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Policy,
    Ceiling,
    Proposal,
}

/// A file with what there is to say about it.
struct Checked {
    report: CheckedFile,
    /// Absent where there is nothing to point at.
    source: Option<Source>,
}

/// Longer lists of findings help nobody at a terminal.
const MOST_SHOWN: usize = 50;

impl Check {
    pub(crate) fn run(self) -> Ended {
        let options = Options { timeout: self.timeout, ..Options::default() };
        let schema = self.plugins.schema()?;
        let files: Vec<Checked> = self.files.iter().map(|path| self.check(path, &schema, &options)).collect();
        let warned = files.iter().flat_map(|file| &file.report.findings).any(|finding| finding.level == "warning");
        let exit = if files.iter().any(|file| !file.report.valid) {
            Exit::Invalid
        } else if warned && self.deny_warnings {
            Exit::Refused
        } else {
            Exit::Done
        };
        match self.format {
            FileFormat::Text => files.iter().try_for_each(text)?,
            FileFormat::Json => {
                output::json(&CheckReport { files: files.into_iter().map(|file| file.report).collect() })?;
            }
            FileFormat::Sarif => output::json(&sarif(&files, exit))?,
        }
        Ok(exit)
    }

    fn check(&self, path: &Path, schema: &Arc<Schema>, options: &Options) -> Checked {
        let name = path.display().to_string();
        let mut report = CheckedFile { file: name.clone(), kind: "file".to_owned(), ..CheckedFile::default() };
        let text = match files::read(path) {
            Ok(text) => text,
            Err(failure) => {
                report.kind = self.kind.map_or("file", Kind::name).to_owned();
                report.errors = failure.to_string().lines().map(str::to_owned).collect();
                return Checked { report, source: None };
            }
        };
        let kind = self.kind.unwrap_or_else(|| guess(path, &text));
        report.kind = kind.name().to_owned();
        let (summary, analysed) = match read(kind, &text, &name, schema, options) {
            Ok(read) => read,
            Err(message) => {
                report.errors = message.lines().map(str::to_owned).collect();
                return Checked { report, source: None };
            }
        };
        report.valid = true;
        report.summary = Some(summary);
        let Some((compiled, analysis)) = analysed else { return Checked { report, source: None } };
        let source = Source::of(name, text, &compiled);
        report.findings = FindingReport::all(&analysis, |id| place(&source, &compiled, id));
        report.analysis_us = u64::try_from(analysis.time.as_micros()).ok();
        Checked { report, source: Some(source) }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Policy => "policy",
            Kind::Ceiling => "ceiling",
            Kind::Proposal => "proposal",
        }
    }
}

fn guess(path: &Path, text: &str) -> Kind {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if name.ends_with(".cedar") || name.contains("ceiling") {
        return Kind::Ceiling;
    }
    let proposes = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.get("operations").is_some());
    // Half-written JSON is told apart by name, so that its error is about the right thing.
    if proposes || name.contains("proposal") { Kind::Proposal } else { Kind::Policy }
}

/// What is in a text, and what its author should know; or everything that is wrong with it.
fn read(
    kind: Kind,
    text: &str,
    file: &str,
    schema: &Arc<Schema>,
    options: &Options,
) -> Result<(String, Option<(Compiled, Analysis)>), String> {
    let named = |error: &dyn std::fmt::Display| format!("{file}: {error}");
    match kind {
        Kind::Policy => {
            let policy = Policy::parse(text, file, Role::Policy).map_err(|errors| errors.to_string())?;
            let compiled = Compiled::policy_over(&policy, Role::Policy, schema).map_err(|error| named(&error))?;
            let endpoints = policy.entries.values().map(|entry| entry.endpoints.len()).sum();
            let summary = format!(
                "{}, {}, {}",
                count(policy.entries.len(), "entry", "entries"),
                count(endpoints, "endpoint", "endpoints"),
                count(compiled.policies().policies().count(), "Cedar policy", "Cedar policies")
            );
            let analysis = analyse::policy(&compiled, options);
            Ok((summary, Some((compiled, analysis))))
        }
        Kind::Ceiling => {
            let ceiling = Ceiling::parse_over(text, file, schema).map_err(|error| error.to_string())?;
            let compiled = ceiling.compiled().clone();
            let summary = count(compiled.policies().policies().count(), "Cedar policy", "Cedar policies");
            let analysis = analyse::ceiling(&ceiling, options);
            Ok((summary, Some((compiled, analysis))))
        }
        Kind::Proposal => {
            let proposal = Proposal::parse(text.as_bytes()).map_err(|error| named(&error))?;
            Ok((count(proposal.operations.len(), "operation", "operations"), None))
        }
    }
}

fn place(source: &Source, compiled: &Compiled, id: &str) -> PlaceReport {
    let place = source.policy(compiled, id);
    let region = place.region();
    PlaceReport {
        id: id.to_owned(),
        pointer: compiled.origin(id).map(crate::source::pointer),
        line: region.start.0,
        column: region.start.1,
        end_line: region.end.0,
        end_column: region.end.1,
    }
}

fn text(file: &Checked) -> Result<(), Failure> {
    let CheckedFile { file: name, kind, valid, summary, errors, findings, .. } = &file.report;
    if !valid {
        output::complain(&Failure::Invalid(errors.join("\n")));
        return Ok(());
    }
    output::line(format!("{name}: {} {kind}, {}", "valid".green(), summary.as_deref().unwrap_or_default()))?;
    for finding in findings.iter().take(MOST_SHOWN) {
        output::line(format!("{}\n", shown(file, finding).render()))?;
    }
    match findings.len().checked_sub(MOST_SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => output::line(format!("and {more} more findings; --format json has them all")),
    }
}

fn shown<'a>(file: &'a Checked, finding: &FindingReport) -> Shown<'a> {
    let level = if finding.level == "warning" { Shade::WARNING } else { Shade::NOTE };
    let places = file.source.iter().flat_map(|source| {
        let about = finding.policy.iter().map(|place| (source.at(place), String::new()));
        about.chain(finding.by.iter().map(|place| (source.at(place), because(finding).to_owned())))
    });
    let places: Vec<_> = places.collect();
    Shown {
        level,
        title: Some(finding.message.clone()),
        id: Some(finding.name.clone()),
        file: places.is_empty().then_some(file.report.file.as_str()),
        places,
        notes: finding.witness.iter().map(|witness| format!("such as: {}", witness.curl)).collect(),
    }
}

/// What the other policies have to do with it.
fn because(finding: &FindingReport) -> &'static str {
    match finding.name.as_str() {
        "shadowed_by_forbid" => "this forbids it",
        _ => "this allows it",
    }
}

fn sarif(files: &[Checked], exit: Exit) -> serde_json::Value {
    let mut log = Log::default();
    for file in files {
        for error in &file.report.errors {
            log.add(Said {
                rule: "invalid",
                level: Level::Error,
                message: error.clone(),
                at: Where::File(&file.report.file, position(error, &file.report.file)),
                related: Vec::new(),
                properties: BTreeMap::new(),
            });
        }
        for finding in &file.report.findings {
            let at = |place| file.source.as_ref().map(|source| source.at(place));
            let related = finding.by.iter().filter_map(at).map(|place| (place, because(finding).to_owned()));
            let such = finding.witness.as_ref().map(|witness| format!(", such as `{}`", witness.curl));
            log.add(Said {
                rule: &finding.name,
                level: if finding.level == "warning" { Level::Warning } else { Level::Note },
                message: format!("{}{}", finding.message, such.unwrap_or_default()),
                at: match finding.policy.as_ref().and_then(at).or_else(|| Some(file.source.as_ref()?.start())) {
                    Some(place) => Where::Place(place),
                    None => Where::File(&file.report.file, None),
                },
                related: related.collect(),
                properties: BTreeMap::new(),
            });
        }
    }
    let kinds: BTreeMap<&str, &str> =
        files.iter().map(|file| (file.report.file.as_str(), file.report.kind.as_str())).collect();
    log.finish(exit, json!({ "kinds": kinds }))
}

/// Line and column of a message that starts with the file, where it names them.
fn position(message: &str, file: &str) -> Option<(usize, usize)> {
    let mut parts = message.strip_prefix(file)?.strip_prefix(':')?.split(':');
    let line = parts.next()?.parse().ok().filter(|line| *line > 0)?;
    Some((line, parts.next().and_then(|column| column.parse().ok()).filter(|column| *column > 0).unwrap_or(1)))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        for (name, text, kind) in [
            ("a.cedar", "", Kind::Ceiling),
            ("org-ceiling.yaml", "", Kind::Ceiling),
            ("a.json", r#"{"operations":[]}"#, Kind::Proposal),
            ("a.json", r#"{"network_policies":{}}"#, Kind::Policy),
            ("proposal.json", "{", Kind::Proposal),
            ("a.yaml", "version: 1", Kind::Policy),
        ] {
            assert_eq!(guess(Path::new(name), text), kind, "{name}");
        }
    }
}
