//! All models of a task: those of program, prompts, predictors and judges.

use std::sync::Arc;

use promptopt_core::lm::LanguageModel;

use super::{ChosenModel, Endpoints, choose, embedding};
use crate::args::RunArgs;
use crate::data::Undivided;
use crate::keeping::Keeping;
use crate::meter::{Gauge, Metered};
use crate::metrics::remembering;
use crate::program::{AskedModels, Blueprint};
use crate::task_file::{MetricKind, TaskFile};

/// The models that a task names, or the command line in their place.
pub(crate) struct TaskModels {
    /// What the program runs on.
    pub(crate) program: ChosenModel,
    /// What writes instructions.
    pub(crate) prompt: ChosenModel,
    /// One for every metric that asks for a judge; `None` where it is simulated.
    pub(crate) judges: Vec<Option<Arc<dyn LanguageModel>>>,
    /// Those of predictors that have one of their own, by the predictor's name.
    pub(crate) predictors: Vec<(String, Arc<dyn LanguageModel>)>,
    /// Those that a program that is not ours may ask for, by the names that it uses.
    pub(crate) asked: AskedModels,
}

impl TaskModels {
    pub(crate) async fn choose(
        task: &TaskFile,
        blueprint: &Blueprint,
        args: &RunArgs,
        rows: &Undivided,
        endpoints: &mut Endpoints,
    ) -> anyhow::Result<Self> {
        // Its stop texts are the predictors': as prompt model it is not to end at them.
        let section = task.model.without_stop();
        let program = choose(&section, args.lm.as_deref(), rows, endpoints).await?;
        let prompt = match &task.prompt_model {
            // `--lm` is about the whole run.
            Some(section) if args.lm.is_none() => choose(section, None, rows, endpoints).await?,
            _ => program.clone(),
        };
        let mut judges = Vec::new();
        for section in task.metric.iter().filter(|section| section.kind == MetricKind::Judge) {
            // A judge of its own stays the same whatever the program runs on, or scores could not be
            // compared; but whoever tries things out on the simulated model wants to call nobody.
            let own = section.model.as_ref().filter(|_| args.lm.as_deref() != Some("sim"));
            let chosen = match own {
                Some(section) => choose(section, None, rows, endpoints).await?,
                None => prompt.clone(),
            };
            // One of its own, also around the same model: by that a fleet tells a judge's calls from the program's.
            judges.push((!chosen.is_simulated).then(|| Arc::new(chosen.model) as Arc<dyn LanguageModel>));
        }
        let mut predictors = Vec::new();
        for step in blueprint.steps.iter().filter(|_| args.lm.is_none()) {
            if let Some(section) = &step.model {
                let chosen = choose(section, None, rows, endpoints).await?;
                predictors.push((step.name.clone(), chosen.model));
            }
        }
        let mut asked = AskedModels::default();
        if args.lm.is_none() {
            for section in task.model.asked() {
                asked.chat.push((section.name.clone(), choose(&section, None, rows, endpoints).await?.model));
            }
        }
        // The simulated model calls nobody.
        for section in task.model.embedding().iter().filter(|_| args.lm.as_deref() != Some("sim")) {
            asked.embeddings.push((section.name.clone(), embedding(section, endpoints).await?));
        }
        Ok(Self { program, prompt, judges, predictors, asked })
    }

    /// The same models, with their replies kept and their calls counted.
    pub(crate) fn kept(self, keeping: &mut Keeping, gauge: &Arc<Gauge>, task: &TaskFile) -> Self {
        let is_one = Arc::ptr_eq(&self.program.model, &self.prompt.model);
        let metered = |model| Metered::around(model, gauge, &task.prices);
        let program = keeping.around(self.program.model);
        let prompt = if is_one { Arc::clone(&program) } else { keeping.around(self.prompt.model) };
        let judges = self.judges.into_iter().map(|judge| {
            let kept = keeping.around(judge?);
            Some(remembering(Arc::new(metered(kept).judging())))
        });
        let judges = judges.collect();
        let mut named = |models: Vec<(String, Arc<dyn LanguageModel>)>| {
            let models = models.into_iter().map(|(name, model)| {
                let kept = keeping.around(model);
                (name, Arc::new(metered(kept)) as Arc<dyn LanguageModel>)
            });
            models.collect::<Vec<_>>()
        };
        let predictors = named(self.predictors);
        let asked = AskedModels { chat: named(self.asked.chat), embeddings: named(self.asked.embeddings) };
        Self {
            program: ChosenModel { model: Arc::new(metered(program)), ..self.program },
            prompt: ChosenModel { model: Arc::new(metered(prompt)), ..self.prompt },
            judges,
            predictors,
            asked,
        }
    }
}
