//! Having instructions written: all that are wanted, none twice.

use std::collections::BTreeMap;
use std::ops::Range;

use promptopt_core::lm::Sampling;
use promptopt_run::proposal::{Flaw, Judge, Known};
use promptopt_run::{Halt, InstructionRequest, InstructionWriter, RolloutCost, Run, Written};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::COPRO;
use crate::request::Request;

/// How often what is missing is asked for, the first time included.
const ROUNDS: usize = 4;
/// Upper bound on an instruction that is written, in tokens.
const MAX_TOKENS: u32 = 2000;
/// The most calls that one text may take: a reply that does not fit is asked for once more.
pub(crate) const CALLS_OF_A_TEXT: u64 = 2;

/// The most calls that so many instructions take where replies serve: the one for all of them where the
/// server gives one text only, then each alone and once more in another form.
pub(crate) fn most_calls(count: u64) -> u64 {
    1 + CALLS_OF_A_TEXT * count
}

/// Has instructions written by the prompt model and knows all that were tried.
pub(crate) struct Author {
    sampling: Sampling,
    /// Whether one request gives as many texts as are asked for, as far as is known.
    honours_n: bool,
    tried: BTreeMap<String, Known>,
    /// Predictors for which nothing new came out, and the candidate that was the best so far then.
    exhausted: BTreeMap<String, usize>,
    rng: ChaCha8Rng,
    draws: u64,
    /// The candidate that this turn goes on from.
    base: usize,
    /// Rollouts that are left to the end of the search.
    end: usize,
}

/// What came of the requests for one predictor at one depth.
#[derive(Debug, Default)]
struct Authored {
    /// New instructions, none like another or like one that was tried.
    instructions: Vec<String>,
    /// How many replies repeated an instruction or could not serve.
    dropped: usize,
    /// The first failure of a request.
    failure: Option<String>,
}

impl Authored {
    /// The texts that came out.
    fn take(&mut self, written: Vec<Written>) -> Vec<String> {
        let mut texts = Vec::new();
        for text in written {
            match text {
                Ok(text) => texts.push(text),
                Err(failure) => {
                    self.failure.get_or_insert(failure);
                }
            }
        }
        texts
    }

    /// Whether replies came, and nothing new in them.
    fn is_dry(&self) -> bool {
        self.instructions.is_empty() && self.failure.is_none()
    }

    /// Says where fewer instructions came out than were wanted.
    fn note(&self, run: &mut Run<'_>, predictor: &str, depth: usize, wanted: usize) {
        let came = self.instructions.len();
        if came < wanted {
            let failure = self.failure.as_ref().map(|text| format!("; a request failed: {text}"));
            let end = if self.is_dry() {
                "; none is asked for again before another candidate is the best"
            } else {
                ""
            };
            run.warn(format!(
                "at depth {depth} only {came} of {wanted} instructions for `{predictor}` came out; {} replies repeated \
                 one or could not serve{}{end}",
                self.dropped,
                failure.unwrap_or_default()
            ));
        }
    }
}

impl Author {
    pub(crate) fn new(options: &COPRO, run: &Run<'_>) -> Self {
        let mut tried: BTreeMap<String, Known> = BTreeMap::new();
        for (path, prompt) in run.base().prompts.iter() {
            tried.entry(path.to_owned()).or_default().note(&prompt.instruction);
        }
        Self {
            sampling: Sampling::default()
                .with_temperature(options.init_temperature)
                .with_max_tokens(MAX_TOKENS),
            honours_n: true,
            tried,
            exhausted: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(run.options().seed),
            draws: 0,
            base: 0,
            end: 0,
        }
    }

    /// Begins a turn, which goes on from a candidate and leaves so many rollouts to the end of the search.
    pub(crate) fn begin_turn(&mut self, base: usize, end: usize) {
        (self.base, self.end) = (base, end);
    }

    /// The calls that writing leaves.
    fn keep_back(&self, run: &Run<'_>) -> u64 {
        RolloutCost::of(run.runner()).kept_back(self.end)
    }

