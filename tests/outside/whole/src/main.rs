//! A typed program of somebody who depends on `promptopt` alone: run, optimized, and run again.

use promptopt::anyhow;
use promptopt::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Glad,
    Sorry,
}

/// Say how the customer feels.
#[derive(Signature)]
struct Rate {
    #[input]
    review: String,
    #[output]
    mood: Mood,
}

#[derive(Module)]
struct Shop {
    #[predictor]
    rate: Predict<Rate>,
}

impl Shop {
    async fn forward(&self, context: &CallContext, input: RateInput) -> anyhow::Result<RateOutput> {
        Ok(self.rate.call(context, input).await?)
    }
}

/// A model that answers rightly once it is shown demos.
async fn model(request: LmRequest) -> Result<LmReply, LmError> {
    let asked = request.messages.last().map_or("", |message| message.text());
    let has_demos = request.messages.iter().any(|message| message.role == Role::Assistant);
    let mood = if has_demos && asked.contains("broke") { "sorry" } else { "glad" };
    Ok(LmReply::text(format!("[[ ## mood ## ]]\n{mood}\n\n[[ ## completed ## ]]"), Usage::call(50, 5)))
}

fn row(number: usize) -> Rate {
    let (says, mood) = if number.is_multiple_of(2) { ("works", Mood::Glad) } else { ("broke", Mood::Sorry) };
    Rate { review: format!("Lamp {number} {says}."), mood }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let model = Arc::new(lm_fn("model", model));
    let right = metric_typed(|expected: &RateOutput, given: &RateOutput| expected.mood == given.mood);
    let mut shop = Shop { rate: Predict::typed("rate") }.with_metric(right);
    let examples = (0..60).map(row).map(Example::typed).collect::<Result<Vec<_>, _>>()?;
    let optimizer = MIPROv2::builder().task_model(model.clone()).max_calls(800).seed(1).build();
    let outcome = optimizer.compile(&mut shop, examples).await?;
    anyhow::ensure!(outcome.improved(), "{} -> {}", outcome.baseline, outcome.selected);

    let (input, output) = row(101).into_parts();
    let given = shop.module.forward(&CallContext::new(model), input).await?;
    anyhow::ensure!(given.mood == output.mood, "{:?}", given.mood);
    Ok(())
}
