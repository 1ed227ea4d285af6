//! What a proposer is given, and what it gives.

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use promptopt_core::{Demo, Example, Module, Signature, StopReason, Trace, Usage};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What a proposer sees of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictorInfo {
    /// Path inside the program.
    pub path: String,
    /// What it takes and gives.
    pub signature: Signature,
    /// The basic instruction: the one it has now.
    pub instruction: String,
}

/// What a proposer sees of a program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProgramInfo {
    /// Name.
    pub name: String,
    /// Pseudo-code or prose, if the program has any to show.
    pub source: Option<String>,
    /// The predictors, in order.
    pub predictors: Vec<PredictorInfo>,
}

impl ProgramInfo {
    /// A program of one predictor.
    pub fn single(path: &str, signature: Signature) -> Self {
        let instruction = signature.instructions().to_owned();
        let predictor = PredictorInfo { path: path.to_owned(), signature, instruction };
        Self { name: path.to_owned(), source: None, predictors: vec![predictor] }
    }

    /// What there is to see of a module.
    pub fn of(program: &(impl Module + ?Sized)) -> Self {
        let predictors = program.predictors().into_iter().map(|predictor| PredictorInfo {
            path: predictor.path().to_owned(),
            signature: predictor.signature().clone(),
            instruction: predictor.prompt().instruction.clone(),
        });
        Self { name: program.name().to_owned(), source: program.source(), predictors: predictors.collect() }
    }
}

/// An instruction that was tried, and how it scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The instruction.
    pub instruction: String,
    /// Its mean score.
    pub score: f64,
}

/// What instructions are to be written for.
#[derive(Debug, Clone)]
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

    pub(crate) fn is_taken(&self, predictor: &str, instruction: &str) -> bool {
        let wanted = normalized(instruction);
        self.taken.get(predictor).into_iter().flatten().any(|taken| normalized(taken) == wanted)
    }
}

/// What a proposer found out about a task; written once, used for every proposal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// What the data is like.
    pub data_summary: Option<String>,
    /// What the program does.
    pub program_description: Option<String>,
    /// What each predictor is for.
    pub predictor_descriptions: IndexMap<String, String>,
    /// What it cost.
    pub usage: Usage,
    /// What a user should know.
    pub notes: Vec<String>,
    /// Why it is not complete.
    pub stop: Option<StopReason>,
}

/// Who wrote an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProposalSource {
    /// The prompt model.
    Model,
    /// The templates.
    Template,
}

/// A proposed instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The instruction.
    pub instruction: String,
    /// Who wrote it.
    pub source: ProposalSource,
    /// Key of the tip it was written with.
    pub tip: Option<String>,
}

/// What a proposer wrote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Proposals {
    /// Predictor path -> instructions, without repetitions and without those that were taken.
    pub instructions: IndexMap<String, Vec<Proposal>>,
    /// What was dropped: predictor, text and why.
    pub dropped: Vec<(String, String, String)>,
    /// What it cost.
    pub usage: Usage,
    /// What a user should know.
    pub notes: Vec<String>,
    /// Why it is not complete.
    pub stop: Option<StopReason>,
}

impl Proposals {
    /// The instructions for a predictor.
    pub fn of(&self, predictor: &str) -> &[Proposal] {
        self.instructions.get(predictor).map_or(&[], Vec::as_slice)
    }
}

/// Writes instructions.
#[async_trait]
pub trait Proposer: Send + Sync {
    /// Finds out about a task.
    ///
    /// # Errors
    ///
    /// [`Error`] when a prompt cannot be made or sent. Replies that serve nothing are notes.
    async fn study(&self, task: &Task) -> Result<Study, Error>;

    /// Writes up to `count` instructions for every predictor, all different from each other and
    /// from those that are taken.
    ///
    /// # Errors
    ///
    /// As [`Proposer::study`].
    async fn propose(&self, task: &Task, study: &Study, count: usize) -> Result<Proposals, Error>;
}

/// An instruction without differences of white space and case: two that agree in this are one.
pub(crate) fn normalized(instruction: &str) -> String {
    instruction.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
