//! Predictors on models of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{LanguageModel, LmError, LmReply, LmRequest, Price, Sampling};

/// What an address begins with. A request says which predictor it is from by a stop text that no
/// reply can hold; it is taken out before the request goes anywhere.
const ADDRESS: &str = "\u{0}from ";

/// The sampling parameters of a predictor whose requests go to a model of its own.
pub(super) fn addressed(sampling: &Sampling, predictor: &str) -> Sampling {
    let mut sampling = sampling.clone();
    sampling.stop.push(format!("{ADDRESS}{predictor}"));
    sampling
}

/// The task's model, and others for some of the predictors.
pub(crate) struct RoutedLm {
    model: Arc<dyn LanguageModel>,
    others: BTreeMap<String, Arc<dyn LanguageModel>>,
}

impl RoutedLm {
    /// `others` are models by the name of their predictor.
    pub(crate) fn new(
        model: Arc<dyn LanguageModel>,
        others: impl IntoIterator<Item = (String, Arc<dyn LanguageModel>)>,
    ) -> Self {
        Self { model, others: others.into_iter().collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn LanguageModel>> {
        std::iter::once(&self.model).chain(self.others.values())
    }
}

#[async_trait]
impl LanguageModel for RoutedLm {
    fn id(&self) -> String {
        let mut id = self.model.id();
        for (predictor, model) in &self.others {
            id.push_str(&format!("; {predictor}: {}", model.id()));
        }
        id
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        let address = request.sampling.stop.iter().find_map(|stop| stop.strip_prefix(ADDRESS));
        let Some(predictor) = address else { return self.model.complete(request).await };
        let mut plain = request.clone();
        plain.sampling.stop.retain(|stop| !stop.starts_with(ADDRESS));
        self.others.get(predictor).unwrap_or(&self.model).complete(&plain).await
    }

    fn max_attempts_billed(&self) -> u32 {
        self.all().map(|model| model.max_attempts_billed()).max().unwrap_or(1)
    }

    fn max_tokens(&self) -> Option<u32> {
        self.all().map(|model| model.max_tokens()).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// What the dearest of them asks, so that a budget of money holds whichever is called.
    fn price(&self) -> Option<Price> {
        let prices = self.all().map(|model| model.price()).collect::<Option<Vec<_>>>()?;
        Some(Price {
            prompt: prices.iter().map(|price| price.prompt).max()?,
            completion: prices.iter().map(|price| price.completion).max()?,
        })
    }
}
