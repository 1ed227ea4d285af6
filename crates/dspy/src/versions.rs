//! The versions a program state says it was saved with.

use serde::{Deserialize, Serialize};

/// Versions of what saved a program state. DSPy wants all three, and warns on loading when they
/// are not its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Versions {
    /// Major and minor version of Python.
    pub python: String,
    /// Version of DSPy, in full.
    pub dspy: String,
    /// Major and minor version of the cloudpickle package.
    pub cloudpickle: String,
}

impl Versions {
    /// Of Python, DSPy and cloudpickle.
    pub fn new(python: impl Into<String>, dspy: impl Into<String>, cloudpickle: impl Into<String>) -> Self {
        Self { python: python.into(), dspy: dspy.into(), cloudpickle: cloudpickle.into() }
    }
}

impl Default for Versions {
    /// DSPy 3.4.1 with cloudpickle 3.1 on Python 3.12.
    fn default() -> Self {
        Self { python: "3.12".to_owned(), dspy: "3.4.1".to_owned(), cloudpickle: "3.1".to_owned() }
    }
}
