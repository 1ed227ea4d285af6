//! What the best attempt so far gets wrong, on training examples.

use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example, Fields};
use promptopt_core::prompt::PromptCandidate;
use promptopt_core::trace::{Trace, TraceText};
use promptopt_evaluator::MinibatchSampler;
use promptopt_run::{Halt, RolloutJob, Run};
use rand::Rng;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Mistakes shown in one request.
const SHOWN: usize = 12;
/// Values are cut to this many characters in a prompt.
const MAX_VALUE_CHARS: usize = 600;
/// What counts as right where nothing scored higher.
const RIGHT: f64 = 1.0;

/// Runs of one candidate over training examples.
pub(crate) struct Mistakes {
    train: Vec<Arc<Example>>,
    sampler: MinibatchSampler,
    /// The candidate that was looked at last, and at which depth.
    looked_at: Option<(usize, usize)>,
    /// Its runs that can be judged.
    traces: Vec<Arc<Trace>>,
    /// The highest score that anything has got.
    highest: f64,
}

impl Mistakes {
    pub(crate) fn new(train: &[Arc<Example>], rng: ChaCha8Rng) -> Self {
        let sampler = MinibatchSampler::new(train.len(), rng);
        Self { train: train.to_vec(), sampler, looked_at: None, traces: Vec::new(), highest: RIGHT }
    }

    /// These runs of another candidate, beside the same training examples.
    pub(crate) fn of_other(&self, traces: Vec<Arc<Trace>>) -> Self {
        let (train, sampler) = (self.train.clone(), self.sampler.clone());
        let traces = traces.into_iter().filter(|trace| trace.evidence().is_some()).collect();
        Self { train, sampler, looked_at: None, traces, highest: self.highest }
    }

    /// The next so many training examples.
    pub(crate) fn next_examples(&mut self, count: usize) -> Vec<Arc<Example>> {
        self.sampler.next(count).into_iter().filter_map(|index| self.train.get(index)).cloned().collect()
    }

    /// Runs a candidate (by its number) over the next training examples, once for every depth.
    ///
    /// # Errors
    ///
    /// [`Halt`] when the run ends before that.
    pub(crate) async fn look_at(
        &mut self,
        run: &mut Run<'_>,
        (number, candidate): (usize, &PromptCandidate),
        depth: usize,
        examples: usize,
    ) -> Result<(), Halt> {
        if examples == 0 || self.looked_at == Some((number, depth)) {
            return Ok(());
        }
        // What another candidate got wrong may be right by now.
        if self.looked_at.is_none_or(|(before, _)| before != number) {
            self.traces.clear();
        }
        self.looked_at = Some((number, depth));
        let prompts = Arc::new(candidate.prompts.clone());
        let jobs: Vec<RolloutJob> = self
            .sampler
            .next(examples)
            .into_iter()
            .filter_map(|index| self.train.get(index))
            .filter(|example| !self.traces.iter().any(|trace| trace.example == **example))
            .map(|example| RolloutJob::new(Arc::clone(&prompts), Arc::clone(example)))
            .collect();
        for trace in run.rollouts(&jobs).await? {
            if let Some(score) = trace.evidence() {
                self.highest = self.highest.max(score);
                self.traces.push(trace);
            }
        }
        Ok(())
    }

    /// Training examples.
    pub(crate) fn examples(&self) -> &[Arc<Example>] {
        &self.train
    }

    /// All runs that were looked at, mistakes or not.
    pub(crate) fn traces(&self) -> &[Arc<Trace>] {
        &self.traces
    }

    /// Whether there is any; with `all`, whether there is any run.
    pub(crate) fn any(&self, all: bool) -> bool {
        self.wrong(all).next().is_some()
    }

    fn wrong(&self, all: bool) -> impl Iterator<Item = (&Trace, f64)> {
        let judged = self.traces.iter().filter_map(|trace| Some((&**trace, trace.evidence()?)));
        judged.filter(move |(_, score)| all || *score < self.highest)
    }

