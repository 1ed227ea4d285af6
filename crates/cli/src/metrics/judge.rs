//! A language model as judge.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use promptopt_core::data::{ContentHash, Example, Fields, Prediction, Score, plain_text};
use promptopt_core::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, ModelProfile};
use promptopt_core::program::{CallContext, Metric, Module};
use promptopt_core::signature::{Field, FieldType, Signature};
use promptopt_predict::Predict;
use serde_json::Value;
use tokio::sync::OnceCell;

/// Judges by a rubric: a score from 0 to 1, and why. The same answer to the same input is judged once,
/// whichever prompts it came from.
pub(super) struct Judge {
    ask: Predict,
    model: Arc<dyn LanguageModel>,
    fields: Vec<String>,
    /// The inputs that are images or files: what the answer is about has but a word in their place.
    shown: Vec<String>,
}

impl Judge {
    /// `fields` are the outputs to judge, and `inputs` what the program takes.
    pub(super) fn new(
        rubric: &str,
        model: Arc<dyn LanguageModel>,
        fields: Vec<String>,
        inputs: &[Field],
    ) -> anyhow::Result<Self> {
        let instruction = format!(
            "Judge the answer to a task by this rubric:\n\n{}\n\nFirst say in one or two sentences what is right \
             and what is wrong, and how to do better. Then give the score: 1 where the rubric is wholly met, 0 where \
             it is not met at all, and a number between them otherwise.",
            rubric.trim()
        );
        let shown: Vec<&Field> = inputs.iter().filter(|field| field.kind.is_shown()).collect();
        let of_input = |field: &&Field| {
            Field::new(input_name(&field.name)).typed(FieldType::optional(field.kind.clone()))
        };
        let told = [
            Field::new("task_input").described("what the answer is about"),
            Field::new("expected").described("what is known of a good answer"),
            Field::new("answer").described("what is to be judged"),
        ];
        let signature = Signature::new(
            shown.iter().map(of_input).chain(told),
            [Field::new("feedback"), Field::new("score").typed(FieldType::Float)],
            instruction,
        )?;
        let shown = shown.into_iter().map(|field| field.name.clone()).collect();
        Ok(Self { ask: Predict::new("judge", signature), model, fields, shown })
    }
}

/// The name under which the judge sees an input.
fn input_name(name: &str) -> String {
    format!("input_{name}")
}

#[async_trait]
impl Metric for Judge {
    async fn score(
        &self,
        context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let expected = lines(example.labels().iter());
        let answer = lines(prediction.fields().iter().filter(|(name, _)| self.fields.contains(name)));
        let mut inputs = Fields::new();
        inputs.insert("task_input".to_owned(), lines(example.inputs().iter()).into());
        let expected = if expected.is_empty() { "nothing is given".to_owned() } else { expected };
        inputs.insert("expected".to_owned(), expected.into());
        inputs.insert("answer".to_owned(), answer.into());
        for name in &self.shown {
            inputs.insert(input_name(name), example.get(name).cloned().unwrap_or_default());
        }
        let context = context.aside(Arc::clone(&self.model));
        let said = match self.ask.call(&context, &inputs).await {
            // A model that takes no images judges by the words.
            Err(error) if !self.shown.is_empty() && is_refusal(&error) => {
                self.shown.iter().for_each(|name| _ = inputs.insert(input_name(name), Value::Null));
                self.ask.call(&context, &inputs).await?
            }
            said => said?,
        };
        let score = said.get("score").and_then(Value::as_f64).unwrap_or(f64::NAN);
        if !(0.0..=1.0).contains(&score) {
            anyhow::bail!("the judge gave the score {score}, but it must be from 0 to 1");
        }
        let feedback = said.get("feedback").filter(|feedback| !feedback.is_null());
        Ok(Score::new(score).with_feedback(feedback.map(plain_text).unwrap_or_default()))
    }

    fn models(&self) -> Vec<Arc<dyn LanguageModel>> {
        vec![Arc::clone(&self.model)]
    }

    fn calls_per_score(&self) -> u64 {
        self.ask.calls_per_rollout() + u64::from(!self.shown.is_empty())
    }
}

/// Whether the model took none of a request.
fn is_refusal(error: &promptopt_predict::Error) -> bool {
    let promptopt_predict::Error::Model { source, .. } = error else { return false };
    matches!(source, LmError::InvalidRequest { .. } | LmError::Engine { .. })
}

