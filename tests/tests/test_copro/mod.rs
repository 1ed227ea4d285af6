//! COPRO through `compile`, on scripted and simulated models: breadth and depth, duplicates,
//! options, budgets, bad input and the benchmark.

mod breadth;
mod budgets;
mod depths;
mod edge_cases;
mod options;
mod simulation;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use promptopt_copro::{COPRO, DepthStatistics};
use promptopt_core::data::{Example, Prediction};
use promptopt_core::lm::{Attempts, Completion, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::Usage;
use promptopt_core::program::{Cancellation, ModuleExt as _, metric_fn};
use promptopt_core::prompt::Origin;
use promptopt_run::{Error, Event, Optimizer as _, Outcome, StopReason, Strategy as _, TrialKind};
use promptopt_testkit::{HiddenRules, ScriptedLm, toy};

use crate::support::{program, text};

/// How a server treats `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Honours,
    Ignores,
    Refuses,
}

type Answer = dyn Fn(&str, &str) -> String + Send + Sync;
type Propose = dyn Fn(usize) -> String + Send + Sync;

/// A task model that answers with `answer(instruction, question)` and a prompt model that writes
/// `propose(k)` as its k-th text, in one. It remembers what it was asked.
struct Stage {
    server: Server,
    answer: Box<Answer>,
    propose: Box<Propose>,
    proposals: AtomicUsize,
    requests: Mutex<Vec<LmRequest>>,
}

impl Stage {
    fn new(
        answer: impl Fn(&str, &str) -> String + Send + Sync + 'static,
        propose: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            server: Server::Honours,
            answer: Box::new(answer),
            propose: Box::new(propose),
            proposals: AtomicUsize::new(0),
            requests: Mutex::default(),
        }
    }

    /// Always answers the same and always writes something new.
    fn answering(answer: &'static str) -> Self {
        Self::new(move |_, _| answer.to_owned(), distinct)
    }

    fn on(self, server: Server) -> Self {
        Self { server, ..self }
    }

    fn requests(&self) -> Vec<LmRequest> {
        self.requests.lock().unwrap().clone()
    }

    fn written_requests(&self) -> Vec<LmRequest> {
        self.requests().into_iter().filter(|request| !is_task(request)).collect()
    }

    fn calls(&self) -> u64 {
        self.requests.lock().unwrap().len() as u64
    }
}

#[async_trait]
impl LanguageModel for Stage {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new("stage")
    }

    async fn complete(&self, request: &LmRequest, _: &Attempts) -> Result<LmReply, LmError> {
        self.requests.lock().unwrap().push(request.clone());
        if is_task(request) {
            let answer = (self.answer)(instruction(request), question(request));
            return Ok(LmReply::text(
                ScriptedLm::chat_reply([("answer", answer.as_str())]),
                Usage::call(1, 1),
            ));
        }
        if request.n > 1 && self.server == Server::Refuses {
            return Err(LmError::InvalidRequest { status: 400, message: "n must be 1".into() });
        }
        let count = if self.server == Server::Honours { request.n.max(1) } else { 1 };
        let completions = (0..count).map(|_| {
            let text = (self.propose)(self.proposals.fetch_add(1, Ordering::SeqCst));
            Completion::new(ScriptedLm::chat_reply([("proposed_instruction", text.as_str())]))
        });
        Ok(LmReply::new(completions.collect(), Usage::call(1, 1)))
    }
}

fn distinct(number: usize) -> String {
    format!("Answer the question with care, way number {number}.")
}

/// Whether a request goes to the task predictor (and not to the prompt model).
fn is_task(request: &LmRequest) -> bool {
    request.messages[0].text().contains("Your output fields are:\n1. `answer`")
}

fn instruction(request: &LmRequest) -> &str {
    request.messages[0].text().rsplit("your objective is:").next().unwrap().trim()
}

fn question(request: &LmRequest) -> &str {
    request.messages.last().unwrap().text().split("\n\nRespond with ").next().unwrap()
}

/// The value of a field in a request to the prompt model.
fn told<'a>(request: &'a LmRequest, field: &str) -> Option<&'a str> {
    let marker = format!("[[ ## {field} ## ]]\n");
    let text = request.messages.last().unwrap().text();
    let value = text.split(&marker).nth(1)?;
    Some(value.split("\n\n[[ ##").next()?.split("\n\nRespond with ").next()?.trim())
}

async fn compile(
    optimizer: &COPRO,
    model: impl LanguageModel + 'static,
    examples: Vec<Example>,
) -> Result<Outcome, Error> {
    optimizer.compile(&mut program(Arc::new(model)), examples).await
}

fn depths(outcome: &Outcome) -> Vec<DepthStatistics> {
    outcome.detail("depths").unwrap_or_default()
}

/// Examples `question n` that are all answered `yes`.
fn same_answer(count: usize) -> Vec<Example> {
    let example = |number| {
        Example::new(
            [("question", format!("question {number}.")), ("answer", "yes".to_owned())],
            ["question"],
        )
    };
    (0..count).map(example).collect()
}

/// The instructions of all candidates, without differences of white space.
fn instructions(outcome: &Outcome) -> Vec<String> {
    let normalized = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    outcome.candidates.iter().map(|one| normalized(one.instruction("answer").unwrap())).collect()
}
