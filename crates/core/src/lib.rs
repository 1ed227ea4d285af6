//! The data and the traits that every stage of promptopt shares.
//!
//! An [`Example`] goes through a [`Module`] under some [`Prompts`]; a [`Metric`] judges the
//! [`Prediction`]; what happened is a [`Trace`]. An [`Optimizer`] looks for the
//! [`PromptCandidate`] whose traces score best and installs it. Here are those types and the
//! seams between them, and [`RolloutRunner`], the one way in which every stage runs a program.
//!
//! This crate knows no runtime, no HTTP, no templates and no optimizer.
//!
//! ```
//! use std::sync::Arc;
//! use promptopt_core::{
//!     CallContext, Evaluator, Example, Fields, LanguageModel, LmError, LmReply, LmRequest, Message,
//!     Module, ModuleExt, Prediction, Predictor, RolloutJob, RolloutRunner, Usage, metric_fn,
//! };
//! # use futures_util::FutureExt as _;
//!
//! /// A model that shouts back.
//! struct Echo;
//!
//! #[async_trait::async_trait]
//! impl LanguageModel for Echo {
//!     fn id(&self) -> String { "echo".into() }
//!     async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
//!         let last = request.messages.last().map_or("", |message| &message.content);
//!         Ok(LmReply::text(last.to_uppercase(), Usage::call(1, 1)))
//!     }
//! }
//!
//! /// A program that calls the model once.
//! struct Shout;
//!
//! #[async_trait::async_trait]
//! impl Module for Shout {
//!     fn predictors(&self) -> Vec<&dyn Predictor> { vec![] }
//!     fn predictors_mut(&mut self) -> Vec<&mut dyn Predictor> { vec![] }
//!     async fn run(&self, context: &CallContext, inputs: &Fields) -> anyhow::Result<Prediction> {
//!         let text = inputs["text"].as_str().unwrap_or_default();
//!         let reply = context.complete(LmRequest::new(vec![Message::user(text)])).await?;
//!         Ok(Prediction::from_iter([("shout", reply.first_text())]))
//!     }
//! }
//!
//! let program = Shout.with_metric(metric_fn(|example: &Example, prediction: &Prediction| {
//!     example.get("shout") == prediction.get("shout")
//! }));
//! let runner = RolloutRunner::new(&program, Arc::new(Echo));
//! let example = Example::new([("text", "hi"), ("shout", "HI")], ["text"]);
//! let jobs = [RolloutJob::new(Arc::default(), example.into())];
//! let batch = runner.run(&jobs).now_or_never().unwrap()?;
//! assert_eq!(batch.traces[0].as_ref().unwrap().score_value(), Some(1.0));
//! # Ok::<(), promptopt_core::Error>(())
//! ```

mod budget;
mod cancel;
mod candidate;
mod clock;
mod context;
mod cost;
mod error;
mod estimate;
mod example;
mod field_type;
mod hash;
mod instruction;
mod ledger;
mod lm;
mod lm_error;
mod metric;
mod module;
mod money;
mod observer;
mod optimizer;
mod prediction;
mod prompt;
mod rollout;
mod score;
mod signature;
mod store;
mod trace;
#[cfg(feature = "tracing")]
mod tracing_observer;
mod turns;
mod usage;

pub use budget::{Budget, Limit};
pub use cancel::Cancellation;
pub use candidate::{Origin, PromptCandidate};
pub use clock::{Clock, SystemClock};
pub use context::{CallContext, DEFAULT_MAX_TOKENS, StepSlot};
pub use cost::{Cost, most_prompt_tokens};
pub use error::Error;
pub use estimate::{Between, CallSize, CostEstimate, Figures, ModelRole, StageEstimate, calls_of_a_rollout};
pub use example::{Example, Fields, fields_of};
pub use field_type::FieldType;
pub use hash::ContentHash;
pub use instruction::{InstructionRequest, InstructionWriter};
pub use ledger::Ledger;
pub use lm::{
    Attempts, Completion, FinishReason, LanguageModel, LmReply, LmRequest, Message, ResponseFormat, Role,
    Sampling,
};
pub use lm_error::{LmError, ReplyError};
pub use metric::{Evaluator, Metric, MetricFn, WithMetric, metric_fn};
pub use module::{Module, ModuleExt, Predictor, check_program};
pub use money::{Money, Price, Prices};
pub use observer::{Event, NoObserver, Observer};
pub use optimizer::{
    CandidateScores, Comparison, Confirmation, DepthStatistics, Estimate, FailureCounts, Optimizer, Outcome,
    Spending, StopReason, Trial, TrialKind,
};
pub use prediction::Prediction;
pub use prompt::{Demo, Prompt, Prompts};
pub use rollout::{Batch, RolloutJob, RolloutRunner, RolloutTotals, run_once};
pub use score::Score;
pub use signature::{Field, Signature};
pub use store::{RolloutKey, RolloutStore};
pub use trace::{Failure, FailureKind, Step, Trace, plain_text, shorten};
#[cfg(feature = "tracing")]
pub use tracing_observer::TracingObserver;
pub use usage::Usage;
