//! Programs in Rust types: signatures, examples, metrics and modules that macros make.

use std::sync::Mutex;

use promptopt::prelude::*;
use promptopt_testkit::ScriptedLm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Department {
    /// Invoices and payments.
    Billing,
    /// Parcels on their way.
    Shipping,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Item {
    /// What was bought.
    name: String,
    count: Count,
}

/// A number that is read with a rule of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(with = "u32")]
struct Count(u32);

impl TryFrom<u32> for Count {
    type Error = String;

    fn try_from(count: u32) -> Result<Self, String> {
        if count <= 100 { Ok(Self(count)) } else { Err(format!("nobody orders {count}")) }
    }
}

impl From<Count> for u32 {
    fn from(count: Count) -> Self {
        count.0
    }
}

/// Route the support ticket to the department
/// that should answer it.
///
/// Take the first one that fits.
#[derive(Signature, Debug, Clone, PartialEq)]
#[signature(derive(PartialEq))]
struct Triage {
    /// The ticket
    /// as it came.
    #[input]
    ticket: String,
    #[input]
    r#type: Option<String>,
    #[output]
    department: Department,
    /// What it is about.
    #[output]
    items: Vec<Item>,
    #[output]
    order: Option<u32>,
    #[output]
    #[serde(rename = "urgent")]
    is_urgent: bool,
}

fn input() -> TriageInput {
    TriageInput { ticket: "Where are my two lamps?".to_owned(), r#type: None }
}

fn output() -> TriageOutput {
    TriageOutput {
        department: Department::Shipping,
        items: vec![Item { name: "lamp".to_owned(), count: Count(2) }],
        order: None,
        is_urgent: true,
    }
}

fn chat_reply(count: u32) -> String {
    ScriptedLm::chat_reply([
        ("department", "shipping"),
        ("items", &format!(r#"[{{"name": "lamp", "count": {count}}}]"#)),
        ("order", "null"),
        ("urgent", "yes"),
    ])
}

#[test]
fn a_struct_is_a_signature() {
    let signature = Triage::signature();
    assert_eq!(
        signature.to_string(),
        "ticket: str, type: optional[str] -> department: enum[billing, shipping], items: list[object], \
         order: optional[int], urgent: bool"
    );
    assert_eq!(
        signature.instructions(),
        "Route the support ticket to the department\nthat should answer it.\n\nTake the first one that fits."
    );
    let says = |name: &str| signature.field(name).unwrap().description.clone();
    assert_eq!(says("ticket"), "The ticket as it came.");
    assert_eq!(says("department"), "(billing: Invoices and payments.; shipping: Parcels on their way.)");
    assert_eq!(says("order"), "");
    #[derive(Signature)]
    #[doc = include_str!("test_rules.rs")]
    struct FromFile {
        #[input]
        q: String,
        #[output]
        a: String,
    }
    assert!(FromFile::signature().instructions().starts_with("//!"));
    let row = Example::new([("q", "1"), ("a", "2")], ["q"]).row::<FromFile>().unwrap();
    assert_eq!((row.q.as_str(), row.a.as_str()), ("1", "2"));
}

#[tokio::test]
async fn what_goes_in_and_comes_out_are_rust_types() {
    let model = Arc::new(ScriptedLm::new(|_| Ok(chat_reply(2))));
    let triage = Predict::<Triage>::typed("triage");
    let context = CallContext::new(model.clone());
    assert_eq!(triage.call(&context, input()).await.unwrap(), output());
    let request = model.requests().remove(0);
    let (system, user) = (request.messages[0].text().to_owned(), request.messages[1].text().to_owned());
    assert!(system.contains("1. `ticket` (str): The ticket as it came."), "{system}");
    assert!(system.contains("What was bought."), "{system}");
    assert!(user.starts_with("[[ ## ticket ## ]]\nWhere are my two lamps?"), "{user}");
}

#[tokio::test]
async fn what_serde_refuses_is_asked_for_again_in_json() {
    let counts = Mutex::new(vec![2, 300]);
    let model = Arc::new(ScriptedLm::new(move |request| {
        let count = counts.lock().unwrap().pop().unwrap_or(999);
        let is_json = request.response_format != promptopt::core::lm::ResponseFormat::Text;
        Ok(if is_json {
            json!({"department": "shipping", "items": [{"name": "lamp", "count": count}], "order": null, "urgent": true})
                .to_string()
        } else {
            chat_reply(count)
        })
    }));
    let triage = Predict::<Triage>::typed("triage");
    let context = CallContext::new(model.clone());
    assert_eq!(triage.call(&context, input()).await.unwrap(), output());
    assert_eq!(model.requests().len(), 2);
    // The optimizers see the same failure, because the program gives no answer.
    let fields = Example::typed(Triage::from_parts(input(), output())).unwrap().inputs();
    let error = triage.run(&context, &fields).await.unwrap_err();
    let says = format!("{error:#}");
    assert!(says.contains("`items[0].count`: nobody orders 999"), "{says}");
    assert!(error.chain().any(|cause| cause.is::<promptopt::core::lm::ReplyError>()));
}

#[test]
fn rows_are_examples_and_examples_are_rows() {
    let row = Triage::from_parts(input(), output());
    let example = Example::typed(row.clone()).unwrap();
    assert_eq!(example.input_names(), ["ticket", "type"]);
    assert_eq!(example.get("urgent"), Some(&json!(true)));
    assert_eq!(example.row::<Triage>().unwrap(), row);
    assert_eq!(example.read::<TriageOutput>().unwrap(), output());
    assert_eq!(Prediction::typed(&output()).unwrap().read::<TriageOutput>().unwrap(), output());
    let error = Example::new([("ticket", "hm")], ["ticket"]).row::<Triage>().unwrap_err().to_string();
    assert_eq!(error, "the fields are no `TriageOutput`: missing field `department`");
}

#[tokio::test]
async fn a_metric_sees_rust_types() {
    #[derive(Deserialize)]
    struct Expected {
        department: Department,
    }
    let same =
        metric_typed(|expected: &Expected, given: &TriageOutput| expected.department == given.department);
    let fields = |value: serde_json::Value| value.as_object().unwrap().clone();
    let example = Example::new(fields(json!({"ticket": "hm", "department": "billing"})), ["ticket"]);
    let context = CallContext::new(Arc::new(ScriptedLm::new(|_| Ok(String::new()))));
    for (department, score) in [("billing", 1.0), ("shipping", 0.0)] {
        let given = fields(json!({"department": department, "items": [], "urgent": false}));
        let given = same.score(&context, &example, &Prediction::new(given)).await.unwrap();
        assert_eq!(given.value, score);
    }
    let error = same.score(&context, &example, &Prediction::default()).await.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "reading the prediction for the metric: the fields are no `TriageOutput`: missing field `department`"
    );
}

/// Answer with what the picture and the chat so far say.
#[derive(Signature)]
struct Look {
    #[input]
    picture: Image,
    #[input]
    others: Vec<Image>,
    #[input]
    chat: History,
    #[input]
    question: String,
    #[output]
    answer: String,
}

#[tokio::test]
async fn pictures_and_histories_go_in() {
    let model = Arc::new(ScriptedLm::new(|_| Ok(ScriptedLm::chat_reply([("answer", "blue")]))));
    let look = ChainOfThought::<LookPlain>::typed("look").unwrap();
    assert_eq!(look.signature().outputs()[0].name, "reasoning");
    let look = Predict::<Look>::typed("look");
    let input = LookInput {
        picture: Image::at("https://example.org/a.png"),
        others: vec![Image::of_bytes("image/png", &[1])],
        chat: History::from_iter([Message::user("What is red?"), Message::assistant("Nothing.")]),
        question: "And now?".to_owned(),
    };
    let given = look.call(&CallContext::new(model.clone()), input).await.unwrap();
    assert_eq!(given.answer, "blue");
    let messages = model.requests().remove(0).messages;
    let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    let shown = messages[3].content.as_slice().iter().filter(|part| matches!(part, Part::Image(_))).count();
    assert_eq!(shown, 2);
}

#[derive(Signature)]
struct LookPlain {
    #[input]
    question: String,
    #[output]
    answer: String,
}

/// How often the desk answers at most.
const TRIES: u64 = 2;

/// Sorts the ticket, then answers it, twice if the first answer is empty.
#[derive(Module)]
#[module(calls = 2 * TRIES + 2)]
struct Desk {
    #[predictor]
    sort: Predict<Sort>,
    #[predictor]
    answer: ChainOfThought<Answer>,
    #[predictor]
    tones: Vec<Text>,
    #[model]
    model: Arc<ScriptedLm>,
    tries: u64,
}

#[derive(Signature)]
struct Sort {
    #[input]
    ticket: String,
    #[output]
    department: Department,
}

#[derive(Signature)]
struct Answer {
    #[input]
    ticket: String,
    #[input]
    department: Department,
    #[output]
    answer: String,
}

impl Desk {
    fn new(model: Arc<ScriptedLm>) -> anyhow::Result<Self> {
        Ok(Self {
            sort: Predict::typed("sort"),
            answer: ChainOfThought::typed("answer")?,
            tones: vec![Text::new("tone", "Be kind.")],
            model,
            tries: TRIES,
        })
    }

    async fn forward(&self, context: &CallContext, input: SortInput) -> anyhow::Result<AnswerOutput> {
        let ticket = input.ticket.clone();
        let department = self.sort.call(context, input).await?.department;
        let mut answer = String::new();
        for _ in 0..self.tries {
            let input = AnswerInput { ticket: ticket.clone(), department };
            answer = self.answer.call(context, input).await?.answer;
            if !answer.is_empty() {
                break;
            }
        }
        Ok(AnswerOutput { answer: format!("{} {answer}", self.tones[0].in_force(context)) })
    }
}

#[tokio::test]
async fn a_struct_of_predictors_is_a_program() {
    let answers = Mutex::new(vec!["Tomorrow.", ""]);
    let model = Arc::new(ScriptedLm::new(move |request| {
        let is_sort = request.messages[0].text().contains("`department` (str): \n")
            || request.messages.len() == 2 && request.messages[1].text().contains("`[[ ## department ## ]]`");
        let answer = if is_sort { "" } else { answers.lock().unwrap().pop().unwrap_or("") };
        Ok(ScriptedLm::chat_reply([
            ("department", "billing"),
            ("reasoning", "It says so."),
            ("answer", answer),
        ]))
    }));
    let mut desk = Desk::new(model.clone()).unwrap();
    let paths: Vec<&str> = desk.predictors().iter().map(|predictor| predictor.path()).collect();
    assert_eq!(paths, ["sort", "answer", "tone"]);
    assert_eq!((desk.name(), desk.calls_per_rollout(), desk.calls_vary()), ("desk", 6, false));
    assert_eq!(
        desk.source().as_deref(),
        Some("Sorts the ticket, then answers it, twice if the first answer is empty.")
    );
    assert!(desk.language_model().is_some());
    let prompts = Prompts::from_iter([("tone", Prompt::new("Be brief."))]);
    desk.install(&prompts).unwrap();
    let context = CallContext::new(model);
    let inputs = Example::new([("ticket", "hm")], ["ticket"]).inputs();
    let given = desk.run(&context, &inputs).await.unwrap();
    assert_eq!(given.get_str("answer"), Some("Be brief. Tomorrow."));
    let steps: Vec<String> = context.record().0.into_iter().map(|step| step.predictor).collect();
    assert_eq!(steps, ["sort", "answer", "answer"]);
    let error = desk.run(&context, &Fields::new()).await.unwrap_err().to_string();
    assert_eq!(error, "the fields are no `SortInput`: missing field `ticket`");
}

#[derive(Module)]
struct Plain {
    #[predictor]
    desk: Desk,
}

impl Plain {
    async fn forward(&self, context: &CallContext, inputs: Fields) -> anyhow::Result<Prediction> {
        self.desk.run(context, &inputs).await
    }
}

#[test]
fn a_module_can_hold_another_and_take_fields() {
    let plain = Plain { desk: Desk::new(Arc::new(ScriptedLm::new(|_| Ok(String::new())))).unwrap() };
    assert_eq!((plain.predictors().len(), plain.calls_per_rollout()), (3, 6));
    assert_eq!((plain.name(), plain.source()), ("plain", None));
}

fn words() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    const ODD: [&str; 10] = [
        "null",
        "None",
        "[[ ## department ## ]]",
        "{\"a\": 1}",
        "a\n\nb",
        "\"quoted\"",
        "3",
        "yes",
        "- x",
        "ß 語",
    ];
    prop_oneof![proptest::sample::select(&ODD[..]).prop_map(str::to_owned), "[ -~]{0,12}", "\\PC{0,8}"]
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Found {
    Nothing,
    Order { number: u64, note: Option<String> },
    Many { of: Vec<Found> },
}

#[derive(Signature)]
#[signature(derive(PartialEq))]
struct Everything {
    #[input]
    q: String,
    #[output]
    flag: bool,
    #[output]
    ratio: f64,
    #[output]
    number: i64,
    #[output]
    department: Option<Department>,
    #[output]
    texts: Vec<String>,
    #[output]
    table: std::collections::BTreeMap<String, Vec<u8>>,
    #[output]
    found: Found,
    #[output]
    maybe: Option<Vec<Item>>,
    #[output]
    pair: (u8, String),
}

fn found() -> impl proptest::strategy::Strategy<Value = Found> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Found::Nothing),
        (any::<u64>(), proptest::option::of(words()))
            .prop_map(|(number, note)| Found::Order { number, note }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        proptest::collection::vec(inner, 0..3).prop_map(|of| Found::Many { of })
    })
}

