//! Seeded splits that keep train, selection and test apart.

use std::collections::HashMap;

use promptopt_core::data::Example;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::assign::{Group, assign};
use crate::overlap::input_hash;
use crate::portion::totals;
use crate::quota::{Part, PerPart};
use crate::{DataError, Portion, SealedTest, SplitReport, words};

/// How a data set is split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SplitOptions {
    /// What optimizers learn from: traces, demos, descriptions. Default: 0.6.
    pub train: Option<Portion>,
    /// What candidates are compared on. Default: 0.2.
    pub selection: Option<Portion>,
    /// What the winner is measured on, at the end and once. Default: 0.2.
    pub test: Option<Portion>,
    /// Decides which rows go where. Default: 0.
    pub seed: u64,
    /// A field, such as the label, whose values every part has in the same proportion. Default:
    /// none.
    pub stratify_by: Option<String>,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            train: Some(Portion::Ratio(0.6)),
            selection: Some(Portion::Ratio(0.2)),
            test: Some(Portion::Ratio(0.2)),
            seed: 0,
            stratify_by: None,
        }
    }
}

impl SplitOptions {
    /// A split that asks for no part.
    pub const fn nothing() -> Self {
        Self { train: None, selection: None, test: None, seed: 0, stratify_by: None }
    }

    /// With such a train part.
    #[must_use]
    pub fn with_train(mut self, train: impl Into<Option<Portion>>) -> Self {
        self.train = train.into();
        self
    }

    /// With such a selection part.
    #[must_use]
    pub fn with_selection(mut self, selection: impl Into<Option<Portion>>) -> Self {
        self.selection = selection.into();
        self
    }

    /// With such a test part.
    #[must_use]
    pub fn with_test(mut self, test: impl Into<Option<Portion>>) -> Self {
        self.test = test.into();
        self
    }

    /// With a seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With a field that every part has in the same proportion.
    #[must_use]
    pub fn with_stratify_by(mut self, stratify_by: impl Into<Option<String>>) -> Self {
        self.stratify_by = stratify_by.into();
        self
    }
}

/// The parts of a data set. Every row is in exactly one of them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Splits {
    /// What optimizers learn from.
    pub train: Vec<Example>,
    /// What candidates are compared on.
    pub selection: Vec<Example>,
    /// What the winner is measured on.
    pub test: SealedTest,
    /// Rows that no part asked for.
    pub unused: Vec<Example>,
    /// What the split did.
    pub report: SplitReport,
}

/// Splits examples into train, selection and sealed test, in random order.
///
/// Rows with the same inputs go to the same part, so that nothing is measured on what was learnt;
/// where such rows are many, the sizes can differ from those asked for. Otherwise the sizes are
/// exact (ratios rounded), and with [`SplitOptions::stratify_by`] each value's share of each part
/// is its exact proportion, rounded up or down; the value of rows with the same inputs is that
/// of the first. The same examples and options give the same split on every machine.
///
/// # Errors
///
/// [`DataError::InvalidSplit`] when no part is asked for, a portion is out of range, or the portions
/// are more than the whole; [`DataError::TooFewRows`] when there are fewer rows, or fewer different
/// inputs, than needed; [`DataError::MissingStratum`] when an example lacks the field to stratify
/// by.
///
/// ```
/// use promptopt_core::data::Example;
/// use promptopt_data::{SplitOptions, split};
///
/// let row = |n: u64| Example::new([("question", format!("{n} + {n}?")), ("answer", format!("{}", 2 * n))], ["question"]);
/// let parts = split((0..50).map(row).collect(), &SplitOptions::default().with_seed(7))?;
/// assert_eq!(parts.report.to_string(), "50 rows: 30 train, 10 selection, 10 test");
/// # Ok::<(), promptopt_data::DataError>(())
/// ```
pub fn split(examples: Vec<Example>, options: &SplitOptions) -> Result<Splits, DataError> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let order: Vec<u64> = examples.iter().map(|_| rng.next_u64()).collect();
    let (groups, strata) = group(&examples, &order, options.stratify_by.as_deref())?;
    let (totals, asked) = totals(options, examples.len(), groups.len())?;
    let parts = assign(&groups, strata, &totals, &asked);

    let mut placed: Vec<Option<Part>> = vec![None; examples.len()];
    for (group, part) in groups.iter().zip(&parts) {
        for row in &group.rows {
            if let Some(place) = placed.get_mut(*row) {
                *place = Some(*part);
            }
        }
    }
    let mut shuffled: Vec<_> = order.into_iter().zip(placed).zip(examples).collect();
    // A stable sort: rows with equal numbers, rare as they are, stay in the order of the file.
    shuffled.sort_by_key(|((order, _), _)| *order);
    let mut by_part = PerPart::<Vec<Example>>::default();
    for ((_, part), example) in shuffled {
        by_part.get_mut(part.unwrap_or(Part::Rest)).push(example);
    }
    let PerPart { train, selection, test, rest: unused } = by_part;
    let report = SplitReport {
        rows: train.len() + selection.len() + test.len() + unused.len(),
        distinct_inputs: groups.len(),
        train: train.len(),
        selection: selection.len(),
        test: test.len(),
        unused: unused.len(),
    };
    Ok(Splits { train, selection, test: SealedTest::new(test), unused, report })
}

