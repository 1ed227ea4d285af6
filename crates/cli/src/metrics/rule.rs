//! Rules that compare one value with the expected one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use promptopt_core::data::plain_text;
use regex::Regex;
use serde_json::{Map, Value};

use super::verdict::{Verdict, quoted};
use crate::task_file::{MetricKind, MetricSection};

/// How a value is compared.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    Exact,
    Normalized,
    Contains,
    Regex(Regex),
    Numeric { absolute: f64, relative: f64 },
    F1,
    Json { keys: Option<Vec<String>> },
    Set,
}

impl Rule {
    /// The rule of a metric; `None` for metrics that are no comparison.
    pub(super) fn of(section: &MetricSection) -> anyhow::Result<Option<Self>> {
        Ok(Some(match section.kind {
            MetricKind::Exact => Self::Exact,
            MetricKind::Normalized => Self::Normalized,
            MetricKind::Contains => Self::Contains,
            MetricKind::Regex => {
                let pattern = section.pattern.as_deref().unwrap_or_default();
                Self::Regex(Regex::new(pattern).context("`metric.pattern` is not a regular expression")?)
            }
            MetricKind::Numeric => Self::Numeric {
                absolute: section.tolerance.unwrap_or(0.0),
                relative: section.relative_tolerance.unwrap_or(0.0),
            },
            MetricKind::F1 => Self::F1,
            MetricKind::Json => Self::Json { keys: section.keys.clone() },
            MetricKind::Set => Self::Set,
            MetricKind::Judge | MetricKind::Command => return Ok(None),
        }))
    }

    /// Whether it can judge without an expected value.
    pub(super) fn needs_label(&self) -> bool {
        match self {
            Self::Regex(pattern) => pattern.captures_len() > 1,
            _ => true,
        }
    }

    /// Judges a value.
    pub(super) fn judge(&self, expected: &Value, given: &Value) -> Verdict {
        let (expected_text, given_text) = (plain_text(expected), plain_text(given));
        let (expected_text, given_text) = (expected_text.trim(), given_text.trim());
        let mismatch = |right: bool| match right {
            true => Verdict::right(),
            false => {
                Verdict::wrong(0.0, format!("expected {}, got {}", quoted(expected_text), quoted(given_text)))
            }
        };
        match self {
            Self::Exact => mismatch(expected_text == given_text),
            Self::Normalized => mismatch(words(expected_text) == words(given_text)),
            Self::Contains if given_text.to_lowercase().contains(&expected_text.to_lowercase()) => {
                Verdict::right()
            }
            Self::Contains => Verdict::wrong(
                0.0,
                format!(
                    "expected an answer that contains {}, got {}",
                    quoted(expected_text),
                    quoted(given_text)
                ),
            ),
            Self::Regex(pattern) => regex(pattern, expected_text, given_text),
            Self::Numeric { absolute, relative } => numeric(expected_text, given_text, *absolute, *relative),
            Self::F1 => f1(expected_text, given_text),
            Self::Json { keys } => json(keys.as_deref(), expected, given),
            Self::Set => set(expected, given),
        }
    }
}

/// The words of a text, case and punctuation aside.
fn words(text: &str) -> Vec<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn regex(pattern: &Regex, expected: &str, given: &str) -> Verdict {
    let Some(found) = pattern.captures(given) else {
        return Verdict::wrong(
            0.0,
            format!("{} does not match the pattern {}", quoted(given), quoted(pattern.as_str())),
        );
    };
    match found.get(1) {
        Some(group) if group.as_str().trim() != expected => {
            Verdict::wrong(0.0, format!("expected {}, got {}", quoted(expected), quoted(group.as_str())))
        }
        None if pattern.captures_len() > 1 => {
            Verdict::wrong(0.0, format!("{} has nothing where the pattern's group stands", quoted(given)))
        }
        _ => Verdict::right(),
    }
}

fn numeric(expected: &str, given: &str, absolute: f64, relative: f64) -> Verdict {
    let Some(right) = number(expected) else {
        return Verdict::wrong(0.0, format!("the expected value {} is not a number", quoted(expected)));
    };
    let Some(value) = number(given) else {
        return Verdict::wrong(
            0.0,
            format!("expected the number {right}, got {}, which has none", quoted(given)),
        );
    };
    let off = (value - right).abs();
    // Decimal fractions have no exact binary form.
    let slack = 1e-9 * right.abs().max(1.0);
    if off <= absolute.max(relative * right.abs()) + slack {
        return Verdict::right();
    }
    let direction = if value > right { "too high" } else { "too low" };
    Verdict::wrong(0.0, format!("expected {right}, got {value}, {off} {direction}"))
}

