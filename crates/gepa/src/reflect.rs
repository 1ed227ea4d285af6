//! Reflection: what the prompt model is shown of a parent's runs, and how its reply is read.

use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior};
use promptopt_core::lm::Part;
use promptopt_core::program::Predictor;
use promptopt_core::prompt::Prompts;
use promptopt_core::signature::Field;
use promptopt_core::trace::{Trace, TraceText};
use promptopt_run::{Assignment, Error};
use serde::Serialize;

/// What the prompt model is told, as a template.
pub(crate) const REQUEST: &str = include_str!("../prompts/reflect.md");
/// Values in a record are cut to this many characters.
const MAX_VALUE_CHARS: usize = 2000;
/// All records of a request together have at most so many characters; what is beyond is left out.
const MAX_RECORDS_CHARS: usize = 60_000;
/// The most images in a request, and the most bytes of each, as base64.
const MAX_IMAGES: usize = 8;
const MAX_IMAGE_BYTES: usize = 4 * 1024 * 1024;
/// Calls of one component shown of one run.
const MAX_STEPS: usize = 4;
/// The most characters of an instruction.
pub(crate) const MAX_INSTRUCTION_CHARS: usize = 20_000;

/// One record of the reflective data set: what a component was given and wrote in one run, and
/// what came of it. A failure of the run is feedback like any other.
pub fn record(trace: &Trace, component: &str) -> String {
    let mut text = TraceText::new(MAX_VALUE_CHARS);
    let steps: Vec<_> =
        trace.steps.iter().filter(|step| step.predictor == component).take(MAX_STEPS).collect();
    let own_outputs = match steps.as_slice() {
        [only] if trace.steps.iter().filter(|step| step.parent.is_none()).count() == 1 => Some(&only.outputs),
        _ => None,
    };
    if steps.is_empty() {
        text.fields("", &trace.example.inputs());
    }
    for step in &steps {
        text.fields("", &step.inputs);
        text.fields("written ", &step.outputs);
    }
    // What the whole system answered, where that is not what this component wrote.
    if let Some(prediction) = &trace.prediction
        && own_outputs != Some(prediction.fields())
    {
        text.fields("final ", prediction.fields());
    }
    text.fields("expected ", &trace.example.labels());
    for error in steps.iter().filter_map(|step| step.error.as_deref()) {
        text.line("this component failed", error);
    }
    if steps.is_empty() {
        text.say("this component was not reached");
    }
    text.verdict(trace, "the run failed");
    text.finish()
}

/// What a reflection begins with besides the records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Beginning {
    /// The present instruction, and those that the same component has in other candidates.
    Present(Vec<String>),
    /// Nothing, so that no fault of the present instruction is taken over.
    Anew,
    /// The present instruction, and a change of another component, with its path and its new instruction.
    Change(String, String),
}

/// The request for a new instruction of one component.
///
/// # Errors
///
/// [`Error::Stage`] when the template cannot be rendered.
pub(crate) fn request(
    component: &dyn Predictor,
    components: &[&dyn Predictor],
    prompts: &Prompts,
    beginning: &Beginning,
    traces: &[Arc<Trace>],
) -> Result<Assignment, Error> {
    let path = component.path();
    let instruction = prompts
        .get(path)
        .map_or(component.prompt().instruction.as_str(), |prompt| prompt.instruction.as_str());
    let others = components.iter().filter(|other| other.path() != path);
    let draft = Draft {
        component: path.to_owned(),
        signature: component.signature().to_string(),
        about: component.about(),
        instruction: (*beginning != Beginning::Anew).then(|| instruction.to_owned()),
        change: match beginning {
            Beginning::Change(path, instruction) => Some((path.clone(), instruction.clone())),
            _ => None,
        },
        relatives: match beginning {
            Beginning::Present(relatives) => relatives.clone(),
            _ => Vec::new(),
        },
        others: others.map(|other| (other.path().to_owned(), other.signature().to_string())).collect(),
    };
    draft.with_records(&[], 0)?;
    let all = traces.len();
    let records = traces.iter().map(|trace| (trace.example.content_hash(), record(trace, path)));
    // Without a record there is nothing to learn from.
    let put = move |records: &[&str]| match records {
        [] => String::new(),
        records => draft.with_records(records, all - records.len()).unwrap_or_default(),
    };
    let records = bounded(records);
    let images = images(traces.iter().take(records.len()), component);
    Ok(Assignment::prompt_of(records, put).with_images(images))
}

