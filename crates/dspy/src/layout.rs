//! Which predictors a program has, and where DSPy keeps them.

use promptopt_core::program::Module;
use promptopt_core::signature::{FieldType, Signature};

use crate::Error;
use crate::path::check_path;

/// DSPy's path of a predictor that is the whole program.
pub const LONE: &str = "self";

/// The predictors of a program with their signatures and their paths in DSPy.
///
/// A predictor whose first output is the text `reasoning` is a `ChainOfThought` in DSPy, which
/// keeps its predictor one step further down: `plan` is at `plan.predict`. [`Layout::at`] says so
/// where a predictor is elsewhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout(Vec<Place>);

/// Where one predictor is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Our path.
    pub(crate) path: String,
    /// The signature, with the reasoning where there is one.
    pub(crate) signature: Signature,
    /// DSPy's path.
    pub(crate) dspy_path: String,
}

impl Layout {
    /// Predictors by path, in the program's order. A single one is the whole program in DSPy (a
    /// `Predict` or `ChainOfThought` that is saved by itself); several are attributes of a module.
    pub fn new<S: Into<String>>(signatures: impl IntoIterator<Item = (S, Signature)>) -> Self {
        let mut layout = Self::module(signatures);
        if let [place] = layout.0.as_mut_slice() {
            place.dspy_path = if reasons(&place.signature) { "predict".into() } else { LONE.into() };
        }
        layout
    }

    /// As [`Layout::new`], but a single predictor is an attribute of a module, too.
    pub fn module<S: Into<String>>(signatures: impl IntoIterator<Item = (S, Signature)>) -> Self {
        let place = |(path, signature): (S, Signature)| {
            let path = path.into();
            let dspy_path = if reasons(&signature) && !ends_in_predict(&path) {
                format!("{path}.predict")
            } else {
                path.clone()
            };
            Place { path, signature, dspy_path }
        };
        Self(signatures.into_iter().map(place).collect())
    }

    /// The layout of a program of ours, as [`Layout::new`] sees it.
    pub fn of(program: &(impl Module + ?Sized)) -> Self {
        Self::new(
            program.predictors().iter().map(|predictor| (predictor.path(), predictor.signature().clone())),
        )
    }

    /// The same layout with the predictor `path` at `dspy_path`, as `program.named_predictors()`
    /// says it in DSPy; [`LONE`] for a `Predict` that is the whole program. Nothing changes when
    /// there is no predictor `path`.
    #[must_use]
    pub fn at(mut self, path: &str, dspy_path: impl Into<String>) -> Self {
        if let Some(place) = self.0.iter_mut().find(|place| place.path == path) {
            place.dspy_path = dspy_path.into();
        }
        self
    }

    /// DSPy's path of a predictor.
    pub fn dspy_path(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|place| place.path == path).map(|place| place.dspy_path.as_str())
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.0
    }

    /// Checks that a program in Python can be like this.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (index, place) in self.0.iter().enumerate() {
            let wrong = |reason| {
                Err(Error::Path { predictor: place.path.clone(), path: place.dspy_path.clone(), reason })
            };
            if place.dspy_path == LONE {
                if self.0.len() > 1 {
                    return wrong("only a program of one predictor is a predictor by itself");
                }
            } else if let Err(reason) = check_path(&place.dspy_path) {
                return wrong(reason);
            }
            if self.0.iter().take(index).any(|other| other.dspy_path == place.dspy_path) {
                return wrong("another predictor is there");
            }
        }
        Ok(())
    }
}

impl Place {
    /// Where to look for the predictor in a file, most likely first.
    pub(crate) fn candidates(&self) -> [String; 4] {
        let within = |name: &str| format!("{}.{name}", self.path);
        [self.dspy_path.clone(), self.path.clone(), within("predict"), within("_predict")]
    }
}

fn reasons(signature: &Signature) -> bool {
    let first = signature.outputs().first();
    first.is_some_and(|field| field.name == "reasoning" && field.kind == FieldType::String)
}

fn ends_in_predict(path: &str) -> bool {
    path == "predict" || path.ends_with(".predict")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        Signature::parse(text).unwrap()
    }

    #[test]
    fn a_chain_of_thought_is_one_step_further_down() {
        let check = |path: &str, text: &str, lone: &str, inside: &str| {
            assert_eq!(Layout::new([(path, signature(text))]).dspy_path(path), Some(lone));
            assert_eq!(Layout::module([(path, signature(text))]).dspy_path(path), Some(inside));
        };
        check("x", "q -> a", LONE, "x");
        check("x", "q -> reasoning, a", "predict", "x.predict");
        check("x.predict", "q -> reasoning, a", "predict", "x.predict");
        check("x", "q -> a, reasoning", LONE, "x");
        check("xs[1]", "q -> reasoning, a", "predict", "xs[1].predict");
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        let two = || Layout::new([("a", signature("q -> a")), ("b", signature("q -> a"))]);
        let reason = |layout: Layout| layout.check().unwrap_err().to_string();
        assert!(two().check().is_ok());
        assert!(reason(two().at("a", "b")).contains("another predictor is there"));
        assert!(reason(two().at("a", LONE)).contains("only a program of one predictor"));
        assert!(reason(two().at("a", "my-name")).contains("`my-name`"));
    }
}
