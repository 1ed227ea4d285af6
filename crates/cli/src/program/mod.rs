//! The program of a task: what the file says, checked, and made into a chain of predictors.

mod blueprint;
mod chain;

pub(crate) use blueprint::Blueprint;
pub(crate) use chain::Chain;
