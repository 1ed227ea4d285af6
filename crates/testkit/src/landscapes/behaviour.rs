//! Models of landscapes that teach in their own way.

use async_trait::async_trait;
use promptopt_core::data::ContentHash;
use promptopt_core::lm::{
    Attempts, Completion, LanguageModel, LmError, LmReply, LmRequest, ModelProfile, ResponseFormat,
};
use promptopt_core::money::Price;
use serde_json::Value;

use crate::Rule;
use crate::simulated::{Chat, MAX_COMPLETIONS, OPENING, WORDINGS, coin, requested_fields, usage};

/// Seeded chance that depends on a request.
#[derive(Clone, Copy)]
pub(super) struct Chance(ContentHash);

impl Chance {
    /// A number in [0, 1).
    pub(super) fn of(self, about: &str) -> f64 {
        coin(self.0, about)
    }

    /// One of several.
    pub(super) fn pick<'a, T>(self, about: &str, from: &'a [T]) -> Option<&'a T> {
        from.get((self.of(about) * from.len() as f64) as usize)
    }
}

/// An instruction that states some rules.
pub(super) fn instruction<'r>(rules: impl Iterator<Item = &'r Rule>, chance: Chance) -> String {
    let ending = chance.pick("wording", &WORDINGS).copied().unwrap_or_default().to_owned();
    let stated = rules.map(Rule::sentence);
    std::iter::once(OPENING.to_owned()).chain(stated).chain([ending]).collect::<Vec<_>>().join(" ")
}

/// The answer of another rule.
pub(super) fn wrong_answer(rules: &[Rule], right: &Rule, chance: Chance) -> String {
    let wrong: Vec<_> = rules.iter().filter(|other| other.value != right.value).collect();
    chance.pick("wrong", &wrong).map_or_else(|| "unknown".to_owned(), |other| other.value.clone())
}

/// How a model answers a task, and what it writes as a prompt model.
pub(super) trait Behaviour: Send + Sync {
    /// The value of an output field of the task; `None` for fields of other requests.
    fn value(&self, field: &str, chat: &Chat<'_>, chance: Chance) -> Option<String>;

    /// What it writes as a prompt model that sees `text`.
    fn write_up(&self, text: &str, chance: Chance) -> String;
}

/// A model that behaves so: a function of its seed and the messages and temperature of a request.
pub(super) struct BehavingLm<B> {
    pub(super) name: String,
    pub(super) behaviour: B,
    pub(super) seed: u64,
}

impl<B: Behaviour> BehavingLm<B> {
    fn answer(&self, request: &LmRequest, index: u32) -> String {
        let seen = ContentHash::of(&(self.seed, &request.messages, request.sampling.temperature));
        let chance = Chance(ContentHash::join([seen.as_bytes(), &index.to_le_bytes()]));
        let text = || request.messages.iter().map(|one| one.text()).collect::<Vec<_>>().join("\n");
        let fields = requested_fields(request);
        if fields.is_empty() {
            return format!(
                "Here is what I would write.\n```\n{}\n```",
                self.behaviour.write_up(&text(), chance)
            );
        }
        let chat = Chat::of(request);
        let values = fields.into_iter().map(|field| {
            let known = chat.as_ref().and_then(|chat| self.behaviour.value(&field, chat, chance));
            let value = known.unwrap_or_else(|| self.behaviour.write_up(&text(), chance));
            (field, value)
        });
        if request.response_format == ResponseFormat::Text {
            let sections: String =
                values.map(|(field, value)| format!("[[ ## {field} ## ]]\n{value}\n\n")).collect();
            sections + "[[ ## completed ## ]]"
        } else {
            Value::Object(values.map(|(field, value)| (field, Value::from(value))).collect()).to_string()
        }
    }
}

#[async_trait]
impl<B: Behaviour> LanguageModel for BehavingLm<B> {
    fn profile(&self) -> ModelProfile {
        ModelProfile::new(format!("simulated {} seed={}", self.name, self.seed)).with_price(Price::FREE)
    }

    async fn complete(&self, request: &LmRequest, _attempts: &Attempts) -> Result<LmReply, LmError> {
        let count = request.n.clamp(1, MAX_COMPLETIONS);
        let completions: Vec<_> =
            (0..count).map(|index| Completion::new(self.answer(request, index))).collect();
        let usage = usage(request, &completions);
        Ok(LmReply::new(completions, usage))
    }
}
