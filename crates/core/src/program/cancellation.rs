//! Cancellation that needs no runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::Event as Signal;

/// A flag that is set once and that futures can wait for. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: AtomicBool,
    signal: Signal,
}

impl Cancellation {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and wakes all who wait for it.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::SeqCst);
        self.0.signal.notify(usize::MAX);
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::SeqCst)
    }

    /// Completes when the flag is set.
    pub async fn cancelled(&self) {
        while !self.is_cancelled() {
            let listener = self.0.signal.listen();
            // The flag may have been set between the check and the listening.
            if self.is_cancelled() {
                return;
            }
            listener.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn waiting_ends_with_the_cancellation() {
        let flag = Cancellation::new();
        assert!(flag.cancelled().now_or_never().is_none());
        flag.clone().cancel();
        assert!(flag.cancelled().now_or_never().is_some());
    }
}
