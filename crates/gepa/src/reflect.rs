//! Reflection: what the prompt model is shown of a parent's runs, and how its reply is read.

use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior};
use promptopt_core::{Error, Fields, Predictor, Prompts, Trace, plain_text, shorten};
use serde::Serialize;

/// Values in a record are cut to this many characters.
const MAX_VALUE_CHARS: usize = 2000;
/// All records of a request together have at most so many characters; what is beyond is left out.
const MAX_RECORDS_CHARS: usize = 60_000;
/// Calls of one component shown of one run.
const MAX_STEPS: usize = 4;
/// The most characters of an instruction.
const MAX_INSTRUCTION_CHARS: usize = 20_000;

/// One record of the reflective data set: what a component was given and wrote in one run, and
/// what came of it. A failure of the run is feedback like any other.
pub fn record(trace: &Trace, component: &str) -> String {
    let mut text = String::new();
    let mut values = |prefix: &str, fields: &Fields| {
        for (name, value) in fields {
            let _ = writeln!(text, "{prefix}{name}: {}", shorten(&plain_text(value), MAX_VALUE_CHARS));
        }
    };
    let steps: Vec<_> =
        trace.steps.iter().filter(|step| step.predictor == component).take(MAX_STEPS).collect();
    let own_outputs = match steps.as_slice() {
        [only] if trace.steps.len() == 1 => Some(&only.outputs),
        _ => None,
    };
    if steps.is_empty() {
        values("", &trace.example.inputs());
    }
    for step in &steps {
        values("", &step.inputs);
        values("written ", &step.outputs);
    }
    // What the whole system answered, where that is not what this component wrote.
    if let Some(prediction) = &trace.prediction
        && own_outputs != Some(prediction.fields())
    {
        values("final ", prediction.fields());
    }
    values("expected ", &trace.example.labels());
    for error in steps.iter().filter_map(|step| step.error.as_deref()) {
        let _ = writeln!(text, "this component failed: {}", shorten(error, MAX_VALUE_CHARS));
    }
    if steps.is_empty() {
        text.push_str("this component was not reached\n");
    }
    if let Some(score) = &trace.score {
        let _ = writeln!(text, "score: {}", score.value);
        for (name, value) in &score.objectives {
            let _ = writeln!(text, "score in {name}: {value}");
        }
        if let Some(feedback) = &score.feedback {
            let _ = writeln!(text, "feedback: {}", shorten(feedback, MAX_VALUE_CHARS));
        }
    }
    if let Some(failure) = &trace.error {
        let _ = writeln!(text, "the run failed: {}", shorten(&failure.message, MAX_VALUE_CHARS));
    }
    text.truncate(text.trim_end().len());
    text
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
    traces: &[Arc<Trace>],
) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Other {
        path: String,
        signature: String,
    }
    #[derive(Serialize)]
    struct Values<'a> {
        component: &'a str,
        signature: String,
        instruction: &'a str,
        records: Vec<String>,
        others: Vec<Other>,
    }
    let path = component.path();
    let instruction = prompts
        .get(path)
        .map_or(component.prompt().instruction.as_str(), |prompt| prompt.instruction.as_str());
    let others = components
        .iter()
        .filter(|other| other.path() != path)
        .map(|other| Other { path: other.path().to_owned(), signature: other.signature().to_string() });
    let values = Values {
        component: path,
        signature: component.signature().to_string(),
        instruction,
        records: bounded(traces.iter().map(|trace| record(trace, path))),
        others: others.collect(),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .render_str(include_str!("../prompts/reflect.md"), minijinja::value::Serde(values))
        .map(|text| text.trim().to_owned())
        .map_err(|source| Error::stage("reflection", source))
}

/// The first records that fit together; at least one.
fn bounded(records: impl Iterator<Item = String>) -> Vec<String> {
    let mut room = MAX_RECORDS_CHARS;
    let mut fitting = Vec::new();
    for record in records {
        let length = record.chars().count();
        if length > room && !fitting.is_empty() {
            break;
        }
        room = room.saturating_sub(length);
        fitting.push(record);
    }
    fitting
}

/// Reads the new instruction out of a reply: the text between the first and the last fence of three
/// backticks, without a language tag.
///
/// # Errors
///
/// Why the reply cannot be used. It is never taken as it is.
pub fn read_reply(reply: &str) -> Result<String, &'static str> {
    const FENCE: &str = "```";
    let Some((_, after)) = reply.split_once(FENCE) else {
        return Err("no instruction between fences");
    };
    let Some((inner, _)) = after.rsplit_once(FENCE) else {
        return Err("the fence is not closed");
    };
    // A single word behind the opening fence is a language tag.
    let is_tag = |line: &str| {
        !line.is_empty()
            && line.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-_.#".contains(letter))
    };
    let text = match inner.split_once('\n') {
        Some((first, rest)) if is_tag(first.trim_end()) => rest,
        _ => inner,
    };
    usable(text)
}

