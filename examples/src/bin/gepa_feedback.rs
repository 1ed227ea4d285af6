//! GEPA with a metric that says in words what is wrong, and judges two objectives.
//!
//! The task: tell the due date of an invoice in a house style that the instruction does not mention.
//! The metric knows the style and explains each deviation; GEPA reads that and writes it down.
//!
//! `cargo run -p promptopt-examples --bin gepa_feedback`

use promptopt::gepa::FrontierType;
use promptopt::prelude::*;
use promptopt_examples::sealed_test;

/// The house style, rule by rule: what the metric checks, and how it says so.
const STYLE: [(&str, &str); 3] = [
    ("iso", "Write the date as YYYY-MM-DD."),
    ("currency", "Put EUR behind the amount."),
    ("courtesy", "End with the words kind regards."),
];

/// Scores an answer by the house style, and explains what is missing.
fn judge(_: &Example, prediction: &Prediction) -> Score {
    let answer = prediction.get_str("answer").unwrap_or_default();
    let kept = [answer.contains("2031-"), answer.contains("EUR"), answer.ends_with("kind regards")];
    let missing: Vec<&str> =
        STYLE.iter().zip(kept).filter(|(_, kept)| !kept).map(|((_, rule), _)| *rule).collect();
    let share = kept.iter().filter(|kept| **kept).count() as f64 / kept.len() as f64;
    let mut score = Score::new(share);
    for ((name, _), kept) in STYLE.iter().zip(kept) {
        score = score.with_objective(*name, f64::from(u8::from(kept)));
    }
    if missing.is_empty() { score } else { score.with_feedback(missing.join(" ")) }
}

/// Stands in for a real model, so that the example runs anywhere: it follows the rules of the house
/// style that its instruction states. Asked to reflect, it collects the feedback it was shown, one
/// rule at a time.
async fn clerk(request: LmRequest) -> Result<LmReply, LmError> {
    let text = request.messages.first().map_or("", |message| message.text());
    let states = |rule: &str| text.contains(rule);
    let reply = if request.messages.len() == 1 {
        let (before, records) = text.split_once("# Records").unwrap_or((text, ""));
        let rules = || STYLE.iter().map(|(_, rule)| *rule);
        let mut known: Vec<&str> = rules().filter(|rule| before.contains(rule)).collect();
        known.extend(rules().find(|rule| !before.contains(rule) && records.contains(rule)));
        format!("The feedback is clear.\n```\nTell when the invoice is due. {}\n```", known.join(" "))
    } else {
        let (date, amount) = ("5 March 2031", "120");
        let date = if states(STYLE[0].1) { "2031-03-05" } else { date };
        let unit = if states(STYLE[1].1) { " EUR" } else { "" };
        let end = if states(STYLE[2].1) { ", kind regards" } else { "" };
        format!("[[ ## answer ## ]]\nDue {date}: {amount}{unit}{end}\n\n[[ ## completed ## ]]")
    };
    let usage = Usage::call(text.len() as u64 / 4, reply.len() as u64 / 4);
    Ok(LmReply::text(reply, usage))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let signature = Signature::parse("invoice -> answer")?.with_instructions("Tell when the invoice is due.");
    let model: Arc<dyn LanguageModel> = Arc::new(lm_fn("clerk", clerk));
    let mut module =
        Predict::new("answer", signature).with_model(model.clone()).with_metric(metric_fn(judge));
    let invoices = |from: usize, to: usize| -> Vec<Example> {
        (from..to)
            .map(|number| Example::new([("invoice", format!("Invoice {number}"))], ["invoice"]))
            .collect()
    };
    let test: Vec<_> = invoices(60, 100).into_iter().map(Arc::new).collect();

    let optimizer = GEPA::builder().max_metric_calls(400).frontier(FrontierType::Hybrid).build();
    let outcome = optimizer.compile(&mut module, invoices(0, 60)).await?;

    println!("the lineage of the winner:");
    let mut line = vec![outcome.best];
    while let Some(parent) = line.last().and_then(|at| outcome.candidates.get(*at)?.parents.first()) {
        line.push(*parent);
    }
    for at in line.into_iter().rev() {
        if let (Some(candidate), Some(scores)) = (outcome.candidates.get(at), outcome.scores.get(at)) {
            let objectives: Vec<String> = scores
                .objectives
                .iter()
                .map(|(name, row)| {
                    let known: Vec<f64> = row.iter().flatten().copied().collect();
                    format!("{name} {:.2}", known.iter().sum::<f64>() / known.len().max(1) as f64)
                })
                .collect();
            println!(
                "  {at}: {:.2} ({}) after {} calls: {}",
                candidate.score.unwrap_or_default(),
                objectives.join(", "),
                scores.calls_at_discovery,
                candidate.instruction("answer").unwrap_or_default()
            );
        }
    }
    sealed_test(&module, model, &outcome, &test).await
}
