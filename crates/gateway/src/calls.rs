//! The calls of one rollout: how many there may be, which are under way, and what came of each.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use promptopt_core::lm::{LmError, LmReply};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::body;

type Result<T> = std::result::Result<T, LmError>;

/// The calls of one rollout. Each is made once: a program that dies is asked again, and what it had asked before is answered
/// with the same replies.
pub(crate) struct Calls {
    most: u64,
    /// What a program may have under way at once, in MiB of its requests.
    room: Arc<Semaphore>,
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: u64,
    refused: u64,
    is_again: bool,
    /// The calls by their requests, in the order in which these came,
    by_request: HashMap<u64, Vec<Call>>,
    /// and how many of them the program has asked for since it was asked.
    asked: HashMap<u64, usize>,
    under_way: JoinSet<()>,
    is_over: bool,
}

/// A call, made or to be made.
#[derive(Clone)]
pub(crate) struct Call {
    /// Its number, from 1.
    pub(crate) number: u64,
    result: Arc<OnceCell<Result<LmReply>>>,
}

impl Calls {
    pub(crate) fn new(most: u64) -> Self {
        let room = Arc::new(Semaphore::new(body::ROOM));
        Self { most, room, hasher: RandomState::new(), state: Mutex::default() }
    }

    /// Waits for room for a request of so many MiB; none comes once the rollout is over.
    pub(crate) async fn room(&self, mib: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_many_owned(u32::try_from(mib).ok()?).await.ok()
    }

    /// Refuses a call unread, where the program has made as many as it may and all that it asks now is new.
    pub(crate) fn refuse_unread(&self) -> Option<LmError> {
        self.with(|state| {
            let is_refused = state.made >= self.most && !state.is_again;
            state.refused += u64::from(is_refused);
            is_refused.then_some(LmError::CallLimit { limit: self.most })
        })
    }

    /// The call that a request is for.
    ///
    /// # Errors
    ///
    /// Where the program has made as many calls as it may.
    pub(crate) fn of(&self, request: impl Hash) -> Result<Call> {
        let request = self.hasher.hash_one(request);
        self.with(|state| {
            let asked = state.asked.entry(request).or_default();
            let known = state.by_request.entry(request).or_default();
            *asked += 1;
            if let Some(call) = known.get(*asked - 1) {
                return Ok(call.clone());
            }
            if state.made >= self.most {
                *asked -= 1;
                state.refused += 1;
                return Err(LmError::CallLimit { limit: self.most });
            }
            state.made += 1;
            let call = Call { number: state.made, result: Arc::default() };
            known.push(call.clone());
            Ok(call)
        })
    }

    /// The reply to a call. It is seen through even where the program hangs up: it is paid, so its reply is kept.
    pub(crate) async fn make(
        &self,
        call: &Call,
        work: impl Future<Output = Result<LmReply>> + Send + 'static,
    ) -> Result<LmReply> {
        if let Some(result) = call.result.get() {
            return result.clone();
        }
        let (sender, receiver) = oneshot::channel();
        let cell = Arc::clone(&call.result);
        self.with(|state| {
            while state.under_way.try_join_next().is_some() {}
            if !state.is_over {
                // Where the program hung up, nobody waits for it.
                let work = async move { drop(sender.send(cell.get_or_init(|| work).await.clone())) };
                state.under_way.spawn(work);
            }
        });
        receiver.await.unwrap_or(Err(LmError::Cancelled))
    }

    /// The program is asked the same again.
    pub(crate) fn ask_again(&self) {
        self.with(|state| {
            state.asked.clear();
            state.is_again = true;
        });
    }

    /// Takes no call any more, and gives those that are under way: to be waited for, or dropped.
    pub(crate) fn end(&self) -> JoinSet<()> {
        self.room.close();
        self.with(|state| {
            state.is_over = true;
            std::mem::take(&mut state.under_way)
        })
    }

    /// How many were made, and how many refused, because there were as many as there may be.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.with(|state| (state.made, state.refused))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use promptopt_core::money::Usage;

    use super::*;

    #[tokio::test]
    async fn what_was_asked_before_is_not_asked_again() {
        let calls = Calls::new(3);
        let made = Arc::new(AtomicU64::new(0));
        let ask = async |request: &str| {
            let call = calls.of(request)?;
            let (made, request) = (Arc::clone(&made), request.to_owned());
            let work = async move {
                let count = made.fetch_add(1, Ordering::SeqCst);
                Ok(LmReply::text(format!("{request} {count}"), Usage::call(1, 1)))
            };
            calls.make(&call, work).await.map(|reply| (call.number, reply.first_text().to_owned()))
        };
        let told = |number: u64, text: &str| Ok((number, text.to_owned()));
        assert_eq!((ask("a").await, ask("a").await), (told(1, "a 0"), told(2, "a 1")));
        calls.ask_again();
        assert_eq!((ask("a").await, ask("b").await), (told(1, "a 0"), told(3, "b 2")));
        assert_eq!((ask("a").await, ask("a").await), (told(2, "a 1"), Err(LmError::CallLimit { limit: 3 })));
        assert!(calls.refuse_unread().is_none());
        assert_eq!((calls.counts(), made.load(Ordering::SeqCst)), ((3, 1), 3));
        while calls.end().join_next().await.is_some() {}
        assert_eq!(
            (ask("a").await, calls.room(1).await.is_none()),
            (Err(LmError::CallLimit { limit: 3 }), true)
        );
    }
}
