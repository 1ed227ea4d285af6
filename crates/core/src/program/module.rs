//! Programs: modules that call predictors.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{CallContext, Metric, Program, TextRules, WithMetric};
use crate::Error;
use crate::data::{Fields, Prediction};
use crate::lm::LanguageModel;
use crate::prompt::{Origin, Prompt, PromptCandidate, Prompts, fit_demos};
use crate::signature::Signature;
use crate::trace::Trace;

/// What an optimizer sees of a predictor: a path, a signature and a prompt it may replace.
pub trait Predictor: Send + Sync {
    /// Path inside the program, unique there, such as `route` or `steps[0].answer`.
    fn path(&self) -> &str;

    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// The prompt it uses when the call context has none for it.
    fn prompt(&self) -> &Prompt;

    /// Replaces that prompt.
    fn set_prompt(&mut self, prompt: Prompt);

    /// Whether it shows demos to the model. One that ignores them says no, and no demos are made for it.
    fn takes_demos(&self) -> bool {
        true
    }

    /// The format in which it asks once more when a reply does not fit; `None` where it asks once only. A run in which
    /// the first format hardly ever fits sets this one in the prompts ([`Prompt::format`]).
    fn retry_format(&self) -> Option<&str> {
        None
    }

    /// What else whoever writes its instruction should know, such as the tools that it may call.
    fn about(&self) -> Option<String> {
        None
    }

    /// What a text that is to take the place of its instruction must keep to.
    fn rules(&self) -> TextRules {
        TextRules::default()
    }

    /// What else decides how it asks, such as format and sampling. Part of every store key.
    fn settings(&self) -> String {
        String::new()
    }
}

/// A program: anything that answers an example by calling predictors. A closure is one, too: see
/// [`module_fn`](super::module_fn).
///
/// `run` takes `&self` and finds the prompts in force in the context, so that many candidates can
/// be evaluated at once; nothing is mutated until the winner is installed.
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no module",
    note = "implement `Module` with `#[async_trait]` above the `impl`, or make one of a closure with `module_fn`"
)]
pub trait Module: Send + Sync {
    /// The predictors, in a fixed order.
    fn predictors(&self) -> Vec<&dyn Predictor>;

    /// The same predictors in the same order, to install prompts in.
    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor>;

    /// Answers one example.
    ///
    /// # Errors
    ///
    /// Whatever keeps the program from an answer. Errors of the model and of reply parsing should
    /// stay in the chain of causes, so that they are told apart from errors of the program.
    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction>;

    /// A name for logs and store keys.
    fn name(&self) -> &str {
        "program"
    }

    /// How the program works, as pseudo-code or prose, for the model that writes instructions.
    /// Without it the predictors' signatures are shown.
    fn source(&self) -> Option<String> {
        None
    }

    /// The model the program runs on, unless the optimizer is given another.
    fn language_model(&self) -> Option<Arc<dyn LanguageModel>> {
        None
    }

    /// Further models that it calls, through [`CallContext::on`]. Their prices are checked before a run
    /// begins, and they are part of every store key.
    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        Vec::new()
    }

    /// An upper bound on the calls of one run, retries in another format included, and where there is a
    /// metric, with those of its judgement. A call budget reserves this much before a run begins. A run that makes more
    /// gets each further call where there is room for it, and its successors wait for it meanwhile.
    fn calls_per_rollout(&self) -> u64 {
        2 * self.predictors().len().max(1) as u64
    }

    /// Whether most runs make far fewer calls than [`Module::calls_per_rollout`], as those of an agent do. What a run
    /// takes is learnt from the baseline then, and this much is reserved from there on.
    fn calls_vary(&self) -> bool {
        false
    }

    /// What it noticed of itself in its rollouts so far and a user should know. A run tells it once the original was
    /// evaluated.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the rollouts of the original show that it cannot be improved, such as a text that no request held. A run asks
    /// once all of them were made, and ends with the error.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    fn check(&self, traces: &[Arc<Trace>]) -> anyhow::Result<()> {
        let _ = traces;
        Ok(())
    }
}

#[async_trait]
impl<T: Module + ?Sized> Module for Box<T> {
    fn predictors(&self) -> Vec<&dyn Predictor> {
        (**self).predictors()
    }

    fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> {
        (**self).predictors_mut()
    }

    async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
        (**self).run(context, inputs).await
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn source(&self) -> Option<String> {
        (**self).source()
    }

    fn language_model(&self) -> Option<Arc<dyn LanguageModel>> {
        (**self).language_model()
    }

    fn other_models(&self) -> Vec<Arc<dyn LanguageModel>> {
        (**self).other_models()
    }

