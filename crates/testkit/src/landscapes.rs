//! Tasks to measure optimizers on, which must not know them: each hides something else.

mod behaviour;
mod bounded;
mod contradicting;
mod defective;
mod few_rows;
mod landscape;
mod noisy;
mod notation;
mod rules;
mod shown;
mod stages;
mod wording;

pub use landscape::Landscape;
