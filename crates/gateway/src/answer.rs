//! What a program answers, as a prediction.

use promptopt_core::data::{Fields, Prediction, plain_text, shown};
use promptopt_core::signature::{FieldType, Signature};
use promptopt_core::trace::Step;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;

/// The most steps that a program may tell of one question.
const MAX_STEPS: usize = 256;

/// What a program answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) prediction: Prediction,
    /// What it says that its predictors did.
    pub(crate) steps: Vec<Step>,
}

/// What a program says of one of its predictors.
#[derive(Deserialize)]
struct Told {
    component: String,
    #[serde(default)]
    inputs: Fields,
    #[serde(default)]
    outputs: Fields,
    #[serde(default)]
    error: Option<String>,
}

/// The answer in an object with `outputs` or `error`, and `steps` where it tells them. Without either, the object is the
/// outputs where `bare` says so.
pub(crate) fn of_object(
    mut fields: Map<String, Value>,
    signature: &Signature,
    bare: bool,
) -> Result<Result<Answer, String>, Error> {
    if let Some(error) = fields.remove("error").filter(|error| !error.is_null()) {
        return Ok(Err(plain_text(&error)));
    }
    let Some(outputs) = fields.remove("outputs") else {
        return match bare {
            true => of_value(Value::Object(fields), signature).map(Ok),
            false => Ok(Err("its answer has neither `outputs` nor `error`".to_owned())),
        };
    };
    let steps = steps(fields.remove("steps").unwrap_or_default())?;
    of_value(outputs, signature).map(|answer| Ok(Answer { steps, ..answer }))
}

fn steps(told: Value) -> Result<Vec<Step>, Error> {
    let told: Option<Vec<Told>> = serde_json::from_value(told).map_err(|error| Error::Answer {
        reason: format!(
            "its `steps` are to be a list of objects with `component`, `inputs` and `outputs` ({error})"
        ),
    })?;
    let told = told.into_iter().flatten().take(MAX_STEPS).map(|told| {
        Step::new(told.component).with_inputs(told.inputs).with_outputs(told.outputs).with_error(told.error)
    });
    Ok(told.collect())
}

/// Outputs of a program: an object with the outputs, or, where there is one output, its value.
pub(crate) fn of_value(value: Value, signature: &Signature) -> Result<Answer, Error> {
    let wrong = |reason: String| Err(Error::Answer { reason });
    let outputs = signature.outputs();
    let mut given = match (value, outputs) {
        (Value::Object(fields), outputs) if outputs.iter().any(|field| fields.contains_key(&field.name)) => {
            fields
        }
        (value, [only]) => Fields::from_iter([(only.name.clone(), value)]),
        (value, _) => {
            let names: Vec<String> = outputs.iter().map(|field| format!("`{}`", field.name)).collect();
            return wrong(format!("it is {}, and not an object with {}", shown(&value), names.join(", ")));
        }
    };
    for field in outputs {
        let value = given.remove(&field.name).unwrap_or_default();
        if value.is_null() && !matches!(field.kind, FieldType::Optional(_)) {
            return wrong(format!("the field `{}` is missing", field.name));
        }
        match field.kind.read(value) {
            Ok(value) => given.insert(field.name.clone(), value),
            Err(found) => {
                return wrong(format!(
                    "the field `{}` should be {}, but is {}",
                    field.name,
                    field.kind,
                    shown(&found)
                ));
            }
        };
    }
    Ok(Answer { prediction: Prediction::new(given), steps: Vec::new() })
}

/// Outputs in what a program wrote: JSON, or a text where there is one output.
pub(crate) fn of_text(text: &str, signature: &Signature) -> Result<Result<Answer, String>, Error> {
    let text = text.trim();
    // Programs log to standard output as well: the last line may be the object.
    let lines = text.lines().rev().find(|line| !line.trim().is_empty());
    let object =
        [Some(text), lines].into_iter().flatten().find_map(|text| serde_json::from_str(text.trim()).ok());
    match object {
        Some(Value::Object(fields))
            if names_no_output(&fields, signature)
                && (fields.contains_key("outputs") || fields.contains_key("error")) =>
        {
            of_object(fields, signature, true)
        }
        Some(value @ Value::Object(_)) => of_value(value, signature).map(Ok),
        _ => of_value(text.into(), signature).map(Ok),
    }
}

/// Whether an object has none of the outputs itself.
fn names_no_output(fields: &Map<String, Value>, signature: &Signature) -> bool {
    !signature.outputs().iter().any(|field| fields.contains_key(&field.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signature: &str, text: &str, expected: Result<&str, &str>) {
        let signature = Signature::parse(signature).unwrap();
        let read = of_text(text, &signature)
            .map(|read| Value::Object(read.unwrap().prediction.into_fields()).to_string());
        match (read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn answers_are_texts_or_objects() {
        check("q -> a", " Paris \n", Ok(r#"{"a":"Paris"}"#));
        check("q -> a", "7", Ok(r#"{"a":"7"}"#));
        check("q -> a: int", "7\n", Ok(r#"{"a":7}"#));
        check("q -> a: int", "seven", Err("the field `a` should be int, but is the text `seven`"));
        check("q -> a", r#"{"a": "Paris", "why": 1}"#, Ok(r#"{"why":1,"a":"Paris"}"#));
        check("q -> a, b: int", "loading…\n{\"a\": \"x\", \"b\": \"2\"}\n", Ok(r#"{"a":"x","b":2}"#));
        check("q -> a, b: int", "x", Err("not an object with `a`, `b`"));
        check("q -> a, b: int", r#"{"a": "x"}"#, Err("`b` is missing"));
        check("q -> a, b: int?", r#"{"a": "x"}"#, Ok(r#"{"a":"x","b":null}"#));
        check("q -> a: object", r#"{"x": 1}"#, Ok(r#"{"a":{"x":1}}"#));
        check("q -> a", r#"{"outputs": {"a": "Paris"}, "steps": []}"#, Ok(r#"{"a":"Paris"}"#));
        check("q -> outputs", r#"{"outputs": "Paris"}"#, Ok(r#"{"outputs":"Paris"}"#));
    }

    #[test]
    fn a_program_may_tell_what_its_predictors_did() {
        let signature = Signature::parse("q -> a").unwrap();
        let read = |text: &str| {
            let fields = serde_json::from_str(text).unwrap();
            of_object(fields, &signature, false)
        };
        let told = r#"{"outputs": "Paris", "steps": [{"component": "find", "inputs": {"q": "?"}, "outputs": {"city": "Paris"}}]}"#;
        let answer = read(told).unwrap().unwrap();
        let step = &answer.steps[0];
        assert_eq!((step.predictor.as_str(), &step.outputs["city"]), ("find", &"Paris".into()));
        assert!(
            read(r#"{"outputs": "a", "steps": [{"inputs": 1}]}"#)
                .unwrap_err()
                .to_string()
                .contains("`component`")
        );
        assert_eq!(of_text("checking…\n{\"error\": \"no\"}", &signature).unwrap().unwrap_err(), "no");
        assert_eq!(read(r#"{"error": "no"}"#).unwrap().unwrap_err(), "no");
        assert!(read("{}").unwrap().unwrap_err().contains("neither"));
    }
}
