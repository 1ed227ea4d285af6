//! Every part of your own: a model, a metric with a judge that asks another model, a writer of instructions, and an
//! optimizer. The run around them has what none of them needs to know: baseline, budget, books and an honest choice.
//!
//! The task: write to customers in a house style that the instruction does not mention. The judge knows it.
//!
//! `cargo run -p promptopt-examples --bin own_parts`

use promptopt::prelude::*;
use promptopt_examples::{sealed_test, stand_in};

/// The house style.
const STYLE: [&str; 3] = ["Name the order.", "Say what happens next.", "End with kind regards."];
/// What has nothing to do with it.
const OTHER: [&str; 2] = ["Be exact.", "Think step by step."];

/// Tell the customer when the parcel comes.
#[derive(Signature)]
struct Reply {
    #[input]
    message: String,
    #[output]
    reply: String,
}

/// Judge the reply by the house style.
#[derive(Signature)]
struct Verdict {
    #[input]
    reply: String,
    /// Rules of the house style that the reply keeps, from 0 to 3.
    #[output]
    kept: u8,
    /// What is missing, in words.
    #[output]
    missing: String,
}

/// A model of your own. This one writes what the rules in its instruction ask for; yours has a client of your own inside.
struct Clerk;

#[async_trait]
impl LanguageModel for Clerk {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("clerk")
            .with_price(Price::new(Money::from_nanos(150_000_000), Money::from_nanos(600_000_000)))
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        let order = stand_in::input(request, "message").rsplit("order ").next().unwrap_or_default();
        let sentences =
            [format!("Order {order}"), "We write again once it left.".into(), "Kind regards".into()];
        let told = STYLE.iter().zip(sentences).filter(|(rule, _)| stand_in::says(request, rule));
        let reply: Vec<String> = told.map(|(_, sentence)| sentence).collect();
        Ok(stand_in::outputs(
            request,
            [("reply", format!("It comes on Friday. {}", reply.join(" ")).as_str())],
        ))
    }
}

/// The model that the judge asks.
async fn critic(request: LmRequest) -> Result<LmReply, LmError> {
    let reply = stand_in::input(&request, "reply");
    let kept = ["Order ", "once", "Kind regards"].map(|words| reply.contains(words));
    let missing: Vec<&str> =
        STYLE.into_iter().zip(kept).filter(|(_, kept)| !kept).map(|(rule, _)| rule).collect();
    let kept = (STYLE.len() - missing.len()).to_string();
    Ok(stand_in::outputs(&request, [("kept", kept.as_str()), ("missing", &missing.join(" "))]))
}

/// A metric: most of the score is the judge's, and a part is what no model is needed for.
struct HouseStyle {
    judge: Predict<Verdict>,
    model: Arc<dyn LanguageModel>,
}

#[async_trait]
impl Metric for HouseStyle {
    async fn score(
        &self,
        context: &CallContext,
        _: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let ReplyOutput { reply } = prediction.read()?;
        let is_short = reply.len() < 200;
        let context = context.aside(Arc::clone(&self.model));
        let verdict = self.judge.call(&context, VerdictInput { reply }).await?;
        let style = f64::from(verdict.kept) / 3.0;
        let score = Score::new(0.9 * style + if is_short { 0.1 } else { 0.0 }).with_feedback(verdict.missing);
        Ok(score.with_objective("style", style))
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        vec![Arc::clone(&self.model)]
    }

    fn calls_per_score(&self) -> u64 {
        self.judge.calls_per_rollout()
    }
}

/// A writer: one more sentence of a list.
struct OneMore;

#[async_trait]
impl InstructionWriter for OneMore {
    async fn write_instructions(
        &self,
        _: &mut Run<'_>,
        request: &InstructionRequest,
    ) -> anyhow::Result<Vec<String>> {
        let sentences =
            STYLE.iter().chain(&OTHER).filter(|sentence| !request.instruction.contains(**sentence));
        Ok(sentences
            .map(|sentence| format!("{} {sentence}", request.instruction))
            .take(request.count)
            .collect())
    }
}

/// An optimizer: goes on from the best until nothing that is written is better.
struct Climb {
    writer: OneMore,
    run: RunOptions,
}

#[async_trait]
impl Strategy for Climb {
    fn name(&self) -> &str {
        "climb"
    }

    fn options(&self) -> RunOptions {
        self.run.clone()
    }

    async fn search(&self, run: &mut Run<'_>) -> Result<(), Halt> {
        loop {
            run.step()?;
            let (best, _) = run.best();
            let base = run.board().candidates()[best].clone();
            for predictor in run.program().predictors() {
                let instruction = base.instruction(predictor.path()).unwrap_or_default();
                let mut request =
                    InstructionRequest::new(predictor.path(), predictor.signature().clone(), instruction, 0);
                request.count = 5;
                let written = self.writer.write_instructions(run, &request).await.unwrap_or_default();
                let mut entered = Vec::new();
                for text in written {
                    let mut prompts = base.prompts.clone();
                    prompts.insert(predictor.path(), Prompt::new(text));
                    entered.push(
                        run.enter(PromptCandidate::new(prompts, Origin::new("climb", "one more sentence"))),
                    );
                }
                race(run, &entered, &RaceOptions::default()).await?;
            }
            if run.best().0 == best {
                return Ok(());
            }
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let message = |number| [("message", format!("Where is my order {number}"))];
    let examples =
        |numbers: std::ops::Range<u32>| numbers.map(|number| Example::new(message(number), ["message"]));
    let model: Arc<dyn LanguageModel> = Arc::new(Clerk);
    let metric = HouseStyle { judge: Predict::typed("judge"), model: Arc::new(lm_fn("critic", critic)) };
    let mut program = Predict::<Reply>::typed("reply").with_model(Arc::clone(&model)).with_metric(metric);

    let run = RunOptions::builder().max_calls(2000).seed(1).build();
    let outcome = Climb { writer: OneMore, run }.compile(&mut program, examples(0..60).collect()).await?;
    println!("the instruction now: {}", program.module.prompt().instruction);
    sealed_test(&program, model, &outcome, &examples(100..140).map(Arc::new).collect::<Vec<_>>()).await
}
