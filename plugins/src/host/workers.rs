//! Threads for what would keep the proxy's own threads from their other requests.
//!
//! They have a lower priority than those, plugins take turns, and no plugin is given all of them: one that always runs
//! into its limits delays itself.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use narrowgate_core::digest::Digest;
use tokio::sync::oneshot;

/// How long a question may wait for a worker, so that it is denied in time when the plugin is slow for others.
const PATIENCE: Duration = Duration::from_millis(200);
/// How many questions may wait for one plugin.
const LONGEST_QUEUE: usize = 64;
/// Added to the nice value of the workers.
const NICER: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// How many workers one plugin may have at once.
    share: usize,
}

#[derive(Default)]
struct Queue {
    lines: BTreeMap<Digest, Line>,
    /// Whose turn it was.
    last: Option<Digest>,
    closed: bool,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<(Instant, Job)>,
    running: usize,
}

impl Workers {
    pub(super) fn start() -> io::Result<Workers> {
        let count = thread::available_parallelism().map_or(2, |count| count.get().max(2));
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), share: (count / 2).max(1) });
        let workers = Workers { shared: shared.clone() };
        for _ in 0..count {
            let shared = shared.clone();
            thread::Builder::new().name("plugin-worker".to_owned()).spawn(move || work(&shared))?;
        }
        Ok(workers)
    }

    /// Runs a job for a plugin. The receiver fails where the queue is full or the job has waited too long.
    pub(super) fn run<T: Send + 'static>(
        &self,
        plugin: Digest,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (send, receive) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody wants the answer any more where the client has gone.
            if !send.is_closed() {
                let _ = send.send(job());
            }
        });
        let mut queue = self.shared.lock();
        let line = queue.lines.entry(plugin).or_default();
        if line.waiting.len() < LONGEST_QUEUE {
            line.waiting.push_back((Instant::now() + PATIENCE, job));
            self.shared.changed.notify_one();
        }
        receive
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can be left half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Jobs that have waited too long. They are dropped outside the lock, since that may drop the last plugin and with it
    /// the workers.
    fn expired(&mut self) -> Vec<(Instant, Job)> {
        let now = Instant::now();
        let mut expired = Vec::new();
        for line in self.lines.values_mut() {
            // In order of arrival, and all are as patient.
            while line.waiting.front().is_some_and(|(until, _)| *until <= now) {
                expired.extend(line.waiting.pop_front());
            }
        }
        expired
    }

    /// The next job of the next plugin in turn that has one, and that does not have its share of workers.
    fn take(&mut self, share: usize) -> Option<(Digest, Job)> {
        self.lines.retain(|_, line| line.running > 0 || !line.waiting.is_empty());
        let mut ready = self.lines.iter().filter(|(_, line)| !line.waiting.is_empty() && line.running < share);
        let first = ready.next().map(|(plugin, _)| *plugin)?;
        let after = |plugin: &Digest| self.last.is_none_or(|last| *plugin > last);
        let next = [first].into_iter().chain(ready.map(|(plugin, _)| *plugin)).find(after);
        let plugin = next.unwrap_or(first);
        let line = self.lines.get_mut(&plugin)?;
        let (_, job) = line.waiting.pop_front()?;
        line.running += 1;
        self.last = Some(plugin);
        Some((plugin, job))
    }
}

fn work(shared: &Shared) {
    be_nice();
    let mut queue = shared.lock();
    while !queue.closed {
        let expired = queue.expired();
        if !expired.is_empty() {
            drop(queue);
            drop(expired);
            queue = shared.lock();
            continue;
        }
        let Some((plugin, job)) = queue.take(shared.share) else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queue);
        // A job's panic is its asker's: the answer's sender is dropped with it.
        let _ = catch_unwind(AssertUnwindSafe(job));
        queue = shared.lock();
        if let Some(line) = queue.lines.get_mut(&plugin) {
            line.running = line.running.saturating_sub(1);
        }
        // Another worker may have left this plugin's next job alone because of its share.
        shared.changed.notify_one();
    }
}

/// On Linux a priority is a thread's own. That it cannot be lowered is no reason not to work.
fn be_nice() {
    let thread = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(thread), NICER);
}
