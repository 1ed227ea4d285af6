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
    /// A winner with more rules than this is left as it is.
    pub const MOST: usize = 60;

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
            "{} in the winner, {} tried with and without, {paying} worth it beyond chance, {} dropped: {}",
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
pub(crate) fn stated_rules(candidate: &PromptCandidate, original: &PromptCandidate) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (path, prompt) in candidate.prompts.iter() {
        if original.instruction(path) == Some(prompt.instruction.as_str()) {
            continue;
        }
        for (place, text) in Itemised::read(&prompt.instruction).rules().enumerate() {
            let (predictor, text) = (path.to_owned(), text.to_owned());
            let (rows, beside) = (Vec::new(), Vec::new());
            rules.push(Rule { predictor, place, text, rows, is_general: false, beside });
        }
    }
    rules
}

/// The rules with what they are about.
pub(crate) fn about(mut rules: Vec<Rule>, examples: &[Arc<Example>]) -> Vec<Rule> {
    let said: Vec<HashSet<String>> =
        rules.iter().map(|rule| stems(&rule.text).chain(words(&rule.text)).collect()).collect();
    // Of the words of the examples only those that a rule says are kept.
    let mut holding: HashMap<&str, Vec<usize>> =
        said.iter().flatten().map(|word| (word.as_str(), Vec::new())).collect();
    for (at, example) in examples.iter().enumerate() {
        for text in example.inputs().values().map(plain_text) {
            for word in stems(&text).chain(words(&text)) {
                if let Some(rows) = holding.get_mut(word.as_str()).filter(|rows| rows.last() != Some(&at)) {
                    rows.push(at);
                }
            }
        }
    }
    let most = |part: f64| (part * examples.len() as f64) as usize;
    holding.retain(|_, rows| rows.len() <= most(COMMON));
    for (rule, said) in rules.iter_mut().zip(&said) {
        let rows = said.iter().filter_map(|word| holding.get(word.as_str())).flatten();
        rule.rows = rows.copied().collect::<BTreeSet<usize>>().into_iter().collect();
        rule.is_general = rule.rows.is_empty() || rule.rows.len() > most(MOST);
        if rule.is_general {
            rule.rows = (0..examples.len()).collect();
        }
    }
    let beside: Vec<Vec<usize>> = rules.iter().map(|rule| beside(&rules, rule, examples.len())).collect();
    for (rule, beside) in rules.iter_mut().zip(beside) {
        rule.beside = beside;
    }
    rules
}

/// The other rules of the predictor that can hide what a rule does. All others can, where it is about all rows.
fn beside(rules: &[Rule], rule: &Rule, examples: usize) -> Vec<usize> {
    let mut is_row = vec![false; examples];
    for row in &rule.rows {
        if let Some(is_row) = is_row.get_mut(*row) {
            *is_row = true;
        }
    }
    let shares = |other: &Rule| {
        let shared = other.rows.iter().filter(|row| is_row.get(**row) == Some(&true)).count();
        !other.is_general && 2 * shared >= rule.rows.len().min(other.rows.len())
    };
    let is_beside = |other: &Rule| {
        other.predictor == rule.predictor && other.place != rule.place && (rule.is_general || shares(other))
    };
    rules.iter().enumerate().filter(|(_, other)| is_beside(other)).map(|(at, _)| at).collect()
}

/// What every rule is worth. A row counts where a candidate with the rule was tried on it, and one without; both state
/// the rules beside it. `known` are the rows that a candidate was tried on, with its scores. `bought` are scores of the
/// instruction without a rule, by rule and row.
pub(crate) fn worths<Known: Iterator<Item = (usize, f64)>>(
    rules: &[Rule],
    candidates: &[PromptCandidate],
    known: impl Fn(usize) -> Known,
    bought: &HashMap<(usize, usize), f64>,
) -> Vec<Worth> {
    let mut places: HashMap<(&str, String), Vec<usize>> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        places.entry((&rule.predictor, normalized(&rule.text))).or_default().push(at);
    }
    let predictors: BTreeSet<&str> = rules.iter().map(|rule| rule.predictor.as_str()).collect();
    let of = |candidate: &PromptCandidate| {
        let mut stated = HashSet::new();
        for path in &predictors {
            for text in Itemised::read(candidate.instruction(path).unwrap_or_default()).rules() {
                stated.extend(places.get(&(*path, normalized(text))).into_iter().flatten().copied());
            }
        }
        stated
    };
    let stated: Vec<HashSet<usize>> = candidates.iter().map(of).collect();
    let worth = |(at, rule): (usize, &Rule)| {
        let mut seen = vec![(Vec::new(), Vec::new()); rule.rows.len()];
        // Where each row stands among those of the rule.
        let mut stands = vec![None; rule.rows.last().map_or(0, |last| last + 1)];
        for (place, row) in rule.rows.iter().enumerate() {
            if let Some(stands) = stands.get_mut(*row) {
                *stands = Some(place);
            }
        }
        for (candidate, states) in stated.iter().enumerate() {
            if !rule.beside.iter().all(|other| states.contains(other)) {
                continue;
            }
            for (row, score) in known(candidate) {
                let place = stands.get(row).copied().flatten();
                let Some((with, without)) = place.and_then(|place| seen.get_mut(place)) else { continue };
                if states.contains(&at) { with.push(score) } else { without.push(score) }
            }
        }
        let mut found = Worth { with: Vec::new(), without: Vec::new(), error: f64::INFINITY };
        let (mut all, mut inverse) = (vec![Vec::new(), Vec::new()], 0.0);
        for (row, (with, mut without)) in rule.rows.iter().zip(seen) {
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

    /// The rules of a candidate, with what they are about.
    fn rules_of(candidate: &PromptCandidate, own: &PromptCandidate, examples: &[Arc<Example>]) -> Vec<Rule> {
        about(stated_rules(candidate, own), examples)
    }

    /// The scores of a candidate on twenty rows.
    fn known(
        score: impl Fn(usize, usize) -> Option<f64>,
    ) -> impl Fn(usize) -> std::vec::IntoIter<(usize, f64)> {
        move |one| {
            let scores = (0..20).filter_map(|row| Some((row, score(one, row)?)));
            scores.collect::<Vec<_>>().into_iter()
        }
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
        let found = worths(&rules, &candidates, known(score), &HashMap::new());
        assert_eq!((found[0].mean(), found[1].mean(), found[2].mean()), (Some(0.0), Some(1.0), None));
        assert!(found[1].z().unwrap() > 2.0);
        let told = found[1].of(&rules[1], false);
        assert_eq!((told.rule.as_str(), told.rows, told.worth.unwrap().wins), ("On birch say K4.", 4, 4));
        // What was bought counts as much.
        let bought = (0..4).map(|at| ((2, at), 0.0)).collect();
        let found = worths(&rules, &candidates, known(|_, _| Some(1.0)), &bought);
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
            for (rule, worth) in rules.iter().zip(worths(&rules, &candidates, known(score), &HashMap::new())) {
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
