//! One rollout of a program, as the gateway sees it.

use std::sync::{Arc, Mutex, PoisonError};

use promptopt_core::data::{ContentHash, Fields, shorten};
use promptopt_core::lm::{LmError, LmReply, LmRequest, Message, Role};
use promptopt_core::program::CallContext;
use promptopt_core::secret::Redactor;
use promptopt_core::trace::Step;
use serde_json::Value;

use crate::Component;
use crate::calls::Calls;
use crate::gateway::Sessions;
use crate::memory::{Memory, Recalled};
use crate::models::Models;
use crate::template::Replacement;

/// The longest text of a call that its step keeps, in characters.
const MAX_STEP_CHARS: usize = 8_000;
/// The most addresses that are remembered because they are not spoken here.
const MAX_UNKNOWN: usize = 8;
/// What stands where a client wants a key before there is one.
const NO_KEY: &str = "each-question-has-a-key-of-its-own";
/// The step of a call in which no component was found.
pub(crate) const OTHER: &str = "other";
/// The most texts that are shown in the place of a component that was not found, how much of each is searched for keys,
/// in bytes, and how much is shown, in characters.
pub(crate) const MAX_INSTEAD: usize = 6;
const MAX_INSTEAD_BYTES: usize = 16 * 1024;
pub(crate) const MAX_INSTEAD_CHARS: usize = 160;

/// The right of one program to ask, for as long as it lives.
pub struct Session {
    address: String,
    token: String,
    shared: Arc<Shared>,
    sessions: Arc<Sessions>,
}

/// What came of a session.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Ended {
    /// How many calls the program made.
    pub calls: u64,
    /// How many calls were refused, because it had made as many as it may.
    pub calls_refused: u64,
    /// The components that were found in its requests.
    pub found: Vec<String>,
    /// Why a call got no reply, where the prompt is not to blame. The first of them.
    pub failure: Option<LmError>,
    /// What it asked for that is not there.
    pub unknown: Vec<String>,
    /// Where a component was not found, texts that a request had instead, cut, and with the keys that may stand in them.
    pub(crate) instead: Vec<String>,
    /// What it sent that the gateway does not take. The first of it.
    pub refused: Option<String>,
}

pub(crate) struct Shared {
    context: CallContext,
    components: Vec<(Component, Option<Replacement>)>,
    models: Models,
    /// The calls, where the same is to be asked twice.
    memory: Option<Arc<Memory>>,
    calls: Calls,
    record: Mutex<Ended>,
}

impl Shared {
    pub(crate) fn new(
        context: CallContext,
        components: Vec<(Component, Option<Replacement>)>,
        models: Models,
        memory: Option<Arc<Memory>>,
    ) -> Self {
        Self { context, components, models, memory, calls: Calls::new(u64::MAX), record: Mutex::default() }
    }

    /// With the most calls that the program may make.
    pub(crate) fn with_calls(mut self, most: u64) -> Self {
        self.calls = Calls::new(most);
        self
    }

    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Notes what the program sent that the gateway does not take.
    pub(crate) fn refused(&self, what: &str) {
        self.with_record(|record| {
            record.refused.get_or_insert_with(|| what.to_owned());
        });
    }

