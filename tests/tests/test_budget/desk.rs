//! A model whose requests stay open until a test ends them, and that keeps books of its own.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::poll_fn;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Budget, Usage};
use promptopt_run::{Ledger, most_prompt_tokens};

use super::support::price;

/// Longest completion.
const MAX_TOKENS: u32 = 40;

/// Attempts at a request.
const MAX_ATTEMPTS: u32 = 3;

/// How a request ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// With a reply that costs so many hundredths of the most it may.
    Reply(u64),
    /// With a reply that does not say what it cost.
    Silent,
    /// With an error that is not billed.
    Refused,
    /// With an error that may be billed.
    Broken,
    /// Without a word.
    TimedOut,
}

struct Open {
    id: usize,
    bound: Usage,
    asked: u64,
    attempts: Attempts,
    answer: Option<(Result<LmReply, LmError>, Usage)>,
    waker: Option<std::task::Waker>,
}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    begun: usize,
    /// What replies said they cost.
    least: Usage,
    /// What all attempts may have cost.
    most: Usage,
    before: Usage,
}

/// Holds requests until it is told how they end.
#[derive(Default)]
pub(crate) struct Desk(Mutex<State>);

impl Desk {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// Requests that have left and are not over.
    pub(crate) fn under_way(&self) -> usize {
        self.with(|state| state.open.len())
    }

    /// Ends the n-th of those that wait for it, round and round; false when there is none.
    pub(crate) fn end(&self, which: usize, end: End) -> bool {
        self.with(|state| {
            let mut waiting: Vec<&mut Open> =
                state.open.iter_mut().filter(|one| one.answer.is_none()).collect();
            let count = waiting.len();
            let Some(one) = waiting.get_mut(which % count.max(1)) else { return false };
            one.answer = Some(end.of(one.bound));
            one.waker.take().into_iter().for_each(std::task::Waker::wake);
            true
        })
    }

    /// Makes another attempt at the n-th, where that is allowed.
    pub(crate) fn retry(&self, which: usize) {
        let chosen = self.with(|state| {
            let count = state.open.len().max(1);
            state.open.get(which % count).map(|one| (one.id, one.attempts.clone()))
        });
        let Some((id, attempts)) = chosen else { return };
        if attempts.another() {
            self.with(|state| {
                let one = state.open.iter_mut().find(|one| one.id == id).unwrap();
                one.asked += 1;
                state.most += one.bound;
                assert!(one.asked <= u64::from(MAX_ATTEMPTS));
            });
        }
    }

    /// Checks that the ledger is within its budget, that it has reserved all that is under way, and that
    /// nothing that is spent comes back.
    pub(crate) fn check(&self, ledger: &Ledger) -> Result<(), String> {
        let (budget, spent, reserved) = (ledger.budget(), ledger.spending(), ledger.reserved());
        if let Some(limit) = (spent + reserved).beyond(&budget) {
            return Err(format!("{limit}: {spent:?} and {reserved:?} of {budget:?}"));
        }
        self.with(|state| {
            let under_way =
                state.open.iter().fold(Usage::default(), |sum, one| sum + one.bound.times(one.asked));
            let under_way = counted(under_way, &budget);
            if ledger.is_limited() && !is_within(under_way, reserved) {
                return Err(format!("{under_way:?} is under way, and {reserved:?} reserved"));
            }
            if !is_within(state.before, spent) {
                return Err(format!("{:?} was spent, and now {spent:?}", state.before));
            }
            state.before = spent;
            Ok(())
        })
    }

    /// Checks what was spent against what replies said, and what all attempts may have cost.
    pub(crate) fn check_spending(&self, ledger: &Ledger) -> Result<(), String> {
        if !ledger.is_limited() {
            return Ok(());
        }
        let spent = ledger.spending();
        self.with(|state| {
            let (least, most) = (counted(state.least, &ledger.budget()), state.most);
            match is_within(least, spent) && is_within(counted(spent, &ledger.budget()), most) {
                true => Ok(()),
                false => Err(format!("{spent:?} is not between {least:?} and {most:?}")),
            }
        })
    }
}

/// The part of a cost that a ledger with this budget keeps of requests: only calls, where nothing else is
/// limited.
fn counted(cost: Usage, budget: &Budget) -> Usage {
    let Budget { prompt_tokens, completion_tokens, tokens, money, .. } = budget;
    match prompt_tokens.or(*completion_tokens).or(*tokens).is_some() || money.is_some() {
        true => cost,
        false => Usage::calls(cost.calls),
    }
}

fn is_within(part: Usage, whole: Usage) -> bool {
    part.max(whole) == whole
}

impl End {
    /// The answer, and what it says it cost.
    fn of(self, bound: Usage) -> (Result<LmReply, LmError>, Usage) {
        let message = "no".to_owned();
        let error = |error| (Err(error), Usage::default());
        match self {
            Self::Reply(share) => {
                let part = |tokens: u64| tokens * share / 100;
                let usage = Usage::call(part(bound.prompt_tokens), part(bound.completion_tokens));
                (Ok(LmReply::text("fine", usage)), price().priced(usage))
            }
            Self::Silent => (Ok(LmReply::text("fine", Usage::default())), Usage::default()),
            Self::Refused => error(LmError::RateLimited { message, retry_after: None }),
            Self::Broken => error(LmError::Server { status: 500, message, retry_after: None }),
            Self::TimedOut => error(LmError::Timeout { after: Duration::from_secs(1), message }),
        }
    }
}

/// Takes a request off the desk, also when nobody waits for it any more.
struct Held<'a>(&'a Desk, usize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.open.retain(|one| one.id != self.1));
    }
}

#[async_trait]
impl LanguageModel for Desk {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("desk")
            .with_price(price())
            .with_max_tokens(MAX_TOKENS)
            .with_max_attempts_billed(MAX_ATTEMPTS)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let max_tokens = request.sampling.max_tokens.unwrap_or(MAX_TOKENS);
        let bound = price().priced(Usage::call(most_prompt_tokens(request), u64::from(max_tokens)));
        let id = self.with(|state| {
            state.begun += 1;
            state.most += bound;
            let attempts = attempts.clone();
            state.open.push(Open { id: state.begun, bound, asked: 1, attempts, answer: None, waker: None });
            state.begun
        });
        let _held = Held(self, id);
        poll_fn(|context| {
            self.with(|state| {
                let one = state.open.iter_mut().find(|one| one.id == id).unwrap();
                let Some((answer, cost)) = one.answer.take() else {
                    one.waker = Some(context.waker().clone());
                    return std::task::Poll::Pending;
                };
                state.least += cost;
                std::task::Poll::Ready(answer)
            })
        })
        .await
    }
}
