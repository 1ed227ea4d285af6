//! Demo sets: what the demos of a whole program may be.

use indexmap::IndexMap;
use promptopt_core::Demo;
use serde::{Deserialize, Serialize};

/// How a demo set was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DemoSetKind {
    /// No demos.
    Empty,
    /// Examples of the data set as they are.
    Labeled,
    /// Steps of the first rollouts that passed, filled up with labelled examples.
    Bootstrapped,
    /// Steps of random rollouts that passed, of random number, filled up with labelled examples.
    Shuffled,
}

/// Demos for every predictor of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoSet {
    /// How it was put together.
    pub kind: DemoSetKind,
    /// Predictor path -> demos, in the program's order; empty lists included.
    pub demos: IndexMap<String, Vec<Demo>>,
}

impl DemoSet {
    /// The demos of a predictor.
    pub fn of(&self, predictor: &str) -> &[Demo] {
        self.demos.get(predictor).map_or(&[], Vec::as_slice)
    }

    /// Whether no predictor has a demo.
    pub fn is_empty(&self) -> bool {
        self.demos.values().all(Vec::is_empty)
    }
}
