//! Instructions written by a prompt model.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use promptopt_core::{
    Cancellation, Demo, Event, Fields, LanguageModel, Ledger, NoObserver, Observer, Sampling, StopReason,
    plain_text,
};
use promptopt_predict::{Assignment, Brief, Writer, Written};
use promptopt_tips::{PromptingTips, Tip};
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::render::{self, PROPOSE_INSTRUCTION};
use crate::task::normalized;
use crate::{
    Attempt, Checker, Error, Flaw, PredictorInfo, Proposal, ProposalSource, Proposals, Proposer, Study, Task,
    studies, template,
};

/// What a [`ModelProposer`] tells the prompt model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// Has instructions written by a prompt model, checks them, and falls back to templates for those
/// that do not come out.
pub struct ModelProposer {
    writer: Writer,
    options: ModelProposerOptions,
    tips: PromptingTips,
    observer: Arc<dyn Observer>,
}

impl ModelProposer {
    /// A proposer on `model` with the default tips, eight requests at once and no budget.
    pub fn new(model: Arc<dyn LanguageModel>, options: ModelProposerOptions) -> Self {
        let sampling = Sampling {
            temperature: Some(options.temperature),
            max_tokens: Some(options.max_tokens),
            ..Sampling::default()
        };
        Self {
            writer: Writer { sampling, ..Writer::new(model) },
            options,
            tips: PromptingTips::default(),
            observer: Arc::new(NoObserver),
        }
    }

    /// Another library of tips.
    #[must_use]
    pub fn tips(mut self, tips: PromptingTips) -> Self {
        self.tips = tips;
        self
    }

