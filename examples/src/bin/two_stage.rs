//! A program of two predictors that calls its model twice: the first names a topic, the second
//! answers from it. Each of three optimizers improves both instructions together.
//!
//! `cargo run -p promptopt-examples --bin two_stage`

use promptopt::prelude::*;
use promptopt_testkit::HiddenRules;

/// Name the topic of the question.
#[derive(Signature)]
struct Classify {
    #[input]
    question: String,
    #[output]
    topic: String,
}

/// Answer from the topic.
#[derive(Signature)]
struct Answer {
    #[input]
    topic: String,
    #[output]
    answer: String,
}

#[derive(Module)]
struct TwoStage {
    #[predictor]
    classify: Predict<Classify>,
    #[predictor]
    answer: Predict<Answer>,
}

impl TwoStage {
    fn new() -> Self {
        Self { classify: Predict::typed("classify"), answer: Predict::typed("answer") }
    }

    async fn forward(&self, context: &CallContext, input: ClassifyInput) -> anyhow::Result<AnswerOutput> {
        let topic = self.classify.call(context, input).await?.topic;
        Ok(self.answer.call(context, AnswerInput { topic }).await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Questions whose answers follow rules that nobody states, and a model that can learn them.
    let task = HiddenRules::new(6, 9).in_two_stages();
    let model = Arc::new(task.model(9).with_untaught(0.5));
    let mut examples = task.examples(350);
    let test: Vec<_> = examples.split_off(200).into_iter().map(Arc::new).collect();

    let optimizers: [Box<dyn Optimizer>; 3] = [
        Box::new(COPRO::builder().task_model(model.clone()).max_calls(4000).seed(1).build()),
        Box::new(MIPROv2::builder().task_model(model.clone()).seed(1).build()),
        Box::new(GEPA::builder().task_model(model.clone()).max_metric_calls(1500).seed(1).build()),
    ];
    for optimizer in optimizers {
        let metric =
            metric_typed(|expected: &AnswerOutput, given: &AnswerOutput| expected.answer == given.answer);
        let mut module = TwoStage::new().with_metric(metric);
        let outcome = optimizer.compile(&mut module, examples.clone()).await?;

        // The winner is installed. The prompts of the original are the first candidate's.
        let original = Arc::new(outcome.candidates[0].prompts.clone());
        let mut run = Run::bare(&module, model.clone());
        let before = evaluate(&mut run, &original, &test).await?;
        let after = evaluate(&mut run, &Arc::default(), &test).await?;

        println!(
            "{}: sealed test {:.3} -> {:.3} with {} calls",
            optimizer.name(),
            before.estimate.mean,
            after.estimate.mean,
            outcome.spending.total().calls
        );
        for (path, prompt) in module.candidate().prompts.iter() {
            println!("  {path}: {} ({} demos)", prompt.instruction, prompt.demos.len());
        }
    }
    Ok(())
}
