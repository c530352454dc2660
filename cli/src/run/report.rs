//! What the person who started the command is told of its requests, on standard error.
//!
//! While the command has the terminal to itself it is not written over: what waits for a reviewer is said at once only
//! where the command's output is not a terminal. What was denied is said once, when the command has ended.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use narrowgate_core::decide::Reason;
use narrowgate_proxy::held::{Event, Refused};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::output::{self, plain};

/// What waits to be taken; more are counted as lost, and no request waits for it.
const QUEUE: usize = 1024;
/// Different denials that are listed. The log has all.
const LISTED: usize = 50;

/// Listens to one proxy from its start to its end.
pub(super) struct Report {
    quiet: bool,
    events: mpsc::Sender<Event>,
    refused: watch::Receiver<Option<String>>,
    conclude: oneshot::Sender<()>,
    listener: JoinHandle<()>,
}

impl Report {
    pub(super) fn start(quiet: bool) -> Report {
        let (events, receiver) = mpsc::channel(QUEUE);
        let (conclude, concluded) = oneshot::channel();
        let (refused_by_reviewer, refused) = watch::channel(None);
        let listener = Listener {
            loud: !quiet && !std::io::stdout().is_terminal(),
            refused_by_reviewer,
            denied: BTreeMap::new(),
            unlisted: 0,
        };
        let listener = tokio::spawn(listener.listen(receiver, concluded, quiet));
        Report { quiet, events, refused, conclude, listener }
    }

    /// What a proxy tells it through.
    pub(super) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }

    /// A line for a person, where one wants to read it.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            output::aside(format!("narrowgate: {line}"));
        }
    }

    /// Completes with what a reviewer said when they denied a request.
    pub(super) async fn refused_by_reviewer(&self) -> String {
        let mut refused = self.refused.clone();
        match refused.wait_for(Option::is_some).await {
            Ok(words) => words.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Says what was denied, everything that was told of until now included.
    pub(super) async fn conclude(self) {
        // It has ended by itself only where it panicked.
        let _ = self.conclude.send(());
        let _ = self.listener.await;
    }
}

struct Listener {
    /// Whether to speak while the command runs.
    loud: bool,
    refused_by_reviewer: watch::Sender<Option<String>>,
    /// By what was asked, by whom and why not: how often.
    denied: BTreeMap<(String, String, &'static str), Denied>,
    /// Beyond the limit, or lost.
    unlisted: u64,
}

struct Denied {
    times: u64,
    message: String,
}

impl Listener {
    async fn listen(mut self, mut events: mpsc::Receiver<Event>, mut concluded: oneshot::Receiver<()>, quiet: bool) {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                _ = &mut concluded => break,
            }
        }
        while let Ok(event) = events.try_recv() {
            self.take(event);
        }
        if !quiet {
            self.summarise();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Waiting(prompt) => {
                let (what, until, id) = (plain(&prompt.what), &prompt.deadline, &prompt.held_id);
                self.say(&format!("{what} waits for a reviewer until {until}: narrowgate held answer {id}"));
            }
            Event::Decided(decided) => {
                let words = decided.message.map(|words| format!(": {}", plain(&words))).unwrap_or_default();
                let by = decided.decided_by.map(|by| format!(" by {}", plain(&by))).unwrap_or_default();
                self.say(&format!("{}: {}{by}{words}", plain(&decided.prompt.what), decided.status.as_str()));
            }
            Event::Denied(refused) => self.denied(refused),
            Event::Lost(count) => self.unlisted += count,
        }
    }

    fn denied(&mut self, refused: Refused) {
        if refused.reason == Reason::DeniedByReviewer {
            // The first no is the one that ends the command.
            self.refused_by_reviewer.send_if_modified(|words| {
                let first = words.is_none();
                words.get_or_insert_with(|| plain(&refused.message));
                first
            });
        }
        let full = self.denied.len() >= LISTED;
        let key = (refused.what, refused.binary, refused.reason.as_str());
        match self.denied.get_mut(&key) {
            Some(known) => known.times += 1,
            None if full => self.unlisted += 1,
            None => drop(self.denied.insert(key, Denied { times: 1, message: refused.message })),
        }
    }

    fn say(&self, line: &str) {
        if self.loud {
            output::aside(format!("narrowgate: {line}"));
        }
    }

    fn summarise(&self) {
        for ((_, _, reason), Denied { times, message }) in &self.denied {
            let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
            output::aside(format!("narrowgate: denied{times}: {} [{reason}]", plain(message)));
        }
        if self.unlisted > 0 {
            output::aside(format!("narrowgate: {} more denials are in the audit log", self.unlisted));
        }
    }
}
