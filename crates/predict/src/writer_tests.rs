//! Writers, over a model that numbers its replies.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use promptopt_core::{Completion, LmReply};

use super::*;

/// Answers with numbered replies: as many as wanted, or one, or refuses where several are wanted.
struct Numbered {
    honours_n: bool,
    refuses_n: bool,
    requests: Mutex<Vec<LmRequest>>,
}

impl Numbered {
    fn new(honours_n: bool, refuses_n: bool) -> Arc<Self> {
        Arc::new(Self { honours_n, refuses_n, requests: Mutex::default() })
    }
}

#[async_trait]
impl LanguageModel for Numbered {
    fn id(&self) -> String {
        "numbered".to_owned()
    }

    async fn complete(&self, request: &LmRequest) -> Result<LmReply, LmError> {
        self.requests.lock().unwrap().push(request.clone());
        if request.n > 1 && self.refuses_n {
            return Err(LmError::InvalidRequest { status: 400, message: "`n` must be 1".into() });
        }
        let count = if self.honours_n { request.n.max(1) } else { 1 };
        let form = |text: String| match request.messages.first() {
            Some(message) if message.content.contains("[[ ##") => format!("[[ ## text ## ]]\n{text}"),
            _ => text,
        };
        let completions =
            (0..count).map(|number| Completion::new(form(format!(" text {number} ")))).collect();
        Ok(LmReply { completions, usage: Usage::call(10, 5) })
    }
}

const BRIEF: Brief<'_> = Brief {
    name: "write",
    instruction: "Write a text.",
    inputs: &[("about", "What it is about.")],
    output: ("text", "The text."),
};

fn assignment() -> Assignment {
    Assignment { inputs: Fields::from_iter([("about".to_owned(), Value::from("rain"))]), draw: 0 }
}

fn draw(model: Arc<Numbered>) -> Written {
    Writer::new(model).draw(BRIEF, assignment(), 3).now_or_never().unwrap().unwrap()
}

#[test]
fn one_request_gives_several_texts_where_the_server_can() {
    let model = Numbered::new(true, false);
    let written = draw(Arc::clone(&model));
    assert_eq!(written.texts, ["text 0", "text 1", "text 2"].map(|text| Some(text.to_owned())));
    assert_eq!(written.usage.calls, 1);
    assert_eq!(model.requests.lock().unwrap()[0].n, 3);
}

#[test]
fn a_server_that_ignores_or_refuses_n_gives_fewer_and_ends_nothing() {
    let ignored = draw(Numbered::new(false, false));
    assert_eq!((ignored.texts.len(), ignored.stop), (1, None));
    let refused = draw(Numbered::new(false, true));
    assert_eq!((refused.texts.len(), refused.stop), (0, None));
}

#[test]
fn bare_prompts_go_out_as_they_are_and_replies_come_back_as_they_are() {
    let model = Numbered::new(true, false);
    let prompts = vec![("first prompt".to_owned(), 0), ("second prompt".to_owned(), 7)];
    let written = Writer::new(Arc::clone(&model) as Arc<dyn LanguageModel>)
        .ask("reflect", prompts)
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(written.texts, vec![Some("text 0".to_owned()); 2]);
    let requests = model.requests.lock().unwrap();
    assert_eq!(requests[1].messages, [Message::user("second prompt")]);
    assert_eq!(requests[1].sample_index, 7);
}

#[test]
fn a_budget_holds_for_writing_too() {
    let model = Numbered::new(true, false);
    let ledger = Arc::new(Ledger::new(promptopt_core::Budget::calls(1)));
    let writer = Writer { ledger, ..Writer::new(Arc::clone(&model) as Arc<dyn LanguageModel>) };
    let prompts = vec![("first".to_owned(), 0), ("second".to_owned(), 0)];
    let written = writer.ask("reflect", prompts).now_or_never().unwrap().unwrap();
    assert_eq!(written.stop, Some(StopReason::Budget));
    assert_eq!(written.texts, [Some("text 0".to_owned()), None]);
    assert_eq!(model.requests.lock().unwrap().len(), 1);
}