/// The number that a text is, or the last one in it. Commas between digits are taken for separators of
/// thousands.
fn number(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return Some(number).filter(|number| number.is_finite());
    }
    let letters: Vec<char> = text.chars().collect();
    let mut last = None;
    let mut token = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let next_is_digit = letters.get(index + 1).is_some_and(char::is_ascii_digit);
        match letter {
            digit if digit.is_ascii_digit() => token.push(*digit),
            '-' | '+' if token.is_empty() && next_is_digit => token.push(*letter),
            '.' if next_is_digit && !token.contains('.') => token.push('.'),
            ',' if next_is_digit && token.ends_with(|end: char| end.is_ascii_digit()) => {}
            _ => {
                last = token.parse::<f64>().ok().or(last);
                token.clear();
            }
        }
    }
    token.parse::<f64>().ok().or(last)
}

fn f1(expected: &str, given: &str) -> Verdict {
    let (expected_words, given_words) = (counts(expected), counts(given));
    let total = |words: &BTreeMap<String, usize>| words.values().sum::<usize>();
    let shared: usize =
        expected_words.iter().map(|(word, n)| given_words.get(word).map_or(0, |other| *n.min(other))).sum();
    let all = total(&expected_words) + total(&given_words);
    let score = if all == 0 { 1.0 } else { 2.0 * shared as f64 / all as f64 };
    if score >= 1.0 {
        return Verdict::right();
    }
    let missing = list(expected_words.keys().filter(|word| !given_words.contains_key(*word)));
    let needless = list(given_words.keys().filter(|word| !expected_words.contains_key(*word)));
    let mut text = format!("expected {}, got {}", quoted(expected), quoted(given));
    for (what, words) in [("missing words", missing), ("needless words", needless)] {
        if !words.is_empty() {
            text.push_str(&format!("; {what}: {words}"));
        }
    }
    Verdict::wrong(score, text)
}

fn counts(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in words(text) {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

/// At most twenty of the words.
fn list<'a>(words: impl Iterator<Item = &'a String>) -> String {
    words.take(20).map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn json(keys: Option<&[String]>, expected: &Value, given: &Value) -> Verdict {
    let Some(expected) = object(expected) else {
        return Verdict::wrong(0.0, "the expected value is not a JSON object");
    };
    let Some(given_object) = object(given) else {
        return Verdict::wrong(0.0, format!("expected a JSON object, got {}", quoted(&plain_text(given))));
    };
    let keys: Vec<&String> = match keys {
        Some(keys) => keys.iter().collect(),
        None => expected.keys().collect(),
    };
    let mut wrong = Vec::new();
    for key in &keys {
        let (right, value) = (expected.get(*key).unwrap_or(&Value::Null), given_object.get(*key));
        match value {
            Some(value) if same(right, value) => {}
            None if right.is_null() => {}
            None => wrong.push(format!("`{key}` is missing, expected {}", quoted(&plain_text(right)))),
            Some(value) => wrong.push(format!(
                "`{key}`: expected {}, got {}",
                quoted(&plain_text(right)),
                quoted(&plain_text(value))
            )),
        }
    }
    if wrong.is_empty() {
        return Verdict::right();
    }
    Verdict::wrong(1.0 - wrong.len() as f64 / keys.len() as f64, wrong.join("; "))
}

/// A value as an object; a text that holds one counts.
fn object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    }
}

/// Whether two values are equal; 1 and 1.0 are, and texts are without white space around them.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::String(one), Value::String(other)) => one.trim() == other.trim(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        (one, other) => one == other,
    }
}

fn set(expected: &Value, given: &Value) -> Verdict {
    let (expected, given) = (items(expected), items(given));
    let shared = expected.intersection(&given).count();
    let all = expected.union(&given).count();
    if shared == all {
        return Verdict::right();
    }
    let mut parts = Vec::new();
    for (what, items) in [("missing", expected.difference(&given)), ("wrong", given.difference(&expected))] {
        let items = list(items);
        if !items.is_empty() {
            parts.push(format!("{what}: {items}"));
        }
    }
    Verdict::wrong(shared as f64 / all as f64, parts.join("; "))
}

