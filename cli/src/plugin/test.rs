//! `narrowgate plugin test [DIR|FILE]`: requests, and what the plugin is expected to say of them.

use std::path::{Path, PathBuf};

use clap::Args;
use narrowgate_plugins::PluginFile;
use narrowgate_plugins::cases::{self, CaseReport, Report, Verdict};
use serde_json::{Value, json};

use super::project::Project;
use super::{about, host};
use crate::exit::{Ended, Exit, Failure};
use crate::output::{self, Format, plain};

/// Hold a plugin against its cases: cases/NAME.http, and beside it NAME.golden.json
#[derive(Debug, Args)]
pub(super) struct Test {
    /// The project, with a plugin built in it, or a plugin
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    of: PathBuf,
    /// Where the cases are, if not in `cases` beside the plugin
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// Write the golden files anew, instead of comparing; look at what changed before you keep it
    #[arg(long)]
    bless: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Test {
    pub(super) fn run(self) -> Ended {
        let file = plugin(&self.of)?;
        let beside = || file.parent().unwrap_or(Path::new(".")).join("cases");
        let cases = self.cases.clone().unwrap_or_else(beside);
        let read = PluginFile::read(&file).map_err(|error| about(&file, error))?;
        let loaded = host()?.load(&read).map_err(|error| about(&file, error))?;
        let report = match self.bless {
            true => cases::bless(&loaded, &cases),
            false => cases::run(&loaded, &cases),
        };
        let report = report.map_err(Failure::invalid)?;
        match self.format {
            Format::Text => output::line(text(&report))?,
            Format::Json => output::json(&as_json(&read, &report))?,
        }
        Ok(if report.is_ok() { Exit::Done } else { Exit::Refused })
    }
}

fn plugin(of: &Path) -> Result<PathBuf, Failure> {
    if !of.is_dir() {
        return Ok(of.to_owned());
    }
    let project = Project::open(of)?;
    let built = project.built()?;
    if let Some(source) = project.newer_than(&built) {
        let (source, built) = (source.display(), built.display());
        output::remark(format!("{source} is newer than {built}; `narrowgate plugin build` first"));
    }
    Ok(built)
}

/// A plugin's words, and what its author wrote, without what would drive the terminal.
fn text(report: &Report) -> String {
    let lines: Vec<String> = report.to_string().lines().map(plain).collect();
    lines.join("\n")
}

fn as_json(plugin: &PluginFile, report: &Report) -> Value {
    let case = |case: &CaseReport| json!({ "name": case.name, "verdict": verdict(&case.verdict) });
    let cases: Vec<Value> = report.cases.iter().map(case).collect();
    json!({
        "plugin": plugin.name().as_str(),
        "digest": plugin.digest(),
        "ok": report.is_ok(),
        "cases": cases,
        "never_seen": report.never_seen,
    })
}

fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Same => json!({ "is": "same" }),
        Verdict::Differs(diff) => json!({ "is": "differs", "diff": diff }),
        Verdict::NoGolden(would_be) => json!({ "is": "no_golden", "would_be": would_be }),
        Verdict::NotDeterministic(diff) => json!({ "is": "not_deterministic", "diff": diff }),
    }
}
