//! What the rules of an instruction are worth: by candidates that state a rule, and candidates that do not.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use promptopt_core::data::{Example, plain_text};
use promptopt_core::prompt::{Itemised, PromptCandidate};
use promptopt_statistics::{Comparison, Scores, compare};
use serde::{Deserialize, Serialize};

use crate::evaluate::LEVEL;
use crate::proposal::{normalized, stems, words};

/// A word that more than this part of the rows hold says nothing of what a rule is about.
const COMMON: f64 = 0.25;
/// A rule that is about more than this part of the rows is about all.
const MOST: f64 = 0.5;
/// The noise of scores is as if so many scores had been seen before.
const SEEN_BEFORE: f64 = 2.0;

/// A rule of the winner, and what it is worth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuleWorth {
    /// The predictor whose instruction states it.
    pub predictor: String,
    /// The rule, without its marker.
    pub rule: String,
    /// Examples of the selection set that it is about: those whose inputs share rare words with it, or else all.
    pub rows: usize,
    /// The instruction with the rule against the same without it, on those of these examples on which both were tried.
    /// `None` where there are none.
    pub worth: Option<Comparison>,
    /// Whether it was dropped, because it did not pay.
    pub dropped: bool,
}

/// What the rules of the winner are worth, and which were dropped.
///
/// It displays as a sentence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RulesFinding {
    /// The rules, in the order of the instructions.
    pub rules: Vec<RuleWorth>,
    /// Rollouts that were made to find out.
    pub rollouts: u64,
    /// Why rules were dropped, or none was.
    pub why: String,
}

impl RulesFinding {
    /// Name of the detail of an outcome that holds it, and of the stage.
    pub const DETAIL: &'static str = "rules";

    /// How many rules were dropped.
    pub fn dropped(&self) -> usize {
        self.rules.iter().filter(|rule| rule.dropped).count()
    }
}

impl fmt::Display for RulesFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = || self.rules.iter().filter_map(|rule| rule.worth.as_ref());
        let paying = known().filter(|worth| worth.is_better()).count();
        write!(
            formatter,
            "of {} rules of the winner {} were tried with and without, {paying} pay beyond chance, and {} were dropped: {}",
            self.rules.len(),
            known().count(),
            self.dropped(),
            self.why
        )
    }
}

/// A rule of a candidate.
pub(crate) struct Rule {
    pub(crate) predictor: String,
    /// Its place among the rules of its predictor.
    pub(crate) place: usize,
    pub(crate) text: String,
    /// The rows that it is about: those whose inputs share rare words with it, or else all.
    pub(crate) rows: Vec<usize>,
    /// Whether it is about all rows.
    pub(crate) is_general: bool,
    /// Other rules of the predictor that are about the same rows, by their index.
    pub(crate) beside: Vec<usize>,
}

/// What is known of a rule, row by row of those that it is about and that were tried both with it and without.
pub(crate) struct Worth {
    pub(crate) with: Vec<f64>,
    pub(crate) without: Vec<f64>,
    /// Standard error of the mean difference.
    pub(crate) error: f64,
}

impl Worth {
    /// The mean difference; `None` where no row was tried both ways.
    pub(crate) fn mean(&self) -> Option<f64> {
        let count = self.with.len() as f64;
        let sum = self.with.iter().zip(&self.without).map(|(with, without)| with - without).sum::<f64>();
        (count > 0.0).then(|| sum / count)
    }

    /// The mean difference in standard errors.
    pub(crate) fn z(&self) -> Option<f64> {
        Some(self.mean()? / self.error)
    }

    /// What it comes to in a report.
    pub(crate) fn of(&self, rule: &Rule, dropped: bool) -> RuleWorth {
        let scores = |all: &[f64]| Scores::lossy(all.iter().copied().map(Some));
        let known = compare(&scores(&self.without), &scores(&self.with), LEVEL).ok();
        RuleWorth {
            predictor: rule.predictor.clone(),
            rule: rule.text.clone(),
            rows: rule.rows.len(),
            worth: known.filter(|known| known.n > 0),
            dropped,
        }
    }
}