/// Rows by their inputs, in the order of their first rows, and how many strata there are.
fn group(
    examples: &[Example],
    order: &[u64],
    stratify_by: Option<&str>,
) -> Result<(Vec<Group>, usize), DataError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::new();
    let mut strata = HashMap::new();
    for (row, (example, order)) in examples.iter().zip(order).enumerate() {
        let stratum = match stratify_by {
            None => String::new(),
            Some(field) => example.get(field).map(ToString::to_string).ok_or_else(|| {
                let names = words::list(example.fields().keys().map(String::as_str));
                let hint = format!("it has {names}; stratify by a field that every example has");
                DataError::MissingStratum { row: row + 1, field: field.to_owned(), hint }
            })?,
        };
        let place = *places.entry(input_hash(example)).or_insert(groups.len());
        if let Some(group) = groups.get_mut(place) {
            group.rows.push(row);
        } else {
            let count = strata.len();
            let stratum = *strata.entry(stratum).or_insert(count);
            groups.push(Group { rows: vec![row], stratum, order: *order });
        }
    }
    Ok((groups, strata.len()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use promptopt_core::data::ContentHash;
    use proptest::prelude::*;

    use super::*;
    use crate::overlap;

    fn row(id: usize, question: u32, label: u8) -> Example {
        Example::new(
            [("id", id.to_string()), ("question", question.to_string()), ("label", label.to_string())],
            ["question"],
        )
    }

    fn rows(questions: impl IntoIterator<Item = (u32, u8)>) -> Vec<Example> {
        let number = |(id, (question, label))| row(id, question, label);
        questions.into_iter().enumerate().map(number).collect()
    }

    fn labels(examples: &[Example]) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for label in examples.iter().filter_map(|example| example.get_str("label")) {
            *counts.entry(label).or_insert(0) += 1;
        }
        counts
    }

    fn options() -> impl Strategy<Value = SplitOptions> {
        let portion =
            || prop_oneof![(1..4_usize).prop_map(Portion::Count), (0.05..0.33).prop_map(Portion::Ratio)];
        let parts = (prop::option::of(portion()), prop::option::of(portion()), portion());
        (parts, any::<u64>(), any::<bool>()).prop_map(|((train, selection, test), seed, stratify)| {
            SplitOptions {
                train,
                selection,
                test: Some(test),
                seed,
                stratify_by: stratify.then(|| "label".to_owned()),
            }
        })
    }

    proptest! {
        #[test]
        fn a_split_is_a_partition_without_overlap(
            questions in prop::collection::vec((0..40_u32, 0..4_u8), 0..80),
            options in options(),
        ) {
            let examples = rows(questions);
            let all: HashSet<ContentHash> = examples.iter().map(Example::content_hash).collect();
            let count = examples.len();
            match split(examples.clone(), &options) {
                Err(DataError::TooFewRows { rows, .. }) => prop_assert_eq!(rows, count),
                Err(error) => prop_assert!(false, "{}", error),
                Ok(parts) => {
                    let report = parts.report;
                    prop_assert!(parts.test.overlap(&parts.train).is_empty());
                    let parts = [parts.train, parts.selection, parts.test.open(), parts.unused];
                    prop_assert_eq!(parts.each_ref().map(Vec::len), [report.train, report.selection, report.test, report.unused]);
                    let split: HashSet<ContentHash> = parts.iter().flatten().map(Example::content_hash).collect();
                    prop_assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), count);
                    prop_assert_eq!(split, all);
                    for (index, part) in parts.iter().enumerate() {
                        for other in &parts[index + 1..] {
                            prop_assert!(overlap(part, other).is_empty());
                        }
                    }
                    let asked = [options.train, options.selection, options.test, None];
                    for (portion, part) in asked.iter().zip(&parts).take(3) {
                        prop_assert_eq!(portion.is_some(), !part.is_empty());
                    }
                    // The same again, to the order of the rows.
                    let again = split_parts(examples, &options);
                    prop_assert_eq!(parts, again);
                }
            }
        }

        #[test]
        fn strata_are_split_in_proportion(
            sizes in prop::collection::vec(1..40_u32, 1..6),
            seed: u64,
        ) {
            let rows: Vec<_> = sizes.iter().zip(0..).flat_map(|(size, label)| (0..*size).map(move |_| label)).collect();
            let examples = self::rows((0..).zip(rows));
            let count = examples.len() as f64;
            prop_assume!(count >= 5.0);
            let expected = labels(&examples).into_iter().map(|(label, n)| (label.to_owned(), n)).collect::<Vec<_>>();
            let options = SplitOptions { seed, stratify_by: Some("label".to_owned()), ..SplitOptions::default() };
            for part in split_parts(examples, &options) {
                let found = labels(&part);
                for (label, size) in &expected {
                    let exact = *size as f64 * part.len() as f64 / count;
                    let found = found.get(label.as_str()).copied().unwrap_or(0) as f64;
                    prop_assert!((found - exact).abs() < 1.0, "{} of label {} where {} is exact", found, label, exact);
                }
            }
        }
    }

    fn split_parts(examples: Vec<Example>, options: &SplitOptions) -> [Vec<Example>; 4] {
        let parts = split(examples, options).unwrap();
        [parts.train, parts.selection, parts.test.open(), parts.unused]
    }

    #[test]
    fn duplicates_are_counted_and_stay_together() {
        let parts = split(rows((0..30).map(|n| (n / 3, 0))), &SplitOptions::default()).unwrap();
        assert_eq!(parts.report.duplicates(), 20);
        let text = parts.report.to_string();
        assert_eq!(
            text,
            "30 rows: 18 train, 6 selection, 6 test; 20 repeat the inputs of another row and went to the same part"
        );
    }

    #[test]
    fn a_large_group_leaves_no_part_empty() {
        let questions = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2].map(|question| (question, 0));
        let parts = split(rows(questions), &SplitOptions::default()).unwrap();
        assert!(
            parts.report.train > 0 && parts.report.selection > 0 && parts.report.test > 0,
            "{}",
            parts.report
        );
    }

    #[test]
    fn seeds_differ_and_a_split_stays_what_it_was() {
        let examples = || rows((0..20).map(|n| (n, 0)));
        let test = |seed| {
            let parts = split(examples(), &SplitOptions { seed, ..SplitOptions::default() }).unwrap();
            parts
                .test
                .open()
                .iter()
                .filter_map(|one| one.get_str("question").map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_ne!(test(1), test(2));
        assert_eq!(test(1), ["6", "2", "8", "16"]);
    }

    #[test]
    fn a_missing_stratum_names_the_row() {
        let mut examples = rows([(0, 0), (1, 0)]);
        examples.push(Example::new([("question", "2")], ["question"]));
        let options = SplitOptions { stratify_by: Some("label".to_owned()), ..SplitOptions::default() };
        let error = split(examples, &options).unwrap_err().to_string();
        assert!(
            error.contains("example 3 has no field `label` to stratify by: it has `question`"),
            "{error}"
        );
    }
}
