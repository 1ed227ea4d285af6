//! What can be wrong with a program state, or between it and a program.

use promptopt_core::prompt::Misfit;

use crate::program::MAX_BYTES;

/// Why a program state could not be read, used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is larger than any program state should be.
    #[error("the program state has {bytes} bytes, and at most {MAX_BYTES} are read: is it a data set?")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The text is not JSON, or nested deeper than is read.
    #[error("the program state is not readable JSON: save it in DSPy with a name that ends in `.json`")]
    Json {
        /// What was found where.
        #[from]
        source: serde_json::Error,
    },
    /// A part of the file is not what DSPy writes there.
    #[error("{at} is {found}, but {expected} is expected in a DSPy program state")]
    Shape {
        /// The part, such as ``the key `demos` of the predictor `answer` ``.
        at: String,
        /// What DSPy writes there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The file holds no predictor at all.
    #[error(
        "no predictor was found in the program state: it should come from `program.save(\"program.json\")` in DSPy"
    )]
    NoPredictors,
    /// The program has a predictor that the file lacks.
    #[error(
        "the program's predictor `{predictor}` is not in the program state, which has {}: give it the name it has in DSPy",
        list(.found)
    )]
    MissingPredictor {
        /// Our path of the predictor.
        predictor: String,
        /// The predictors that the file has, as DSPy names them.
        found: Vec<String>,
    },
    /// The file has predictors that the program lacks.
    #[error("the program state also has {}, for which the program has no predictor", list(.predictors))]
    UnusedPredictors {
        /// The predictors, as DSPy names them.
        predictors: Vec<String>,
    },
    /// There is a prompt for a predictor that the program lacks.
    #[error("there is a prompt for `{predictor}`, but the program has no such predictor")]
    UnknownPrompt {
        /// The predictor of the prompt.
        predictor: String,
    },
    /// A predictor has another number of fields in the file than in the program.
    #[error(
        "the predictor `{predictor}` has {found} fields in the program state and {expected} in the program ({names}){hint}"
    )]
    FieldCount {
        /// Our path of the predictor.
        predictor: String,
        /// How many fields the program's signature has.
        expected: usize,
        /// How many the file has.
        found: usize,
        /// The program's fields: inputs, then outputs.
        names: String,
        /// What may be the reason; empty when nothing is known.
        hint: &'static str,
    },
    /// The file names a field otherwise than the program.
    #[error(
        "field {position} of the predictor `{predictor}` is `{found}` in the program state and `{expected}` in the program: fields go by position, so names and order must be those of DSPy"
    )]
    FieldName {
        /// Our path of the predictor.
        predictor: String,
        /// Position among inputs and outputs, counted from 1.
        position: usize,
        /// The program's name.
        expected: String,
        /// The file's name.
        found: String,
    },
    /// An agent has fields with which it can be no `dspy.ReAct`.
    #[error("{} can be no `dspy.ReAct`: {reason}", agent(.predictor))]
    Field {
        /// Our path of the agent; empty where it is the whole program.
        predictor: String,
        /// What is wrong with which field.
        reason: String,
    },
    /// Demos do not fit their predictor.
    #[error("the demos of the predictor `{predictor}` do not fit its signature: {misfit}")]
    Demos {
        /// Our path of the predictor.
        predictor: String,
        /// What does not fit, and what to do.
        misfit: Misfit,
    },
    /// A value in a demo does not fit the type of its field.
    #[error(
        "demo {demo} of the predictor `{predictor}` has {found} in the field `{field}`, whose type is {kind}: it holds \
         {value}"
    )]
    DemoValue {
        /// Our path of the predictor.
        predictor: String,
        /// Which demo, counted from 1.
        demo: usize,
        /// The field.
        field: String,
        /// The field's type, in short form.
        kind: String,
        /// The kind of value that was found.
        found: &'static str,
        /// The value, shortened.
        value: String,
    },
    /// A predictor cannot be where it should be in DSPy.
    #[error("the predictor `{predictor}` cannot be at `{path}` in DSPy: {reason}")]
    Path {
        /// Our path of the predictor.
        predictor: String,
        /// The path it would have in DSPy.
        path: String,
        /// Why not.
        reason: &'static str,
    },
}

fn agent(path: &str) -> String {
    if path.is_empty() { "the agent".to_owned() } else { format!("the agent `{path}`") }
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    shown.join(", ")
}