/// The images that a component was given in each of these runs, as far as a request has room for them.
fn images<'t>(traces: impl Iterator<Item = &'t Arc<Trace>>, component: &dyn Predictor) -> Vec<Vec<String>> {
    let shown: Vec<&Field> =
        component.signature().inputs().iter().filter(|field| field.kind.is_shown()).collect();
    let mut left = MAX_IMAGES;
    let mut of_run = |trace: &Arc<Trace>| {
        let step = trace.steps.iter().find(|step| step.predictor == component.path());
        let inputs = step.map_or_else(|| trace.example.inputs(), |step| step.inputs.clone());
        let parts = shown.iter().filter_map(|field| Some((&field.kind, inputs.get(&field.name)?)));
        let urls: Vec<String> =
            parts.flat_map(|(kind, value)| kind.parts(value)).filter_map(url).take(left).collect();
        left -= urls.len();
        urls
    };
    if shown.is_empty() { Vec::new() } else { traces.map(&mut of_run).collect() }
}

/// The address of an image that is not too large.
fn url(part: Part) -> Option<String> {
    match part {
        Part::Image(image) if image.url.len() <= MAX_IMAGE_BYTES => Some(image.url.to_string()),
        _ => None,
    }
}

/// A request as far as it does not depend on the records.
#[derive(Serialize)]
struct Draft {
    component: String,
    signature: String,
    /// What else there is to know of it.
    about: Option<String>,
    instruction: Option<String>,
    /// Another component that has just changed, and its new instruction.
    change: Option<(String, String)>,
    /// What other candidates say in this place.
    relatives: Vec<String>,
    /// Path and signature of the other components.
    others: Vec<(String, String)>,
}

impl Draft {
    /// The request with some records, of which so many others are left out.
    fn with_records(&self, records: &[&str], left_out: usize) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Values<'a> {
            draft: &'a Draft,
            records: &'a [&'a str],
            left_out: usize,
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment
            .render_str(REQUEST, minijinja::value::Serde(Values { draft: self, records, left_out }))
            .map(|text| text.trim().to_owned())
            .map_err(|source| Error::stage("reflection", source))
    }
}