fn everything() -> impl proptest::strategy::Strategy<Value = EverythingOutput> {
    use proptest::prelude::*;
    let department = proptest::option::of(prop_oneof![Just(Department::Billing), Just(Department::Shipping)]);
    let item = (words(), 0..=100_u32).prop_map(|(name, count)| Item { name, count: Count(count) });
    let maybe = proptest::option::of(proptest::collection::vec(item, 0..3));
    let texts = proptest::collection::vec(words(), 0..4);
    let table = proptest::collection::btree_map(words(), proptest::collection::vec(any::<u8>(), 0..3), 0..3);
    let plain = (any::<bool>(), -1e9..1e9_f64, any::<i64>());
    (plain, department, texts, table, found(), maybe, (any::<u8>(), words())).prop_map(
        |((flag, ratio, number), department, texts, table, found, maybe, pair)| EverythingOutput {
            flag,
            ratio,
            number,
            department,
            texts,
            table,
            found,
            maybe,
            pair,
        },
    )
}

proptest::proptest! {
    /// What a demo shows is what the model is asked to write, so it has to be read as what it was.
    #[test]
    fn outputs_survive_being_shown_and_read(output in everything()) {
        let signature = Everything::signature();
        let fields = promptopt::core::signature::to_fields(&output).unwrap();
        for adapter in [&promptopt::predict::ChatAdapter as &dyn promptopt::predict::Adapter, &promptopt::predict::JsonAdapter] {
            let shown = adapter.assistant(&signature, &fields);
            let read = adapter.parse(&signature, &shown);
            let read = read.map_err(|reason| format!("{}: {reason}: {shown}", adapter.name())).unwrap();
            let read: EverythingOutput = promptopt::core::signature::from_fields(&read).unwrap();
            proptest::prop_assert_eq!(&read, &output, "{}: {}", adapter.name(), shown);
        }
    }
}
