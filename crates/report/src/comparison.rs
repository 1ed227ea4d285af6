//! Several optimizers on one task, side by side.
//!
//! A [`ComparisonRow`] is one run: what the optimizer is said to be like ([`profile`]), and what was
//! measured. [`rows_to_table`] puts runs side by side in plain text of at most 100 columns, and says
//! where the measurement contradicts what is said.
//!
//! ```
//! use std::time::Duration;
//! use promptopt_run::Outcome;
//! use promptopt_report::comparison::{ComparisonRow, rows_to_table};
//!
//! let outcome = Outcome::new("GEPA");
//! let row = ComparisonRow::of(&outcome, None, Duration::from_secs(3), 0);
//! assert!(rows_to_table(&[row]).contains("reflective evolution"));
//! ```

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use promptopt_run::{Outcome, Spending, StopReason};
use promptopt_statistics::{Comparison, Estimate};
use serde::{Deserialize, Serialize};

use crate::TestReport;

mod surprises;
mod table;

pub use table::rows_to_table;

/// What is said of an optimizer, before anything is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// Name, as [`promptopt_run::Strategy::name`] gives it.
    pub optimizer: &'static str,
    /// How it finds new prompts.
    pub approach: &'static str,
    /// What it learns from.
    pub feedback: &'static str,
    /// What decides which candidates go on.
    pub selection: &'static str,
    /// How many language-model calls it takes.
    pub calls: &'static str,
    /// How long it takes; empty where nothing is said.
    pub speed: &'static str,
    /// How different its candidates are.
    pub diversity: &'static str,
    /// For what to use it.
    pub use_when: &'static str,
    /// Place in order of speed, fastest first, where something is said of it.
    speed_rank: Option<u8>,
    /// Place in order of diversity, lowest first.
    diversity_rank: u8,
}

const PROFILES: [Profile; 3] = [
    Profile {
        optimizer: "COPRO",
        approach: "iterative refinement",
        feedback: "score, mistakes and what is said of them",
        selection: "best candidate",
        calls: "moderate",
        speed: "fastest",
        diversity: "low",
        use_when: "quick iteration, a small budget, a straightforward task",
        speed_rank: Some(0),
        diversity_rank: 0,
    },
    Profile {
        optimizer: "MIPROv2",
        approach: "model-guided generation from traces and tips",
        feedback: "score",
        selection: "batch evaluation",
        calls: "many",
        speed: "slower",
        diversity: "medium",
        use_when: "15 or more examples, quality before speed, tasks that gain from prompting practice and demos",
        speed_rank: Some(1),
        diversity_rank: 1,
    },
    Profile {
        optimizer: "GEPA",
        approach: "reflective evolution",
        feedback: "score and text",
        selection: "Pareto frontier",
        calls: "medium to many",
        speed: "",
        diversity: "high",
        use_when: "complex tasks with subtle failures, rich feedback, several objectives",
        speed_rank: None,
        diversity_rank: 2,
    },
];

/// What is said of an optimizer; `None` for one that is not known here.
pub fn profile(optimizer: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.optimizer.eq_ignore_ascii_case(optimizer))
}

/// One run of one optimizer, as a row of a comparison. Everything but the first four texts and the
/// last is measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ComparisonRow {
    /// Name of the optimizer.
    pub optimizer: String,
    /// How it finds new prompts.
    pub approach: String,
    /// What it learns from.
    pub feedback: String,
    /// What decides which candidates go on.
    pub selection: String,
    /// Seed of the run.
    pub seed: u64,
    /// Language-model calls and tokens, by role.
    pub spending: Spending,
    /// Wall time of the optimization in seconds, the sealed test not included.
    pub seconds: f64,
    /// Different candidates that were evaluated, the original included.
    pub candidates: usize,
    /// How different their instructions are: [`distance`] of the different ones.
    pub distance: f64,
    /// The original on the selection set.
    pub baseline: Estimate,
    /// The winner on the selection set, where it was chosen.
    pub selected: Estimate,
    /// The original on the sealed test.
    pub test_baseline: Option<Estimate>,
    /// The winner on the sealed test.
    pub test: Option<Estimate>,
    /// Winner against original on the sealed test.
    pub test_comparison: Option<Comparison>,
    /// Why the run ended.
    pub stop: StopReason,
    /// For what to use the optimizer, as is said.
    pub use_when: String,
}