/// The first records that fit together; at least one. Each stands beside the row that it tells of.
fn bounded<T>(records: impl Iterator<Item = (T, String)>) -> Vec<(T, String)> {
    let mut room = MAX_RECORDS_CHARS;
    let mut fitting = Vec::new();
    for (row, record) in records {
        let length = record.chars().count();
        if length > room && !fitting.is_empty() {
            break;
        }
        room = room.saturating_sub(length);
        fitting.push((row, record));
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;
    use promptopt_core::data::{Example, Fields, Prediction, Score};
    use promptopt_core::trace::{Failure, FailureKind, Step};

    fn step(predictor: &str, input: (&str, &str), output: Option<(&str, &str)>, error: Option<&str>) -> Step {
        let fields = |(name, value): (&str, &str)| Fields::from_iter([(name.to_owned(), value.into())]);
        Step::new(predictor)
            .with_inputs(fields(input))
            .with_outputs(output.map(fields).unwrap_or_default())
            .with_error(error.map(str::to_owned))
    }

    #[test]
    fn a_record_tells_what_the_component_did_and_what_came_of_it() {
        let trace =
            Trace::new(Example::new([("question", "Which river?"), ("answer", "Elbe")], ["question"]))
                .with_prediction(Prediction::from_iter([("answer", "Rhine")]))
                .with_steps(vec![
                    step("classify", ("question", "Which river?"), Some(("topic", "rivers")), None),
                    step("answer", ("topic", "rivers"), Some(("answer", "Rhine")), None),
                ])
                .with_score(
                    Score::new(0.0).with_feedback("The Elbe flows there.").with_objective("short", 1.0),
                );
        insta::assert_snapshot!(record(&trace, "classify"));
    }

    #[test]
    fn the_request_as_it_goes_over_the_wire() {
        use promptopt_core::program::Module as _;

        let trace = |question: &str, written: &str, expected: &str, score: f64| {
            Arc::new(
                Trace::new(Example::new([("question", question), ("answer", expected)], ["question"]))
                    .with_prediction(Prediction::from_iter([("answer", written)]))
                    .with_steps(vec![
                        step("classify", ("question", question), Some(("topic", "rivers")), None),
                        step("answer", ("topic", "rivers"), Some(("answer", written)), None),
                    ])
                    .with_score(Score::new(score)),
            )
        };
        let program = promptopt_testkit::toy::TwoStage::default();
        let components = program.predictors();
        let traces = [
            trace("Which river flows through Hamburg?", "Rhine", "Elbe", 0.0),
            trace("And through Cologne?", "Rhine", "Rhine", 1.0),
        ];
        let beginning = Beginning::Present(Vec::new());
        let request = request(components[0], &components, &Prompts::new(), &beginning, &traces).unwrap();
        insta::assert_snapshot!(request.inputs["prompt"].as_str().unwrap());
    }

    #[test]
    fn records_are_bounded_and_never_none() {
        let long = "x".repeat(MAX_RECORDS_CHARS + 1);
        assert_eq!(bounded([(1, long.clone()), (2, "short".to_owned())].into_iter()), [(1, long)]);
        assert_eq!(bounded([(1, "a".to_owned()), (2, "b".to_owned())].into_iter()).len(), 2);
    }

    #[test]
    fn the_request_says_how_many_records_it_leaves_out() {
        use promptopt_core::program::Module as _;

        let long = "x".repeat(MAX_VALUE_CHARS);
        let trace = |at: usize| {
            let calls =
                (0..MAX_STEPS).map(|_| step("classify", ("question", &long), Some(("topic", &long)), None));
            let question = format!("{at}");
            let example = Example::new([("question", question.as_str()), ("answer", "Elbe")], ["question"]);
            Arc::new(Trace::new(example).with_steps(calls.collect()).with_score(Score::new(0.0)))
        };
        let program = promptopt_testkit::toy::TwoStage::default();
        let components = program.predictors();
        let said = |traces: &[Arc<Trace>]| {
            let beginning = Beginning::Present(Vec::new());
            let request = request(components[0], &components, &Prompts::new(), &beginning, traces).unwrap();
            request.inputs["prompt"]
                .as_str()
                .unwrap()
                .lines()
                .find(|line| line.starts_with("Left out"))
                .map(str::to_owned)
        };
        // A record has eight values of two thousand characters, and three such records fit.
        let traces: Vec<_> = (0..5).map(trace).collect();
        assert_eq!(said(&traces[..3]), None);
        let line = said(&traces).unwrap();
        assert_eq!(line, "Left out of this request: 2 more.");
    }

    #[test]
    fn a_failure_is_feedback() {
        let trace =
            Trace::new(Example::new([("question", "Which river?"), ("answer", "Elbe")], ["question"]))
                .with_steps(vec![step(
                    "answer",
                    ("question", "Which river?"),
                    None,
                    Some("the field `answer` is missing"),
                )])
                .with_error(Failure::new(FailureKind::Reply, "predictor `answer` got a reply it cannot use"));
        insta::assert_snapshot!(record(&trace, "answer"));
        assert!(record(&trace, "other").contains("was not reached"));
    }
}
