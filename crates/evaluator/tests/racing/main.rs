//! Racing, on a program whose chances are known.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the lint exempts test functions, but not the helpers they call"
)]

mod race;
mod search;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt_core::data::{ContentHash, Example, Fields, Prediction};
use promptopt_core::lm::{LanguageModel, LmReply, LmRequest, Message, lm_fn};
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Evaluator, ModuleExt as _, Text, metric_fn, module_fn};

/// A program that is right with the probability that its instruction begins with. It calls the
/// model once, or twice where the instruction says so.
#[derive(Clone)]
struct Coin {
    world: u64,
    graded: bool,
    runs: Arc<AtomicU64>,
}

impl Coin {
    fn new(world: u64) -> Self {
        Self { world, graded: false, runs: Arc::default() }
    }

    fn score(&self, instruction: &str, question: &str) -> f64 {
        let chance: f64 = instruction.split(' ').next().unwrap().parse().unwrap();
        let bits = ContentHash::of(&(self.world, instruction, question)).as_u64() >> 11;
        let luck = bits as f64 / (1_u64 << 53) as f64;
        if self.graded { (chance + luck) / 2.0 } else { f64::from(u8::from(luck < chance)) }
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    /// The program, which begins with this instruction.
    fn program(&self, instruction: &str) -> impl Evaluator + use<> {
        let coin = self.clone();
        let run = move |context: CallContext, texts: Arc<[Text]>, inputs: Fields| {
            let coin = coin.clone();
            async move {
                coin.runs.fetch_add(1, Ordering::SeqCst);
                let instruction = texts[0].in_force(&context);
                context.complete(LmRequest::new(vec![Message::user("toss")])).await?;
                if instruction.ends_with("twice") {
                    context.complete(LmRequest::new(vec![Message::user("again")])).await?;
                }
                let score = coin.score(instruction, inputs["question"].as_str().unwrap());
                Ok(Prediction::from_iter([("score", score)]))
            }
        };
        module_fn("coin", [Text::new("coin", instruction)], run).with_metric(metric_fn(
            |_: &Example, prediction: &Prediction| prediction.get("score").unwrap().as_f64().unwrap(),
        ))
    }
}

fn silent() -> Arc<dyn LanguageModel> {
    Arc::new(lm_fn("silent", |_| async { Ok(LmReply::text("", Usage::call(1, 1))) }))
}

fn selection(n: usize) -> Vec<Example> {
    (0..n).map(|number| Example::new([("question", format!("{number}"))], ["question"])).collect()
}
