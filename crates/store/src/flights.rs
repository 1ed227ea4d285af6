//! Calls in flight: whoever asks the same takes part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{LmError, LmReply};

type Reply = Result<LmReply, LmError>;
type Flight = BoxFuture<'static, Reply>;

/// The calls in flight by key. Clones share them.
///
/// All who ask the same hold one and the same future, and each of them can drive it. So when the
/// one who began it is dropped, the others carry it on, and the call is not made again; it is given
/// up when the last of them is dropped. An error goes to all who wait, and is then forgotten.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    flights: HashMap<ContentHash, (u64, WeakShared<Flight>)>,
    begun: u64,
}

impl Flights {
    /// Takes part in the call with this key, or begins it. Says whether it was begun here.
    pub(crate) fn join(&self, key: ContentHash, begin: impl FnOnce() -> Flight) -> (Shared<Flight>, bool) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = table.flights.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return (flight, false);
        }
        table.begun = table.begun.wrapping_add(1);
        let departure = Departure { flights: self.clone(), key, number: table.begun };
        let call = begin();
        let flight = async move {
            let _departure = departure;
            call.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            let number = table.begun;
            table.flights.insert(key, (number, weak));
        }
        (flight, true)
    }
}

/// Takes a flight out of the table when it has ended or was given up.
struct Departure {
    flights: Flights,
    key: ContentHash,
    number: u64,
}

impl Drop for Departure {
    fn drop(&mut self) {
        let mut table = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The key may belong to a later flight by now.
        if table.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            table.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{pending, ready};
    use promptopt_core::money::Usage;

    use super::*;

    #[test]
    fn nothing_is_left_of_a_flight_that_ended_or_was_given_up() {
        let flights = Flights::default();
        let key = ContentHash::of("key");
        let left = |flights: &Flights| flights.0.lock().unwrap().flights.len();
        let (flight, begun) = flights.join(key, || pending().boxed());
        assert!(begun && flight.clone().now_or_never().is_none() && left(&flights) == 1);
        let (other, begun) = flights.join(key, || pending().boxed());
        assert!(!begun);
        drop(flight);
        assert_eq!(left(&flights), 1);
        drop(other);
        assert_eq!(left(&flights), 0);
        let reply = LmReply::text("a", Usage::call(1, 1));
        let (flight, begun) = flights.join(key, || ready(Ok(reply.clone())).boxed());
        assert!(begun);
        assert_eq!(flight.clone().now_or_never(), Some(Ok(reply)));
        assert_eq!(left(&flights), 0);
        assert!(flights.join(key, || pending().boxed()).1);
        drop(flight);
    }
}
