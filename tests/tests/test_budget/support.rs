//! A model that answers out of order, and keeps books of its own.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_core::{
    Budget, Cost, LanguageModel, LmError, LmReply, LmRequest, Money, Price, most_prompt_tokens,
};
use promptopt_testkit::SimulatedLm;

/// The price of the models in these tests: a hundredth of a cent for a thousand tokens read, a tenth for
/// a thousand written.
pub(crate) fn price() -> Price {
    Price { prompt: Money::from_nanos(100_000_000), completion: Money::from_nanos(1_000_000_000) }
}

/// Around a simulated model: answers out of order, and at every call sees that what was spent and what all
/// requests under way may cost stay within a budget.
pub(crate) struct Auditor {
    model: SimulatedLm,
    budget: Budget,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    spent: Cost,
    under_way: Cost,
    most: u64,
    overshot: Option<String>,
}

impl Auditor {
    pub(crate) fn new(model: SimulatedLm, budget: Budget) -> Arc<Self> {
        Arc::new(Self { model, budget, books: Mutex::default() })
    }

    /// What was spent, or how a limit was overshot.
    pub(crate) fn audit(&self) -> Result<Cost, String> {
        let books = self.books.lock().unwrap();
        match &books.overshot {
            Some(text) => Err(text.clone()),
            None => Ok(books.spent),
        }
    }

    fn begin(&self, request: &LmRequest) -> Cost {
        let prompt = most_prompt_tokens(request);
        let completion = u64::from(request.n.max(1)) * u64::from(request.sampling.max_tokens.unwrap_or(0));
        let money = price().of(prompt, completion);
        let bound = Cost { calls: 1, prompt_tokens: prompt, completion_tokens: completion, money };
        let mut books = self.books.lock().unwrap();
        books.under_way += bound;
        books.most += 1;
        if let Some(limit) = (books.spent + books.under_way).beyond(&self.budget) {
            let text = format!("{limit}: {:?} and {:?} of {:?}", books.spent, books.under_way, self.budget);
            books.overshot.get_or_insert(text);
        }
        bound
    }

    fn end(&self, bound: Cost, reply: &LmReply) {
        let mut books = self.books.lock().unwrap();
        books.under_way = books.under_way.saturating_sub(bound);
        books.spent += Cost::of(reply.usage, Some(price()));
    }
}

#[async_trait]
impl LanguageModel for Auditor {
    fn id(&self) -> String {
        self.model.id()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let bound = self.begin(request);
        let turns = request.messages.last().map_or(0, |message| message.content.len() * 7 % 13);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let reply = self.model.complete(request).await;
        if let Ok(reply) = &reply {
            self.end(bound, reply);
        }
        reply
    }

    fn price(&self) -> Option<Price> {
        Some(price())
    }
}
