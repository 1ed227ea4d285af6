//! Time, injected, so that tests need not wait.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use event_listener::Event as Signal;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// What tells the time, and how long to wait. A closure that tells the time is a clock, whose `sleep`
/// takes as long as it does in real time.
pub trait Clock: Send + Sync {
    /// The time since some moment that stays the same.
    fn now(&self) -> Duration;

    /// Completes after a time. The provided one waits in real time and needs no runtime.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        real_sleep(duration).boxed()
    }
}

impl<F: Fn() -> Duration + Send + Sync> Clock for F {
    fn now(&self) -> Duration {
        self()
    }
}

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits on a thread of its own, which ends when the future is dropped. Nothing here knows a runtime
/// that has timers.
fn real_sleep(duration: Duration) -> impl Future<Output = ()> + Send {
    let alarm = Arc::new(Alarm::default());
    let ended = OnDrop(Arc::clone(&alarm));
    let ringing = Arc::clone(&alarm);
    let thread = std::thread::Builder::new().name("promptopt-timer".to_owned());
    let started = thread.spawn(move || ringing.wait(duration)).is_ok();
    async move {
        let ended = ended;
        if !started {
            // Without a thread nothing could ring; whoever waits looks at the clock as well.
            std::future::pending::<()>().await;
        }
        loop {
            let listener = ended.0.signal.listen();
            if ended.0.state() == State::Rung {
                return;
            }
            listener.await;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Waiting,
    Rung,
    Dropped,
}

#[derive(Debug, Default)]
struct Alarm {
    state: Mutex<State>,
    condition: Condvar,
    signal: Signal,
}

impl Alarm {
    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, duration: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.condition.wait_timeout_while(state, duration, |state| *state == State::Waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *state == State::Waiting {
            *state = State::Rung;
        }
        drop(state);
        self.signal.notify(usize::MAX);
    }
}

struct OnDrop(Arc<Alarm>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Waiting {
            *state = State::Dropped;
        }
        drop(state);
        self.0.condition.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_when_its_time_is_up_and_not_before() {
        let clock = SystemClock::default();
        let before = clock.now();
        assert_eq!(clock.sleep(Duration::from_secs(3600)).now_or_never(), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(clock.sleep(Duration::from_millis(20)));
        assert!(clock.now() - before >= Duration::from_millis(20));
    }
}
