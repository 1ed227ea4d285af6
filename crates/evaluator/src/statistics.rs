//! Statistics of scores, usable alone: they need slices of numbers and no search.
//!
//! # Which one to use
//!
//! | Question | Function |
//! |---|---|
//! | How good is this program? | [`estimate`]: the mean with its interval |
//! | The same, where every example ran several times | [`mean_interval_clustered`] |
//! | Is the second program better than the first, on the same examples? | [`compare`]; for a one-sided question [`p_values`] |
//! | The same, where every example ran several times | [`compare_clustered`] |
//! | The same, example by example, stopping as soon as it is clear | [`SequentialComparison`] |
//! | Is the best of several candidates better than the baseline? | [`choose_winner`], or [`judge_winner`] where it was chosen already |
//! | How many examples do I need? What can those I have show? | [`examples_needed`], [`minimum_detectable_gain`] |
//! | What could have been seen, where nothing was? | [`detectable_gain`] |
//! | Which of many candidates should I go on evaluating? | [`race`](crate::race()) |
//! | Do my splits share examples? | `overlap` and `leakage` of `promptopt-data` |
//!
//! [`compare`] is for one look at the end. Looking again and again until it says "better" finds
//! differences that are not there, and so does comparing many candidates and reporting the best;
//! [`SequentialComparison`] and [`choose_winner`] are for those.
//!
//! # What is promised
//!
//! "Better" means that interval and test both say so
//! ([`Comparison::is_better`](promptopt_core::Comparison::is_better)). `tests/statistics` simulates what
//! that is worth, with fixed seeds. Measured with 1,200 to 12,000 runs each, at the 95 % level:
//!
//! | Promise | Measured |
//! |---|---|
//! | interval of a mean, 20 to 200 examples, even, skewed and inflated scores | holds the truth in 93.6 to 96.8 % |
//! | the same, 40 examples run five times each | 96.2 %; counted as 200 examples 64 % |
//! | interval of a paired difference, 20 and 50 examples | 94.5 to 97.5 % |
//! | programs that are equally good called better by [`compare`] | 0.8 to 2.0 %; a p-value below 5 % in 1.5 to 5.3 % |
//! | the same, 20 examples run eight times each | a p-value below 5 % in 4.3 %; counted as 160 examples in 45 % |
//! | the same, looked at after every one of 1,000 examples ([`SequentialComparison`]) | 1.5 to 2.1 %; by a test after every tenth of 500 examples 20 % |
//! | the best of 1, 10 and 50 candidates that are no better called better ([`choose_winner`]) | 0.5 to 2.6 %; without allowance a p-value below 5 % in up to 23 % |
//! | mean of the best of 20 coins | looks like 0.622, corrected 0.502 |
//! | a gain that is said to show in 80 % of all cases ([`power`]) | shows in 79 to 81 % |
//!
//! All are deterministic: a bootstrap draws with a fixed seed.
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
//! - Numbers of pairs: Miettinen, Biometrics 1968; Connor, Biometrics 1987.

mod basics;
mod interval;
mod paired;
mod power;
mod sequential;
mod winner;

pub(crate) use basics::mean;
pub use interval::{estimate, mean_interval_clustered, wilson};
pub use paired::{PValues, compare, compare_clustered, p_values};
pub use power::{
    PairedSpread, detectable_gain, examples_needed, minimum_detectable_gain, power, sensitivity_note,
};
pub use sequential::{SequentialComparison, Verdict};
pub use winner::{Winner, choose_winner, judge_winner};