    /// How many calls so many instructions take when all goes well, at the first depth by two requests.
    pub(crate) fn expected_calls(&self, run: &Run<'_>, count: usize, depth: usize) -> u64 {
        match (run.may_ask_prompt_model(), self.honours_n) {
            (false, _) => 0,
            (true, true) => {
                if depth == 0 {
                    2
                } else {
                    1
                }
            }
            (true, false) => count as u64,
        }
    }

    /// Whether nothing new can be expected for a predictor while this candidate is the best so far.
    pub(crate) fn is_exhausted(&self, predictor: &str, base: usize) -> bool {
        self.exhausted.get(predictor) == Some(&base)
    }

    /// Up to so many new instructions from each request. What one request does not bring is asked for in the next. Of a
    /// call budget, enough is left to evaluate one candidate in full.
    pub(crate) async fn write(
        &mut self,
        run: &mut Run<'_>,
        requests: &[(&Request<'_>, usize)],
        depth: usize,
    ) -> Result<Vec<String>, Halt> {
        let Some((first, _)) = requests.first() else { return Ok(Vec::new()) };
        let keep_back = self.keep_back(run);
        let path = first.predictor.path();
        let judge = Judge::of(run, first.predictor).requested_by(first.fixed_texts());
        let judge = judge.within(run.bounds(first.predictor.path()));
        let mut authored = Authored::default();
        let mut count = 0;
        for (request, wanted) in requests {
            count += wanted;
            self.fill(run, request, &judge, count, keep_back, &mut authored).await?;
        }
        // Where nothing could be asked for, the budget is what ended it.
        let is_asked = run.may_ask_prompt_model();
        if authored.instructions.is_empty() && is_asked && spare(run, keep_back) < CALLS_OF_A_TEXT {
            return Err(Halt::budget());
        }
        authored.note(run, path, depth, count);
        if authored.is_dry() {
            self.exhausted.insert(path.to_owned(), self.base);
        }
        Ok(authored.instructions)
    }

    /// Asks until there are `count` instructions, or nothing new comes.
    async fn fill(
        &mut self,
        run: &mut Run<'_>,
        request: &Request<'_>,
        judge: &Judge,
        count: usize,
        keep_back: u64,
        authored: &mut Authored,
    ) -> Result<(), Halt> {
        let path = request.predictor.path();
        for round in 0..ROUNDS {
            let written = authored.instructions.len();
            if written == count {
                break;
            }
            let texts = match run.writer(request.predictor).await? {
                Some(writer) => {
                    self.ask_substitute(run, &*writer, request, count - written, authored).await?
                }
                None => self.ask(run, request, written..count, round, keep_back, authored).await?,
            };
            let replied = !texts.is_empty();
            for text in texts {
                if authored.instructions.len() == count {
                    break;
                }
                let tried = self.tried.entry(path.to_owned()).or_default();
                let proposal = judge.read(&text, tried);
                run.observe_proposal(path, &proposal.text, proposal.flaw.map(Flaw::reason));
                if proposal.flaw.is_some() {
                    authored.dropped += 1;
                } else {
                    tried.note(&proposal.text);
                    authored.instructions.push(proposal.text);
                }
            }
            // Asked for something new, the model had nothing.
            if round > 0 && replied && authored.instructions.len() == written {
                break;
            }
        }
        Ok(())
    }

    /// One instruction for each request, where it comes out and is an instruction. What is asked for is a reply to a
    /// change, so one that was tried before serves as well.
    pub(crate) async fn write_each(
        &mut self,
        run: &mut Run<'_>,
        requests: &[Request<'_>],
    ) -> Result<Vec<Option<String>>, Halt> {
        let Some(first) = requests.first() else { return Ok(Vec::new()) };
        let judge = Judge::of(run, first.predictor).requested_by(first.fixed_texts());
        let judge = judge.within(run.bounds(first.predictor.path()));
        let path = first.predictor.path();
        let mut texts: Vec<Result<String, String>> = Vec::new();
        if let Some(writer) = run.writer(first.predictor).await? {
            for request in requests {
                let mut authored = Authored::default();
                let written = self.ask_substitute(run, &*writer, request, 1, &mut authored).await?;
                texts.push(written.into_iter().next().ok_or_else(|| authored.failure.unwrap_or_default()));
            }
        } else {
            let affordable = (spare(run, self.keep_back(run)) / CALLS_OF_A_TEXT) as usize;
            let inputs = first.inputs(false);
            let mut assignments = Vec::new();
            for request in requests.iter().take(affordable) {
                assignments.push(request.assignment(None, self.draws, &mut self.rng));
                self.draws += 1;
            }
            texts = run.write(&self.sampling, first.brief(&inputs), assignments).await?;
        }
        let mut read = Vec::new();
        for (request, text) in requests.iter().zip(texts) {
            let known = Known::from_iter([request.instruction]);
            let proposal = text.ok().map(|text| judge.read(&text, &known));
            if let Some(proposal) = &proposal {
                run.observe_proposal(path, &proposal.text, proposal.flaw.map(Flaw::reason));
            }
            let served = proposal.filter(|proposal| proposal.flaw.is_none()).map(|proposal| proposal.text);
            if let Some(text) = &served {
                self.tried.entry(path.to_owned()).or_default().note(text);
            }
            read.push(served);
        }
        read.resize(requests.len(), None);
        Ok(read)
    }

    /// Asks for the instructions in these places: in one request where the server gives several
    /// replies to one, and in one request each for those that are still missing then.
    async fn ask(
        &mut self,
        run: &mut Run<'_>,
        request: &Request<'_>,
        places: Range<usize>,
        round: usize,
        keep_back: u64,
        authored: &mut Authored,
    ) -> Result<Vec<String>, Halt> {
        let mut texts = Vec::new();
        if self.honours_n && places.len() > 1 && spare(run, keep_back) > 0 {
            let variant = (round > 0).then(|| again(round));
            let inputs = request.inputs(variant.is_some());
            let assignment = request.assignment(variant, self.draws, &mut self.rng);
            self.draws += 1;
            let count = places.len() as u32;
            let written = run.draw(&self.sampling, request.brief(&inputs), assignment, count).await?;
            texts = authored.take(written);
            // A single text is what a server gives that does not know `n`.
            self.honours_n = texts.len() > 1;
        }
        let affordable = (spare(run, keep_back) / CALLS_OF_A_TEXT) as usize;
        let missing: Vec<usize> = places.clone().skip(texts.len()).take(affordable).collect();
        if missing.is_empty() {
            return Ok(texts);
        }
        let is_varied = places.end > 1 || round > 0;
        let inputs = request.inputs(is_varied);
        let mut assignments = Vec::new();
        for place in missing {
            let variant = is_varied.then(|| variant(place + 1, places.end, round));
            assignments.push(request.assignment(variant, self.draws, &mut self.rng));
            self.draws += 1;
        }
        let written = run.write(&self.sampling, request.brief(&inputs), assignments).await?;
        texts.extend(authored.take(written));
        Ok(texts)
    }

    /// Asks what writes in place of the prompt model for so many instructions, one after the other,
    /// because each is told of those before it.
    async fn ask_substitute(
        &mut self,
        run: &mut Run<'_>,
        substitute: &dyn InstructionWriter,
        request: &Request<'_>,
        count: usize,
        authored: &mut Authored,
    ) -> Result<Vec<String>, Halt> {
        let path = request.predictor.path();
        let mut taken = self.tried.get(path).map(Known::all).unwrap_or_default();
        let mut texts = Vec::new();
        for _ in 0..count {
            let signature = request.predictor.signature().clone();
            let mut wish = InstructionRequest::new(path, signature, request.instruction, self.rng.random());
            wish.traces = request.mistakes.traces().to_vec();
            wish.examples = request.mistakes.examples().to_vec();
            wish.taken.clone_from(&taken);
            match run.write_with(substitute, &wish).await? {
                Ok(written) if written.is_empty() => break,
                Ok(written) => {
                    taken.extend_from_slice(&written);
                    texts.extend(written);
                }
                Err(failure) => {
                    authored.failure.get_or_insert(failure);
                }
            }
        }
        Ok(texts)
    }
}

/// Calls that may go into writing.
fn spare(run: &Run<'_>, keep_back: u64) -> u64 {
    run.ledger().remaining().map_or(u64::MAX, |calls| calls.saturating_sub(keep_back))
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
