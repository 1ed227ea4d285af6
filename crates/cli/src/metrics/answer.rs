//! What a command metric writes on a line, read so that one bad answer spoils its own row and no other.

use std::collections::BTreeMap;

use promptopt_core::data::{Score, shorten};
use serde_json::{Map, Value};

/// How much of a line an error shows, in characters.
const SHOWN: usize = 200;

/// What an answer says of its row, or why it says nothing.
pub(super) type Said = Result<Score, String>;

/// Reads a line: the id of the question, and what it says. `None` where it names no question.
pub(super) fn read(line: &str) -> Option<(u64, Said)> {
    let shown = || shorten(line, SHOWN);
    match serde_json::from_str::<Value>(line) {
        Ok(answer) => {
            let answer = answer.as_object()?;
            let id = id(answer.get("id")?)?;
            Some((id, score(answer).map_err(|reason| format!("{reason}: {}", shown()))))
        }
        Err(error) => {
            let hint = if has_odd_number(line) { "; NaN and Infinity are no scores" } else { "" };
            Some((id_in(line)?, Err(format!("the answer is no JSON ({error}{hint}): {}", shown()))))
        }
    }
}

/// The id in a line that is no JSON.
fn id_in(line: &str) -> Option<u64> {
    let (_, behind) = line.split_once("\"id\"")?;
    let number = behind.trim_start().strip_prefix(':')?.trim_start().trim_start_matches('"');
    let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number.get(..end)?.parse().ok()
}

/// Whether a line has a number as some languages write it and JSON does not.
fn has_odd_number(line: &str) -> bool {
    let mut words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && !"+-.".contains(letter));
    words.any(|word| word.parse::<f64>().is_ok_and(|number| !number.is_finite()))
}

/// An id as a number, or as a text that holds one.
fn id(value: &Value) -> Option<u64> {
    let as_float = || value.as_f64().filter(|id| *id >= 0.0 && id.fract() == 0.0).map(|id| id as u64);
    value.as_u64().or_else(as_float).or_else(|| value.as_str()?.trim().parse().ok())
}

fn score(answer: &Map<String, Value>) -> Said {
    let known = ["id", "score", "feedback", "objectives", "error"];
    if let Some(other) = answer.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("the answer has a field `{other}`; known are {}", known.join(", ")));
    }
    let given = |name: &str| answer.get(name).filter(|value| !value.is_null());
    if let Some(error) = given("error") {
        let said = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        return Err(format!("the metric says: {}", shorten(&said, 500)));
    }
    let value = match (answer.get("score"), given("score").and_then(Value::as_f64)) {
        (_, Some(value)) => value,
        (None, None) => return Err("the answer came without a `score`".to_owned()),
        (Some(other), None) => {
            return Err(format!("the `score` must be a number, but is {}", shorten(&other.to_string(), 80)));
        }
    };
    let mut score = Score::new(value);
    score.feedback = match given("feedback") {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => return Err("the `feedback` must be a text".to_owned()),
    };
    score.objectives = match given("objectives") {
        None => BTreeMap::new(),
        Some(Value::Object(named)) => {
            let number = |(name, value): (&String, &Value)| {
                let number =
                    value.as_f64().ok_or_else(|| format!("the objective `{name}` must be a number"))?;
                Ok((name.clone(), number))
            };
            named.iter().map(number).collect::<Result<_, String>>()?
        }
        Some(_) => return Err("the `objectives` must be an object of numbers".to_owned()),
    };
    match score.flaw() {
        None => Ok(score),
        Some(flaw) => Err(format!("the metric {flaw}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bad_answer_names_its_question_and_says_why() {
        let check = |line: &str, says: &str| {
            let (id, said) = read(line).unwrap();
            assert_eq!(id, 10, "{line}");
            let reason = said.unwrap_err();
            assert!(reason.contains(says), "{line}: {reason}");
        };
        for odd in ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "1e999"] {
            check(&format!(r#"{{"id": 10, "score": {odd}}}"#), "; NaN and Infinity are no scores");
            check(&format!(r#"{{"objectives": {{"cost": {odd}}}, "id" : "10"}}"#), "the answer is no JSON");
        }
        check(r#"{"id": 10, "score":"#, "the answer is no JSON (EOF");
        check(r#"{"feedback": "\ud83d", "id": 10, "score": 1}"#, "the answer is no JSON");
        check(
            r#"{"id": 10, "score": 1, "objectives": {"cost": "1"}}"#,
            "the objective `cost` must be a number",
        );
        check(r#"{"id": 10, "score": null}"#, "the `score` must be a number, but is null");
        check(r#"{"id": 10, "score": "0.5"}"#, "must be a number, but is \"0.5\"");
        check(r#"{"id": 10, "score": true}"#, "must be a number, but is true");
        check(r#"{"id": 10, "score": [1]}"#, "must be a number, but is [1]");
        check(r#"{"id": 10}"#, "without a `score`");
        check(r#"{"id": 10, "score": 1e308}"#, "the largest score is 1e12");
        check(r#"{"id": 10, "score": -1}"#, "must be 0 or more");
        check(r#"{"id": 10, "score": 1, "feedback": 3}"#, "`feedback` must be a text");
        check(r#"{"id": 10, "score": 1, "objectives": [1]}"#, "`objectives` must be an object");
        check(r#"{"id": 10, "score": 1, "note": "x"}"#, "a field `note`; known are id, score");
        check(r#"{"id": "10", "error": "bad label"}"#, "the metric says: bad label");
        check(r#"{"id": 10.0, "error": {"code": 3}}"#, r#"says: {"code":3}"#);
    }

    #[test]
    fn a_good_answer_is_read_whatever_its_feedback_holds() {
        let (id, said) =
            read(r#"{"id": 7, "score": 0.5, "feedback": "NaN, \"Infinity\" \\", "objectives": null}"#)
                .unwrap();
        assert_eq!((id, said.unwrap().feedback.as_deref()), (7, Some("NaN, \"Infinity\" \\")));
    }

    #[test]
    fn a_line_that_names_no_question_is_none() {
        for line in
            ["hello", "3", "[]", "{}", r#"{"score": 1}"#, r#"{"id": null}"#, r#"{"id": -1}"#, r#"{"id": x"#]
        {
            assert!(read(line).is_none(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "\\PC{0,80}", json in r#"[{}\[\]:,"a-zA-Z0-9.\\ -]{0,60}"#) {
            read(&line);
            read(&json);
            let line = format!("{{\"id\": 1, \"x\": {json}");
            prop_assert!(read(&line).is_none_or(|(id, _)| id < u64::MAX));
        }
    }
}