    /// Completes a request for a model that it names, with the texts that are in force.
    pub(crate) async fn complete(&self, mut request: LmRequest, model: &str) -> Result<LmReply, LmError> {
        let on = self.models.chat(model).map_err(|message| {
            self.unknown(&format!("the model `{model}`"));
            LmError::InvalidRequest { status: 404, message }
        })?;
        let original = self.memory.as_ref().map(|_| request.clone());
        let mut found: Vec<&str> = Vec::new();
        for (component, text) in &self.components {
            if component.replace(&mut request, text.as_ref()) {
                found.push(component.name());
            }
        }
        if found.len() < self.components.len() {
            self.note_instead(&request);
        }
        let slot = self.context.begin_step();
        let parts: Vec<_> =
            found.iter().skip(1).map(|name| (*name, self.context.begin_part(&slot))).collect();
        let mut step = Step::new(*found.first().unwrap_or(&OTHER)).with_inputs(inputs(&request));
        let result = match self.recalled(original.as_ref()) {
            Some(result) => result,
            None => match on {
                Some(model) => self.context.on(model).complete(request).await,
                None => self.context.complete(request).await,
            },
        };
        match &result {
            Ok(reply) => {
                step.outputs = outputs(reply);
                step.usage = reply.usage;
            }
            Err(error) => step.error = Some(error.to_string()),
        }
        if let (Some(memory), Some(original)) = (&self.memory, &original) {
            memory.keep(ContentHash::of(original), &result);
        }
        for (name, slot) in parts {
            let part = Step::new(name).with_inputs(step.inputs.clone()).with_outputs(step.outputs.clone());
            self.context.end_step(slot, part.with_error(step.error.clone()));
        }
        self.context.end_step(slot, step);
        self.with_record(|record| {
            for name in found {
                if !record.found.iter().any(|known| known == name) {
                    record.found.push(name.to_owned());
                }
            }
        });
        self.note_failure(&result);
        result
    }

    /// Asks a model of embeddings. There is no text in it that could be improved, so it is no step.
    pub(crate) async fn embed(&self, request: LmRequest, model: &str) -> Result<LmReply, LmError> {
        let on = self.models.embeddings(model).map_err(|message| {
            self.unknown(&format!("embeddings of the model `{model}`"));
            LmError::InvalidRequest { status: 404, message }
        })?;
        let result = match self.recalled(Some(&request)) {
            Some(result) => result,
            None => {
                let key = self.memory.as_ref().map(|memory| (memory, ContentHash::of(&request)));
                let result = self.context.on(on).complete(request).await;
                if let Some((memory, key)) = key {
                    memory.keep(key, &result);
                }
                result
            }
        };
        self.note_failure(&result);
        result
    }

    /// What comes back where the program asks for the second time.
    fn recalled(&self, request: Option<&LmRequest>) -> Option<Result<LmReply, LmError>> {
        match self.memory.as_ref()?.recall(request?) {
            Recalled::First => None,
            Recalled::Known(result) => Some(*result),
            Recalled::Other => {
                let message = "this was not asked when the same question was answered before".to_owned();
                Some(Err(LmError::Call { message }))
            }
        }
    }

    fn note_failure(&self, result: &Result<LmReply, LmError>) {
        let Err(error) = result else { return };
        self.with_record(|record| {
            if !error.is_caused_by_prompt() && record.failure.is_none() {
                record.failure = Some(error.clone());
            }
        });
    }

    /// Keeps the texts of a request in which a component was not found.
    fn note_instead(&self, request: &LmRequest) {
        self.with_record(|record| {
            let standing = request.messages.iter().filter(|message| {
                matches!(message.role, Role::System | Role::Developer) || request.messages.len() == 1
            });
            let messages = standing.map(|message| (message.role.as_str(), message.content.to_string()));
            let tools = request.tools.iter().map(|tool| ("tool", tool.description.clone()));
            for (what, text) in messages.chain(tools).filter(|(_, text)| !text.trim().is_empty()) {
                if record.instead.len() >= MAX_INSTEAD {
                    return;
                }
                // Much more than is told, so that no key is cut in what is. Keys are taken out when it is told.
                let text = text.get(..text.floor_char_boundary(MAX_INSTEAD_BYTES)).unwrap_or_default();
                let text = format!("{what}: {}", text.trim());
                if !record.instead.contains(&text) {
                    record.instead.push(text);
                }
            }
        });
    }

    /// Notes a request for something that is not there.
    pub(crate) fn unknown(&self, what: &str) {
        let what = shorten(what, MAX_INSTEAD_CHARS);
        self.with_record(|record| {
            if record.unknown.len() < MAX_UNKNOWN && !record.unknown.contains(&what) {
                record.unknown.push(what);
            }
        });
    }

