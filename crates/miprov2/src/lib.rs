//! MIPROv2: joint optimization of instructions and demos (Opsahl-Ong et al. 2024, "Optimizing
//! Instructions and Demonstrations for Multi-Stage Language Model Programs").
//!
//! ```
//! use std::sync::Arc;
//! use miprov2::{MIPROv2, ModuleExt as _, Optimizer as _};
//! # use promptopt_testkit::{HiddenRules, toy};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! # let task = HiddenRules::new(12, 1);
//! # let train_examples = task.examples(60);
//! # let (predict, metric, model) = (toy::answerer(), toy::exact_answer(), Arc::new(task.model(1)));
//!
//! // Any module that comes with a metric and a model.
//! let mut module = predict.with_model(model).with_metric(metric);
//!
//! let optimizer = MIPROv2::builder().num_candidates(10).num_trials(20).minibatch_size(25).build();
//! let outcome = optimizer.compile(&mut module, train_examples).await?;
//! println!("{:.2} -> {:.2}", outcome.baseline.mean, outcome.selected.mean);
//! # Ok(())
//! # }
//! ```
//!
//! The three stages are crates of their own, re-exported here: [`trace_gen`] runs the program and
//! bootstraps demo sets, [`proposer`] writes instructions, [`evaluator`] searches. This crate is
//! the pipeline of the three and nothing else.

mod auto;
mod estimate;
mod options;
mod pipeline;
mod plan;
mod sizes;

pub use auto::Auto;
pub use options::MIPROv2;
pub use promptopt_core::{
    Attempts, Batch, Budget, CallContext, Cancellation, Clock, Comparison, Completion, ContentHash, Cost,
    Demo, Error, Estimate, Evaluator, Event, Example, Failure, FailureCounts, FailureKind, Field, FieldType,
    Fields, FinishReason, LanguageModel, Ledger, Limit, LmError, LmReply, LmRequest, Message, Metric,
    MetricFn, Module, ModuleExt, Money, NoObserver, Observer, Optimizer, Origin, Outcome, Prediction,
    Predictor, Price, Prices, Prompt, PromptCandidate, Prompts, ReplyError, ResponseFormat, Role, RolloutJob,
    RolloutKey, RolloutRunner, RolloutStore, RolloutTotals, Sampling, Score, Signature, Spending, Step,
    StepSlot, StopReason, SystemClock, Trace, Trial, TrialKind, Usage, WithMetric, check_program, metric_fn,
    plain_text, run_once, shorten,
};
pub use promptopt_evaluator as evaluator;
pub use promptopt_proposer as proposer;
pub use promptopt_tips as tips;
pub use promptopt_trace_gen as trace_gen;
