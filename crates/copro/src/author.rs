//! Having instructions written: all that are wanted, none twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use promptopt_core::{
    Error, Evaluator, Event, InstructionRequest, InstructionWriter, Observer, Sampling, StopReason, Usage,
};
use promptopt_predict::{Writer, Written};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::plan::Plan;
use crate::reply::{Tried, cleaned};
use crate::request::Request;

/// How often what is missing is asked for, the first time included.
const ROUNDS: usize = 4;
/// Upper bound on an instruction that is written, in tokens.
const MAX_TOKENS: u32 = 2000;
/// The most calls that one text may take: a reply that does not fit is asked for once more.
const CALLS_OF_A_TEXT: u64 = 2;

/// The most calls that so many instructions take where replies serve: the one for all of them where the
/// server gives one text only, then each alone and once more in another form.
pub(crate) fn most_calls(count: u64) -> u64 {
    1 + CALLS_OF_A_TEXT * count
}

/// Has instructions written by the prompt model and knows all that were tried.
pub(crate) struct Author {
    writer: Writer,
    /// What writes in place of the prompt model.
    substitute: Option<Arc<dyn InstructionWriter>>,
    observer: Arc<dyn Observer>,
    /// Whether one request gives as many texts as are asked for, as far as is known.
    honours_n: bool,
    tried: BTreeMap<String, Tried>,
    rng: ChaCha8Rng,
    draws: u64,
    /// What it cost so far.
    pub(crate) usage: Usage,
}

/// What was written for one predictor at one depth.
#[derive(Debug, Default)]
pub(crate) struct Authored {
    /// New instructions, none like another or like one that was tried.
    pub(crate) instructions: Vec<String>,
    /// How many replies repeated an instruction or could not serve.
    pub(crate) dropped: usize,
    /// The first failure of a request.
    pub(crate) failure: Option<String>,
    /// Why it is not complete.
    pub(crate) stop: Option<StopReason>,
}

impl Author {
    pub(crate) fn new(plan: &Plan<'_>, program: &dyn Evaluator) -> Self {
        let mut tried: BTreeMap<String, Tried> = BTreeMap::new();
        for predictor in program.predictors() {
            tried.entry(predictor.path().to_owned()).or_default().note(&predictor.prompt().instruction);
        }
        let sampling = Sampling {
            temperature: Some(plan.options.init_temperature),
            max_tokens: Some(MAX_TOKENS),
            ..Sampling::default()
        };
        Self {
            writer: Writer {
                sampling,
                concurrency: plan.session.concurrency,
                ledger: Arc::clone(&plan.session.ledger),
                cancellation: plan.session.cancellation.clone(),
                ..Writer::new(Arc::clone(&plan.session.prompt_model))
            },
            substitute: plan.options.instruction_writer.clone(),
            observer: Arc::clone(&plan.session.observer),
            honours_n: true,
            tried,
            rng: ChaCha8Rng::seed_from_u64(plan.options.seed),
            draws: 0,
            usage: Usage::default(),
        }
    }

    /// How many calls so many instructions take when all goes well.
    pub(crate) fn expected_calls(&self, count: usize) -> u64 {
        match (&self.substitute, self.honours_n) {
            (Some(_), _) => 0,
            (None, true) => 1,
            (None, false) => count as u64,
        }
    }

    /// Up to `count` new instructions. Of a call budget, `keep_back` calls are left.
    pub(crate) async fn write(
        &mut self,
        request: &Request<'_>,
        count: usize,
        keep_back: u64,
    ) -> Result<Authored, Error> {
        let path = request.predictor.path();
        let mut authored = Authored::default();
        for round in 0..ROUNDS {
            let written = authored.instructions.len();
            if written == count || authored.stop.is_some() {
                break;
            }
            let texts = match self.substitute.clone() {
                Some(substitute) => {
                    self.ask_substitute(&*substitute, request, count - written, &mut authored).await
                }
                None => self.ask(request, written..count, round, keep_back, &mut authored).await?,
            };
            for text in texts {
                if authored.instructions.len() == count {
                    break;
                }
                let text = cleaned(&text);
                let admitted = self.tried.entry(path.to_owned()).or_default().admit(&text);
                self.observer.observe(&Event::Proposal {
                    predictor: path.to_owned(),
                    instruction: text.clone(),
                    dropped: admitted.err().map(|flaw| flaw.reason().to_owned()),
                });
                match admitted {
                    Ok(()) => authored.instructions.push(text),
                    Err(_) => authored.dropped += 1,
                }
            }
        }
        // Where nothing could be asked for, the budget is what ended it.
        let too_little = self.substitute.is_none() && self.spare(keep_back) < CALLS_OF_A_TEXT;
        if authored.instructions.is_empty() && too_little {
            authored.stop.get_or_insert(StopReason::Budget);
        }
        Ok(authored)
    }

