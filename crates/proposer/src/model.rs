//! Instructions written by a prompt model.

use std::collections::HashSet;

use indexmap::IndexMap;
use promptopt_core::data::{ContentHash, Fields};
use promptopt_core::lm::Sampling;
use promptopt_core::prompt::Demo;
use promptopt_run::proposal::{Flaw, Judge};
use promptopt_run::{Assignment, Brief, Halt, Run, Written};
use promptopt_tips::{PromptingTips, Tip};
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::render::{self, PROPOSE_INSTRUCTION};
use crate::{Attempt, Error, PredictorInfo, ProgramInfo, Study, Task, studies, template};

/// What a [`ModelProposer`] tells the prompt model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelProposerOptions {
    /// Softmax temperature of the prompt model. Default: 1.0.
    pub temperature: f64,
    /// Upper bound on a text it writes, in tokens. Default: 2000.
    pub max_tokens: u32,
    /// Describe program and predictors. Default: true.
    pub program_aware: bool,
    /// Describe the data. Default: true.
    pub data_aware: bool,
    /// Give a tip with every request. Default: true.
    pub tip_aware: bool,
    /// Show demos and examples. Default: true.
    pub few_shot_aware: bool,
    /// Examples of a batch when the data is described; at most five batches are. Default: 20.
    pub view_data_batch_size: usize,
    /// Demos and examples shown with every request. Default: 10.
    pub examples_in_context: usize,
    /// Instructions with scores shown with every request, the best of those tried. Default: 5.
    pub history_in_context: usize,
    /// How often a proposal that cannot serve is asked for again. Default: 2.
    pub retries: usize,
}

impl Default for ModelProposerOptions {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            max_tokens: 2000,
            program_aware: true,
            data_aware: true,
            tip_aware: true,
            few_shot_aware: true,
            view_data_batch_size: 20,
            examples_in_context: 10,
            history_in_context: 5,
            retries: 2,
        }
    }
}

impl ModelProposerOptions {
    /// With a temperature of the prompt model.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// With a bound on what it writes.
    #[must_use]
    pub fn with_max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = max_tokens;
        self
    }

    /// With or without a description of the program.
    #[must_use]
    pub fn with_program_aware(mut self, program_aware: bool) -> Self {
        self.program_aware = program_aware;
        self
    }

    /// With or without a description of the data.
    #[must_use]
    pub fn with_data_aware(mut self, data_aware: bool) -> Self {
        self.data_aware = data_aware;
        self
    }

    /// With or without tips.
    #[must_use]
    pub fn with_tip_aware(mut self, tip_aware: bool) -> Self {
        self.tip_aware = tip_aware;
        self
    }

    /// With or without demos and examples.
    #[must_use]
    pub fn with_few_shot_aware(mut self, few_shot_aware: bool) -> Self {
        self.few_shot_aware = few_shot_aware;
        self
    }

    /// With so many examples in a batch.
    #[must_use]
    pub fn with_view_data_batch_size(mut self, view_data_batch_size: usize) -> Self {
        self.view_data_batch_size = view_data_batch_size;
        self
    }

    /// With so many tried instructions.
    #[must_use]
    pub fn with_history_in_context(mut self, history_in_context: usize) -> Self {
        self.history_in_context = history_in_context;
        self
    }

    /// With so many further attempts.
    #[must_use]
    pub fn with_retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// How many calls go into describing so many examples and predictors, and into writing `count`
    /// instructions for each predictor; at least and at most.
    pub fn calls(&self, examples: usize, predictors: usize, count: usize) -> (u64, u64) {
        let (least, most) = studies::study_calls(self, examples, predictors);
        let written = (predictors * count) as u64;
        if written == 0 {
            return (0, 0);
        }
        (least + written, most + 2 * written * (1 + self.retries as u64))
    }
}

/// Has instructions written by a run's prompt model, checks them, and falls back to templates for those
/// that do not come out.
#[derive(Debug, Clone, Default)]
pub struct ModelProposer {
    options: ModelProposerOptions,
    tips: PromptingTips,
}

impl ModelProposer {
    /// A proposer with the default tips.
    pub fn new(options: ModelProposerOptions) -> Self {
        Self { options, tips: PromptingTips::default() }
    }

    /// Another library of tips.
    #[must_use]
    pub fn tips(mut self, tips: PromptingTips) -> Self {
        self.tips = tips;
        self
    }

    /// Finds out about a task: each description is written once, not once per instruction.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before that. Replies that cannot be used are notes of the run.
    pub async fn study(&self, run: &mut Run<'_>, task: &Task) -> Result<Study, Halt> {
        studies::study(run, &self.sampling(), &self.options, task).await
    }