/// All rules of a candidate, predictor by predictor. An instruction that is as in the original stays as it is.
pub(crate) fn rules_of(
    candidate: &PromptCandidate,
    original: &PromptCandidate,
    examples: &[Arc<Example>],
) -> Vec<Rule> {
    let known: Vec<HashSet<String>> = examples.iter().map(|example| words_of_inputs(example)).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    for word in known.iter().flatten() {
        *count.entry(word).or_default() += 1;
    }
    let most = |part: f64| (part * examples.len() as f64) as usize;
    let mut rules = Vec::new();
    for (path, prompt) in candidate.prompts.iter() {
        let first = rules.len();
        if original.instruction(path) == Some(prompt.instruction.as_str()) {
            continue;
        }
        for (place, text) in Itemised::read(&prompt.instruction).rules().enumerate() {
            let mut rare: HashSet<String> = stems(text).chain(words(text)).collect();
            rare.retain(|word| count.get(word.as_str()).is_some_and(|count| *count <= most(COMMON)));
            let is_about = |row: &HashSet<String>| rare.iter().any(|word| row.contains(word));
            let mut rows: Vec<usize> =
                known.iter().enumerate().filter(|(_, row)| is_about(row)).map(|(at, _)| at).collect();
            let is_general = rows.is_empty() || rows.len() > most(MOST);
            if is_general {
                rows = (0..examples.len()).collect();
            }
            let (predictor, text) = (path.to_owned(), text.to_owned());
            rules.push(Rule { predictor, place, text, rows, is_general, beside: Vec::new() });
        }
        for at in first..rules.len() {
            let beside = (first..rules.len()).filter(|other| at != *other && is_beside(&rules, at, *other));
            let beside = beside.collect();
            if let Some(rule) = rules.get_mut(at) {
                rule.beside = beside;
            }
        }
    }
    rules
}

fn words_of_inputs(example: &Example) -> HashSet<String> {
    let texts = example.inputs();
    let texts = texts.values().map(plain_text);
    texts.flat_map(|text| stems(&text).chain(words(&text)).collect::<Vec<_>>()).collect()
}

/// Whether what another rule does can hide what a rule does. All others can, where a rule is about all rows.
fn is_beside(rules: &[Rule], rule: usize, other: usize) -> bool {
    let (Some(rule), Some(other)) = (rules.get(rule), rules.get(other)) else { return false };
    let shared = rule.rows.iter().filter(|row| other.rows.binary_search(row).is_ok()).count();
    rule.is_general || (!other.is_general && 2 * shared >= rule.rows.len().min(other.rows.len()))
}

