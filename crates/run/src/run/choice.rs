//! Which candidate is installed: the one from which most is to be expected on examples that nobody has seen.

use promptopt_core::prompt::{Prompt, PromptCandidate};
use promptopt_statistics::{Gain, Scores};

use super::Run;
use crate::Error;

/// Candidates are even whose expected gains differ by less than this part of what is not known of them.
const EVEN: f64 = 0.1;

/// What is to be installed, and why.
pub(super) struct Choice {
    /// The candidate that most is to be expected of, and what; `None` where none looks better than the original.
    contender: Option<(usize, Gain)>,
    /// What it must gain more because it is longer than the original.
    price: f64,
    /// Its gain when it was measured once more, and on how many examples.
    confirmed: Option<(f64, usize)>,
    /// How many candidates there were besides the original, and how many of them have a score.
    candidates: usize,
    full: usize,
    /// Examples of the selection set.
    examples: usize,
    caution: f64,
}

impl Run<'_> {
    /// The candidate to install: of those that were evaluated in full and look better than the original, the one with
    /// the highest expected utility; of even ones the one with fewer demos, then the one that changes fewer predictors,
    /// then the one with the shorter instructions.
    pub(super) fn choose(&self) -> Choice {
        let gains = self.board.expected_gains();
        let caution = self.options.caution;
        let is_full =
            |index: usize| self.board.candidates().get(index).is_some_and(|one| one.score.is_some());
        let full: Vec<_> = gains.iter().copied().filter(|(index, _)| is_full(*index)).collect();
        let price = |index: usize| self.price_of_length(index);
        let is_better = |(index, gain): &(usize, Gain)| gain.seen > price(*index) && self.may_install(*index);
        let better = || full.iter().copied().filter(is_better);
        let utility = |(index, gain): &(usize, Gain)| utility(gain, price(*index), caution);
        // The first of equals, so the last of them backwards.
        let best = better().rev().max_by(|one, other| utility(one).total_cmp(&utility(other)));
        let contender = best.and_then(|best| {
            let least = utility(&best) - EVEN * best.1.deviation;
            // One that is not to be installed is no peer of one that is.
            let is_even =
                |one: &(usize, Gain)| utility(one) >= least && (utility(one) > 0.0) == (utility(&best) > 0.0);
            better().filter(is_even).min_by_key(|(index, _)| (self.complexity(*index), *index))
        });
        Choice {
            contender,
            price: contender.map_or(0.0, |(index, _)| price(index)),
            confirmed: None,
            candidates: self.board.tried().len(),
            full: full.len(),
            examples: self.board.examples().len(),
            caution,
        }
    }

    /// The same where it was settled that only one candidate can be installed.
    pub(super) fn choose_only(&self, candidate: usize) -> Choice {
        let gain = self.board.expected_gains().into_iter().find(|(index, _)| *index == candidate);
        Choice { contender: gain, price: self.price_of_length(candidate), ..self.choose() }
    }

    /// What a candidate must gain because of its length beside the original; below 0 where it is shorter.
    fn price_of_length(&self, candidate: usize) -> f64 {
        match self.options.length_penalty {
            0.0 => 0.0,
            penalty => {
                let chars = |index: usize| self.complexity(index).2 as f64;
                penalty * (chars(candidate) - chars(0)) / 1000.0
            }
        }
    }

    /// Demos, predictors that are not as in the original, and characters of all instructions.
    fn complexity(&self, index: usize) -> (usize, usize, usize) {
        let known = |index: usize| self.board.candidates().get(index);
        let (Some(original), Some(PromptCandidate { prompts, .. })) = (known(0), known(index)) else {
            return (usize::MAX, 0, 0);
        };
        let sum = |count: &dyn Fn(&str, &Prompt) -> usize| {
            prompts.iter().map(|(path, prompt)| count(path, prompt)).sum()
        };
        (
            sum(&|_, prompt| prompt.demos.len()),
            sum(&|path, prompt| usize::from(original.prompts.get(path) != Some(prompt))),
            sum(&|_, prompt| prompt.instruction.chars().count()),
        )
    }
}

impl Choice {
    /// The candidate that may be installed, whether or not it is as things stand.
    pub(super) fn contender(&self) -> usize {
        self.contender.map_or(0, |(index, _)| index)
    }

    /// The candidate to install: the contender, or the original.
    pub(super) fn best(&self) -> usize {
        let is_worth_it = |(_, gain): &(usize, Gain)| utility(gain, self.price, self.caution) > 0.0;
        self.contender.filter(is_worth_it).map_or(0, |(index, _)| index)
    }

    /// The same after original and contender were measured once more.
    pub(super) fn confirm(&mut self, original: &Scores, contender: &Scores) -> Result<(), Error> {
        let Some((_, gain)) = &mut self.contender else { return Ok(()) };
        let pairs: Vec<f64> = original
            .as_slice()
            .iter()
            .zip(contender.as_slice())
            .filter_map(|(original, contender)| Some((*contender)? - (*original)?))
            .collect();
        *gain = gain.confirmed(original, contender)?;
        if !pairs.is_empty() {
            let seen = pairs.iter().sum::<f64>() / pairs.len() as f64;
            self.confirmed = Some((seen, pairs.len()));
        }
        Ok(())
    }

    /// Why a candidate is installed, or the original stays.
    pub(super) fn reason(&self) -> String {
        let Self { candidates, full, examples, caution, .. } = self;
        let Some((_, gain)) = self.contender else {
            return match full {
                0 => format!(
                    "the original was kept: nothing else was evaluated on all {examples} examples of the selection set"
                ),
                _ => format!(
                    "the original was kept: of {candidates} candidates {full} were evaluated on all {examples} examples \
                     of the selection set, and none of them looked better there"
                ),
            };
        };
        let again = self.confirmed.map_or_else(String::new, |(seen, examples)| {
            format!(" and {seen:+.3} on {examples} more that it was not chosen by")
        });
        let looks = format!(
            "the best of {candidates} candidates looked {:+.3} better on all {examples} examples of the selection \
             set{again}, of which about {:+.3} (standard deviation {:.3}) is to be expected on others",
            gain.seen, gain.mean, gain.deviation
        );
        let looks = match self.price {
            0.0 => looks,
            price => format!("{looks}, and its length costs {price:+.3}"),
        };
        if self.best() != 0 {
            return looks;
        }
        let risk = match gain.mean > self.price {
            true => {
                format!(": too little for its risk, since a loss weighs {caution} times as much as a gain")
            }
            false => String::new(),
        };
        format!("the original was kept: {looks}{risk}")
    }
}

/// What is to be expected of a gain, less what it costs.
fn utility(gain: &Gain, price: f64, caution: f64) -> f64 {
    let mut gain = *gain;
    gain.mean -= price;
    gain.utility(caution)
}
