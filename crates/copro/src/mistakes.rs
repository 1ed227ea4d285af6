//! What the best attempt so far gets wrong, on training examples.

use std::fmt::Write as _;
use std::sync::Arc;

use promptopt_core::{
    Error, Example, Fields, PromptCandidate, RolloutJob, RolloutRunner, StopReason, Trace, plain_text,
    shorten,
};
use promptopt_evaluator::MinibatchSampler;
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
pub(crate) struct Mistakes<'a> {
    train: &'a [Arc<Example>],
    sampler: MinibatchSampler,
    /// The candidate that was looked at last, and at which depth.
    looked_at: Option<(usize, usize)>,
    /// Its runs that can be judged.
    traces: Vec<Arc<Trace>>,
    /// The highest score that anything has got.
    highest: f64,
}

impl<'a> Mistakes<'a> {
    pub(crate) fn new(train: &'a [Arc<Example>], rng: ChaCha8Rng) -> Self {
        let sampler = MinibatchSampler::new(train.len(), rng);
        Self { train, sampler, looked_at: None, traces: Vec::new(), highest: RIGHT }
    }

    /// Runs a candidate (by its number) over the next training examples, once for every depth. Says
    /// why it is not complete, if it is not.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the rollout store fails.
    pub(crate) async fn look_at(
        &mut self,
        runner: &RolloutRunner<'_>,
        (number, candidate): (usize, &PromptCandidate),
        depth: usize,
        examples: usize,
    ) -> Result<Option<StopReason>, Error> {
        if examples == 0 || self.looked_at == Some((number, depth)) {
            return Ok(None);
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
        let batch = runner.run(&jobs).await?;
        for trace in batch.traces.into_iter().flatten() {
            if let Some(score) = trace.evidence() {
                self.highest = self.highest.max(score);
                self.traces.push(trace);
            }
        }
        Ok(batch.stop)
    }

    /// Training examples.
    pub(crate) fn examples(&self) -> &[Arc<Example>] {
        self.train
    }

    /// All runs that were looked at, mistakes or not.
    pub(crate) fn traces(&self) -> &[Arc<Trace>] {
        &self.traces
    }

    /// Whether there is any.
    pub(crate) fn any(&self) -> bool {
        self.wrong().next().is_some()
    }

    fn wrong(&self) -> impl Iterator<Item = (&Trace, f64)> {
        let judged = self.traces.iter().filter_map(|trace| Some((&**trace, trace.evidence()?)));
        judged.filter(|(_, score)| *score < self.highest)
    }

    /// A few of the mistakes in random order, the worst preferred, as text about one predictor.
    pub(crate) fn text(&self, predictor: &str, rng: &mut impl Rng) -> Option<String> {
        let mut wrong: Vec<(&Trace, f64)> = self.wrong().collect();
        wrong.shuffle(rng);
        wrong.sort_by(|left, right| left.1.total_cmp(&right.1));
        wrong.truncate(2 * SHOWN);
        wrong.shuffle(rng);
        let blocks: Vec<String> = wrong
            .into_iter()
            .take(SHOWN)
            .enumerate()
            .map(|(index, (trace, _))| format!("Mistake {}\n{}", index + 1, written(trace, predictor)))
            .collect();
        (!blocks.is_empty()).then(|| blocks.join("\n\n"))
    }
}

/// A run as text: what the program was given, what the predictor made of what, what came out and
/// what should have.
fn written(trace: &Trace, predictor: &str) -> String {
    let mut text = String::new();
    let mut lines = |prefix: &str, fields: &Fields| {
        for (name, value) in fields {
            let _ = writeln!(text, "{prefix}{name}: {}", shorten(&plain_text(value), MAX_VALUE_CHARS));
        }
    };
    let inputs = trace.example.inputs();
    let nothing = Fields::new();
    let answered = trace.prediction.as_ref().map_or(&nothing, |prediction| prediction.fields());
    lines("", &inputs);
    // Of several predictors each has inputs and outputs of its own.
    for step in trace.steps.iter().filter(|step| step.predictor == predictor) {
        if step.inputs != inputs {
            lines("module input ", &step.inputs);
        }
        if step.outputs != *answered {
            lines("module output ", &step.outputs);
        }
    }
    lines("answered ", answered);
    lines("expected ", &trace.example.labels());
    if let Some(score) = &trace.score {
        let _ = writeln!(text, "score: {}", score.value);
        if let Some(feedback) = &score.feedback {
            let _ = writeln!(text, "feedback: {}", shorten(feedback, MAX_VALUE_CHARS));
        }
    }
    if let Some(failure) = &trace.error {
        let _ = writeln!(text, "failed: {}", shorten(&failure.message, MAX_VALUE_CHARS));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use promptopt_core::{Prediction, Score, Step};
    use rand::SeedableRng as _;

    use super::*;

    fn trace(score: f64) -> Arc<Trace> {
        let example = Example::new([("question", "one?"), ("answer", "1")], ["question"]);
        let step = |predictor: &str, inputs: (&str, &str), outputs: (&str, &str)| Step {
            predictor: predictor.to_owned(),
            inputs: Fields::from_iter([(inputs.0.to_owned(), inputs.1.into())]),
            outputs: Fields::from_iter([(outputs.0.to_owned(), outputs.1.into())]),
            ..Step::default()
        };
        Arc::new(Trace {
            example: example.into(),
            prediction: Some(Prediction::from_iter([("answer", "2")])),
            steps: vec![
                step("classify", ("question", "one?"), ("topic", "numbers")),
                step("answer", ("topic", "numbers"), ("answer", "2")),
            ],
            score: Some(Score::new(score).with_feedback("off by one")),
            ..Trace::default()
        })
    }

    fn mistakes(scores: &[f64]) -> Mistakes<'static> {
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
        let text = |scores: &[f64]| mistakes(scores).text("answer", &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(text(&[1.0, 1.0]), None);
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[1.0, 0.0, 0.5]).unwrap().matches("Mistake").count(), 2);
        assert_eq!(text(&[100.0, 70.0, 1.0]).unwrap().matches("Mistake").count(), 2);
        let many = [vec![0.5; 40], vec![0.25; 24]].concat();
        let shown = text(&many).unwrap();
        assert_eq!(shown.matches("score: 0.25").count(), SHOWN);
    }
}
