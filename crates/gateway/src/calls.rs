//! The calls of one rollout: how many there may be, which are under way, and what came of each.

use std::collections::{BTreeMap, HashMap};
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
    /// How often the program was asked again.
    asking: u64,
    /// Calls whose askers hung up before the reply, by their requests and numbers.
    given_up: HashMap<u64, BTreeMap<u64, Call>>,
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
    request: u64,
    /// The asking of the program in which it is asked for.
    asking: u64,
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
            let has_old = state.asking > 0 || state.given_up.values().any(|calls| !calls.is_empty());
            let is_refused = state.made >= self.most && !has_old;
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
            // A client that hung up and asks the same once more wants the reply that it did not wait for.
            if let Some((_, call)) = state.given_up.get_mut(&request).and_then(BTreeMap::pop_first) {
                return Ok(call);
            }
            let asking = state.asking;
            let asked = state.asked.entry(request).or_default();
            let known = state.by_request.entry(request).or_default();
            *asked += 1;
            if let Some(call) = known.get(*asked - 1) {
                return Ok(Call { asking, ..call.clone() });
            }
            if state.made >= self.most {
                *asked -= 1;
                state.refused += 1;
                return Err(LmError::CallLimit { limit: self.most });
            }
            state.made += 1;
            let call = Call { number: state.made, request, asking, result: Arc::default() };
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
        let mut heard = Heard { calls: self, call: Some(call) };
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
        let result = receiver.await.unwrap_or(Err(LmError::Cancelled));
        heard.call = None;
        result
    }

    /// The program is asked the same again.
    pub(crate) fn ask_again(&self) {
        self.with(|state| {
            state.asked.clear();
            state.given_up.clear();
            state.asking += 1;
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

/// Who waits for a reply; dropped with its connection.
struct Heard<'c> {
    calls: &'c Calls,
    /// `None` once the reply is there.
    call: Option<&'c Call>,
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        let Some(call) = self.call else { return };
        self.calls.with(|state| {
            // One of a process that is gone is found by its place among its requests.
            if state.asking == call.asking {
                state.given_up.entry(call.request).or_default().insert(call.number, call.clone());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use promptopt_core::money::Usage;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_up_and_asks_again_gets_the_reply_that_it_did_not_wait_for() {
        let calls = Calls::new(2);
        let made = Arc::new(AtomicU64::new(0));
        let ask = async |patience: u64| {
            let call = calls.of("a")?;
            let made = Arc::clone(&made);
            let work = async move {
                tokio::time::sleep(Duration::from_secs(25)).await;
                Ok(LmReply::text(made.fetch_add(1, Ordering::SeqCst).to_string(), Usage::call(1, 1)))
            };
            let reply = tokio::time::timeout(Duration::from_secs(patience), calls.make(&call, work)).await;
            reply.map_or(Ok(None), |reply| reply.map(|reply| Some(reply.first_text().to_owned())))
        };
        assert_eq!((ask(20).await, ask(20).await), (Ok(None), Ok(Some("0".to_owned()))));
        // The same once more is another draw.
        assert_eq!(ask(30).await, Ok(Some("1".to_owned())));
        assert_eq!((calls.counts(), made.load(Ordering::SeqCst)), ((2, 0), 2));
    }

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