    /// Asks for the instructions in these places: in one request where the server gives several
    /// replies to one, and in one request each for those that are still missing then.
    async fn ask(
        &mut self,
        request: &Request<'_>,
        places: std::ops::Range<usize>,
        round: usize,
        keep_back: u64,
        authored: &mut Authored,
    ) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        if self.honours_n && places.len() > 1 && self.spare(keep_back) > 0 {
            let variant = (round > 0).then(|| again(round));
            let inputs = request.inputs(variant.is_some());
            let assignment = request.assignment(variant, self.draws, &mut self.rng);
            self.draws += 1;
            let written = self.writer.draw(request.brief(&inputs), assignment, places.len() as u32).await?;
            texts = self.take(written, authored);
            // A single text is what a server gives that does not know `n`.
            self.honours_n = texts.len() > 1 || authored.stop.is_some();
        }
        let affordable = (self.spare(keep_back) / CALLS_OF_A_TEXT) as usize;
        let missing: Vec<usize> = places.clone().skip(texts.len()).take(affordable).collect();
        if missing.is_empty() || authored.stop.is_some() {
            return Ok(texts);
        }
        let inputs = request.inputs(true);
        let mut assignments = Vec::new();
        for place in missing {
            let variant = variant(place + 1, places.end, round);
            assignments.push(request.assignment(Some(variant), self.draws, &mut self.rng));
            self.draws += 1;
        }
        let written = self.writer.write(request.brief(&inputs), assignments).await?;
        texts.extend(self.take(written, authored));
        Ok(texts)
    }

    /// Asks what writes in place of the prompt model for so many instructions, one after the other,
    /// because each is told of those before it.
    async fn ask_substitute(
        &mut self,
        substitute: &dyn InstructionWriter,
        request: &Request<'_>,
        count: usize,
        authored: &mut Authored,
    ) -> Vec<String> {
        let path = request.predictor.path();
        let mut taken = self.tried.get(path).map(Tried::all).unwrap_or_default();
        let mut texts = Vec::new();
        for _ in 0..count {
            let wish = InstructionRequest {
                predictor: path.to_owned(),
                signature: request.predictor.signature().clone(),
                instruction: request.instruction.to_owned(),
                traces: request.mistakes.traces().to_vec(),
                examples: request.mistakes.examples().to_vec(),
                taken: taken.clone(),
                seed: self.rng.random(),
            };
            match substitute.write_instruction(&wish).await {
                Ok(Some(text)) => {
                    taken.push(text.clone());
                    texts.push(text);
                }
                Ok(None) => break,
                Err(error) => {
                    authored.failure.get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
        texts
    }

    fn take(&mut self, written: Written, authored: &mut Authored) -> Vec<String> {
        self.usage += written.usage;
        authored.failure = authored.failure.take().or(written.failure);
        authored.stop = authored.stop.take().or(written.stop);
        written.texts.into_iter().flatten().collect()
    }

    /// Calls that may go into writing.
    fn spare(&self, keep_back: u64) -> u64 {
        self.writer.ledger.remaining().map_or(u64::MAX, |calls| calls.saturating_sub(keep_back))
    }
}

/// Requests must differ in their text: a model that is asked the same again may say the same again.
fn variant(number: usize, of: usize, round: usize) -> String {
    let mut text = format!(
        "This is variant {number} of {of}. The others are written from the same material; make this one differ from \
         what they are likely to say, in what it stresses and in how it is put."
    );
    if round > 0 {
        text += " ";
        text += &again(round);
    }
    text
}

fn again(round: usize) -> String {
    format!("Attempt {}: earlier replies said what was there already. Write something new.", round + 1)
}