/// The items of a list, case and white space aside. A text is a JSON list, or its items stand between
/// commas, semicolons or line ends.
fn items(value: &Value) -> BTreeSet<String> {
    let clean = |text: &str| text.trim().to_lowercase();
    let all: Vec<String> = match value {
        Value::Array(items) => items.iter().map(|item| clean(&plain_text(item))).collect(),
        Value::String(text) => match serde_json::from_str::<Vec<Value>>(text.trim()) {
            Ok(items) => items.iter().map(|item| clean(&plain_text(item))).collect(),
            Err(_) => text.split([',', ';', '\n']).map(clean).collect(),
        },
        other => vec![clean(&plain_text(other))],
    };
    all.into_iter().filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(section: &str, expected: Value, given: Value, score: f64, says: &str) {
        let section: MetricSection = toml::from_str(section).unwrap();
        let verdict = Rule::of(&section).unwrap().unwrap().judge(&expected, &given);
        assert!((verdict.score - score).abs() < 1e-9, "{given}: {verdict:?}");
        let wrong = verdict.wrong.unwrap_or_default();
        assert!(wrong.contains(says) && wrong.is_empty() == says.is_empty(), "{wrong}");
    }

    #[test]
    fn texts_are_compared_as_they_say() {
        check("kind = \"exact\"", json!("New Delhi"), json!(" New Delhi\n"), 1.0, "");
        check(
            "kind = \"exact\"",
            json!("New Delhi"),
            json!("Delhi"),
            0.0,
            "expected `New Delhi`, got `Delhi`",
        );
        check("kind = \"exact\"", json!(7), json!("7"), 1.0, "");
        check("kind = \"normalized\"", json!("New Delhi"), json!("new-delhi."), 1.0, "");
        check("kind = \"contains\"", json!("Delhi"), json!("To new delhi, please"), 1.0, "");
        check("kind = \"contains\"", json!("Delhi"), json!("Rome"), 0.0, "contains `Delhi`");
    }

    #[test]
    fn patterns_match_or_capture() {
        check("kind = \"regex\"\npattern = '^\\d+$'", json!(null), json!("12"), 1.0, "");
        check("kind = \"regex\"\npattern = '^\\d+$'", json!(null), json!("x"), 0.0, "does not match");
        let answer = "kind = \"regex\"\npattern = 'Answer: (\\w+)'";
        check(answer, json!("blue"), json!("So. Answer: blue."), 1.0, "");
        check(answer, json!("blue"), json!("Answer: red"), 0.0, "expected `blue`, got `red`");
        let wrong: MetricSection = toml::from_str("kind = \"regex\"\npattern = '('").unwrap();
        assert!(Rule::of(&wrong).unwrap_err().to_string().contains("`metric.pattern`"));
    }

    #[test]
    fn numbers_may_be_off_by_the_tolerance() {
        check("kind = \"numeric\"", json!(12), json!("about 12.0"), 1.0, "");
        check("kind = \"numeric\"", json!("1,250"), json!("It costs $1250."), 1.0, "");
        check("kind = \"numeric\"\ntolerance = 0.1", json!(0.3), json!(0.4), 1.0, "");
        check("kind = \"numeric\"\ntolerance = 0.1", json!(3), json!(3.5), 0.0, "0.5 too high");
        check("kind = \"numeric\"\nrelative_tolerance = 0.1", json!(-100), json!(-91), 1.0, "");
        check("kind = \"numeric\"", json!(3), json!("three"), 0.0, "which has none");
    }

    #[test]
    fn words_are_counted() {
        check("kind = \"f1\"", json!("the red house"), json!("The red house!"), 1.0, "");
        check(
            "kind = \"f1\"",
            json!("the red house"),
            json!("the blue house"),
            2.0 / 3.0,
            "missing words: red; needless words: blue",
        );
        check("kind = \"f1\"", json!(""), json!(""), 1.0, "");
    }

    #[test]
    fn objects_and_sets_are_compared_by_their_parts() {
        let expected = json!({"city": "Rome", "nights": 2, "note": null});
        check("kind = \"json\"", expected.clone(), json!("{\"city\": \"Rome\", \"nights\": 2.0}"), 1.0, "");
        check(
            "kind = \"json\"",
            expected.clone(),
            json!({"city": "Paris"}),
            1.0 / 3.0,
            "`city`: expected `Rome`, got `Paris`; `nights` is missing",
        );
        check("kind = \"json\"\nkeys = [\"nights\"]", expected.clone(), json!({"nights": 2}), 1.0, "");
        check("kind = \"json\"", expected, json!("Rome"), 0.0, "expected a JSON object");
        check("kind = \"set\"", json!(["a", "b"]), json!("B, a"), 1.0, "");
        check("kind = \"set\"", json!(["a", "b"]), json!(["b", "c"]), 1.0 / 3.0, "missing: a; wrong: c");
    }
}
