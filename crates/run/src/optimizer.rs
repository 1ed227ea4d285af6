//! What users call: every strategy is an optimizer.

use async_trait::async_trait;
use promptopt_core::data::Example;
use promptopt_core::program::{Evaluator, ModuleExt as _};

use crate::{Error, Forecast, HeadroomFinding, Outcome, RulesFinding, Run, Strategy};

/// Makes the prompts of a program better by measurement. Every [`Strategy`] is one.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no optimizer",
    note = "implement `Strategy` for it; every strategy is an optimizer"
)]
pub trait Optimizer: Strategy {
    /// Finds better prompts for a program, installs them in it and says how it went.
    ///
    /// The program's own prompts are always a candidate; they stay when nothing better is found. Where the model hardly
    /// ever keeps to the format of a predictor, the prompts of all candidates, these too, ask in its
    /// [`retry_format`](promptopt_core::program::Predictor::retry_format) from the baseline on.
    ///
    /// # Errors
    ///
    /// When options, program or data cannot serve, or when the run ends before the program's own
    /// prompts are evaluated. Once they are, running out of budget, too many errors and
    /// cancellation end the run with the best so far and the reason, not with an error.
    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error>;

    /// What [`Optimizer::compile`] would call for the same program and examples. Calls nothing. `None` where the
    /// optimizer cannot tell, or where nothing but what it finds would end the run.
    ///
    /// # Errors
    ///
    /// When options, program or data cannot serve.
    fn estimate(&self, program: &dyn Evaluator, trainset: &[Example]) -> Result<Option<Forecast>, Error>;
}

#[async_trait]
impl<S: Strategy + ?Sized> Optimizer for S {
    async fn compile(&self, program: &mut dyn Evaluator, trainset: Vec<Example>) -> Result<Outcome, Error> {
        let mut run = Run::open(self, &*program, trainset)?;
        let ended = match run.begin().await?.map_or_else(|| run.check(), Err) {
            Ok(()) => match run.probe_for_headroom(self.forecast(&run).as_ref()).await {
                Ok(()) => self.search(&mut run).await,
                ended => ended,
            },
            ended => ended,
        };
        let outcome = run.close(self.name(), ended).await?;
        if let Some(winner) = outcome.winner() {
            program.set_prompts(&winner.prompts)?;
        }
        Ok(outcome)
    }

    fn estimate(&self, program: &dyn Evaluator, trainset: &[Example]) -> Result<Option<Forecast>, Error> {
        let run = Run::open(self, program, trainset.to_vec())?;
        let forecast = self.forecast(&run);
        let probe = run.probe_calls(forecast.as_ref());
        let limits = run.options().limits();
        let trial = run.trial_calls();
        Ok(forecast.map(|forecast| {
            let forecast = match trial {
                Some(calls) => forecast.with_trial(calls),
                None => forecast,
            };
            let forecast = match probe {
                Some(calls) => forecast.with_second(HeadroomFinding::DETAIL, calls),
                None => forecast,
            };
            match run.pruning_calls(&forecast) {
                Some(calls) => forecast.with_last(RulesFinding::DETAIL, calls),
                None => forecast,
            }
            .within(limits)
        }))
    }
}
