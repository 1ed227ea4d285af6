//! The sizes of the parts: ratios and counts, made whole.

use serde::{Deserialize, Serialize};

use crate::quota::{Part, PerPart};
use crate::{DataError, SplitOptions};

/// How large a part is. In JSON and TOML a whole number is a count, and one with a point a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Portion {
    /// So many rows, at least 1.
    Count(usize),
    /// So much of all rows, more than 0 and at most 1; rounded, but to at least one row.
    Ratio(f64),
}

/// How many rows each part is to have, and which parts were asked for. `distinct` is the number of
/// different inputs among the rows.
pub(crate) fn totals(
    options: &SplitOptions,
    rows: usize,
    distinct: usize,
) -> Result<(PerPart<usize>, Vec<Part>), DataError> {
    let portions =
        PerPart { train: options.train, selection: options.selection, test: options.test, rest: None };
    let asked: Vec<Part> = Part::ASKED.into_iter().filter(|part| portions.get(*part).is_some()).collect();
    let invalid = |reason: String| DataError::InvalidSplit { reason };
    if asked.is_empty() {
        return Err(invalid(
            "no part is asked for: give a ratio or a count for train, selection or test".to_owned(),
        ));
    }
    // Exact shares in rows, those of ratios with a fraction.
    let mut exact = PerPart::<f64>::default();
    let (mut counts, mut ratios) = (0_usize, 0.0);
    for part in &asked {
        let name = name(*part);
        *exact.get_mut(*part) = match *portions.get(*part) {
            Some(Portion::Count(0)) => {
                return Err(invalid(format!(
                    "the count of {name} is 0: give 1 or more, or leave the part out"
                )));
            }
            Some(Portion::Count(count)) => {
                counts = counts.saturating_add(count);
                count as f64
            }
            Some(Portion::Ratio(ratio)) if ratio > 0.0 && ratio <= 1.0 => {
                ratios += ratio;
                ratio * rows as f64
            }
            Some(Portion::Ratio(ratio)) => {
                return Err(invalid(format!(
                    "the ratio of {name} is {ratio}: give more than 0 and at most 1"
                )));
            }
            None => 0.0,
        };
    }
    // Ratios like 0.7 + 0.2 + 0.1 miss 1 by a rounding error.
    if ratios > 1.0 + 1e-9 {
        return Err(invalid(format!("the ratios add up to {ratios}: make them 1 or less")));
    }
    let too_few = || {
        let parts: Vec<String> = asked.iter().map(|part| describe(*part, portions.get(*part))).collect();
        DataError::TooFewRows { rows, distinct, parts: parts.join(", ") }
    };
    let wanted: f64 = Part::ASKED.iter().map(|part| *exact.get(*part)).sum();
    if distinct < asked.len() || counts > rows || wanted > rows as f64 + 1e-6 * rows as f64 {
        return Err(too_few());
    }
    exact.rest = (rows as f64 - wanted).max(0.0);
    let mut totals = round(&exact, rows);
    for part in &asked {
        if *totals.get(*part) == 0 {
            let donor = Part::ALL
                .into_iter()
                .rev()
                .filter(|donor| !matches!(portions.get(*donor), Some(Portion::Count(_))))
                .filter(|donor| *totals.get(*donor) > usize::from(*donor != Part::Rest))
                .max_by_key(|donor| *totals.get(*donor))
                .ok_or_else(too_few)?;
            *totals.get_mut(donor) -= 1;
            *totals.get_mut(*part) += 1;
        }
    }
    Ok((totals, asked))
}

/// Whole numbers with sum `rows` that differ from the exact shares by less than 1: the largest
/// fractions are rounded up.
fn round(exact: &PerPart<f64>, rows: usize) -> PerPart<usize> {
    // A share that misses a whole number by a rounding error is that number.
    let mut totals = PerPart::of(|part| (*exact.get(part) + 1e-6).floor() as usize);
    let missing = rows.saturating_sub(Part::ALL.iter().map(|part| totals.get(*part)).sum());
    let mut by_fraction = Part::ALL;
    by_fraction.sort_by(|one, other| {
        let fraction = |part: &Part| exact.get(*part) - *totals.get(*part) as f64;
        fraction(other).total_cmp(&fraction(one))
    });
    for part in by_fraction.into_iter().cycle().take(missing) {
        *totals.get_mut(part) += 1;
    }
    totals
}

