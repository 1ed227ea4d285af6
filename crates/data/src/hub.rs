//! Data sets of the Hugging Face Hub.

mod cache;
mod client;
mod dataset;
mod error;
mod listing;
mod patterns;
mod remote;
mod select;
mod settings;

pub use dataset::{HubDataset, HubExamples, HubRows, HubSource};
pub use error::HubError;
pub use settings::HubSettings;
