//! Instructions for a peer over a model that is too small to write any: what DSPy's proposer asks for is answered
//! from the templates that our optimizers have on such a model, and everything else by the model.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use miprov2::proposer::TemplateProposer;
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::money::Usage;
use promptopt_run::{InstructionRequest, InstructionWriter as _, Run};

use crate::task;

/// The field in which DSPy's proposer wants an instruction.
const INSTRUCTION: &str = "proposed_instruction";
/// The fields in which it wants descriptions of data and program.
const DESCRIPTIONS: [&str; 4] = ["observations", "summary", "program_description", "module_description"];
const DESCRIPTION: &str = "Each example has one input and one short answer.";

/// A model with a writer of instructions before it.
pub(crate) struct Scribe {
    model: Arc<dyn LanguageModel>,
    writer: TemplateProposer,
    /// What is asked of the writer; grows by what it wrote.
    request: Mutex<InstructionRequest>,
}

impl Scribe {
    pub(crate) fn new(model: Arc<dyn LanguageModel>, request: InstructionRequest) -> Self {
        Self { model, writer: TemplateProposer::default(), request: Mutex::new(request) }
    }

    async fn instruction(&self) -> String {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The writer asks no model, so any run does.
        let program = task::program();
        let mut run = Run::bare(&program, Arc::clone(&self.model));
        let written = self.writer.write_instructions(&mut run, &request).await.unwrap_or_default();
        let written = written.into_iter().next().unwrap_or_else(|| request.instruction.clone());
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        request.seed += 1;
        request.taken.push(written.clone());
        written
    }
}

/// The part of a chat's first message that lists what the model is to answer with.
fn outputs(request: &LmRequest) -> Option<&str> {
    let text = request.messages.first()?.text();
    let (_, list) = text.split_once("Your output fields are:")?;
    list.split("All interactions").next()
}

#[async_trait]
impl LanguageModel for Scribe {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let outputs = outputs(request).unwrap_or_default();
        let wants = |field: &&str| outputs.contains(&format!("`{field}`"));
        let (field, text) = if wants(&INSTRUCTION) {
            (INSTRUCTION, self.instruction().await)
        } else {
            match DESCRIPTIONS.into_iter().find(wants) {
                Some(field) => (field, DESCRIPTION.to_owned()),
                None => return self.model.complete(request, attempts).await,
            }
        };
        let reply = format!("[[ ## {field} ## ]]\n{text}\n\n[[ ## completed ## ]]");
        Ok(LmReply::text(reply, Usage::call(0, 0)))
    }
}
