//! Models that workers have themselves.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};

use crate::replies::Place;

tokio::task_local! {
    /// The call that the coordinator makes for a worker.
    static ASKED: Arc<Place>;
}

/// A model that each worker has itself, such as one that runs on its machine. Coordinator and workers wrap theirs alike.
///
/// Calls of a rollout are made by its worker, and all else stays with the coordinator: it reserves what a call may cost before
/// the worker makes it, one allowance for each call, and writes the reply to the journal before the worker's program gets it. So
/// budgets, resume and the outcome are those of one process, as far as the models of all workers answer alike. Calls that
/// are no part of a rollout, such as those of who writes instructions, go to the coordinator's own model.
///
/// A worker tries again what failed only where nobody may bill the attempt that failed, because the allowance is for one.
pub struct OnWorkers(Arc<dyn LanguageModel>);

impl OnWorkers {
    /// A model of which each worker has one.
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self(model)
    }

    /// A call as it is when something between a run and this model moves it to another task: it stays that of the worker that
    /// asked, and where the worker makes it, ends with its rollout. Without it the call goes to the coordinator's own model.
    ///
    /// ```
    /// # use promptopt_core::lm::{LmError, LmReply};
    /// # use promptopt_fleet::OnWorkers;
    /// # async fn moved(call: impl Future<Output = Result<LmReply, LmError>> + Send + 'static) {
    /// tokio::spawn(OnWorkers::carried(call));
    /// # }
    /// # fn main() {}
    /// ```
    pub fn carried<F>(call: F) -> impl Future<Output = Result<LmReply, LmError>> + use<F>
    where
        F: Future<Output = Result<LmReply, LmError>>,
    {
        let place = ASKED.try_with(Arc::clone).ok();
        async move {
            let Some(place) = place else { return call.await };
            let call = Self::asked_for(Arc::clone(&place), call);
            tokio::select! {
                biased;
                outcome = call => outcome,
                () = place.given_up() => Err(LmError::Cancelled),
            }
        }
    }

    /// Does the work of a call that a worker asks for.
    pub(crate) async fn asked_for<T>(place: Arc<Place>, call: impl Future<Output = T>) -> T {
        ASKED.scope(place, call).await
    }
}

#[async_trait]
impl LanguageModel for OnWorkers {
    fn profile(&self) -> ModelProfile {
        self.0.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        // Equal calls that are under way are one, carried on by another rollout where the first one ends.
        while let Ok(place) = ASKED.try_with(Arc::clone) {
            if let Some(outcome) = place.by_a_worker(request).await {
                return outcome;
            }
            tokio::task::yield_now().await;
        }
        self.0.complete(request, attempts).await
    }
}
