//! Tasks to measure optimizers on, which must not know them: each hides something else.

mod behaviour;
mod ceiling;
mod headroom;
mod landscape;
mod noisy;
mod notation;
mod rules;
mod shown;
mod wording;

pub use headroom::HeadroomTask;
pub use landscape::Landscape;