    fn with_record<T>(&self, work: impl FnOnce(&mut Ended) -> T) -> T {
        work(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a call was given: its messages, without the standing instruction, which is known.
fn inputs(request: &LmRequest) -> Fields {
    let is_said = |message: &&Message| !matches!(message.role, Role::System | Role::Developer);
    let mut said: Vec<&Message> = request.messages.iter().filter(is_said).collect();
    if said.is_empty() {
        said = request.messages.iter().collect();
    }
    let line = |message: &&Message| {
        let calls = message.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments));
        let text = message.content.to_string();
        let words: Vec<String> =
            Some(text).filter(|text| !text.is_empty()).into_iter().chain(calls).collect();
        format!("{}: {}", message.role.as_str(), words.join("\n"))
    };
    let text = match said.as_slice() {
        [only] if only.role == Role::User => only.content.to_string(),
        many => many.iter().map(line).collect::<Vec<_>>().join("\n\n"),
    };
    Fields::from_iter([("messages".to_owned(), shorten(&text, MAX_STEP_CHARS).into())])
}

fn outputs(reply: &LmReply) -> Fields {
    let mut fields = Fields::new();
    let Some(completion) = reply.completions.first() else { return fields };
    if !completion.text.is_empty() || completion.tool_calls.is_empty() {
        fields.insert("reply".to_owned(), shorten(&completion.text, MAX_STEP_CHARS).into());
    }
    if !completion.tool_calls.is_empty() {
        let calls = completion.tool_calls.iter();
        let calls: Vec<Value> =
            calls.map(|call| format!("{}({})", call.name, call.arguments).into()).collect();
        fields.insert("tool_calls".to_owned(), calls.into());
    }
    fields
}

impl Session {
    pub(crate) fn new(address: String, token: String, shared: Arc<Shared>, sessions: Arc<Sessions>) -> Self {
        Self { address, token, shared, sessions }
    }

    /// The base URL for clients of OpenAI, which holds the key as well.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The base URL for clients of Anthropic, which holds the key as well.
    pub fn anthropic_url(&self) -> String {
        self.url()
    }

    /// The key, which is of no use to anybody else.
    pub fn key(&self) -> &str {
        &self.token
    }

    /// The variables that clients read: base URLs and keys.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        variables(&self.url(), &self.token)
    }

    /// The same variables for a program that is asked for many rollouts, and told the key of each: with them a client can be
    /// made, and what it asks is refused with a reason.
    pub(crate) fn variables_without_key(&self) -> [(&'static str, String); 5] {
        variables(&format!("http://{}", self.address), NO_KEY)
    }

    /// A text of the program without the key and whatever else looks like one.
    pub(crate) fn clean(&self, text: &str) -> String {
        Redactor::new([self.token.clone().into()]).strict().redact(text).into_owned()
    }

    /// The program is asked the same again, because it died: what it asked already is answered with the same replies.
    pub(crate) fn ask_again(&self) {
        self.shared.calls.ask_again();
    }

    fn url(&self) -> String {
        format!("http://{}/s/{}", self.address, self.token)
    }

    /// Lets nobody ask any more, waits for the replies to calls that are under way, and says what came of it. Where a
    /// session is dropped instead, such calls are dropped as well.
    pub async fn close(self) -> Ended {
        self.sessions.close(&self.token);
        let mut under_way = self.shared.calls.end();
        while under_way.join_next().await.is_some() {}
        let (calls, calls_refused) = self.shared.calls.counts();
        self.shared.with_record(|record| Ended { calls, calls_refused, ..record.clone() })
    }
}

fn variables(url: &str, key: &str) -> [(&'static str, String); 5] {
    [
        ("OPENAI_BASE_URL", format!("{url}/v1")),
        ("OPENAI_API_BASE", format!("{url}/v1")),
        ("OPENAI_API_KEY", key.to_owned()),
        ("ANTHROPIC_BASE_URL", url.to_owned()),
        ("ANTHROPIC_API_KEY", key.to_owned()),
    ]
}

impl Drop for Session {
    fn drop(&mut self) {
        self.sessions.close(&self.token);
        drop(self.shared.calls.end());
    }
}