    /// How many requests may be under way at once.
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.writer.concurrency = concurrency;
        self
    }

    /// The ledger that every request is reserved in.
    #[must_use]
    pub fn ledger(mut self, ledger: Arc<Ledger>) -> Self {
        self.writer.ledger = ledger;
        self
    }

    /// The flag that ends the run.
    #[must_use]
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.writer.cancellation = cancellation;
        self
    }

    /// Who hears of proposals.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    async fn propose_for(
        &self,
        index: usize,
        task: &Task,
        study: &Study,
        count: usize,
        proposals: &mut Proposals,
    ) -> Result<Vec<Proposal>, Error> {
        let Some(predictor) = task.program.predictors.get(index) else { return Ok(Vec::new()) };
        let mut rng =
            ChaCha8Rng::seed_from_u64(task.seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let tips = self.tips_for(predictor, count, &mut rng);
        let checker = self.checker(predictor, task, study, &tips);
        let mut written: Vec<Option<Proposal>> = vec![None; count];
        let mut seen = HashSet::new();
        for attempt in 0..=self.options.retries {
            let open: Vec<usize> = written
                .iter()
                .enumerate()
                .filter(|(_, place)| place.is_none())
                .map(|(slot, _)| slot)
                .collect();
            if open.is_empty() || proposals.stop.is_some() {
                break;
            }
            let mut assignments = Vec::new();
            for slot in &open {
                // Another attempt brings another tip, so that it is another request.
                let tip = tips.get((slot + attempt * count) % tips.len().max(1)).copied();
                assignments.push(Assignment {
                    inputs: self.request(predictor, task, study, *slot, tip, &mut rng)?,
                    draw: (attempt * count + slot) as u64,
                });
            }
            let Written { texts, usage, failure, stop } = self.ask(assignments).await?;
            proposals.usage += usage;
            proposals.stop = stop;
            if let Some(failure) = failure {
                proposals.notes.push(format!("a proposal for `{}` failed: {failure}", predictor.path));
            }
            for (slot, text) in open.into_iter().zip(texts) {
                let Some(text) = text.map(|text| stripped(&text)) else { continue };
                let flaw = checker.flaw(&text).or_else(|| {
                    let known = task.is_taken(&predictor.path, &text) || !seen.insert(normalized(&text));
                    known.then_some(Flaw::Duplicate)
                });
                self.tell(predictor, &text, flaw);
                if let Some(flaw) = flaw {
                    proposals.dropped.push((predictor.path.clone(), text, flaw.reason().to_owned()));
                } else if let Some(place) = written.get_mut(slot) {
                    let tip = tips
                        .get((slot + attempt * count) % tips.len().max(1))
                        .map(|tip| tip.key().to_owned());
                    *place = Some(Proposal { instruction: text, source: ProposalSource::Model, tip });
                }
            }
        }
        let mut written: Vec<Proposal> = written.into_iter().flatten().collect();
        let missing = count - written.len();
        // After a stop there is nothing left to evaluate substitutes with.
        if missing > 0 && proposals.stop.is_none() {
            let is_taken =
                |text: &str| task.is_taken(&predictor.path, text) || seen.contains(&normalized(text));
            let composed =
                template::compose(predictor, &self.tips, &task.examples, missing, &mut rng, is_taken)?;
            let note = format!(
                "{missing} of {count} instructions for `{}` were composed from templates, because the prompt model's \
                 proposals failed the checks",
                predictor.path
            );
            tracing::warn!("{note}");
            self.observer.observe(&Event::Warning { message: note.clone() });
            proposals.notes.push(note);
            for proposal in &composed {
                self.tell(predictor, &proposal.instruction, None);
            }
            written.extend(composed);
        }
        Ok(written)
    }

    fn tips_for<'a>(&'a self, predictor: &PredictorInfo, count: usize, rng: &mut impl Rng) -> Vec<&'a Tip> {
        if !self.options.tip_aware {
            return Vec::new();
        }
        self.tips.select(&predictor.signature, rng, count.max(self.tips.len()))
    }

    fn checker(&self, predictor: &PredictorInfo, task: &Task, study: &Study, tips: &[&Tip]) -> Checker {
        let values: Vec<String> = task
            .examples
            .iter()
            .take(50)
            .flat_map(|example| example.fields().values().map(plain_text).collect::<Vec<_>>())
            .collect();
        let fixed = INPUTS.iter().map(|(_, description)| *description);
        let request = fixed.chain([PROPOSE_INSTRUCTION, OUTPUT.1]).chain(tips.iter().map(|tip| tip.text()));
        let descriptions = study.data_summary.iter().chain(&study.program_description);
        let material = descriptions.chain([&predictor.instruction]).chain(&values).map(String::as_str);
        Checker::new(&predictor.signature, request, material)
    }

    /// What the prompt model is told for one proposal.
    fn request(
        &self,
        predictor: &PredictorInfo,
        task: &Task,
        study: &Study,
        slot: usize,
        tip: Option<&Tip>,
        rng: &mut ChaCha8Rng,
    ) -> Result<Fields, Error> {
        let mut inputs = Fields::new();
        let mut tell = |name: &str, text: String| inputs.insert(name.to_owned(), Value::from(text));
        if let Some(summary) = &study.data_summary {
            tell("dataset_description", summary.clone());
        }
        if let Some(description) = &study.program_description {
            tell("program_code", render::program(&task.program)?);
            tell("program_description", description.clone());
            tell("module", format!("{}: {}", predictor.path, predictor.signature));
            if let Some(role) = study.predictor_descriptions.get(&predictor.path) {
                tell("module_description", role.clone());
            }
        }
        if self.options.few_shot_aware {
            let demos = self.shown_examples(predictor, task, slot, rng);
            if !demos.is_empty() {
                tell("task_demos", render::examples(&demos)?);
            }
        }
        let attempts = best_attempts(task, predictor, self.options.history_in_context);
        if !attempts.is_empty() {
            tell("previous_instructions", render::tried(&attempts)?);
        }
        tell("basic_instruction", predictor.instruction.clone());
        if let Some(tip) = tip {
            tell("tip", tip.text().to_owned());
        }
        Ok(inputs)
    }

    /// The demos of the slot's demo set, then examples of the data set.
    fn shown_examples(
        &self,
        predictor: &PredictorInfo,
        task: &Task,
        slot: usize,
        rng: &mut ChaCha8Rng,
    ) -> Vec<Fields> {
        let own = |demo: &Demo| -> Fields {
            let known = predictor
                .signature
                .fields()
                .filter_map(|field| Some((field.name.clone(), demo.fields.get(&field.name)?.clone())));
            known.collect()
        };
        let sets: Vec<_> =
            task.demo_sets.get(&predictor.path).into_iter().flatten().filter(|set| !set.is_empty()).collect();
        let mut shown: Vec<Fields> = Vec::new();
        if let Some(set) = sets.get(slot % sets.len().max(1)) {
            shown.extend(set.iter().map(own));
        }
        let mut examples: Vec<_> = task.examples.iter().collect();
        examples.shuffle(rng);
        // Rows of the data set show a predictor only what is among its own fields.
        let rows = examples.into_iter().filter(|example| {
            predictor.signature.outputs().iter().any(|field| example.get(&field.name).is_some())
        });
        shown.extend(rows.map(|example| example.fields().clone()));
        shown.truncate(self.options.examples_in_context);
        shown
    }

    async fn ask(&self, assignments: Vec<Assignment>) -> Result<Written, Error> {
        // All requests of a round have the same fields.
        let told: HashSet<String> =
            assignments.iter().flat_map(|assignment| assignment.inputs.keys().cloned()).collect();
        let inputs: Vec<_> = INPUTS.into_iter().filter(|(name, _)| told.contains(*name)).collect();
        let brief = Brief {
            name: "propose_instruction",
            instruction: PROPOSE_INSTRUCTION,
            inputs: &inputs,
            output: OUTPUT,
        };
        self.writer.write(brief, assignments).await.map_err(Error::Rollouts)
    }

    fn tell(&self, predictor: &PredictorInfo, instruction: &str, flaw: Option<Flaw>) {
        self.observer.observe(&Event::Proposal {
            predictor: predictor.path.clone(),
            instruction: instruction.to_owned(),
            dropped: flaw.map(|flaw| flaw.reason().to_owned()),
        });
    }
}

