//! Tasks to measure optimizers on, which must not know them: each hides something else.

mod behaviour;
mod bounded;
mod ceiling;
mod contradicting;
mod defective;
mod few_rows;
mod headroom;
mod landscape;
mod noisy;
mod notation;
mod rules;
mod shown;
mod stages;
mod wording;

pub use headroom::HeadroomTask;
pub use landscape::Landscape;
