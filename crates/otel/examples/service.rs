//! A service as far as traces are concerned: one request that asks an agent and a predictor, sent to the receiver that the
//! variables of OpenTelemetry name. `service BASE_URL` prints what its calls cost, as JSON. `tests/interop` compares it
//! with what the receiver got.

use std::sync::Arc;

use promptopt_core::data::Fields;
use promptopt_core::program::CallContext;
use promptopt_core::signature::Signature;
use promptopt_lm::ChatClient;
use promptopt_otel::Otlp;
use promptopt_predict::{Agent, Predict, tool_fn};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Search {
    /// What to look for.
    query: String,
}

async fn answer(context: &CallContext, question: &str) -> anyhow::Result<()> {
    let search = tool_fn("search", "Searches the shelf.", |search: Search| {
        async move { Ok(format!("nothing on {}", search.query)) }
            .instrument(tracing::info_span!("SELECT shelf"))
    });
    let inputs = Fields::from_iter([("question".to_owned(), question.into())]);
    let signature = Signature::parse("question -> answer")?;
    Agent::new("desk", signature.clone()).with_tool(search).call(context, &inputs).await?;
    Predict::new("check", signature).call(context, &inputs).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (layer, sending) = Otlp::new("desk").layer()?;
    // A log that shows everything, which must hold nothing of what was said.
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer).with(log).init();
    let base_url = std::env::args().nth(1).unwrap_or_default();
    let model = ChatClient::builder().model("tiny").base_url(base_url).build()?;
    let context = CallContext::new(Arc::new(model));
    answer(&context, "Which tea is green?").instrument(tracing::info_span!("POST /answer")).await?;
    let delivery = sending.finish();
    let (sent, lost) = (delivery.sent, delivery.lost);
    #[expect(clippy::print_stdout, reason = "it is what the program is for")]
    {
        println!("{}", serde_json::json!({"usage": context.record().1, "sent": sent, "lost": lost}));
    }
    Ok(())
}