/// What every rule is worth. A row counts where a candidate with the rule was tried on it, and one without; both state
/// the rules beside it. `bought` are scores of the instruction without a rule, by rule and row.
pub(crate) fn worths(
    rules: &[Rule],
    candidates: &[PromptCandidate],
    score: impl Fn(usize, usize) -> Option<f64>,
    bought: &HashMap<(usize, usize), f64>,
) -> Vec<Worth> {
    let mut stated: HashMap<&str, Vec<BTreeSet<String>>> = HashMap::new();
    for rule in rules {
        stated.entry(&rule.predictor).or_insert_with(|| {
            let of = |candidate: &PromptCandidate| {
                let instruction = candidate.instruction(&rule.predictor).unwrap_or_default();
                Itemised::read(instruction).rules().map(normalized).collect()
            };
            candidates.iter().map(of).collect()
        });
    }
    let worth = |(at, rule): (usize, &Rule)| {
        let key = normalized(&rule.text);
        let beside: Vec<String> = rule
            .beside
            .iter()
            .filter_map(|other| rules.get(*other))
            .map(|other| normalized(&other.text))
            .collect();
        let stated = stated.get(rule.predictor.as_str());
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (candidate, states) in stated.into_iter().flatten().enumerate() {
            if beside.iter().all(|other| states.contains(other)) {
                if states.contains(&key) { with.push(candidate) } else { without.push(candidate) }
            }
        }
        let mut found = Worth { with: Vec::new(), without: Vec::new(), error: f64::INFINITY };
        let (mut all, mut inverse) = (vec![Vec::new(), Vec::new()], 0.0);
        for row in &rule.rows {
            let scores = |of: &[usize]| of.iter().filter_map(|one| score(*one, *row)).collect::<Vec<f64>>();
            let (with, mut without) = (scores(&with), scores(&without));
            without.extend(bought.get(&(at, *row)));
            if with.is_empty() || without.is_empty() {
                continue;
            }
            let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
            found.with.push(mean(&with));
            found.without.push(mean(&without));
            inverse += 1.0 / with.len() as f64 + 1.0 / without.len() as f64;
            if let [first, second] = all.as_mut_slice() {
                first.extend(with);
                second.extend(without);
            }
        }
        let squares = |scores: &Vec<f64>| {
            let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
            scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>()
        };
        let within: f64 = all.iter().map(squares).sum();
        let count = all.iter().map(Vec::len).sum::<usize>() as f64;
        let everything = || all.iter().flatten().copied();
        let range = everything().fold(0.0, f64::max) - everything().fold(0.0, f64::min);
        let before = SEEN_BEFORE * (range * range / 4.0).max(1e-9);
        let variance = (within + before) / (count - 2.0 + SEEN_BEFORE).max(1.0);
        let rows = found.with.len() as f64;
        if rows > 0.0 {
            found.error = (variance * inverse).sqrt() / rows;
        }
        found
    };
    rules.iter().enumerate().map(worth).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use promptopt_core::prompt::{Origin, Prompt};
    use proptest::prelude::*;

    const CUES: [&str; 5] = ["amber", "birch", "cobalt", "dahlia", "ember"];

    fn candidate(instruction: &str) -> PromptCandidate {
        PromptCandidate::new([("answer", Prompt::new(instruction))].into_iter().collect(), Origin::original())
    }

    fn rows(count: usize) -> Vec<Arc<Example>> {
        let row = |at: usize| {
            let question = format!("What of the {} in entry {at}?", CUES[at % CUES.len()]);
            Arc::new(Example::new([("question", question), ("answer", "K4".to_owned())], ["question"]))
        };
        (0..count).map(row).collect()
    }

    /// An instruction that states the rules of these cues, and a rule about everything.
    fn stating(cues: &[&str]) -> PromptCandidate {
        let rules = cues.iter().map(|cue| format!("- On {cue} say K4.\n"));
        candidate(&format!("Answer.\n\n{}- Be kind.", rules.collect::<String>()))
    }

    #[test]
    fn a_rule_is_about_the_rows_that_share_its_rare_words() {
        let rules = rules_of(&stating(&["amber", "amber stones"]), &candidate(""), &rows(20));
        assert_eq!(rules[0].rows, [0, 5, 10, 15]);
        assert_eq!(
            (rules[0].beside.as_slice(), rules[2].beside.as_slice()),
            ([1].as_slice(), [0, 1].as_slice())
        );
        assert!(rules[2].is_general && rules[2].rows.len() == 20 && !rules[0].is_general);
        let own = stating(&["amber"]);
        assert!(rules_of(&own, &own, &rows(20)).is_empty());
    }

    #[test]
    fn candidates_without_a_rule_say_what_it_is_worth() {
        let examples = rows(20);
        let candidates = [candidate("Answer."), stating(&["amber"]), stating(&["amber", "birch"])];
        let rules = rules_of(&candidates[2], &candidates[0], &examples);
        // The second helps on its rows; the first makes no difference.
        let score = |one: usize, row: usize| Some(if row % 5 == 1 && one < 2 { 0.0 } else { 1.0 });
        let found = worths(&rules, &candidates, score, &HashMap::new());
        assert_eq!((found[0].mean(), found[1].mean(), found[2].mean()), (Some(0.0), Some(1.0), None));
        assert!(found[1].z().unwrap() > 2.0);
        let told = found[1].of(&rules[1], false);
        assert_eq!((told.rule.as_str(), told.rows, told.worth.unwrap().wins), ("On birch say K4.", 4, 4));
        // What was bought counts as much.
        let bought = (0..4).map(|at| ((2, at), 0.0)).collect();
        let found = worths(&rules, &candidates, |_, _| Some(1.0), &bought);
        assert_eq!((found[2].mean(), found[2].with.len()), (Some(1.0), 4));
    }

    proptest! {
        #[test]
        fn a_worth_is_a_difference_of_what_was_seen(
            stated in proptest::collection::vec(0_usize..32, 1..6),
            scores in proptest::collection::vec(proptest::option::of(0.0..1.0), 120),
        ) {
            let cues = |set: usize| CUES.iter().enumerate().filter(move |(at, _)| set >> at & 1 == 1).map(|(_, cue)| *cue);
            let candidates: Vec<_> = stated.iter().map(|set| stating(&cues(*set).collect::<Vec<_>>())).collect();
            let examples = rows(20);
            let rules = rules_of(&candidates[0], &candidate(""), &examples);
            let score = |one: usize, row: usize| scores[(one * 20 + row) % scores.len()];
            for (rule, worth) in rules.iter().zip(worths(&rules, &candidates, score, &HashMap::new())) {
                prop_assert_eq!(worth.with.len(), worth.without.len());
                prop_assert!(worth.with.len() <= rule.rows.len());
                prop_assert!(worth.mean().is_none_or(|mean| mean.abs() <= 1.0));
                prop_assert!(worth.z().is_none_or(f64::is_finite));
                let told = worth.of(rule, false);
                prop_assert_eq!(told.worth.is_some(), !worth.with.is_empty());
            }
        }
    }
}
