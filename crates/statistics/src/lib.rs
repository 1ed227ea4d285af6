//! Statistics for people who test programs that call language models: how good a program is, whether a change
//! made it better or worse, and how many examples it takes to tell.
//!
//! Scores of such programs are noisy and test sets are small, so a change that alters nothing often looks like a gain.
//! The functions here give an interval or a p-value with every figure, and they use that two programs were scored on
//! the same examples, which shows smaller differences than comparing two means. They need nothing but the scores: no
//! model and no runtime. [promptopt](https://docs.rs/promptopt), which optimizes the prompts of such programs, measures
//! with them; this crate works without it.
//!
//! ```
//! use promptopt_statistics::{Scores, assert_not_worse, compare, estimate};
//!
//! // One score per example, in the same order for both versions of a program.
//! let before = Scores::of([1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])?;
//! let after = Scores::of([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0])?;
//!
//! assert_eq!(estimate(&after, 0.95).to_string(), "0.92 (95 % interval 0.65 to 0.99, n = 12)");
//! let comparison = compare(&before, &after, 0.95)?;
//! assert!(comparison.is_better());
//! println!("{comparison}"); // +0.58 (95 % interval +0.17 to +0.83, p = 0.016, n = 12): better
//!
//! assert_not_worse!(before, after); // in a test of the program
//! # assert_eq!(comparison.to_string(), "+0.58 (95 % interval +0.17 to +0.83, p = 0.016, n = 12): better");
//! # Ok::<(), promptopt_statistics::Error>(())
//! ```
//!
//! # Which one to use
//!
//! | Question | Answer |
//! |---|---|
//! | How good is this program? | [`estimate`]: the mean with its interval; [`wilson`] where there are only counts |
//! | Is the second program better than the first, on the same examples? | [`compare`]; for a one-sided question [`p_values`] |
//! | Did my change make the program worse? (in a test) | [`assert_not_worse!`] |
//! | The same questions, where every example ran several times | the same functions, with [`Scores::of_runs`] |
//! | Which of two programs is better, with as few model calls as possible? | [`SequentialComparison`]: example by example, until it is clear |
//! | I tried several prompts: is the best one better than what I had? | [`choose_winner`], or [`judge_winner`] where it was chosen already |
//! | I tried several prompts: which of them, if any, should I use? | [`expected_gains`]: what each is to be expected to gain on other examples |
//! | How many examples do I need? | [`examples_needed`] for a gain of a given size |
//! | Which gain can my examples show? | [`minimum_detectable_gain`] and [`power`]; [`sensitivity_note`] as a sentence |
//! | Nothing was found: how large a gain could I have missed? | [`detectable_gain`] |
//! | Is there anything to gain from other prompts at all? | [`headroom`], by a few prompts on a few rows |
//!
//! [`compare`] is for one look at the end. Whoever looks again and again until it says "better" finds
//! differences that are not there, and so does whoever compares many candidates and reports the best.
//! [`SequentialComparison`] and [`choose_winner`] are for those cases.
//!
//! All functions take [`Scores`]: one finite number per example, or `None` where there is none. Every result
//! is deterministic, because a bootstrap draws with a fixed seed.
//!
//! # What is promised
//!
//! "Better" means that interval and test both say so ([`Comparison::is_better`]), and "worse" likewise. The
//! tests in `tests/promises` simulate how often that is right, with fixed seeds. Measured with 1,200 to
//! 12,000 runs each, at the 95 % level:
//!
//! | Promise | Measured |
//! |---|---|
//! | interval of a mean, 20 to 200 examples, even, skewed and inflated scores | holds the truth in 93.6 to 96.8 % |
//! | the same, 40 examples run five times each ([`Scores::of_runs`]) | 96.2 %; counted as 200 examples 64 % |
//! | interval of a paired difference, 20 and 50 examples | holds the truth in 94.5 to 97.5 % |
//! | programs that are equally good, compared by [`compare`] | called better in 0.8 to 2.0 %; a p-value below 5 % in 1.5 to 5.3 % |
//! | the same, 20 examples run eight times each ([`Scores::of_runs`]) | a p-value below 5 % in 4.3 %; counted as 160 examples in 45 % |
//! | the same, looked at after every one of 1,000 examples ([`SequentialComparison`]) | called different in 1.5 to 2.1 %; by a test after every tenth of 500 examples in 20 % |
//! | the best of 1, 10 and 50 candidates that are no better ([`choose_winner`]) | called better in 0.5 to 2.6 %; without allowance a p-value below 5 % in up to 23 % |
//! | mean of the best of 20 coins | looks like 0.622, corrected 0.502 |
//! | the best of three other prompts on 24 rows ([`headroom`]) | looks 3.1 points better than it is, expected 0.2; the interval holds the truth in 94.9 % |
//! | candidates that are equal or up to 6 points worse, 10 or 20 of them ([`expected_gains`], a loss weighs 3 times a gain) | one that is more than 2 points worse is used in 7 to 11 %; by the highest mean in 36 to 47 % |
//! | a gain that is said to show in 80 % of all cases ([`power`]) | shows in 79 to 81 % |
//!
//! # Sources
//!
//! - One proportion: Wilson, *Probable inference*, JASA 1927; Agresti and Coull, *Approximate is better
//!   than "exact"*, The American Statistician 1998; effective sample sizes: Korn and Graubard, Survey
//!   Methodology 1998.
//! - Bootstrap: Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 14 (BCa);
//!   Hesterberg, *What teachers should know about the bootstrap*, The American Statistician 2015, section 5.3
//!   (tails); Cameron, Gelbach and Miller, *Bootstrap-based improvements for inference with
//!   clustered errors*, Review of Economics and Statistics 2008.
//! - Paired: McNemar, Psychometrika 1947; Bonett and Price, *Adjusted Wald confidence interval for a
//!   difference of binomial proportions based on paired data*, JEBS 2012; Good, *Permutation,
//!   Parametric and Bootstrap Tests of Hypotheses*, 2005.
//! - Sequential: Howard, Ramdas, McAuliffe and Sekhon, *Time-uniform, nonparametric, nonasymptotic
//!   confidence sequences*, Annals of Statistics 2021; Waudby-Smith and Ramdas, *Estimating means of
//!   bounded random variables by betting*, JRSS B 2024.
//! - Many candidates: Holm, Scandinavian Journal of Statistics 1979; Westfall and Young,
//!   *Resampling-Based Multiple Testing*, 1993; Tsamardinos, Greasidou and Borboudakis,
//!   *Bootstrapping the out-of-sample predictions for efficient and accurate cross-validation*, Machine
//!   Learning 2018.
//! - What to expect of each: Efron and Morris, *Data analysis using Stein's estimator and its
//!   generalizations*, JASA 1975; Stephens, *False discovery rates: a new deal*, Biostatistics 2017.
//! - Numbers of pairs: Miettinen, Biometrics 1968; Connor, Biometrics 1987.
//! - Prompts × rows × draws: Searle, Casella and McCulloch, *Variance Components*, 1992; Gelman, *Prior
//!   distributions for variance parameters in hierarchical models*, Bayesian Analysis 2006. That headroom is to be
//!   looked for before anything is optimized: arXiv 2604.14585.

mod assertion;
mod basics;
mod comparison;
mod error;
mod estimate;
mod gain;
mod headroom;
mod interval;
mod paired;
mod power;
mod scores;
mod sequential;
mod winner;

#[doc(hidden)]
pub use assertion::loss;
pub use comparison::Comparison;
pub use error::Error;
pub use estimate::Estimate;
pub use gain::{Gain, expected_gains};
pub use headroom::{ExpectedGain, Headroom, RowTally, VarianceComponents, headroom};
pub use interval::{estimate, wilson};
pub use paired::{PValues, compare, p_values};
pub use power::{
    PairedSpread, detectable_gain, examples_needed, minimum_detectable_gain, power, sensitivity_note,
};
pub use scores::Scores;
pub use sequential::{SequentialComparison, Verdict};
pub use winner::{Winner, choose_winner, judge_winner};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
