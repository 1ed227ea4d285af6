//! Where the measurement contradicts what is said of the optimizers.

use super::table::duration;
use super::{ComparisonRow, Profile, mean, profile};

/// Distances closer than this are taken for equal.
const SAME_DISTANCE: f64 = 0.02;
/// Times whose ratio is below this are taken for equal.
const SAME_TIME: f64 = 1.1;

/// One sentence for each pair of optimizers whose order is not as is said.
pub(super) fn surprises(groups: &[(&str, Vec<&ComparisonRow>)]) -> Vec<String> {
    let known: Vec<(&Profile, f64, f64)> = groups
        .iter()
        .filter_map(|(name, rows)| {
            Some((profile(name)?, mean(rows, |row| row.seconds), mean(rows, |row| row.distance)))
        })
        .collect();
    let mut sentences = Vec::new();
    for (one, seconds, spread) in &known {
        for (other, other_seconds, other_spread) in &known {
            let is_faster = one.speed_rank.zip(other.speed_rank).is_some_and(|(one, other)| one < other);
            if is_faster && *seconds > other_seconds * SAME_TIME {
                sentences.push(format!(
                    "{} is said to be faster than {}, but took {} against {}",
                    one.optimizer,
                    other.optimizer,
                    duration(*seconds),
                    duration(*other_seconds)
                ));
            }
            if one.diversity_rank < other.diversity_rank && *spread > other_spread + SAME_DISTANCE {
                sentences.push(format!(
                    "{} is said to be less diverse than {}, but its instructions are further apart: {spread:.2} \
                     against {other_spread:.2}",
                    one.optimizer, other.optimizer
                ));
            }
        }
    }
    sentences
}
