//! The clock of a run, which goes on from the time spent when the run is resumed.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_run::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How often the time spent is written down.
const EVERY: Duration = Duration::from_millis(500);

/// The clock of a run.
///
/// In a resumed run it goes through the time that was spent while the replies of that time are replayed, so that a
/// search ends where it ended before. From the first call that nobody made before it goes as all clocks do.
#[derive(Clone)]
pub(crate) struct RunClock(Arc<Inner>);

struct Inner {
    spent: Duration,
    /// How many replies that time brought.
    replies: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    replayed: u64,
    /// When the past was over.
    since: Option<Instant>,
}

/// What is written down.
#[derive(Serialize, Deserialize)]
struct Spent {
    seconds: f64,
}

impl RunClock {
    /// A clock that goes on from a time spent, which brought so many replies.
    pub(crate) fn after(spent: Duration, replies: u64) -> Self {
        let state = State { replayed: 0, since: (replies == 0).then(Instant::now) };
        Self(Arc::new(Inner { spent, replies, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// The time spent that a file tells of; none where there is no such file.
    pub(crate) fn read(file: &Path) -> Duration {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let spent = serde_json::from_str::<Spent>(&text).map_or(0.0, |spent| spent.seconds);
        Duration::try_from_secs_f64(spent).unwrap_or_default()
    }

    /// Says that a reply came.
    pub(crate) fn replied(&self) {
        self.change(|state| {
            state.replayed += 1;
            state.replayed >= self.0.replies
        });
    }

    /// Says that a call is made that nobody made before.
    pub(crate) fn go_on(&self) {
        self.change(|_| true);
    }

    fn change(&self, past_is_over: impl FnOnce(&mut State) -> bool) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none() {
            state.since = past_is_over(&mut state).then(Instant::now);
            drop(state);
            self.0.changed.notify_waiters();
        }
    }

    /// The time, and whether it goes on by itself.
    fn time(&self) -> (Duration, bool) {
        let Inner { spent, replies, state, .. } = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.since {
            Some(since) => (spent.saturating_add(since.elapsed()), true),
            None => (spent.mul_f64(state.replayed as f64 / (*replies).max(1) as f64), false),
        }
    }
}

impl Clock for RunClock {
    fn now(&self) -> Duration {
        self.time().0
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (clock, end) = (self.clone(), self.now().saturating_add(duration));
        Box::pin(async move {
            loop {
                // Listening begins before the clock is looked at, so that no change is missed.
                let mut changed = std::pin::pin!(clock.0.changed.notified());
                changed.as_mut().enable();
                match clock.time() {
                    (now, _) if now >= end => return,
                    (now, true) => SystemClock::default().sleep(end - now).await,
                    (_, false) => changed.await,
                }
            }
        })
    }
}

/// A model whose calls are such that nobody made before.
pub(crate) struct Called {
    pub(crate) model: Arc<dyn LanguageModel>,
    pub(crate) clock: RunClock,
}

#[async_trait]
impl LanguageModel for Called {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        self.clock.go_on();
        self.model.complete(request, attempts).await
    }
}

/// Writes the time spent to a file, again and again, until it is dropped.
pub(crate) struct Timekeeper {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Timekeeper {
    pub(crate) fn start(clock: RunClock, file: PathBuf) -> Self {
        let (ended, is_over) = mpsc::channel::<()>();
        let keep = move || {
            loop {
                let over = is_over.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout);
                if let (time, true) = clock.time() {
                    let text = serde_json::to_vec(&Spent { seconds: time.as_secs_f64() }).unwrap_or_default();
                    // A time that cannot be written is no reason to end a run; it is asked for again.
                    if let Err(error) = promptopt_store::write_atomically(&file, &text) {
                        tracing::warn!(%error, "the time spent is not written down");
                    }
                }
                if over {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("promptopt-time".to_owned()).spawn(keep);
        Self { thread: thread.ok().map(|thread| (ended, thread)) }
    }
}

impl Drop for Timekeeper {
    fn drop(&mut self) {
        if let Some((ended, thread)) = self.thread.take() {
            drop(ended);
            // It writes the time once more, so that what is read next is true.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn is_over(sleep: &mut Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_past_goes_by_with_its_replies_and_ends_with_the_first_new_call() {
        let clock = RunClock::after(Duration::from_secs(3600), 4);
        let mut half = clock.sleep(Duration::from_secs(1800));
        let mut whole = clock.sleep(Duration::from_secs(3600));
        assert_eq!(clock.now(), Duration::ZERO);
        clock.replied();
        assert_eq!((clock.now(), is_over(&mut half)), (Duration::from_secs(900), false));
        clock.replied();
        assert_eq!((is_over(&mut half), is_over(&mut whole)), (true, false));
        clock.go_on();
        assert!(is_over(&mut whole));
        assert!(clock.now() >= Duration::from_secs(3600));
    }

    #[test]
    fn the_time_spent_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock.json");
        assert_eq!(RunClock::read(&file), Duration::ZERO);
        drop(Timekeeper::start(RunClock::after(Duration::from_secs(5), 0), file.clone()));
        let spent = RunClock::read(&file);
        assert!(spent >= Duration::from_secs(5) && spent < Duration::from_secs(60), "{spent:?}");
        // What was not lived through yet is not written.
        drop(Timekeeper::start(RunClock::after(Duration::from_secs(9), 3), file.clone()));
        assert_eq!(RunClock::read(&file), spent);
    }
}
