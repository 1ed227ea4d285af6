//! A second request for one that takes too long.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

/// Runs `first`, and beside it, when it has not ended after `delay`, what `second` gives. The first success
/// counts, and so does a failure that is final; after another failure the other one has its chance.
pub(crate) async fn race<F, T, E>(
    first: F,
    delay: impl Future<Output = ()>,
    second: impl FnOnce() -> Option<F>,
    is_final: impl Fn(&E) -> bool,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let first = pin!(first);
    let first = match select(first, pin!(delay)).await {
        Either::Left((result, _)) => return result,
        Either::Right(((), first)) => first,
    };
    let Some(second) = second() else { return first.await };
    let second = pin!(second);
    let (result, other) = match select(first, second).await {
        Either::Left(ended) | Either::Right(ended) => ended,
    };
    match result {
        Err(error) if !is_final(&error) => match other.await {
            Err(other) if !is_final(&other) => Err(error),
            result => result,
        },
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type End = Result<&'static str, &'static str>;

    async fn after(milliseconds: u64, end: End) -> End {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        end
    }

    async fn check(first: (u64, End), second: Option<(u64, End)>, expected: End) {
        let delay = tokio::time::sleep(Duration::from_millis(10));
        let second = || second.map(|(takes, end)| after(takes, end));
        let is_final = |error: &&str| *error == "final";
        assert_eq!(race(after(first.0, first.1), delay, second, is_final).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_counts_and_a_failure_gives_the_other_its_chance() {
        check((5, Ok("a")), Some((0, Ok("b"))), Ok("a")).await;
        check((5, Err("x")), Some((0, Ok("b"))), Err("x")).await;
        check((50, Ok("a")), None, Ok("a")).await;
        check((50, Ok("a")), Some((1, Ok("b"))), Ok("b")).await;
        check((15, Ok("a")), Some((90, Ok("b"))), Ok("a")).await;
        check((50, Ok("a")), Some((1, Err("x"))), Ok("a")).await;
        check((15, Err("x")), Some((90, Ok("b"))), Ok("b")).await;
        check((50, Err("x")), Some((1, Err("y"))), Err("y")).await;
        check((50, Err("final")), Some((1, Err("y"))), Err("final")).await;
        check((50, Ok("a")), Some((1, Err("final"))), Err("final")).await;
    }
}
