//! What the original's rollouts show of a program's calls: those that nobody counted, and predictors that nobody asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use promptopt_core::money::Budget;
use promptopt_core::trace::Trace;

use super::Run;

impl Run<'_> {
    /// Says so where program or metric call models by themselves, which nobody could count.
    pub(super) fn note_uncounted(&mut self) {
        let totals = self.runner.totals();
        if totals.answered == 0 {
            return;
        }
        let (program, calls) = (self.program, totals.usage.calls);
        let is_limited = self.ledger.is_limited();
        let is_caller = program.calls_per_rollout() > 0;
        let who = if calls == 0 && !program.predictors().is_empty() && (is_caller || is_limited) {
            "program"
        } else if calls == totals.calls_of_steps && program.metric().calls_per_score() > 0 {
            "metric"
        } else {
            return;
        };
        let limits = match is_limited.then(|| named(self.options.limits())) {
            None => String::new(),
            Some(limits) if limits.is_empty() => ", so the limits of this run do not hold for it".to_owned(),
            Some(limits) if calls == 0 => format!(", so {} limits nothing", limits.join(" and ")),
            Some(limits) => format!(", so {} does not hold for it", limits.join(" and ")),
        };
        let says = if is_caller || who == "metric" { ", although it says that it calls a model" } else { "" };
        self.warn(format!(
            "the {who} made no call that promptopt could count{says}: what it calls by itself is in no budget and in no \
             journal{limits}, and an outage of it may look like a bad prompt; call through the context \
             (`CallContext::complete`, `CallContext::aside`), or put each call of a client of your own into \
             `CallContext::metered`"
        ));
    }

    /// Names the predictors that no rollout asked, where others were.
    pub(super) fn note_unasked(&mut self, traces: &[Option<Arc<Trace>>]) {
        let answered = || traces.iter().flatten().filter(|trace| trace.prediction.is_some());
        let asked: BTreeSet<&str> =
            answered().flat_map(|trace| trace.steps.iter()).map(|step| step.predictor.as_str()).collect();
        // A text is asked nothing by itself.
        let listed: Vec<&str> = self
            .program
            .predictors()
            .into_iter()
            .filter(|predictor| predictor.takes_demos())
            .map(|predictor| predictor.path())
            .collect();
        let unasked: Vec<String> =
            listed.iter().filter(|path| !asked.contains(*path)).map(|path| format!("`{path}`")).collect();
        if unasked.is_empty() || unasked.len() == listed.len() {
            return;
        }
        let rollouts = answered().count();
        self.warn(format!(
            "{} was not asked in any of the {rollouts} rollouts that answered, so no prompt of it can show an effect; call \
             it with the context that the program is given, or leave it out of `predictors`",
            unasked.join(", ")
        ));
    }
}

/// The limits on calls, tokens and money, as they are written.
fn named(limits: Budget) -> Vec<String> {
    let numbers = [
        ("max_calls", limits.calls),
        ("max_tokens", limits.tokens),
        ("budget.prompt_tokens", limits.prompt_tokens),
        ("budget.completion_tokens", limits.completion_tokens),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, most)| Some(format!("{name} = {}", most?)));
    numbers.chain(limits.money.map(|money| format!("max_cost = {money}"))).collect()
}