    /// A few of the mistakes, or with `all` of all runs, in random order, the worst preferred, as texts about one
    /// predictor, each beside its row.
    pub(crate) fn texts(&self, predictor: &str, all: bool, rng: &mut impl Rng) -> Vec<(ContentHash, String)> {
        let mut wrong: Vec<(&Trace, f64)> = self.wrong(all).collect();
        wrong.shuffle(rng);
        wrong.sort_by(|left, right| left.1.total_cmp(&right.1));
        wrong.truncate(2 * SHOWN);
        wrong.shuffle(rng);
        let text = |(trace, _): (&Trace, f64)| (trace.example.content_hash(), written(trace, predictor));
        wrong.into_iter().take(SHOWN).map(text).collect()
    }
}

/// Texts one below the other under a heading with their number, or what stands in their place where none may be shown.
pub(crate) fn numbered(heading: &str, texts: &[&str]) -> String {
    if texts.is_empty() {
        return "(none can be shown)".to_owned();
    }
    let number = |(index, text): (usize, &&str)| format!("{heading} {}\n{text}", index + 1);
    texts.iter().enumerate().map(number).collect::<Vec<_>>().join("\n\n")
}

/// A run as text: what the program was given, what the predictor made of what, what came out and
/// what should have.
fn written(trace: &Trace, predictor: &str) -> String {
    let mut text = TraceText::new(MAX_VALUE_CHARS);
    let inputs = trace.example.inputs();
    let nothing = Fields::new();
    let answered = trace.prediction.as_ref().map_or(&nothing, |prediction| prediction.fields());
    text.fields("", &inputs);
    // Of several predictors each has inputs and outputs of its own.
    for step in trace.steps.iter().filter(|step| step.predictor == predictor) {
        if step.inputs != inputs {
            text.fields("module input ", &step.inputs);
        }
        if step.outputs != *answered {
            text.fields("module output ", &step.outputs);
        }
    }
    text.fields("answered ", answered);
    text.fields("expected ", &trace.example.labels());
    text.verdict(trace, "failed");
    text.finish()
}

#[cfg(test)]
mod tests {
    use promptopt_core::data::{Prediction, Score};
    use promptopt_core::trace::Step;
    use rand::SeedableRng as _;

    use super::*;

    fn trace(score: f64) -> Arc<Trace> {
        let example = Example::new([("question", "one?"), ("answer", "1")], ["question"]);
        let step = |predictor: &str, inputs: (&str, &str), outputs: (&str, &str)| {
            Step::new(predictor)
                .with_inputs(Fields::from_iter([(inputs.0.to_owned(), inputs.1.into())]))
                .with_outputs(Fields::from_iter([(outputs.0.to_owned(), outputs.1.into())]))
        };
        Arc::new(
            Trace::new(example)
                .with_prediction(Prediction::from_iter([("answer", "2")]))
                .with_steps(vec![
                    step("classify", ("question", "one?"), ("topic", "numbers")),
                    step("answer", ("topic", "numbers"), ("answer", "2")),
                ])
                .with_score(Score::new(score).with_feedback("off by one")),
        )
    }

    fn mistakes(scores: &[f64]) -> Mistakes {
        let rng = ChaCha8Rng::seed_from_u64(0);
        let highest = scores.iter().copied().fold(RIGHT, f64::max);
        let traces = scores.iter().copied().map(trace).collect();
        Mistakes { traces, highest, ..Mistakes::new(&[], rng) }
    }

    #[test]
    fn a_predictor_sees_its_own_part_of_a_run() {
        assert_eq!(
            written(&trace(0.0), "answer"),
            "question: one?\nmodule input topic: numbers\nanswered answer: 2\nexpected answer: 1\nscore: 0\n\
             feedback: off by one"
        );
        assert!(written(&trace(0.0), "classify").contains("one?\nmodule output topic: numbers\nanswered"));
    }

    #[test]
    fn what_scored_less_than_is_possible_is_a_mistake_and_the_worst_come_first() {
        let text = |scores: &[f64]| {
            let texts = mistakes(scores).texts("answer", false, &mut ChaCha8Rng::seed_from_u64(1));
            numbered("Mistake", &texts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(text(&[1.0, 1.0]), "(none can be shown)");
        assert_eq!(text(&[]), "(none can be shown)");
        assert_eq!(text(&[1.0, 0.0, 0.5]).matches("Mistake").count(), 2);
        assert_eq!(text(&[100.0, 70.0, 1.0]).matches("Mistake").count(), 2);
        let many = [vec![0.5; 40], vec![0.25; 24]].concat();
        let shown = text(&many);
        assert_eq!(shown.matches("score: 0.25").count(), SHOWN);
    }
}
