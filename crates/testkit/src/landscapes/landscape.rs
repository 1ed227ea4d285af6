//! A task with its data, its model, and what is hidden in it.

use std::fmt;
use std::sync::Arc;

use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::{Metric, Module};
use promptopt_core::prompt::Prompts;

use super::{bounded, contradicting, defective, few_rows, noisy, notation, rules, shown, stages, wording};

const TRAIN: usize = 100;
const SELECTION: usize = 100;
const TEST: usize = 200;

/// What a landscape consists of besides its data.
pub(super) trait Task: Send + Sync {
    /// The first `n` examples.
    fn examples(&self, n: usize) -> Vec<Example>;
    /// The program to optimize, with a plain prompt.
    fn program(&self) -> Box<dyn Module>;
    /// The model it runs on, which writes instructions as well.
    fn model(&self, seed: u64) -> Arc<dyn LanguageModel>;
    /// What an optimizer is told of a prediction.
    fn metric(&self) -> Arc<dyn Metric>;
    /// What a prediction is worth.
    fn truth(&self) -> Arc<dyn Metric> {
        self.metric()
    }
    /// Prompts that leave nothing to be gained.
    fn oracle(&self) -> Prompts;
}

/// A simulated task: 100 training, 100 selection and 200 sealed test examples, and something that is
/// hidden in it. All of it follows from a seed.
///
/// ```
/// use promptopt_testkit::Landscape;
///
/// let names: Vec<_> = Landscape::all(0).iter().map(|one| one.name).collect();
/// assert_eq!(names[..5], ["hidden-rules", "demos-only", "two-predictors", "noisy-metric", "wording"]);
/// assert_eq!(names[5..], ["two-stages", "defective-seed", "contradicting-rules", "bounded-prompt", "few-rows"]);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Landscape {
    /// A short name, such as `hidden-rules`.
    pub name: &'static str,
    /// What is hidden in it, in a sentence.
    pub hides: &'static str,
    /// What a plain prompt scores, about.
    pub floor: f64,
    /// What a perfect prompt scores, about.
    pub ceiling: f64,
    /// Examples to learn from.
    pub train: Vec<Example>,
    /// Examples to select on.
    pub selection: Vec<Example>,
    /// Examples for the one measurement at the end.
    pub test: Vec<Example>,
    task: Arc<dyn Task>,
}

impl Landscape {
    /// All landscapes of a seed.
    pub fn all(seed: u64) -> Vec<Self> {
        vec![
            Self::hidden_rules(seed),
            Self::demos_only(seed),
            Self::two_predictors(seed),
            Self::noisy_metric(seed),
            Self::wording(seed),
            Self::two_stages(seed),
            Self::defective_seed(seed),
            Self::contradicting_rules(seed),
            Self::bounded_prompt(seed),
            Self::few_rows(seed),
        ]
    }

    /// Twelve rules that nobody states: which answer belongs to which cue. Instructions and demos both
    /// teach them, and the prompt model notices them in examples. Like policies and label guides that
    /// only show in the data.
    pub fn hidden_rules(seed: u64) -> Self {
        let hides = "twelve rules, taught by instructions or demos";
        Self::new("hidden-rules", hides, (0.25, 0.95), rules::Rules::new(seed))
    }

    /// Six kinds of input that each want their own answer, learnt from demos alone: what the instruction
    /// says of them is ignored. Like a small model, which copies what it is shown and does not do what
    /// it is told.
    pub fn demos_only(seed: u64) -> Self {
        let hides = "six rules, taught by demos and not by instructions";
        Self::new("demos-only", hides, (0.25, 0.95), shown::Shown::new(seed))
    }

    /// Two predictors, of which the first writes in a notation that the second must read. Both can be
    /// told which; the pair works as well as its notation is, and hardly at all where they differ, so
    /// that no change of one predictor by itself is a gain. Like an intermediate format between two
    /// prompts.
    pub fn two_predictors(seed: u64) -> Self {
        let hides = "which of five notations two predictors should share";
        Self::new("two-predictors", hides, (0.35, 0.95), notation::Notation::new(seed))
    }