    fn calls_per_rollout(&self) -> u64 {
        (**self).calls_per_rollout()
    }

    fn calls_vary(&self) -> bool {
        (**self).calls_vary()
    }

    fn notes(&self) -> Vec<String> {
        (**self).notes()
    }

    fn check(&self, traces: &[Arc<Trace>]) -> anyhow::Result<()> {
        (**self).check(traces)
    }
}

/// Methods that every program has, whoever wrote it: to add a metric, and to read and install prompts.
pub trait ModuleExt: Module {
    /// The prompts the program uses now, as a candidate.
    fn candidate(&self) -> PromptCandidate {
        let prompts: Prompts = self
            .predictors()
            .iter()
            .map(|predictor| (predictor.path(), predictor.prompt().clone()))
            .collect();
        PromptCandidate::new(prompts, Origin::original())
    }

    /// Installs prompts in the predictors they name. The values of demos are read by the types of their fields.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] when a path names no predictor, and [`Error::Demos`] when demos do not fit the predictor's
    /// signature, as after a rename of its fields. Then nothing is installed.
    fn install(&mut self, prompts: &Prompts) -> Result<(), Error> {
        let fitted = fitted(self, prompts)?;
        self.set_prompts(&fitted)
    }

    /// Installs a saved program, all of it or nothing, after checking that it is of this very program: see
    /// [`Program::fitted_to`]. This is for production, where a prompt that is only half there would do harm in silence.
    ///
    /// # Errors
    ///
    /// [`Error::Drift`] where a predictor was lost or is new, or a field was renamed or has another type, and
    /// [`Error::Demos`] when demos do not fit. Then nothing is installed.
    fn install_checked(&mut self, program: &Program) -> Result<(), Error> {
        let fitted = program.fitted_to(self)?;
        self.set_prompts(&fitted)
    }

    /// Saves the prompts that the program uses now, and the signatures that they are for.
    ///
    /// # Errors
    ///
    /// [`Error::ProgramFile`] with what the system says.
    fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Program::of(self).save(path)
    }

    /// Puts prompts into the predictors they name as they are. What an optimizer made for this very program needs no
    /// further check.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] when a path names no predictor; then nothing is installed.
    fn set_prompts(&mut self, prompts: &Prompts) -> Result<(), Error> {
        let paths: Vec<String> = self.predictors().iter().map(|one| one.path().to_owned()).collect();
        for (path, _) in prompts.iter() {
            if !paths.iter().any(|known| known == path) {
                return Err(Error::Program {
                    reason: format!("there is no predictor `{path}`; it has {}", paths.join(", ")),
                });
            }
        }
        for predictor in self.predictors_mut() {
            if let Some(prompt) = prompts.get(predictor.path()) {
                predictor.set_prompt(prompt.clone());
            }
        }
        Ok(())
    }

    /// The module together with the metric that judges it: an [`Evaluator`](super::Evaluator).
    fn with_metric<S: Metric>(self, metric: S) -> WithMetric<Self, S>
    where
        Self: Sized,
    {
        WithMetric::new(self, metric)
    }
}

impl<T: Module + ?Sized> ModuleExt for T {}

/// Prompts with the values of their demos read by the types of their fields.
pub(super) fn fitted(module: &(impl Module + ?Sized), prompts: &Prompts) -> Result<Prompts, Error> {
    let predictors = module.predictors();
    let signatures = predictors.iter().map(|one| one.signature());
    let mut fitted = prompts.clone();
    for predictor in &predictors {
        let Some(prompt) = prompts.get(predictor.path()) else { continue };
        let demos = fit_demos(&prompt.demos, predictor.signature(), signatures.clone());
        let demos =
            demos.map_err(|misfit| Error::Demos { predictor: predictor.path().to_owned(), misfit })?;
        fitted.insert(predictor.path(), prompt.clone().with_demos(demos));
    }
    Ok(fitted)
}

/// Checks that a program has predictors and that their paths are unique.
///
/// # Errors
///
/// [`Error::Program`] says what is wrong.
pub fn check_program(program: &(impl Module + ?Sized)) -> Result<(), Error> {
    let predictors = program.predictors();
    if predictors.is_empty() {
        return Err(Error::Program {
            reason: "it has no predictors; return them from `Module::predictors`".to_owned(),
        });
    }
    let mut seen = std::collections::HashSet::new();
    for predictor in predictors {
        if !seen.insert(predictor.path().to_owned()) {
            return Err(Error::Program {
                reason: format!("two predictors have the path `{}`; give each its own", predictor.path()),
            });
        }
    }
    Ok(())
}
