//! What the statistics promise, by simulation: how often intervals hold the truth, how often a difference is
//! seen that is not there, and how often one that is there is seen.
//!
//! Seeds are fixed. The bounds are those of the documentation; a share of 1,000 runs lies within 1.4 points
//! of its true value in 95 of 100 cases. The figures in comments were measured with ten times as many runs.

mod intervals;
mod paired;
mod sample;
mod sequential;
mod winner;