/// A judge's model in a run. Workers of a fleet, who see several runs, leave it to the coordinator to remember.
pub(crate) fn remembering(model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel> {
    Arc::new(Remembering { model, known: Mutex::default() })
}

/// A model that is asked the same only once. What it answers from memory counts like the answer itself, so
/// that what a run may spend does not depend on who asked first.
struct Remembering {
    model: Arc<dyn LanguageModel>,
    known: Mutex<Known>,
}

/// So many replies of a judge are remembered; the journal of a run has the others.
const MOST_KNOWN: usize = 10_000;

/// The latest replies of a judge.
#[derive(Default)]
struct Known {
    replies: HashMap<ContentHash, Arc<OnceCell<LmReply>>>,
    order: VecDeque<ContentHash>,
}

impl Known {
    fn reply(&mut self, key: ContentHash) -> Arc<OnceCell<LmReply>> {
        if !self.replies.contains_key(&key) {
            self.order.push_back(key);
            if self.order.len() > MOST_KNOWN
                && let Some(oldest) = self.order.pop_front()
            {
                self.replies.remove(&oldest);
            }
        }
        Arc::clone(self.replies.entry(key).or_default())
    }
}

#[async_trait]
impl LanguageModel for Remembering {
    fn profile(&self) -> ModelProfile {
        self.model.profile()
    }

    async fn complete(&self, request: &LmRequest, attempts: &Attempts) -> Result<LmReply, LmError> {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.reply(ContentHash::of(request))
        };
        // Who asks the same meanwhile waits for this reply; a failure is not kept.
        let mut asked = false;
        let ask = || {
            asked = true;
            self.model.complete(request, attempts)
        };
        let mut reply = cell.get_or_try_init(ask).await?.clone();
        if !asked && reply.usage.calls > 1 {
            // Attempts that were billed before it are those of whoever asked.
            let calls = reply.usage.calls;
            reply.usage.calls = 1;
            reply.usage.prompt_tokens /= calls;
            reply.usage.completion_tokens /= calls;
        }
        Ok(reply)
    }
}

fn lines<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    fields.map(|(name, value)| format!("{name}: {}", plain_text(value))).collect::<Vec<_>>().join("\n")
}

/// Stands in for a judge where the model is simulated: an answer that agrees with what is expected is
/// good, any other is not.
pub(super) struct SimulatedJudge {
    pub(super) fields: Vec<String>,
}

#[async_trait]
impl Metric for SimulatedJudge {
    async fn score(
        &self,
        _context: &CallContext,
        example: &Example,
        prediction: &Prediction,
    ) -> anyhow::Result<Score> {
        let agrees = |field: &&String| match (example.get(field), prediction.get(field)) {
            (Some(expected), Some(given)) => plain_text(expected).trim() == plain_text(given).trim(),
            (None, Some(given)) => !plain_text(given).trim().is_empty(),
            _ => false,
        };
        let agreeing = self.fields.iter().filter(agrees).count();
        let score = agreeing as f64 / self.fields.len().max(1) as f64;
        let feedback =
            if score >= 1.0 { "The answer is good." } else { "The answer is not what was expected." };
        Ok(Score::new(score).with_feedback(feedback))
    }
}

#[cfg(test)]
mod tests {
    use promptopt_testkit::ScriptedLm;

    use super::*;

    async fn judged(reply: &'static str) -> (anyhow::Result<Score>, Vec<promptopt_core::lm::LmRequest>) {
        let model = Arc::new(ScriptedLm::new(move |_| Ok(reply.to_owned())));
        let judge =
            Judge::new("Be kind.", remembering(Arc::clone(&model) as _), vec!["reply".to_owned()], &[])
                .unwrap();
        let example = Example::new([("ticket", "Help!"), ("reply", "Sure.")], ["ticket"]);
        let context = CallContext::new(Arc::clone(&model) as _);
        let score = judge.score(&context, &example, &Prediction::from_iter([("reply", "No.")])).await;
        (score, model.requests())
    }

