//! How the demo is told: short acts in aligned columns for people, one JSON object a line for scripts.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use owo_colors::OwoColorize as _;
use serde_json::{Map, Value, json};

use crate::exit::Failure;
use crate::output::{self, Format};

/// Tells what happened, as it happens.
pub(super) struct Story {
    format: Format,
    begun: Instant,
    acts: u32,
    /// A reader needs a moment between the lines; a script does not.
    pause: Duration,
}

/// How a line ends for the eye: green, red, or plain.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Good,
    Bad,
    Plain,
}

impl Tone {
    pub(super) fn paint(self, text: &str) -> String {
        match self {
            Tone::Good => text.green().to_string(),
            Tone::Bad => text.red().to_string(),
            Tone::Plain => text.dimmed().to_string(),
        }
    }
}

impl Story {
    pub(super) fn new(format: Format) -> Story {
        let reading = format == Format::Text && std::io::stdout().is_terminal();
        let pause = if reading { Duration::from_millis(250) } else { Duration::ZERO };
        Story { format, begun: Instant::now(), acts: 0, pause }
    }

    /// A new act, with the one sentence it shows.
    pub(super) async fn act(&mut self, title: &str, about: &str) -> Result<(), Failure> {
        self.acts += 1;
        self.event("act", json!({ "number": self.acts, "title": title }))?;
        self.text(format_args!(
            "\n{} {}\n  {}",
            format_args!("{}", self.acts).cyan().bold(),
            title.bold(),
            about.dimmed()
        ))?;
        tokio::time::sleep(self.pause * 2).await;
        Ok(())
    }

    /// Who did what, and how it went.
    pub(super) async fn line(&self, who: &str, what: impl Display, outcome: &str, tone: Tone) -> Result<(), Failure> {
        let what = what.to_string();
        match outcome.is_empty() {
            true => self.text(format_args!("  {who:<10}{what}"))?,
            false => self.text(format_args!("  {who:<10}{what:<64}  {}", tone.paint(outcome)))?,
        }
        tokio::time::sleep(self.pause).await;
        Ok(())
    }

    /// More about the line before.
    pub(super) fn detail(&self, text: impl Display) -> Result<(), Failure> {
        self.text(format_args!("  {:<10}{text}", ""))
    }

    /// A block under the line before, such as what `rule get` prints.
    pub(super) fn block(&self, text: &str) -> Result<(), Failure> {
        text.lines().try_for_each(|line| self.text(format_args!("  {:<10}{} {line}", "", "│".dimmed())))
    }

    /// Text for people only.
    pub(super) fn text(&self, text: impl Display) -> Result<(), Failure> {
        match self.format {
            Format::Text => output::line(text),
            Format::Json => Ok(()),
        }
    }

    /// An event for scripts only.
    pub(super) fn event(&self, name: &str, members: Value) -> Result<(), Failure> {
        if self.format == Format::Text {
            return Ok(());
        }
        let mut event = Map::new();
        event.insert("event".into(), json!(name));
        event.insert("at_ms".into(), json!(self.elapsed().as_millis()));
        if let Value::Object(members) = members {
            event.extend(members);
        }
        output::json_line(&Value::Object(event))
    }

    /// The last word: every step happened.
    pub(super) fn done(&self, kept: Option<&std::path::Path>) -> Result<(), Failure> {
        if self.format == Format::Json {
            // Without --keep, the contract's line to the letter.
            return output::json_line(&match kept {
                None => json!({ "event": "done", "ok": true }),
                Some(kept) => json!({ "event": "done", "ok": true, "kept": kept }),
            });
        }
        let took = format!("{:.1} s", self.elapsed().as_secs_f64());
        self.text(format_args!("\n{} in {took}, every step as it should be.", "done".green().bold()))?;
        if let Some(kept) = kept {
            self.text(format_args!("kept: {}", kept.display()))?;
        }
        self.text(format_args!("Yours next: {}", "narrowgate up --policy policy.yaml --ceiling ceiling.cedar".bold()))
    }

    /// The last word: a step did not happen.
    pub(super) fn failed(&self, step: &str, problem: &str, kept: Option<&std::path::Path>) -> Result<(), Failure> {
        if self.format == Format::Json {
            return output::json_line(
                &json!({ "event": "done", "ok": false, "step": step, "problem": problem, "kept": kept }),
            );
        }
        self.text(format_args!("\n{} at \"{step}\": {problem}", "failed".red().bold()))?;
        kept.map_or(Ok(()), |kept| self.text(format_args!("kept: {}", kept.display())))
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