impl ComparisonRow {
    /// The row of a run: what the optimizer did, the sealed test, how long the optimization took, and
    /// the seed it had.
    pub fn of(outcome: &Outcome, test: Option<&TestReport>, wall_time: Duration, seed: u64) -> Self {
        let text =
            |part: fn(&Profile) -> &'static str| profile(&outcome.optimizer).map_or("", part).to_owned();
        let different: HashSet<_> =
            outcome.candidates.iter().map(|candidate| candidate.content_hash()).collect();
        Self {
            optimizer: outcome.optimizer.clone(),
            approach: text(|profile| profile.approach),
            feedback: text(|profile| profile.feedback),
            selection: text(|profile| profile.selection),
            seed,
            spending: outcome.spending,
            seconds: wall_time.as_secs_f64(),
            candidates: different.len(),
            distance: distance(&instructions(outcome)),
            baseline: outcome.baseline,
            selected: outcome.selected,
            test_baseline: test.map(|test| test.baseline),
            test: test.map(|test| test.optimized),
            test_comparison: test.map(|test| test.comparison.clone()),
            stop: outcome.stop.clone(),
            use_when: text(|profile| profile.use_when),
        }
    }
}

/// The different instructions of all candidates; those of several predictors are one text.
fn instructions(outcome: &Outcome) -> Vec<String> {
    let text = |candidate: &promptopt_core::prompt::PromptCandidate| {
        let parts: Vec<_> = candidate.prompts.iter().map(|(_, prompt)| prompt.instruction.as_str()).collect();
        parts.join("\n")
    };
    outcome.candidates.iter().map(text).collect::<BTreeSet<_>>().into_iter().collect()
}

/// How different texts are: the mean over all pairs of the Jaccard distance of their sets of words,
/// 1 − |A ∩ B| / |A ∪ B|. 0 where all use the same words, 1 where no two share one; 0 for fewer than
/// two texts. A word is a run of letters and digits, case aside; order and repetition do not count.
///
/// ```
/// use promptopt_report::comparison::distance;
///
/// let texts = ["Route the ticket.", "Route the e-mail"].map(str::to_owned);
/// // Two words shared (route, the) of five (ticket, e, mail).
/// assert!((distance(&texts) - 0.6).abs() < 1e-12);
/// ```
pub fn distance(texts: &[String]) -> f64 {
    let sets: Vec<BTreeSet<String>> = texts.iter().map(|text| words(text)).collect();
    let mut sum = 0.0;
    let mut pairs = 0_u64;
    for (index, first) in sets.iter().enumerate() {
        for second in sets.iter().skip(index + 1) {
            let shared = first.intersection(second).count();
            let all = first.len() + second.len() - shared;
            sum += if all == 0 { 0.0 } else { 1.0 - shared as f64 / all as f64 };
            pairs += 1;
        }
    }
    if pairs == 0 { 0.0 } else { sum / pairs as f64 }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// The runs by optimizer, in the order in which each first appears.
fn by_optimizer(rows: &[ComparisonRow]) -> Vec<(&str, Vec<&ComparisonRow>)> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: Vec<(&str, Vec<&ComparisonRow>)> = Vec::new();
    for row in rows {
        let place = *places.entry(&row.optimizer).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.push(row),
            None => groups.push((&row.optimizer, vec![row])),
        }
    }
    groups
}

fn mean(rows: &[&ComparisonRow], value: impl Fn(&ComparisonRow) -> f64) -> f64 {
    rows.iter().map(|row| value(row)).sum::<f64>() / rows.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_same_words_are_at_no_distance() {
        let check = |texts: &[&str], expected: f64| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            assert!((distance(&texts) - expected).abs() < 1e-12, "{texts:?}: {}", distance(&texts));
        };
        check(&[], 0.0);
        check(&["one"], 0.0);
        check(&["", ""], 0.0);
        check(&["Be exact.", "exact, be exact"], 0.0);
        check(&["a b", "c d"], 1.0);
        check(&["a", "a", "b"], 2.0 / 3.0);
    }

    #[test]
    fn what_is_said_is_found_by_name() {
        assert_eq!(profile("miprov2").map(|profile| profile.optimizer), Some("MIPROv2"));
        assert_eq!(profile("hill climbing"), None);
    }
}