    /// The twelve rules under a judge who is mistaken one time of five. What counts at the end is the
    /// truth ([`truth`](Self::truth)). Like a model as judge.
    pub fn noisy_metric(seed: u64) -> Self {
        let hides = "twelve rules, under a judge who is wrong one time of five";
        Self::new("noisy-metric", hides, (0.25, 0.95), noisy::Noisy::new(seed))
    }

    /// Eight turns of phrase that each help or harm a little; nothing in the data tells which. Like
    /// the wording of a prompt for a task that the model knows already.
    pub fn wording(seed: u64) -> Self {
        let hides = "which of eight turns of phrase help a little";
        Self::new("wording", hides, (0.4, 0.8), wording::Wording::new(seed))
    }

    /// Twelve rules for the first of two predictors and six for the second. Each can learn its own while the
    /// other stays as it is. Like a classifier before a lookup.
    pub fn two_stages(seed: u64) -> Self {
        let hides = "rules of their own for each of two predictors";
        Self::new("two-stages", hides, (0.19, 0.9), stages::Stages::new(seed))
    }

    /// The twelve rules under an instruction that makes a demand which the metric does not accept. The model
    /// that writes keeps the demand where it sees it, so edits of the instruction keep the harm. Like an
    /// instruction that asks for the wrong format (Liu et al. 2026, arXiv 2603.18388).
    pub fn defective_seed(seed: u64) -> Self {
        let hides = "twelve rules, under an instruction that does harm";
        Self::new("defective-seed", hides, (0.1, 0.95), defective::Defective::new(seed))
    }

    /// Twelve rules, and one row in four labelled by another rule for the same cue, which nothing in the row tells.
    /// An instruction that states both leaves the model to guess. Like labels of two annotators.
    pub fn contradicting_rules(seed: u64) -> Self {
        let hides = "twelve rules, and twelve that contradict them in one row of four";
        Self::new("contradicting-rules", hides, (0.25, 0.73), contradicting::Contradicting::new(seed))
    }

    /// The twelve rules, of which a prompt has room for eight: what is longer is not heeded at all. Like a model
    /// with a short context, or a prompt that is paid for by the token.
    pub fn bounded_prompt(seed: u64) -> Self {
        let hides = "twelve rules, of which eight fit into the prompt";
        Self::new("bounded-prompt", hides, (0.25, 0.715), bounded::Bounded::new(seed))
    }

    /// Sixteen kinds of input: ten that are always done well, two that never are, and four that can be taught.
    /// So three rows in four say nothing about a prompt. Like a task that a model does well but for a few cases.
    pub fn few_rows(seed: u64) -> Self {
        let hides = "four rules that matter, in a quarter of the rows";
        Self::new("few-rows", hides, (0.66, 0.84), few_rows::FewRows::new(seed))
    }

    fn new(
        name: &'static str,
        hides: &'static str,
        (floor, ceiling): (f64, f64),
        task: impl Task + 'static,
    ) -> Self {
        let mut train = task.examples(TRAIN + SELECTION + TEST);
        let test = train.split_off(TRAIN + SELECTION);
        let selection = train.split_off(TRAIN);
        Self { name, hides, floor, ceiling, train, selection, test, task: Arc::new(task) }
    }

    /// The program to optimize, with a plain prompt.
    pub fn program(&self) -> Box<dyn Module> {
        self.task.program()
    }

    /// The model it runs on, which writes instructions as well: a function of the seed and the request.
    pub fn model(&self, seed: u64) -> Arc<dyn LanguageModel> {
        self.task.model(seed)
    }

    /// The metric that an optimizer sees.
    pub fn metric(&self) -> Arc<dyn Metric> {
        self.task.metric()
    }

    /// What the sealed test is judged by; the metric itself, except where that is noisy.
    pub fn truth(&self) -> Arc<dyn Metric> {
        self.task.truth()
    }

    /// Prompts that leave nothing to be gained, which only tests may know.
    pub fn oracle(&self) -> Prompts {
        self.task.oracle()
    }
}

