//! The replies of one rollout, so that a second delivery of it pays nothing twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use promptopt_core::data::ContentHash;
use promptopt_core::lm::{LmError, LmReply, LmRequest};
use tokio::sync::OnceCell;

pub(crate) type Place = Arc<OnceCell<Result<LmReply, LmError>>>;

/// What a rollout asked, and the replies. The n-th equal request of each delivery is the same call.
#[derive(Default)]
pub(crate) struct Replies(Mutex<Known>);

#[derive(Default)]
struct Known {
    places: HashMap<(ContentHash, u64), Place>,
    asked: HashMap<(u64, ContentHash), u64>,
    /// The places of calls by delivery and number, for answers that were lost on their way.
    calls: HashMap<(u64, u64), Place>,
}

impl Replies {
    /// Where the reply to the n-th call of a delivery is, or will be: that of another delivery's equal request, where there is
    /// one.
    pub(crate) fn place(&self, (delivery, number): (u64, u64), model: &str, request: &LmRequest) -> Place {
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
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use promptopt_core::lm::Message;
    use promptopt_core::money::Usage;

    use super::*;

    #[tokio::test]
    async fn a_second_delivery_pays_for_nothing_that_the_first_has() {
        let (replies, paid) = (Replies::default(), AtomicU64::new(0));
        let ask = async |call: (u64, u64), text: &str| {
            let request = LmRequest::new(vec![Message::user(text)]);
            let place = replies.place(call, "m", &request);
            let reply = place.get_or_init(async || {
                let number = paid.fetch_add(1, Ordering::SeqCst);
                Ok(LmReply::text(number.to_string(), Usage::call(1, 1)))
            });
            reply.await.clone().unwrap().first_text().to_owned()
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
