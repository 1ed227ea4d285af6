//! The engine: one shared model, a queue, and workers that each own a context.

mod backend;
mod chat;
mod fingerprint;
mod model;
mod options;
mod picker;
mod queue;
mod reader;
mod slots;
mod stats;
mod text;
mod weights_file;
mod worker;

pub use model::LocalModel;
pub use options::LocalModelOptions;
pub use stats::LocalStats;
