//! What the made-up reports have in common: a task of support tickets.

use promptopt_core::data::Fields;
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_report::{ExampleRow, StepRow, TestReport};
use promptopt_statistics::{Scores, compare, estimate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const TICKETS: [(&str, &str, &str); 6] = [
    (
        "My invoice shows the subscription twice, and I was charged for both.",
        "billing",
        "You were charged twice; one charge is refunded within three days.",
    ),
    (
        "The parcel has been \"out for delivery\" since Monday. Where is it?",
        "shipping",
        "The courier has it in a depot near you; delivery is tomorrow before noon.",
    ),
    (
        "After the update the app closes as soon as I open the camera tab.\nPhone: Pixel 8, app 4.2.1",
        "technical",
        "Version 4.2.2 mends this crash; please update.",
    ),
    (
        "I would like to send back the blue jacket, it is too small.",
        "returns",
        "A return label is on its way to you; the refund follows on arrival.",
    ),
    (
        "Can I change the e-mail address I log in with?",
        "account",
        "Yes, under Settings, Account, E-mail; a link confirms the new one.",
    ),
    (
        "Do you have a price for 250 seats?",
        "sales",
        "Our sales team answers today with an offer for 250 seats.",
    ),
];
const DEPARTMENTS: [&str; 6] = ["billing", "shipping", "technical", "returns", "account", "sales"];

pub(crate) fn fields(value: Value) -> Fields {
    value.as_object().cloned().unwrap_or_default()
}

pub(crate) const ROUTE_BEFORE: &str = "Route the support ticket to the department that should answer it.";
pub(crate) const ROUTE_AFTER: &str = "Route the support ticket to the one department that should answer it.\n\nRead the whole ticket before you decide. \
Choose by what the customer wants done, not by the words they use:\n- money taken, invoices, refunds of charges: billing\n- where a parcel is, when it \
comes: shipping\n- an item that goes back, whatever the reason: returns (also when a refund is mentioned)\n- the app or the site does not work: technical\n- \
logging in, changing personal data: account\n- offers, prices for many seats: sales\n\nWhen two departments fit, take the one that must act first. Answer with the name of \
the department alone, in lower case.";
pub(crate) const ANSWER_BEFORE: &str = "Write a short answer to the ticket.";
pub(crate) const ANSWER_AFTER: &str = "Write a short answer to the ticket, in at most two sentences. Say what happens next and by when. Do not \
apologise more than once, and promise nothing that the department cannot do.";

pub(crate) fn prompts(route: &str, answer: Option<&str>) -> Prompts {
    let mut prompts = Prompts::from_iter([("route", Prompt::new(route))]);
    if let Some(answer) = answer {
        prompts.insert("answer", Prompt::new(answer));
    }
    prompts
}

pub(crate) fn with_demos(mut prompts: Prompts) -> Prompts {
    let demo = |index: usize, augmented| {
        let (ticket, department, _) = TICKETS[index];
        let mut demo = Demo::new(fields(json!({"ticket": ticket, "department": department})));
        demo.augmented = augmented;
        demo
    };
    if let Some(mut route) = prompts.get("route").cloned() {
        route.demos = vec![demo(3, true), demo(0, true), demo(5, false)];
        prompts.insert("route", route);
    }
    prompts
}

/// What an agent did before it answered.
pub(crate) fn steps(answer: &str) -> Vec<StepRow> {
    let step = |path: &str, given: &str, gave: &str| {
        let mut step = StepRow::default();
        (step.path, step.given, step.gave) = (path.to_owned(), given.to_owned(), gave.to_owned());
        step.is_part = path.contains(".tools.");
        step
    };
    let mut late = step("desk.tools.track", "parcel: 4711", "no result within 5 s");
    late.failed = true;
    let found = "[\"Parcels are delivered within three days.\",\"A depot keeps a parcel for a week.\"]";
    vec![step("desk", "", answer), step("desk.tools.search", "query: delivery\nlimit: 2", found), late]
}

/// A sealed test on which the chances of being right are those given.
pub(crate) fn test(n: usize, before: f64, after: f64, seed: u64) -> anyhow::Result<TestReport> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let examples: Vec<ExampleRow> = (0..n)
        .map(|number| {
            let (ticket, department, reply) = TICKETS[rng.random_range(0..TICKETS.len())];
            let luck: f64 = rng.random();
            let mut answer = |chance: f64| {
                let right = luck * 0.6 + rng.random::<f64>() * 0.4 < chance;
                let wrong = DEPARTMENTS[rng.random_range(0..DEPARTMENTS.len())];
                let said = if right {
                    department
                } else if wrong == department {
                    "other"
                } else {
                    wrong
                };
                (said, f64::from(u8::from(right)))
            };
            let ((said_before, score_before), (said_after, score_after)) = (answer(before), answer(after));
            let failed = number % 41 == 40;
            let mut example_row = ExampleRow::default();
            example_row.inputs =
                fields(json!({"ticket": format!("{ticket} (no. {})", 4000 + number), "language": "en"}));
            example_row.expected = fields(json!({"department": department}));
            example_row.before = Some(fields(json!({"department": said_before})));
            example_row.after = (!failed).then(|| fields(json!({"department": said_after, "reply": reply})));
            example_row.score_before = Some(score_before);
            example_row.score_after = (!failed).then_some(score_after);
            example_row.error_after =
                failed.then(|| "the provider gave no reply: 503, overloaded; tried 4 times".to_owned());
            example_row.feedback =
                (!failed && score_after < 1.0).then(|| format!("`{said_after}` is not `{department}`"));
            example_row
        })
        .collect();
    let of = |score: fn(&ExampleRow) -> Option<f64>| Scores::lossy(examples.iter().map(score));
    let (first, second) = (of(|row| row.score_before), of(|row| row.score_after));
    let mut test = TestReport::new(
        "sealed test",
        estimate(&first, 0.95),
        estimate(&second, 0.95),
        compare(&first, &second, 0.95)?,
    );
    test.examples = examples;
    Ok(test)
}
