//! A model that answers out of order, and keeps books of its own.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::{Budget, Money, Price, Usage};
use promptopt_run::most_prompt_tokens;
use promptopt_testkit::SimulatedLm;

/// The price of the models in these tests: a hundredth of a cent for a thousand tokens read, a tenth for
/// a thousand written.
pub(crate) fn price() -> Price {
    Price::new(Money::from_nanos(100_000_000), Money::from_nanos(1_000_000_000))
}

/// Around a simulated model: answers out of order, and at every call sees that what was spent and what all
/// requests under way may cost stay within a budget.
pub(crate) struct Auditor {
    model: SimulatedLm,
    budget: Budget,
    price: Price,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    spent: Usage,
    under_way: Usage,
    overshot: Option<String>,
}

impl Auditor {
    pub(crate) fn new(model: SimulatedLm, budget: Budget) -> Arc<Self> {
        Self::priced(model, budget, price())
    }

    /// The same for a model of another price.
    pub(crate) fn priced(model: SimulatedLm, budget: Budget, price: Price) -> Arc<Self> {
        Arc::new(Self { model, budget, price, books: Mutex::default() })
    }

    /// What was spent, or how a limit was overshot.
    pub(crate) fn audit(&self) -> Result<Usage, String> {
        let books = self.books.lock().unwrap();
        match &books.overshot {
            Some(text) => Err(text.clone()),
            None => Ok(books.spent),
        }
    }

    fn begin(&self, request: &LmRequest) -> Usage {
        let prompt = most_prompt_tokens(request);
        let completion = u64::from(request.n.max(1)) * u64::from(request.sampling.max_tokens.unwrap_or(0));
        let bound = self.price.priced(Usage::call(prompt, completion));
        let mut books = self.books.lock().unwrap();
        books.under_way += bound;
        if let Some(limit) = (books.spent + books.under_way).beyond(&self.budget) {
            let text = format!("{limit}: {:?} and {:?} of {:?}", books.spent, books.under_way, self.budget);
            books.overshot.get_or_insert(text);
        }
        bound
    }

    fn end(&self, bound: Usage, reply: &LmReply) {
        let mut books = self.books.lock().unwrap();
        books.under_way = books.under_way.saturating_sub(bound);
        books.spent += self.price.priced(reply.usage);
    }
}

#[async_trait]
impl LanguageModel for Auditor {
    fn profile(&self) -> ModelProfile {
        self.model.profile().with_price(self.price)
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let bound = self.begin(request);
        let turns = request.messages.last().map_or(0, |message| message.text().len() * 7 % 13);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let reply = self.model.complete(request, attempts).await;
        if let Ok(reply) = &reply {
            self.end(bound, reply);
        }
        reply
    }
}
