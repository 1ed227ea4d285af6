//! What a probe for headroom found: whether other prompts would do better, and why.

use std::fmt;

use promptopt_core::prompt::Prompts;
use promptopt_statistics::Headroom;
use serde::{Deserialize, Serialize};

mod prompts;

pub(crate) use prompts::deliberate;

/// A gain is worth a search from this share of the scores' range on.
const WORTH: f64 = 0.05;
/// Where at most this share of the range is left, the original is at the ceiling.
const CEILING: f64 = 0.15;
/// A reason is given where it holds for at least this share of the rows.
const SHARE: f64 = 0.2;

/// One of the deliberately different prompts of a probe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProbedPrompt {
    /// Its name: `original`, `bare`, `strict`, `demos` or `long`.
    pub name: String,
    /// What is different in it.
    pub about: String,
    /// Rollouts that it was scored by.
    pub rollouts: usize,
    /// Those of them that count as 0 because the reply could not be read or the program failed.
    pub failed: usize,
    /// The prompts themselves.
    pub prompts: Prompts,
}

/// What a probe says of the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HeadroomKind {
    /// A prompt gains that is stricter about the form of the reply, or of which more replies can be read.
    Form,
    /// A prompt with demos gains.
    Examples,
    /// A prompt gains that says more about how to work.
    Instruction,
    /// The prompt gains without the demos that it came with.
    FewerDemos,
    /// Nothing to gain was found: the original is right nearly everywhere.
    Ceiling,
    /// Nothing to gain was found: many rows come out wrong under every prompt.
    Knowledge,
    /// Nothing to gain was found: many rows come out differently from draw to draw.
    Chance,
    /// Nothing to gain was found.
    #[default]
    Nothing,
}

impl HeadroomKind {
    /// Whether something is to be gained.
    pub fn is_headroom(self) -> bool {
        matches!(self, Self::Form | Self::Examples | Self::Instruction | Self::FewerDemos)
    }
}

/// What a probe for headroom found.
///
/// It displays as sentences: what gain is to be expected, where it would come from, and how many rows would show it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeadroomFinding {
    /// The prompts, the original first.
    pub prompts: Vec<ProbedPrompt>,
    /// What their scores say.
    pub headroom: Headroom,
    /// Where a gain would come from, or why none is to be expected.
    pub kind: HeadroomKind,
    /// How many rows would show the expected gain in four of five cases; where none is to be expected, how many would
    /// show one of 5 points.
    pub rows_needed: Option<usize>,
}

impl HeadroomFinding {
    /// Name of the detail of an outcome that holds it, and of the stage.
    pub const DETAIL: &'static str = "headroom";

    pub(crate) fn new(prompts: Vec<ProbedPrompt>, headroom: Headroom) -> Self {
        let kind = kind(&prompts, &headroom);
        let least = WORTH * headroom.range;
        let shown = if kind.is_headroom() { headroom.gain().expected } else { least };
        Self { rows_needed: headroom.rows_needed(shown), prompts, headroom, kind }
    }

    /// The best of the prompts besides the original.
    pub fn best(&self) -> Option<&ProbedPrompt> {
        self.prompts.get(self.headroom.best).filter(|_| self.headroom.best > 0)
    }

    /// What to do.
    pub fn advice(&self) -> &'static str {
        match self.kind {
            HeadroomKind::Form | HeadroomKind::Instruction => {
                "An optimizer of instructions is likely to pay: miprov2, gepa or copro."
            }
            HeadroomKind::Examples => {
                "An optimizer that chooses demos is likely to pay: miprov2 or random_search."
            }
            HeadroomKind::FewerDemos => "Take the demos out first.",
            HeadroomKind::Ceiling => "Stop here, or look for harder rows.",
            HeadroomKind::Knowledge => {
                "Another model, or inputs that hold what is missing, are likelier to help than another prompt. Only rules \
                 that the training rows show can still be taught."
            }
            HeadroomKind::Chance => "Make replies or metric steadier first, such as by `temperature = 0`.",
            HeadroomKind::Nothing => {
                "Do not expect much of a search for wordings. Only rules that the training rows show can still be taught."
            }
        }
    }
}

impl fmt::Display for HeadroomFinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Headroom { rows, tally, level, .. } = &self.headroom;
        let gain = self.headroom.gain();
        let Some(best) = self.best() else { return formatter.write_str("no other prompt could be tried") };
        let found = match self.kind {
            HeadroomKind::Form => "there is headroom in the form of the reply",
            HeadroomKind::Examples => "there is headroom in examples",
            HeadroomKind::Instruction => "there is headroom in the instruction",
            HeadroomKind::FewerDemos => "there is headroom: the demos do harm",
            _ => "no headroom was found",
        };
        write!(
            formatter,
            "{found}: on {rows} rows the best of {} other prompts, `{}`, is expected to change the score by {:+.3} ({:.0} \
             % interval {:+.3} to {:+.3}; seen {:+.3})",
            self.prompts.len() - 1,
            best.name,
            gain.expected,
            100.0 * level,
            gain.low,
            gain.high,
            gain.seen
        )?;
        match self.kind {
            HeadroomKind::Ceiling => {
                write!(formatter, "; {} rows are right under every prompt", tally.always)?
            }
            HeadroomKind::Knowledge => {
                write!(formatter, "; {} rows are wrong under every prompt", tally.never)?
            }
            HeadroomKind::Chance => write!(
                formatter,
                "; on {} of {} rows that were drawn again the same prompt is right once and wrong once",
                tally.by_draw, tally.drawn_again
            )?,
            _ => {}
        }
        if let Some(needed) = self.rows_needed {
            let what = if self.kind.is_headroom() { "this gain" } else { "a gain of 5 points" };
            write!(formatter, ". About {needed} rows would show {what}")?;
        }
        Ok(())
    }
}

/// Where a gain would come from, or why none is to be expected.
fn kind(prompts: &[ProbedPrompt], headroom: &Headroom) -> HeadroomKind {
    let Headroom { rows, means, best, range, variance, tally, .. } = headroom;
    let failing = |at: usize| {
        prompts.get(at).map_or(0.0, |prompt| prompt.failed as f64 / prompt.rollouts.max(1) as f64)
    };
    if headroom.gain().expected >= WORTH * range {
        return match prompts.get(*best).map(|prompt| prompt.name.as_str()) {
            _ if failing(0) >= SHARE && failing(*best) <= failing(0) / 2.0 => HeadroomKind::Form,
            Some(prompts::STRICT) => HeadroomKind::Form,
            Some(prompts::DEMOS) => HeadroomKind::Examples,
            Some(prompts::BARE) => HeadroomKind::FewerDemos,
            _ => HeadroomKind::Instruction,
        };
    }
    let is_many = |some: usize, of: usize| some as f64 >= SHARE * of.max(1) as f64;
    let original = means.first().copied().unwrap_or_default();
    if *range <= 1.0 && 1.0 - original <= CEILING {
        HeadroomKind::Ceiling
    } else if is_many(tally.by_draw, tally.drawn_again)
        && variance.draw.unwrap_or_default() > variance.prompt_by_row
    {
        HeadroomKind::Chance
    } else if is_many(tally.never, *rows) {
        HeadroomKind::Knowledge
    } else {
        HeadroomKind::Nothing
    }
}
