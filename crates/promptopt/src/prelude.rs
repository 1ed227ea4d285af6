//! What programs, metrics and optimizers are written with, in one line: `use promptopt::prelude::*;`.

pub use std::sync::Arc;

pub use async_trait::async_trait;
#[cfg(feature = "miprov2")]
pub use miprov2::MIPROv2;
#[cfg(feature = "copro")]
pub use promptopt_copro::COPRO;
pub use promptopt_core::data::{Example, Fields, Prediction, Score};
pub use promptopt_core::lm::{
    Attempts, Completion, Content, File, Image, LanguageModel, LmError, LmReply, LmRequest, Message,
    ModelProfile, Part, Role, Sampling, ToolCall, ToolDefinition, lm_fn,
};
pub use promptopt_core::money::{Budget, Money, Price, Prices, Usage};
pub use promptopt_core::program::{
    CallContext, Cancellation, Evaluator, LivePrompts, Metric, Module, ModuleExt, Predictor, Program, Text,
    async_metric_fn, metric_fn, metric_typed, module_fn,
};
pub use promptopt_core::prompt::{Demo, Origin, Prompt, PromptCandidate, Prompts};
pub use promptopt_core::signature::{Field, FieldType, History, Signature, TypedSignature};
pub use promptopt_core::trace::{Failure, FailureKind, Step, Trace};
#[cfg(feature = "data")]
pub use promptopt_data::{LoadOptions, SealedTest, SplitOptions, load, split};
pub use promptopt_evaluator::{RaceOptions, race};
#[cfg(feature = "gepa")]
pub use promptopt_gepa::GEPA;
#[cfg(feature = "lm")]
pub use promptopt_lm::ChatClient;
pub use promptopt_macros::{Module, Signature};
pub use promptopt_predict::{Agent, ChainOfThought, Predict, StreamEvent, Tool, tool_fn};
#[cfg(feature = "random-search")]
pub use promptopt_random_search::RandomSearch;
pub use promptopt_run::{
    Assignment, Auto, Brief, Event, Halt, InstructionRequest, InstructionWriter, Observer, Optimizer,
    Outcome, RolloutJob, Run, RunOptions, Setup, StopReason, Strategy, TrialKind, evaluate, run_once,
};
#[cfg(feature = "simba")]
pub use promptopt_simba::SIMBA;
pub use promptopt_statistics::{Comparison, Estimate, Scores, assert_not_worse, compare, estimate};
pub use promptopt_trace_gen::{BootstrapOptions, bootstrap};