    #[tokio::test]
    async fn a_judge_sees_everything_and_says_why() {
        let (score, asked) = judged("[[ ## feedback ## ]]\nToo curt.\n\n[[ ## score ## ]]\n0.25").await;
        let score = score.unwrap();
        assert_eq!((score.value, score.feedback.as_deref()), (0.25, Some("Too curt.")));
        let text: String = asked[0].messages.iter().map(|message| message.text()).collect();
        for part in ["Be kind.", "ticket: Help!", "reply: Sure.", "reply: No."] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[tokio::test]
    async fn a_judge_sees_the_images_that_the_answer_is_about() {
        let reply = "[[ ## feedback ## ]]\nGood.\n\n[[ ## score ## ]]\n1";
        let model = Arc::new(ScriptedLm::new(move |_| Ok(reply.to_owned())));
        let signature = Signature::parse("picture: image, note: str?, scan: file? -> colour").unwrap();
        let fields = vec!["colour".to_owned()];
        let judge = Judge::new("Be right.", remembering(Arc::clone(&model) as _), fields, signature.inputs())
            .unwrap();
        let picture = "data:image/png;base64,cG5n";
        let example =
            Example::new([("picture", picture), ("note", "dark"), ("colour", "red")], ["picture", "note"]);
        let context = CallContext::new(Arc::clone(&model) as _);
        judge.score(&context, &example, &Prediction::from_iter([("colour", "blue")])).await.unwrap();
        let asked = model.requests().remove(0).messages.pop().unwrap();
        assert!(asked.text().contains("picture: [image]\nnote: dark"), "{}", asked.text());
        let images = asked.content.as_slice().iter().filter_map(|part| match part {
            promptopt_core::lm::Part::Image(image) => Some(image.url.to_string()),
            _ => None,
        });
        assert_eq!(images.collect::<Vec<_>>(), [picture]);
    }

    #[tokio::test]
    async fn a_judge_that_takes_no_images_goes_by_the_words() {
        let reply = "[[ ## feedback ## ]]\nGood.\n\n[[ ## score ## ]]\n1";
        let model = Arc::new(ScriptedLm::new(move |request| {
            let shows = request.messages.iter().any(|message| !message.content.as_slice().is_empty());
            let refused = LmError::InvalidRequest { status: 400, message: "no images".to_owned() };
            if shows { Err(refused) } else { Ok(reply.to_owned()) }
        }));
        let signature = Signature::parse("picture: image -> colour").unwrap();
        let fields = vec!["colour".to_owned()];
        let judge = Judge::new("Be right.", remembering(Arc::clone(&model) as _), fields, signature.inputs())
            .unwrap();
        let example = Example::new([("picture", "data:image/png;base64,cG5n")], ["picture"]);
        let context = CallContext::new(Arc::clone(&model) as _);
        let score = judge.score(&context, &example, &Prediction::from_iter([("colour", "blue")])).await;
        assert_eq!((score.unwrap().value, model.calls()), (1.0, 2));
    }

    #[tokio::test]
    async fn what_a_judge_thinks_aloud_is_no_verdict() {
        let said = "<think>\n[[ ## feedback ## ]]\nBad.\n[[ ## score ## ]]\n0\n</think>\n[[ ## feedback ## ]]\nGood.\n\n\
                    **[[ ## score ## ]]** 1";
        let score = judged(said).await.0.unwrap();
        assert_eq!((score.value, score.feedback.as_deref()), (1.0, Some("Good.")));
        let score = judged(r#"{"feedback": null, "score": "0.5"}"#).await.0.unwrap();
        assert_eq!((score.value, score.feedback.as_deref()), (0.5, Some("")));
    }

    #[tokio::test]
    async fn the_same_answer_is_judged_once() {
        let reply = "[[ ## feedback ## ]]\nGood.\n\n[[ ## score ## ]]\n1";
        let model = Arc::new(ScriptedLm::new(move |_| Ok(reply.to_owned())));
        let judge =
            Judge::new("Be kind.", remembering(Arc::clone(&model) as _), vec!["reply".to_owned()], &[])
                .unwrap();
        let example = Example::new([("ticket", "Help!")], ["ticket"]);
        for answer in ["Sure.", "Sure.", "No."] {
            let prediction = Prediction::from_iter([("reply", answer)]);
            // Each is judged in another rollout.
            let contexts = [(); 2].map(|()| CallContext::new(Arc::clone(&model) as _));
            let [one, other] = contexts.each_ref().map(|context| judge.score(context, &example, &prediction));
            let (one, other) = tokio::join!(one, other);
            assert_eq!(one.unwrap(), other.unwrap());
        }
        assert_eq!(model.calls(), 2);
    }

    #[tokio::test]
    async fn a_score_out_of_range_is_a_failure_of_the_metric() {
        let (score, _) = judged("[[ ## feedback ## ]]\nGreat.\n\n[[ ## score ## ]]\n9").await;
        assert!(score.unwrap_err().to_string().contains("from 0 to 1"));
    }
}