/// The text without white space at its ends, if it can be an instruction.
///
/// # Errors
///
/// Why it cannot.
pub(crate) fn usable(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if !text.chars().any(char::is_alphanumeric) {
        return Err("empty");
    }
    if text.chars().count() > MAX_INSTRUCTION_CHARS {
        return Err("too long");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use promptopt_core::{Example, Failure, FailureKind, Prediction, Score, Step};
    use proptest::prelude::*;

    fn check(reply: &str, expected: Result<&str, &'static str>) {
        assert_eq!(read_reply(reply).as_deref(), expected.as_ref().map(|text| *text), "{reply:?}");
    }

    #[test]
    fn replies_are_read_between_the_outer_fences() {
        check("Here:\n```\nAnswer briefly.\n```\nDone.", Ok("Answer briefly."));
        check("```markdown\nAnswer.\n\nBe exact.\n```", Ok("Answer.\n\nBe exact."));
        check("```Answer briefly.```", Ok("Answer briefly."));
        check("```text\nUse\n```json\n{}\n```\nas form.\n```", Ok("Use\n```json\n{}\n```\nas form."));
        check("Answer briefly.", Err("no instruction between fences"));
        check("```\nAnswer briefly.", Err("the fence is not closed"));
        check("``````", Err("empty"));
        check("```\n \n```", Err("empty"));
        check("```text\n```", Err("empty"));
        check("", Err("no instruction between fences"));
        check(&format!("```\n{}\n```", "long ".repeat(5000)), Err("too long"));
    }

    proptest! {
        #[test]
        fn no_reply_is_a_panic_and_none_keeps_a_fence_at_its_ends(reply in "[`a\n ]{0,40}") {
            if let Ok(text) = read_reply(&reply) {
                prop_assert!(text.contains('a') && text == text.trim());
            }
        }
    }

    fn step(predictor: &str, input: (&str, &str), output: Option<(&str, &str)>, error: Option<&str>) -> Step {
        let fields = |(name, value): (&str, &str)| Fields::from_iter([(name.to_owned(), value.into())]);
        Step {
            predictor: predictor.to_owned(),
            inputs: fields(input),
            outputs: output.map(fields).unwrap_or_default(),
            error: error.map(str::to_owned),
            ..Step::default()
        }
    }

    #[test]
    fn a_record_tells_what_the_component_did_and_what_came_of_it() {
        let trace = Trace {
            example: Example::new([("question", "Which river?"), ("answer", "Elbe")], ["question"]).into(),
            prediction: Some(Prediction::from_iter([("answer", "Rhine")])),
            steps: vec![
                step("classify", ("question", "Which river?"), Some(("topic", "rivers")), None),
                step("answer", ("topic", "rivers"), Some(("answer", "Rhine")), None),
            ],
            score: Some(Score::new(0.0).with_feedback("The Elbe flows there.").with_objective("short", 1.0)),
            ..Trace::default()
        };
        insta::assert_snapshot!(record(&trace, "classify"));
    }

    #[test]
    fn the_request_as_it_goes_over_the_wire() {
        use promptopt_core::Module as _;

        let trace = |question: &str, written: &str, expected: &str, score: f64| {
            Arc::new(Trace {
                example: Example::new([("question", question), ("answer", expected)], ["question"]).into(),
                prediction: Some(Prediction::from_iter([("answer", written)])),
                steps: vec![
                    step("classify", ("question", question), Some(("topic", "rivers")), None),
                    step("answer", ("topic", "rivers"), Some(("answer", written)), None),
                ],
                score: Some(Score::new(score)),
                ..Trace::default()
            })
        };
        let program = promptopt_testkit::toy::TwoStage::default();
        let components = program.predictors();
        let traces = [
            trace("Which river flows through Hamburg?", "Rhine", "Elbe", 0.0),
            trace("And through Cologne?", "Rhine", "Rhine", 1.0),
        ];
        let text = request(components[0], &components, &Prompts::new(), &traces).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn records_are_bounded_and_never_none() {
        let long = "x".repeat(MAX_RECORDS_CHARS + 1);
        assert_eq!(bounded([long.clone(), "short".to_owned()].into_iter()), [long]);
        assert_eq!(bounded(["a".to_owned(), "b".to_owned()].into_iter()).len(), 2);
    }

    #[test]
    fn a_failure_is_feedback() {
        let trace = Trace {
            example: Example::new([("question", "Which river?"), ("answer", "Elbe")], ["question"]).into(),
            steps: vec![step(
                "answer",
                ("question", "Which river?"),
                None,
                Some("the field `answer` is missing"),
            )],
            error: Some(Failure {
                kind: FailureKind::Reply,
                message: "predictor `answer` got a reply it cannot use".into(),
                fatal: false,
            }),
            ..Trace::default()
        };
        insta::assert_snapshot!(record(&trace, "answer"));
        assert!(record(&trace, "other").contains("was not reached"));
    }
}
