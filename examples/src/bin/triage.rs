//! Typed triage: an enum, an `Option`, a `Vec` and a nested struct go from the model to Rust and back, and nothing is
//! converted by hand. The examples are rows of the same types, so is what the metric compares and what a service gets.
//!
//! Runs without a key on a simulated model.
//!
//! `cargo run -p promptopt-examples --bin triage`

use promptopt::prelude::*;
use promptopt_examples::sealed_test;
use promptopt_testkit::SimulatedLm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Department {
    /// Invoices and payments.
    Billing,
    /// Parcels on their way.
    Shipping,
    /// Questions before a purchase.
    Sales,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Item {
    /// What was bought, in one word.
    name: String,
    count: u8,
}

/// Route the support ticket to the department that should answer it.
#[derive(Signature)]
struct Triage {
    /// The ticket as the customer wrote it.
    #[input]
    ticket: String,
    #[output]
    department: Department,
    /// The number of the order, where the ticket names one.
    #[output]
    order: Option<u32>,
    /// What it is about.
    #[output]
    items: Vec<Item>,
}

/// A half for the department, a quarter for the order, a quarter for the items; and what is wrong, in words.
fn judge(expected: &TriageOutput, given: &TriageOutput) -> Score {
    let parts = [
        (
            0.5,
            expected.department == given.department,
            format!("The department is {:?}.", expected.department),
        ),
        (0.25, expected.order == given.order, format!("The order is {:?}.", expected.order)),
        (0.25, expected.items == given.items, format!("The items are {:?}.", expected.items)),
    ];
    let (right, wrong): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(_, is_right, _)| *is_right);
    let feedback: Vec<String> = wrong.into_iter().map(|(.., says)| says).collect();
    Score::new(right.iter().map(|(points, ..)| points).sum()).with_feedback(feedback.join(" "))
}

/// Tickets that somebody has answered. Yours come from a database.
fn rows() -> Vec<Triage> {
    let row = |number: u32| {
        let name = ["lamp", "chair", "kettle", "mirror", "carpet"][number as usize / 3 % 5];
        let count = 1 + (number / 15 % 4) as u8;
        let (department, order, says) = match number % 3 {
            0 => (Department::Billing, Some(1000 + number), "I was charged twice for"),
            1 => (Department::Shipping, Some(1000 + number), "The courier lost"),
            _ => (Department::Sales, None, "Is there a discount on"),
        };
        let order_says = order.map(|order| format!(" My order is {order}.")).unwrap_or_default();
        let ticket = format!("{says} {count} {name}(s), as in letter {number}.{order_says}");
        Triage { ticket, department, order, items: vec![Item { name: name.to_owned(), count }] }
    };
    (0..180).map(row).collect()
}

fn triage() -> Predict<Triage> {
    Predict::typed("triage")
}

/// What a service does with the prompts that were kept.
async fn serve(prompts: &str, model: Arc<dyn LanguageModel>, ticket: String) -> anyhow::Result<()> {
    let mut triage = triage();
    triage.install(&serde_json::from_str(prompts)?)?;
    let given = triage.call(&CallContext::new(model), TriageInput { ticket }).await?;
    match given.department {
        Department::Billing | Department::Shipping if given.order.is_none() => {
            println!("asking for the order")
        }
        department => println!("to {department:?}: {:?}", given.items),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut examples = rows().into_iter().map(Example::typed).collect::<Result<Vec<_>, _>>()?;
    let model: Arc<dyn LanguageModel> = Arc::new(SimulatedLm::over_examples(&examples, 0));
    let test: Vec<_> = examples.split_off(140).into_iter().map(Arc::new).collect();

    let mut module = triage().with_model(Arc::clone(&model)).with_metric(metric_typed(judge));
    let optimizer = MIPROv2::builder().num_candidates(6).num_trials(12).minibatch_size(20).seed(1).build();
    let outcome = optimizer.compile(&mut module, examples).await?;
    sealed_test(&module, Arc::clone(&model), &outcome, &test).await?;

    let prompts = serde_json::to_string_pretty(&module.candidate().prompts)?;
    serve(&prompts, model, "I was charged twice for 2 lamp(s), as in letter 15. My order is 1015.".to_owned())
        .await
}
