//! From the line to the command's end: the namespace, the way out, the command, and what is said about it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use narrowgate_proxy::Doors;
use narrowgate_sandbox::{Ended as CommandEnded, Entry, Handle, Namespace, Running, SandboxError, Spec};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::report::Report;
use super::way_out::{Kept, Plan, WayOut};
use super::{OnUserDenial, Run, place};
use crate::args::Remote;
use crate::environment::exports;
use crate::exit::{Ended, Exit, Failure};
use crate::files::{self, Readers};
use crate::output;
use crate::stack::within_grace;

/// Runs the command to its end.
pub(super) async fn run(mut run: Run, remote: Remote) -> Ended {
    let mut signals = Signals::listen()?;
    let report = Report::start(run.quiet);
    let command = std::mem::take(&mut run.command);
    let on_user_denial = run.on_user_denial;
    // Until there is a command, a signal is for this program, also where it was typed. What was started is dropped.
    let started = tokio::select! {
        started = start(run, remote, command, &report) => started?,
        signal = signals.any() => return Ok(Exit::Command(exit_code(signal))),
    };
    let Started { namespace, spec, way_out, kept } = started;
    let ended = attend(namespace, spec, signals, &report, on_user_denial).await;
    // First, so that what is denied until the very end is told of.
    within_grace(way_out.shutdown()).await;
    drop(kept);
    report.conclude().await;
    ended
}

/// All but the command.
struct Started {
    namespace: Namespace,
    spec: Spec,
    way_out: WayOut,
    kept: Kept,
}

async fn start(mut run: Run, remote: Remote, command: Vec<OsString>, report: &Report) -> Result<Started, Failure> {
    let plan = Plan::new(&mut run, &remote, report.events())?;
    // Two processes are started for it meanwhile, and wait.
    let created = tokio::task::spawn_blocking(|| Namespace::create(&Entry::default())).await;
    let (namespace, doors) = created.map_err(Failure::undecided)?.map_err(Failure::invalid)?;
    // The command must not be able to use up what reviewers reach the gateway by. It keeps the limit that it came with.
    narrowgate_sandbox::raise_descriptor_limit();
    let doors = Doors {
        proxy: doors.proxy,
        captured: doors.captured,
        resolver: Some(doors.resolver),
        namespace: namespace.network().pid(),
    };
    let hidden = plan.hidden()?;
    let (way_out, kept) = plan.start(doors).await?;
    match furnish(command, &way_out, &kept, hidden, report) {
        Ok(spec) => Ok(Started { namespace, spec, way_out, kept }),
        Err(failure) => {
            within_grace(way_out.shutdown()).await;
            Err(failure)
        }
    }
}

/// What the command finds inside; and for a reviewer, how to reach the gateway.
fn furnish(
    command: Vec<OsString>,
    way_out: &WayOut,
    kept: &Kept,
    hidden: Vec<PathBuf>,
    report: &Report,
) -> Result<Spec, Failure> {
    if let Some(env) = way_out.reviewer_env() {
        let path = kept.path().join("env");
        files::write(&path, exports(&env).as_bytes(), Readers::Owner)?;
        report.say(&format!("to review: . {}", path.display()));
    }
    let (host, port) = way_out.address();
    place::spec(command, (&host, port), kept.path(), hidden, way_out.filesystem())
}

/// Starts the command and stays with it.
async fn attend(
    namespace: Namespace,
    spec: Spec,
    mut signals: Signals,
    report: &Report,
    on_user_denial: OnUserDenial,
) -> Ended {
    let launched = tokio::task::spawn_blocking(move || namespace.launch(spec)).await;
    let running = match launched.map_err(Failure::undecided)? {
        Ok(running) => running,
        Err(error) => return not_launched(&error),
    };
    for lack in running.lacks() {
        report.say(lack);
    }
    let handle = running.handle();
    let mut ended = tokio::task::spawn_blocking(move || wait(running));
    let mut refused = std::pin::pin!(report.refused_by_reviewer());
    loop {
        tokio::select! {
            ended = &mut ended => {
                let ended: CommandEnded = ended.map_err(Failure::undecided)?.map_err(Failure::undecided)?;
                return Ok(Exit::Command(ended.exit_code()));
            }
            words = &mut refused, if on_user_denial == OnUserDenial::Kill => {
                // Gone already: the better for it.
                let _ = handle.kill();
                let _ = ended.await;
                return Err(Failure::refused(words));
            }
            signal = signals.next() => forward(&handle, signal),
        }
    }
}

fn wait(mut running: Running) -> std::io::Result<CommandEnded> {
    running.wait()
}

/// 127 and 126, as a shell says it; anything else is a failure of ours.
fn not_launched(error: &SandboxError) -> Ended {
    match error {
        SandboxError::CommandNotFound { .. } | SandboxError::CommandNotExecutable { .. } => {
            output::complain(&Failure::invalid(error));
            Ok(Exit::Command(error.exit_code()))
        }
        _ => Err(Failure::invalid(error)),
    }
}

/// As a shell says that a signal ended a program.
fn exit_code(signal: i32) -> u8 {
    u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX)
}

fn forward(handle: &Handle, signal: i32) {
    // It has ended, and its end is being waited for.
    let _ = handle.signal(signal);
}

/// Signals that are the command's.
struct Signals {
    each: Vec<(i32, Signal)>,
    /// The terminal sends these to the command itself, which is in the same group.
    terminal: bool,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::terminate(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let mut each = Vec::new();
        for kind in kinds {
            let listened = signal(kind);
            let listened =
                listened.map_err(|error| Failure::undecided(format!("could not listen for signals: {error}")))?;
            each.push((kind.as_raw_value(), listened));
        }
        // Nobody would learn how the command ends where a caller left this ignored; what is started has the default then.
        let children = signal(SignalKind::child());
        drop(children.map_err(|error| Failure::undecided(format!("could not listen for signals: {error}")))?);
        Ok(Signals { each, terminal: std::io::stdin().is_terminal() })
    }

    /// The next one.
    async fn any(&mut self) -> i32 {
        let arrived = std::future::poll_fn(|cx| {
            for (number, signal) in &mut self.each {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        });
        arrived.await
    }

    /// The next one that the command has not had from the terminal.
    async fn next(&mut self) -> i32 {
        loop {
            let number = self.any().await;
            let typed = [SignalKind::interrupt(), SignalKind::quit()].iter().any(|kind| kind.as_raw_value() == number);
            if !(typed && self.terminal) {
                return number;
            }
        }
    }
}