    /// Writes up to `count` instructions for every predictor, by its path: all different from each other and from
    /// those that are taken. Those of the same number belong together: a predictor's are written by one who sees, in
    /// the program, what the predictors before it are to be told.
    ///
    /// # Errors
    ///
    /// As [`ModelProposer::study`].
    pub async fn propose(
        &self,
        run: &mut Run<'_>,
        task: &Task,
        study: &Study,
        count: usize,
    ) -> Result<IndexMap<String, Vec<String>>, Halt> {
        let mut proposals = IndexMap::new();
        let mut programs = vec![task.program.clone(); count];
        for (index, predictor) in task.program.predictors.iter().enumerate() {
            let written = self.propose_for(run, index, predictor, task, study, &programs).await?;
            for (program, text) in programs.iter_mut().zip(&written) {
                if let Some(told) = program.predictors.get_mut(index) {
                    told.instruction.clone_from(text);
                }
            }
            proposals.insert(predictor.path.clone(), written);
        }
        Ok(proposals)
    }

    fn sampling(&self) -> Sampling {
        Sampling::default()
            .with_temperature(self.options.temperature)
            .with_max_tokens(self.options.max_tokens)
    }

    async fn propose_for(
        &self,
        run: &mut Run<'_>,
        index: usize,
        predictor: &PredictorInfo,
        task: &Task,
        study: &Study,
        programs: &[ProgramInfo],
    ) -> Result<Vec<String>, Halt> {
        let count = programs.len();
        let mut rng =
            ChaCha8Rng::seed_from_u64(task.seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let tips = self.tips_for(predictor, count, &mut rng);
        let bounds = run.bounds(&predictor.path);
        let judge = judge(predictor, task, study, &tips).within(bounds.clone());
        let mut written: Vec<Option<String>> = vec![None; count];
        let mut known = task.known(&predictor.path);
        for attempt in 0..=self.options.retries {
            let places = written.iter_mut().enumerate().filter(|(_, place)| place.is_none());
            let open: Vec<(usize, &mut Option<String>)> = places.collect();
            if open.is_empty() {
                break;
            }
            let mut assignments = Vec::new();
            for (slot, program) in open.iter().filter_map(|(slot, _)| Some((slot, programs.get(*slot)?))) {
                // Another attempt brings another tip, so that it is another request.
                let tip = tips.get((slot + attempt * count) % tips.len().max(1)).copied();
                let request = self.request(predictor, task, study, (*slot, program), tip, &mut rng)?;
                assignments.push(request.with_draw((attempt * count + slot) as u64));
            }
            let texts = self.ask(run, assignments).await?;
            if let Some(failure) = texts.iter().find_map(|text| text.as_ref().err()) {
                run.note(format!("a proposal for `{}` failed: {failure}", predictor.path));
            }
            for ((_, place), text) in open.into_iter().zip(texts) {
                let Ok(reply) = text else { continue };
                let proposal = judge.read(&reply, &known);
                run.observe_proposal(&predictor.path, &proposal.text, proposal.flaw.map(Flaw::reason));
                if proposal.flaw.is_none() {
                    known.note(&proposal.text);
                    *place = Some(proposal.text);
                }
            }
        }
        let missing = written.iter().filter(|place| place.is_none()).count();
        if missing > 0 {
            let composed =
                template::compose(predictor, &self.tips, &task.examples, missing, &mut rng, &mut known)?;
            run.warn(format!(
                "{missing} of {count} instructions for `{}` were composed from templates, because the prompt model's \
                 proposals failed the checks",
                predictor.path
            ));
            let mut served = Vec::new();
            for text in &composed {
                let mended = bounds.mend(text);
                let dropped = mended.as_ref().err().copied().map(Flaw::reason);
                run.observe_instruction(&predictor.path, text, dropped);
                served.extend(mended);
            }
            let places = written.iter_mut().filter(|place| place.is_none());
            places.zip(served).for_each(|(place, text)| *place = Some(text));
        }
        Ok(written.into_iter().flatten().collect())
    }

    fn tips_for<'a>(&'a self, predictor: &PredictorInfo, count: usize, rng: &mut impl Rng) -> Vec<&'a Tip> {
        if !self.options.tip_aware {
            return Vec::new();
        }
        self.tips.select(&predictor.signature, rng, count.max(self.tips.len()))
    }

    /// What the prompt model is told for one proposal.
    fn request(
        &self,
        predictor: &PredictorInfo,
        task: &Task,
        study: &Study,
        (slot, program): (usize, &ProgramInfo),
        tip: Option<&Tip>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Assignment, Error> {
        let mut inputs = Fields::new();
        let mut tell = |name: &str, text: String| inputs.insert(name.to_owned(), Value::from(text));
        if let Some(summary) = &study.data_summary {
            tell("dataset_description", summary.clone());
        }
        if let Some(description) = &study.program_description {
            tell("program_code", render::program(program)?);
            tell("program_description", description.clone());
            tell("module", format!("{}: {}", predictor.path, predictor.signature));
            if let Some(role) = study.predictor_descriptions.get(&predictor.path) {
                tell("module_description", role.clone());
            }
        }
        let demos = match self.options.few_shot_aware {
            true => self.shown_examples(predictor, task, slot, rng),
            false => Vec::new(),
        };
        let attempts = best_attempts(task, predictor, self.options.history_in_context);
        if !attempts.is_empty() {
            tell("previous_instructions", render::tried(&attempts)?);
        }
        tell("basic_instruction", predictor.instruction.clone());
        if let Some(about) = &predictor.about {
            tell("about", about.clone());
        }
        if let Some(tip) = tip {
            tell("tip", tip.text().to_owned());
        }
        let assignment = Assignment::new(inputs);
        Ok(if demos.is_empty() {
            assignment
        } else {
            assignment.with_records("task_demos", demos, render::blocks)
        })
    }

    /// The demos of the slot's demo set, then examples of the data set; each beside the row that it shows.
    fn shown_examples(
        &self,
        predictor: &PredictorInfo,
        task: &Task,
        slot: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<(ContentHash, String)> {
        let own = |demo: &Demo| {
            let known = predictor
                .signature
                .fields()
                .filter_map(|field| Some((field.name.clone(), demo.fields.get(&field.name)?.clone())));
            let row = demo.source.unwrap_or_else(|| ContentHash::of(&demo.fields));
            (row, render::example(&known.collect()))
        };
        let sets: Vec<_> =
            task.demo_sets.get(&predictor.path).into_iter().flatten().filter(|set| !set.is_empty()).collect();
        let mut shown = Vec::new();
        if let Some(set) = sets.get(slot % sets.len().max(1)) {
            shown.extend(set.iter().map(own));
        }
        let mut examples: Vec<_> = task.examples.iter().collect();
        examples.shuffle(rng);
        // Rows of the data set show a predictor only what is among its own fields.
        let rows = examples.into_iter().filter(|example| {
            predictor.signature.outputs().iter().any(|field| example.get(&field.name).is_some())
        });
        shown.extend(rows.map(|example| (example.content_hash(), render::example(example.fields()))));
        shown.truncate(self.options.examples_in_context);
        shown
    }

    async fn ask(&self, run: &mut Run<'_>, assignments: Vec<Assignment>) -> Result<Vec<Written>, Halt> {
        // All requests of a round have the same fields.
        let told: HashSet<String> =
            assignments.iter().flat_map(|assignment| assignment.inputs.keys().cloned()).collect();
        let inputs: Vec<_> = INPUTS.into_iter().filter(|(name, _)| told.contains(*name)).collect();
        let brief = Brief::new("propose_instruction", PROPOSE_INSTRUCTION, &inputs, OUTPUT);
        run.write(&self.sampling(), brief, assignments).await
    }
}

const INPUTS: [(&str, &str); 10] = [
    ("dataset_description", "A description of the dataset that we are using."),
    ("program_code", "Pseudo-code of the language model program that the instruction is for."),
    ("program_description", "What the program is for, and how it goes about it."),
    ("module", "The module to create an instruction for."),
    ("module_description", "The role of the module to create an instruction for."),
    ("task_demos", "Example inputs and outputs of the module."),
    ("previous_instructions", "Instructions that were tried before, with their scores, the worst first."),
    ("basic_instruction", "The basic instruction."),
    ("about", "What else is to be known of the module, and what the instruction must keep to."),
    ("tip", "A suggestion for how to go about writing the new instruction."),
];
const OUTPUT: (&str, &str) = (
    "proposed_instruction",
    "An instruction that will be used to prompt a language model to perform this task.",
);

/// What judges the proposals for a predictor.
fn judge(predictor: &PredictorInfo, task: &Task, study: &Study, tips: &[&Tip]) -> Judge {
    let fixed = INPUTS.iter().map(|(_, description)| *description);
    let request = fixed.chain([PROPOSE_INSTRUCTION, OUTPUT.1]).chain(tips.iter().map(|tip| tip.text()));
    let descriptions = study.data_summary.iter().chain(&study.program_description).map(String::as_str);
    let others = task.program.predictors.iter().flat_map(|other| other.signature.fields());
    Judge::new(&predictor.signature, &predictor.instruction)
        .about(others.map(|field| field.name.as_str()))
        .shown(task.examples.iter().map(AsRef::as_ref))
        .speaking_of(descriptions)
        .requested_by(request)
}

/// The best of what was tried, the worst of them first.
fn best_attempts<'a>(task: &'a Task, predictor: &PredictorInfo, most: usize) -> Vec<&'a Attempt> {
    let mut attempts: Vec<_> = task.tried.get(&predictor.path).into_iter().flatten().collect();
    attempts.sort_by(|left, right| left.score.total_cmp(&right.score));
    attempts.split_off(attempts.len().saturating_sub(most))
}