fn name(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Selection => "selection",
        Part::Test => "test",
        Part::Rest => "unused",
    }
}

fn describe(part: Part, portion: &Option<Portion>) -> String {
    match portion {
        Some(Portion::Count(count)) => format!("{} ({count})", name(part)),
        Some(Portion::Ratio(ratio)) => format!("{} ({ratio})", name(part)),
        None => name(part).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Portion::{Count, Ratio};
    use super::*;

    fn options(portions: [Option<Portion>; 3]) -> SplitOptions {
        let [train, selection, test] = portions;
        SplitOptions { train, selection, test, ..SplitOptions::default() }
    }

    fn check(portions: [Option<Portion>; 3], rows: usize, expected: [usize; 4]) {
        let (totals, _) = totals(&options(portions), rows, rows).unwrap();
        assert_eq!(Part::ALL.map(|part| *totals.get(part)), expected, "{portions:?} of {rows}");
    }

    fn check_error(portions: [Option<Portion>; 3], rows: usize, distinct: usize, expected: &str) {
        let error = totals(&options(portions), rows, distinct).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn portions_become_rows() {
        check([Some(Ratio(0.6)), Some(Ratio(0.2)), Some(Ratio(0.2))], 100, [60, 20, 20, 0]);
        check([Some(Ratio(0.7)), Some(Ratio(0.2)), Some(Ratio(0.1))], 10, [7, 2, 1, 0]);
        check([Some(Ratio(0.5)), Some(Ratio(0.25)), Some(Ratio(0.25))], 7, [3, 2, 2, 0]);
        check([Some(Ratio(0.29)), None, None], 100, [29, 0, 0, 71]);
        check([Some(Ratio(1.0)), None, None], 3, [3, 0, 0, 0]);
        check([Some(Count(10)), Some(Ratio(0.2)), Some(Count(5))], 100, [10, 20, 5, 65]);
        check([Some(Count(1)), Some(Count(1)), Some(Count(1))], 3, [1, 1, 1, 0]);
    }

    #[test]
    fn every_part_gets_a_row_where_there_is_one() {
        check([Some(Ratio(0.6)), Some(Ratio(0.2)), Some(Ratio(0.2))], 3, [1, 1, 1, 0]);
        check([Some(Ratio(0.98)), Some(Ratio(0.01)), Some(Ratio(0.01))], 10, [8, 1, 1, 0]);
        check([Some(Count(8)), Some(Ratio(0.01)), None], 10, [8, 1, 0, 1]);
    }

    #[test]
    fn impossible_portions_say_what_to_do() {
        check_error([None, None, None], 9, 9, "no part is asked for");
        check_error([Some(Count(0)), None, None], 9, 9, "the count of train is 0: give 1 or more");
        check_error([Some(Ratio(0.0)), None, None], 9, 9, "more than 0 and at most 1");
        check_error([None, Some(Ratio(f64::NAN)), None], 9, 9, "the ratio of selection is NaN");
        check_error([Some(Ratio(0.8)), Some(Ratio(0.4)), None], 9, 9, "add up to 1.2");
        check_error(
            [Some(Count(5)), Some(Count(5)), None],
            9,
            9,
            "too few to split into train (5), selection (5)",
        );
        check_error([Some(Count(8)), Some(Ratio(0.5)), None], 9, 9, "has 9 rows (9 with different inputs)");
        check_error(
            [Some(Ratio(0.5)), None, Some(Ratio(0.5))],
            9,
            1,
            "(1 with different inputs), which is too few",
        );
        check_error([Some(Ratio(0.5)), None, None], 0, 0, "has 0 rows");
        check_error([Some(Count(usize::MAX)), Some(Count(2)), None], 9, 9, "too few");
    }

    #[test]
    fn whole_numbers_are_counts_and_others_ratios() {
        let options: SplitOptions =
            serde_json::from_str(r#"{"train": 10, "selection": 0.5, "test": null}"#).unwrap();
        assert_eq!(
            (options.train, options.selection, options.test),
            (Some(Count(10)), Some(Ratio(0.5)), None)
        );
    }
}
