//! Rows of one part that stand in another part too, and parts without them.

use std::collections::{HashMap, HashSet};
use std::fmt;

use promptopt_core::data::{ContentHash, Example};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SealedTest;
use crate::overlap::input_content;

/// When two examples count as having the same inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SameInputs {
    /// Equal names and values, in whatever order.
    Exact,
    /// Equal after upper case is made lower case and runs of white space are made one space, in the
    /// texts of the inputs; white space around a text does not count. The default.
    #[default]
    Normalized,
}

/// What two parts have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Common {
    /// The part that learns or selects: `training` or `selection`.
    pub part: String,
    /// The part that measures: `selection` or `test`.
    pub measured: String,
    /// How many examples of `measured` there are.
    pub of: usize,
    /// How many of those have inputs that stand in `part`.
    pub measured_examples: usize,
    /// How many examples of `part` have inputs that stand in `measured`.
    pub part_examples: usize,
    /// The first such example of `part`, counted from 1.
    pub first: usize,
    /// The first example of `measured` that it is the same as, counted from 1.
    pub first_measured: usize,
}

/// What [`leakage`] or [`without_leakage`] found. Its `Display` is a line for each pair of parts
/// that share inputs, and nothing where none do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeakageReport {
    /// The pairs of parts that share inputs.
    pub common: Vec<Common>,
    /// Whether the examples were removed from the part that learns or selects.
    pub removed: bool,
}

impl LeakageReport {
    /// Whether no parts share inputs.
    pub fn is_clean(&self) -> bool {
        self.common.is_empty()
    }
}

impl fmt::Display for LeakageReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, common) in self.common.iter().enumerate() {
            let Common { part, measured, of, measured_examples, part_examples, first, first_measured } =
                common;
            let line_break = if index == 0 { "" } else { "\n" };
            write!(
                formatter,
                "{line_break}{measured_examples} of {of} {measured} examples have the same inputs as {part} \
                 examples (e.g. {measured} example {first_measured} and {part} example {first}); "
            )?;
            match self.removed {
                true => write!(formatter, "the {part_examples} {part} examples were removed")?,
                false => write!(
                    formatter,
                    "the {part_examples} {part} examples were kept, so scores on {measured} may be too high"
                )?,
            }
        }
        Ok(())
    }
}

/// Parts that share no inputs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Kept {
    /// What optimizers learn from, without what stands in selection or test.
    pub train: Vec<Example>,
    /// What candidates are compared on, without what stands in test.
    pub selection: Vec<Example>,
    /// What was removed.
    pub report: LeakageReport,
}

/// What the parts have in common: training with test, selection with test, training with
/// selection. Give parts that come from different files; [`split`](crate::split) makes parts that
/// have nothing in common but for normalization. The test part stays sealed.
pub fn leakage(
    train: &[Example],
    selection: &[Example],
    test: &SealedTest,
    same: SameInputs,
) -> LeakageReport {
    let [train, selection, test] = [keys(train, same), keys(selection, same), keys(test.sealed(), same)];
    LeakageReport { common: found(&train, &selection, &test), removed: false }
}

/// The parts without examples of training that stand in selection or test, and without examples of
/// selection that stand in test. The part that measures keeps its examples, so that its scores can
/// be compared with those of others; either part may be left without any example.
///
/// ```
/// use promptopt_core::data::Example;
/// use promptopt_data::{SameInputs, SealedTest, without_leakage};
///
/// let row = |question: &str| Example::new([("question", question), ("answer", "")], ["question"]);
/// let test = SealedTest::new(vec![row("2 + 2?"), row("who?")]);
/// let kept = without_leakage(vec![row("1 + 1?"), row("Who? ")], vec![row("why?")], &test, SameInputs::Normalized);
/// assert_eq!((kept.train.len(), kept.selection.len()), (1, 1));
/// assert_eq!(
///     kept.report.to_string(),
///     "1 of 2 test examples have the same inputs as training examples (e.g. test example 2 and training example 2); \
///      the 1 training examples were removed"
/// );
/// ```
pub fn without_leakage(
    train: Vec<Example>,
    selection: Vec<Example>,
    test: &SealedTest,
    same: SameInputs,
) -> Kept {
    let [train_keys, selection_keys, test_keys] =
        [keys(&train, same), keys(&selection, same), keys(test.sealed(), same)];
    let report = LeakageReport { common: found(&train_keys, &selection_keys, &test_keys), removed: true };
    let tested: HashSet<&ContentHash> = test_keys.iter().collect();
    let measured: HashSet<&ContentHash> = selection_keys.iter().chain(&test_keys).collect();
    Kept {
        train: without(train, &train_keys, &measured),
        selection: without(selection, &selection_keys, &tested),
        report,
    }
}

