//! What a rollout's first request takes, before anybody is asked.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use promptopt_core::data::Example;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Budget, Prices, Usage};
use promptopt_core::program::{CallContext, Cancellation, Evaluator, Layer};

use crate::layer::{added_limit, bound};

/// What the first request of a program takes, at least and at most; see [`first_request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirstRequest {
    /// At least: its prompt as the model counts it, else a token for every word, and a reply of one token.
    pub least: Usage,
    /// The most that is reserved for it.
    pub bound: Usage,
}

/// The first request of a program's rollout on an example, under a budget. The program is run up to it, and nobody is
/// asked. `None` where the program asks nobody, or waits for something else before.
pub fn first_request(
    program: &dyn Evaluator,
    model: &Arc<dyn LanguageModel>,
    example: &Example,
    budget: Budget,
    prices: &Prices,
) -> Option<FirstRequest> {
    let probe = Probe { budget, prices: prices.clone(), found: Arc::default() };
    let context = CallContext::layered(
        probe.around(Arc::clone(model)),
        Arc::default(),
        Cancellation::new(),
        0,
        None,
        Arc::new(probe.clone()),
    );
    // What it comes to is an error, because nobody answered.
    let _ = program.run(&context, &example.inputs()).now_or_never();
    let found = probe.found.lock().unwrap_or_else(PoisonError::into_inner);
    *found
}

#[derive(Clone)]
struct Probe {
    budget: Budget,
    prices: Prices,
    found: Arc<Mutex<Option<FirstRequest>>>,
}

impl Layer for Probe {
    fn around(&self, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
        Arc::new(Probed { profile: model.profile(), probe: self.clone() })
    }
}

struct Probed {
    profile: ModelProfile,
    probe: Probe,
}

#[async_trait]
impl LanguageModel for Probed {
    fn profile(&self) -> ModelProfile {
        self.profile.clone()
    }

    async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        let Probe { budget, prices, found } = &self.probe;
        let price = self.profile.price_in(prices);
        let mut limited = request.clone();
        limited.sampling.max_tokens =
            added_limit(&self.profile, budget, request).or(limited.sampling.max_tokens);
        let bound = bound(&self.profile, price, budget, &limited)?;
        let words =
            || request.messages.iter().map(|message| message.text().split_whitespace().count() as u64).sum();
        // A tokenizer makes no token of two words.
        let read = self.profile.count_tokens(request).unwrap_or_else(words).min(bound.prompt_tokens);
        let least = Usage::call(read, u64::from(request.n.max(1)));
        let least = price.map_or(least, |price| price.priced(least));
        found.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(FirstRequest { least, bound });
        Err(LmError::Cancelled)
    }
}
