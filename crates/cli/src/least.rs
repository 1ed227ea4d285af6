//! What a run takes at least, so that caps that cannot last are refused before anything is paid.

use promptopt_core::data::Example;
use promptopt_core::money::{Budget, Limit, Usage};
use promptopt_run::{Error, calls_of_a_rollout, first_request};

use crate::session::Session;

/// Refuses caps that cannot last for one evaluation of the original prompts on the selection set, and where the sealed
/// test is paid from them as well, for one row of it.
///
/// # Errors
///
/// [`Error::Option`] for the cap, with what it takes at least.
pub(crate) fn check(
    session: &Session,
    selection: &[Example],
    cap: Budget,
    with_test: bool,
) -> Result<(), Error> {
    let rows = selection.len() as u64;
    let program = &*session.program;
    let calls = calls_of_a_rollout(program).low;
    let refused = |option, what: String, least: String| {
        let reason = format!(
            "the budget is too small for one evaluation of the {rows} selection examples{what}, which takes at least \
             {least}; raise it, or give fewer"
        );
        Err(Error::option(option, reason))
    };
    let needed = calls.saturating_mul(rows);
    if cap.calls.is_some_and(|cap| cap < needed) {
        return refused("max_calls", String::new(), format!("{needed} calls"));
    }
    if !cap.limits_requests() {
        return Ok(());
    }
    // Calls behind the first one of a rollout depend on replies; each takes a token or two.
    let behind = Usage::call(1, 1).times(calls.saturating_sub(1));
    let (mut sum, mut most) = (Usage::default(), Usage::default());
    // A row of the test is taken to be like the first one.
    for example in selection.iter().chain(selection.first().filter(|_| with_test)) {
        let request = first_request(program, &session.model.model, example, cap, &session.task.prices);
        let Some(request) = request else { continue };
        // There must be room for all that a request may cost when it leaves.
        most = most.max(sum + request.bound);
        sum += request.least + behind.with_money(request.least.money.map(|_| Default::default()));
    }
    let what = if with_test { " and one row of the sealed test" } else { "" };
    let hint = ", as a reply of the greatest length is reserved (`max_tokens` in `[model]` bounds it)";
    match most.beyond(&cap) {
        Some(Limit::Money) => {
            refused("max_cost", what.to_owned(), format!("{}{hint}", most.money.unwrap_or_default()))
        }
        Some(Limit::Tokens) => {
            refused("max_tokens", what.to_owned(), format!("{} tokens{hint}", most.total_tokens()))
        }
        _ => Ok(()),
    }
}