fn found(train: &[ContentHash], selection: &[ContentHash], test: &[ContentHash]) -> Vec<Common> {
    let pairs = [
        ("training", train, "test", test),
        ("selection", selection, "test", test),
        ("training", train, "selection", selection),
    ];
    let common = |(name, part, measured_name, measured)| common(name, part, measured_name, measured);
    pairs.into_iter().filter_map(common).collect()
}

fn common(name: &str, part: &[ContentHash], measured_name: &str, measured: &[ContentHash]) -> Option<Common> {
    let mut places: HashMap<&ContentHash, usize> = HashMap::new();
    for (place, key) in measured.iter().enumerate() {
        places.entry(key).or_insert(place);
    }
    let shared: HashSet<&ContentHash> = part.iter().filter(|key| places.contains_key(key)).collect();
    let (first, key) = part.iter().enumerate().find(|(_, key)| shared.contains(key))?;
    Some(Common {
        part: name.to_owned(),
        measured: measured_name.to_owned(),
        of: measured.len(),
        measured_examples: measured.iter().filter(|key| shared.contains(key)).count(),
        part_examples: part.iter().filter(|key| shared.contains(key)).count(),
        first: first + 1,
        first_measured: places.get(key).map_or(0, |place| place + 1),
    })
}

fn without(examples: Vec<Example>, keys: &[ContentHash], taken: &HashSet<&ContentHash>) -> Vec<Example> {
    let pairs = examples.into_iter().zip(keys);
    pairs.filter(|(_, key)| !taken.contains(key)).map(|(example, _)| example).collect()
}

fn keys(examples: &[Example], same: SameInputs) -> Vec<ContentHash> {
    let key = |example| {
        let mut content = input_content(example);
        if same == SameInputs::Normalized {
            content.values_mut().for_each(normalize);
        }
        ContentHash::of(&content)
    };
    examples.iter().map(key).collect()
}

fn normalize(value: &mut Value) {
    match value {
        Value::String(text) => {
            *text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(fields) => fields.values_mut().for_each(normalize),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::overlap;

    fn row(question: &str, answer: &str) -> Example {
        Example::new([("question", question), ("answer", answer)], ["question"])
    }

    fn rows(questions: &[&str]) -> Vec<Example> {
        questions.iter().map(|question| row(question, "a")).collect()
    }

    #[test]
    fn every_pair_of_parts_is_reported() {
        let test = SealedTest::new(rows(&["x", "a", "b", "a"]));
        let report = leakage(&rows(&["q", "a", "s"]), &rows(&["s", "b"]), &test, SameInputs::Exact);
        assert_eq!(
            report.to_string(),
            "2 of 4 test examples have the same inputs as training examples (e.g. test example 2 and training example 2); \
             the 1 training examples were kept, so scores on test may be too high\n\
             1 of 4 test examples have the same inputs as selection examples (e.g. test example 3 and selection example 2); \
             the 1 selection examples were kept, so scores on test may be too high\n\
             1 of 2 selection examples have the same inputs as training examples (e.g. selection example 1 and training example 3); \
             the 1 training examples were kept, so scores on selection may be too high"
        );
        let clean = leakage(&rows(&["q"]), &rows(&["s"]), &test, SameInputs::Normalized);
        assert!(clean.is_clean() && clean.to_string().is_empty());
    }

    #[test]
    fn white_space_and_case_count_only_where_asked() {
        let test = SealedTest::new(rows(&["Who  is\nit?"]));
        let train = || rows(&[" who is it? ", "whois it?"]);
        assert!(leakage(&train(), &[], &test, SameInputs::Exact).is_clean());
        let kept = without_leakage(train(), Vec::new(), &test, SameInputs::Normalized);
        assert_eq!(kept.train, rows(&["whois it?"]));
        assert_eq!(test.len(), 1);
    }

    proptest! {
        #[test]
        fn parts_without_leakage_share_nothing_and_lose_nothing_else(
            [train, selection, test] in prop::array::uniform3(prop::collection::vec("[abAB ]{1,3}", 0..12)),
        ) {
            let make = |texts: &[String]| texts.iter().map(|text| row(text, "a")).collect::<Vec<_>>();
            let (test, before) = (make(&test), make(&train));
            let kept = without_leakage(before.clone(), make(&selection), &SealedTest::new(test.clone()), SameInputs::Exact);
            prop_assert!(overlap(&kept.train, &test).is_empty());
            prop_assert!(overlap(&kept.selection, &test).is_empty());
            prop_assert!(overlap(&kept.train, &make(&selection)).is_empty());
            for example in before.iter().filter(|one| !kept.train.contains(one)) {
                let measured = [make(&selection), test.clone()].concat();
                prop_assert_eq!(overlap(&measured, std::slice::from_ref(example)).len(), 1);
            }
        }
    }
}
