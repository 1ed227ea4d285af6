//! Whether two sets of examples have inputs in common.

use std::collections::HashMap;

use promptopt_core::data::{ContentHash, Example, Fields};

/// Two examples of different sets that have the same inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overlap {
    /// Index of the first such example in the first set.
    pub first: usize,
    /// Index of the example in the second set.
    pub second: usize,
}

/// The examples of `second` whose inputs stand in `first` too, in the order of `second`: a leak,
/// when one is for learning and the other for measuring.
///
/// Inputs are the same when they have equal names and values, in whatever order; labels do not
/// count. An example that does not know its inputs is compared as a whole.
///
/// ```
/// use promptopt_core::data::Example;
/// use promptopt_data::overlap;
///
/// let row = |question: &str, answer: &str| Example::new([("question", question), ("answer", answer)], ["question"]);
/// let train = [row("1 + 1?", "2"), row("2 + 2?", "4")];
/// let test = [row("3 + 3?", "6"), row("2 + 2?", "four")];
/// let leaks = overlap(&train, &test);
/// assert_eq!((leaks.len(), leaks[0].first, leaks[0].second), (1, 1, 1));
/// ```
pub fn overlap(first: &[Example], second: &[Example]) -> Vec<Overlap> {
    let mut places = HashMap::new();
    for (index, example) in first.iter().enumerate() {
        places.entry(input_hash(example)).or_insert(index);
    }
    let place =
        |(second, example)| places.get(&input_hash(example)).map(|first| Overlap { first: *first, second });
    second.iter().enumerate().filter_map(place).collect()
}

/// A hash of the content of an example's inputs, independent of the order of names.
pub(crate) fn input_hash(example: &Example) -> ContentHash {
    ContentHash::of(&input_content(example))
}

/// An example's inputs, or all its fields where it does not know them, in the order of names.
pub(crate) fn input_content(example: &Example) -> Fields {
    let inputs = example.inputs();
    let mut content: Fields = if inputs.is_empty() { example.fields().clone() } else { inputs };
    content.sort_keys();
    content.values_mut().for_each(serde_json::Value::sort_all_objects);
    content
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(first: serde_json::Value, second: serde_json::Value, same: bool) {
        let example =
            |value: &serde_json::Value| Example::new(value.as_object().unwrap().clone(), ["a", "b"]);
        assert_eq!(
            overlap(&[example(&first)], &[example(&second)]).len(),
            usize::from(same),
            "{first} {second}"
        );
    }

    #[test]
    fn inputs_are_compared_by_content() {
        check(json!({"a": 1, "b": {"x": 1, "y": 2}}), json!({"b": {"y": 2, "x": 1}, "a": 1}), true);
        check(json!({"a": 1, "label": 1}), json!({"a": 1, "label": 2}), true);
        check(json!({"a": 1}), json!({"a": "1"}), false);
        check(json!({"a": "x"}), json!({"b": "x"}), false);
        check(json!({"c": 1}), json!({"c": 2}), false);
    }
}
