//! What a proposer is given, and what it gives.

use std::sync::Arc;

use indexmap::IndexMap;
use promptopt_core::data::Example;
use promptopt_core::program::Module;
use promptopt_core::prompt::{Demo, Prompts};
use promptopt_core::signature::Signature;
use promptopt_core::trace::Trace;
use promptopt_run::proposal::Known;
use serde::{Deserialize, Serialize};

/// What a proposer sees of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PredictorInfo {
    /// Path inside the program.
    pub path: String,
    /// What it takes and gives.
    pub signature: Signature,
    /// The basic instruction: the one it has now.
    pub instruction: String,
    /// What else whoever writes its instruction should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl PredictorInfo {
    /// A predictor with the instruction it has now.
    pub fn new(path: impl Into<String>, signature: Signature, instruction: impl Into<String>) -> Self {
        Self { path: path.into(), signature, instruction: instruction.into(), about: None }
    }
}

/// What a proposer sees of a program.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProgramInfo {
    /// Name.
    pub name: String,
    /// Pseudo-code or prose, if the program has any to show.
    pub source: Option<String>,
    /// The predictors, in order.
    pub predictors: Vec<PredictorInfo>,
}

impl ProgramInfo {
    /// A program with nothing to show but its predictors.
    pub fn new(name: impl Into<String>, predictors: Vec<PredictorInfo>) -> Self {
        Self { name: name.into(), source: None, predictors }
    }

    /// A program of one predictor.
    pub fn single(path: &str, signature: Signature) -> Self {
        let instruction = signature.instructions().to_owned();
        Self::new(path, vec![PredictorInfo::new(path, signature, instruction)])
    }

    /// What there is to see of a module.
    pub fn of(program: &(impl Module + ?Sized)) -> Self {
        let predictors = program.predictors().into_iter().map(|predictor| PredictorInfo {
            path: predictor.path().to_owned(),
            signature: predictor.signature().clone(),
            instruction: predictor.prompt().instruction.clone(),
            about: predictor.about(),
        });
        Self { name: program.name().to_owned(), source: program.source(), predictors: predictors.collect() }
    }

    /// The same with the instructions of these prompts as the basic ones.
    #[must_use]
    pub fn under(mut self, prompts: &Prompts) -> Self {
        for predictor in &mut self.predictors {
            if let Some(prompt) = prompts.get(&predictor.path) {
                predictor.instruction.clone_from(&prompt.instruction);
            }
        }
        self
    }
}

/// An instruction that was tried, and how it scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The instruction.
    pub instruction: String,
    /// Its mean score.
    pub score: f64,
}

impl Attempt {
    /// An instruction with its score.
    pub fn new(instruction: impl Into<String>, score: f64) -> Self {
        Self { instruction: instruction.into(), score }
    }
}

/// What instructions are to be written for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// The program.
    pub program: ProgramInfo,
    /// Training examples.
    pub examples: Vec<Arc<Example>>,
    /// Rollouts of the program, of which the first shows it in use.
    pub traces: Vec<Arc<Trace>>,
    /// For every predictor the demo sets that instructions may be written from.
    pub demo_sets: IndexMap<String, Vec<Vec<Demo>>>,
    /// For every predictor what was tried before.
    pub tried: IndexMap<String, Vec<Attempt>>,
    /// For every predictor the instructions that exist; what repeats one is dropped.
    pub taken: IndexMap<String, Vec<String>>,
    /// Seed of every choice.
    pub seed: u64,
}

impl Task {
    /// A task without demo sets or history, in which only the basic instructions exist.
    pub fn new(program: ProgramInfo, examples: Vec<Arc<Example>>) -> Self {
        let basics = program.predictors.iter();
        let taken =
            basics.map(|predictor| (predictor.path.clone(), vec![predictor.instruction.clone()])).collect();
        Self {
            program,
            examples,
            traces: Vec::new(),
            demo_sets: IndexMap::new(),
            tried: IndexMap::new(),
            taken,
            seed: 0,
        }
    }

    /// The instructions of a predictor that exist.
    pub(crate) fn known(&self, predictor: &str) -> Known {
        self.taken.get(predictor).into_iter().flatten().collect()
    }
}

/// What a proposer found out about a task; written once, used for every proposal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Study {
    /// What the data is like.
    pub data_summary: Option<String>,
    /// What the program does.
    pub program_description: Option<String>,
    /// What each predictor is for.
    pub predictor_descriptions: IndexMap<String, String>,
}