impl fmt::Debug for Landscape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Landscape").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use promptopt_core::program::{CallContext, ModuleExt as _};
    use promptopt_core::prompt::{Demo, Prompt};
    use proptest::prelude::*;

    fn rows(landscape: &Landscape) -> impl Iterator<Item = &Example> {
        landscape.test.iter().chain(&landscape.selection).chain(&landscape.train)
    }

    /// The mean on all examples under some prompts instead of the program's own.
    fn score(landscape: &Landscape, prompts: &Prompts) -> f64 {
        let mut program = landscape.program();
        program.install(prompts).unwrap();
        let context = CallContext::new(landscape.model(1));
        let truth = landscape.truth();
        let total: f64 = rows(landscape)
            .map(|example| {
                let prediction = program.run(&context, &example.inputs()).now_or_never().unwrap().unwrap();
                truth.score(&context, example, &prediction).now_or_never().unwrap().unwrap().value
            })
            .sum();
        total / rows(landscape).count() as f64
    }

    fn demos(landscape: &Landscape, count: usize) -> Prompts {
        let rows = landscape.train.iter().take(count);
        let demos = rows.map(|row| Demo::new(row.fields().clone())).collect();
        let program = landscape.program();
        let path = program.predictors()[0].path().to_owned();
        let prompt = Prompt::new("Answer.").with_demos(demos);
        [(path, prompt)].into_iter().collect()
    }

    fn check(name: &str, found: f64, expected: f64) {
        // More than four standard errors of 400 coin flips.
        assert!((found - expected).abs() < 0.11, "{name}: {found} instead of {expected}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3))]
        #[test]
        fn a_plain_prompt_scores_the_floor_and_the_oracle_the_ceiling(seed in 0_u64..1000) {
            for landscape in Landscape::all(seed) {
                check(landscape.name, score(&landscape, &Prompts::new()), landscape.floor);
                check(landscape.name, score(&landscape, &landscape.oracle()), landscape.ceiling);
            }
        }

        #[test]
        fn demos_teach_where_they_should(seed in 0_u64..1000) {
            for landscape in [Landscape::hidden_rules(seed), Landscape::demos_only(seed)] {
                check(landscape.name, score(&landscape, &demos(&landscape, 60)), 0.95);
            }
            let wording = Landscape::wording(seed);
            check(wording.name, score(&wording, &demos(&wording, 60)), wording.floor);
        }

        #[test]
        fn instructions_teach_where_they_should(seed in 0_u64..1000) {
            let shown = Landscape::demos_only(seed);
            let told: Prompts =
                shown.oracle().iter().map(|(path, prompt)| (path, Prompt::new(prompt.instruction.clone()))).collect();
            check(shown.name, score(&shown, &told), shown.floor);
        }

        #[test]
        fn half_of_a_pair_is_worse_than_none(seed in 0_u64..1000) {
            let pair = Landscape::two_predictors(seed);
            let plain = score(&pair, &Prompts::new());
            for (path, prompt) in pair.oracle().iter() {
                let half: Prompts = [(path, prompt.clone())].into_iter().collect();
                let found = score(&pair, &half);
                prop_assert!(found < plain, "{path}: {found}, not below {plain}");
            }
        }

        #[test]
        fn the_noisy_judge_is_right_four_times_of_five(seed in 0_u64..1000) {
            let noisy = Landscape::noisy_metric(seed);
            let (program, context) = (noisy.program(), CallContext::new(noisy.model(2)));
            let agreed = rows(&noisy).filter(|example| {
                let prediction = program.run(&context, &example.inputs()).now_or_never().unwrap().unwrap();
                let value = |metric: Arc<dyn Metric>| {
                    metric.score(&context, example, &prediction).now_or_never().unwrap().unwrap().value
                };
                value(noisy.metric()) == value(noisy.truth())
            });
            check("agreement", agreed.count() as f64 / rows(&noisy).count() as f64, 0.8);
        }
    }

    #[test]
    fn the_parts_of_the_data_do_not_overlap() {
        for landscape in Landscape::all(3) {
            let rows = [&landscape.train, &landscape.selection, &landscape.test];
            let all: std::collections::HashSet<_> =
                rows.iter().flat_map(|part| part.iter()).map(|row| format!("{:?}", row.inputs())).collect();
            assert_eq!(all.len(), TRAIN + SELECTION + TEST, "{}", landscape.name);
        }
    }
}
