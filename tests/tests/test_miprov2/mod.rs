//! MIPROv2 through `compile`, on scripted and simulated models: trace generation, candidate
//! selection, configuration and edge cases.

mod configuration;
mod edge_cases;
mod selection;
mod traces;
mod usage;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use miprov2::MIPROv2;
use promptopt_core::data::{Example, Prediction, Score};
use promptopt_core::lm::{LanguageModel, LmError, LmRequest, Role};
use promptopt_core::program::{Module, ModuleExt as _, Predictor as _, metric_fn};
use promptopt_core::prompt::PromptCandidate;
use promptopt_predict::Predict;
use promptopt_proposer::TemplateProposer;
use promptopt_run::{Auto, Error, Optimizer as _, Outcome, StopReason, Strategy as _, TrialKind};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};
use promptopt_tips::{PromptingTips, Tip};

use crate::support::{counted, nothing, numbered, program, said, small, text};

/// Whether a request goes to the task predictor (and not to the prompt model).
fn is_task(request: &LmRequest) -> bool {
    request.messages[0].text().contains("Your output fields are:\n1. `answer`")
}

fn wants(request: &LmRequest, field: &str) -> bool {
    request.messages[0].text().contains(&format!("Your output fields are:\n1. `{field}`"))
}

/// A task model that answers with `answer`, and a prompt model that writes `propose(n)` as its
/// n-th proposal.
fn scripted(answer: &'static str, propose: impl Fn(usize) -> String + Send + Sync + 'static) -> ScriptedLm {
    let proposals = AtomicUsize::new(0);
    ScriptedLm::new(move |request| {
        if is_task(request) {
            return Ok(ScriptedLm::chat_reply([("answer", answer)]));
        }
        for field in ["observations", "summary", "program_description", "module_description"] {
            if wants(request, field) {
                return Ok(ScriptedLm::chat_reply([(field, "Questions with short answers.")]));
            }
        }
        let text = propose(proposals.fetch_add(1, Ordering::SeqCst));
        Ok(ScriptedLm::chat_reply([("proposed_instruction", text.as_str())]))
    })
}

fn distinct_proposals() -> impl Fn(usize) -> String + Send + Sync {
    |n| format!("Answer the question with care, way number {n}.")
}

async fn compile(
    optimizer: &MIPROv2,
    model: impl LanguageModel + 'static,
    examples: Vec<Example>,
) -> Result<Outcome, Error> {
    optimizer.compile(&mut program(Arc::new(model)), examples).await
}

fn same_answer(count: usize) -> Vec<Example> {
    (0..count)
        .map(|n| {
            Example::new([("question", format!("question {n}")), ("answer", "yes".to_owned())], ["question"])
        })
        .collect()
}