const INPUTS: [(&str, &str); 9] = [
    ("dataset_description", "A description of the dataset that we are using."),
    ("program_code", "Pseudo-code of the language model program that the instruction is for."),
    ("program_description", "What the program is for, and how it goes about it."),
    ("module", "The module to create an instruction for."),
    ("module_description", "The role of the module to create an instruction for."),
    ("task_demos", "Example inputs and outputs of the module."),
    ("previous_instructions", "Instructions that were tried before, with their scores, the worst first."),
    ("basic_instruction", "The basic instruction."),
    ("tip", "A suggestion for how to go about writing the new instruction."),
];
const OUTPUT: (&str, &str) = (
    "proposed_instruction",
    "An instruction that will be used to prompt a language model to perform this task.",
);

#[async_trait]
impl Proposer for ModelProposer {
    async fn study(&self, task: &Task) -> Result<Study, Error> {
        studies::study(&self.writer, &self.options, task).await
    }

    async fn propose(&self, task: &Task, study: &Study, count: usize) -> Result<Proposals, Error> {
        let mut proposals = Proposals { stop: study.stop.clone(), ..Proposals::default() };
        for (index, predictor) in task.program.predictors.iter().enumerate() {
            let written = self.propose_for(index, task, study, count, &mut proposals).await?;
            proposals.instructions.insert(predictor.path.clone(), written);
        }
        if proposals.stop == Some(StopReason::Completed) {
            proposals.stop = None;
        }
        Ok(proposals)
    }
}

/// The best of what was tried, the worst of them first.
fn best_attempts<'a>(task: &'a Task, predictor: &PredictorInfo, most: usize) -> Vec<&'a Attempt> {
    let mut attempts: Vec<_> = task.tried.get(&predictor.path).into_iter().flatten().collect();
    attempts.sort_by(|left, right| left.score.total_cmp(&right.score));
    attempts.split_off(attempts.len().saturating_sub(most))
}

/// The text without the label, the quotes or the fence that models put around it.
fn stripped(text: &str) -> String {
    let mut text = text.trim();
    for label in ["Proposed Instruction:", "Instruction:", "New instruction:"] {
        if let Some(head) = text.get(..label.len())
            && head.eq_ignore_ascii_case(label)
        {
            text = text.get(label.len()..).unwrap_or(text).trim();
        }
    }
    for (open, close) in [("```", "```"), ("\"", "\"")] {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            text = inner.trim();
        }
    }
    text.to_owned()
}
