//! The calls of one rollout, so that a second delivery of it pays nothing twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use promptopt_core::data::ContentHash;
use promptopt_core::lm::{LmError, LmReply, LmRequest};
use tokio::sync::watch;

/// What came of a call.
pub(crate) type Outcome = Result<LmReply, LmError>;

/// One call of a rollout.
#[derive(Default)]
pub(crate) struct Place {
    is_begun: AtomicBool,
    /// What is handed on, once the budget and the journal have it.
    outcome: watch::Sender<Option<Outcome>>,
    own: watch::Sender<Own>,
}

/// A call of a model that workers have themselves.
#[derive(Default)]
enum Own {
    /// It is no such call, or not allowed yet.
    #[default]
    Closed,
    /// A worker is to make it.
    Allowed(Box<LmRequest>),
    Made(Outcome),
    /// The rollout ended. Whether nobody makes the call any more.
    Over {
        is_given_up: bool,
    },
}

impl Place {
    /// Whether the call is still to be begun, which is so for one of those who ask.
    pub(crate) fn begin(&self) -> bool {
        !self.is_begun.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn end_with(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }

    /// Waits for what came of the call; `None` where the rollout ends before.
    pub(crate) async fn outcome(&self) -> Option<Outcome> {
        let mut outcome = self.outcome.subscribe();
        tokio::select! {
            biased;
            outcome = outcome.wait_for(Option::is_some) => outcome.ok()?.clone(),
            () = self.over() => None,
        }
    }

    /// Has a call made by the worker that asks; `None` where the rollout ends before it is.
    pub(crate) async fn by_a_worker(&self, request: &LmRequest) -> Option<Outcome> {
        self.own.send_if_modified(|own| {
            let is_new = matches!(own, Own::Closed);
            if is_new {
                *own = Own::Allowed(Box::new(request.clone()));
            }
            is_new
        });
        let mut own = self.own.subscribe();
        let own = own.wait_for(|own| matches!(own, Own::Made(_) | Own::Over { .. })).await.ok()?;
        if let Own::Made(outcome) = &*own {
            return Some(outcome.clone());
        }
        drop(own);
        self.own.send_replace(Own::Over { is_given_up: true });
        None
    }

    /// Waits until a worker is to make the call, and for what it is to ask.
    pub(crate) async fn allowed(&self) -> Box<LmRequest> {
        let mut own = self.own.subscribe();
        if let Ok(own) = own.wait_for(|own| matches!(own, Own::Allowed(_))).await
            && let Own::Allowed(request) = &*own
        {
            return request.clone();
        }
        std::future::pending().await
    }

    /// What came of the call at a worker. The first one counts.
    pub(crate) fn made(&self, outcome: Outcome) {
        self.own.send_if_modified(|own| {
            let is_first = matches!(own, Own::Allowed(_));
            if is_first {
                *own = Own::Made(outcome);
            }
            is_first
        });
    }

    /// Waits until the rollout has ended.
    async fn over(&self) {
        let mut own = self.own.subscribe();
        // The sender is here.
        let _ = own.wait_for(|own| matches!(own, Own::Over { .. })).await;
    }

    /// Waits until nobody makes the call any more. One that the coordinator makes itself goes on after the rollout.
    pub(crate) async fn given_up(&self) {
        let mut own = self.own.subscribe();
        let _ = own.wait_for(|own| matches!(own, Own::Over { is_given_up: true })).await;
    }

    fn end(&self) {
        self.own.send_modify(|own| *own = Own::Over { is_given_up: matches!(own, Own::Allowed(_)) });
    }
}

/// What a rollout asked, and the replies. The n-th equal request of each delivery is the same call.
#[derive(Default)]
pub(crate) struct Replies(Mutex<Known>);

#[derive(Default)]
struct Known {
    places: HashMap<(ContentHash, u64), Arc<Place>>,
    asked: HashMap<(u64, ContentHash), u64>,
    /// The places of calls by delivery and number, for answers that were lost on their way.
    calls: HashMap<(u64, u64), Arc<Place>>,
}

impl Replies {
    /// Where the reply to the n-th call of a delivery is, or will be: that of another delivery's equal request, where there is
    /// one.
    pub(crate) fn place(
        &self,
        (delivery, number): (u64, u64),
        model: Option<usize>,
        request: &LmRequest,
    ) -> Arc<Place> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.calls.get(&(delivery, number)) {
            return Arc::clone(place);
        }
        let hash = ContentHash::of(&(model, request));
        let before = known.asked.entry((delivery, hash)).or_default();
        let before = std::mem::replace(before, *before + 1);
        let place = Arc::clone(known.places.entry((hash, before)).or_default());
        known.calls.insert((delivery, number), Arc::clone(&place));
        place
    }

    /// The rollout is over: no worker makes a call for it any more.
    pub(crate) fn end(&self) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.places.values().for_each(|place| place.end());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use promptopt_core::lm::Message;
    use promptopt_core::money::Usage;

    use super::*;

    #[tokio::test]
    async fn a_second_delivery_pays_for_nothing_that_the_first_has() {
        let (replies, paid) = (Replies::default(), AtomicU64::new(0));
        let ask = async |call: (u64, u64), text: &str| {
            let request = LmRequest::new(vec![Message::user(text)]);
            let place = replies.place(call, None, &request);
            if place.begin() {
                let number = paid.fetch_add(1, Ordering::SeqCst);
                place.end_with(Ok(LmReply::text(number.to_string(), Usage::call(1, 1))));
            }
            place.outcome().await.unwrap().unwrap().first_text().to_owned()
        };
        assert_eq!(ask((1, 0), "a").await, "0");
        // The same once more is another draw, and an answer that was lost is not.
        assert_eq!(ask((1, 1), "a").await, "1");
        assert_eq!(ask((1, 1), "a").await, "1");
        assert_eq!(ask((2, 0), "a").await, "0");
        assert_eq!(ask((2, 1), "b").await, "2");
        assert_eq!(ask((2, 2), "a").await, "1");
        assert_eq!(ask((2, 3), "a").await, "3");
    }
}
