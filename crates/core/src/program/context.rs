//! The call context: everything a program needs to call its predictors, handed to it explicitly.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Cancellation;
use crate::data::ContentHash;
use crate::lm::{Attempts, LanguageModel, LmError, LmReply, LmRequest, Tell};
use crate::money::{Price, Usage};
use crate::prompt::{Prompt, Prompts};
use crate::telemetry::Chat;
use crate::trace::{Step, StepTime};

/// Puts something around every model that a program calls, such as a budget.
pub trait Layer: Send + Sync {
    /// The model with this layer around it.
    fn around(&self, model: Arc<dyn LanguageModel>) -> Arc<dyn LanguageModel>;
}

/// Prompts in force, model, step recorder and cancellation of one run of a program.
///
/// Clones share everything and are cheap, so a program may move one into a spawned task.
#[derive(Clone)]
pub struct CallContext {
    run: Arc<Inner>,
    prompts: Arc<Prompts>,
    model: Arc<dyn LanguageModel>,
    /// What the model's tokens cost, where no layer sees to that.
    price: Option<Price>,
    /// Whether calls are steps of the program, under the prompts in force.
    is_program: bool,
}

/// What tells the time since some moment that stays the same.
type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

struct Inner {
    /// The system's where there is none.
    clock: Option<Now>,
    began: Duration,
    cancellation: Cancellation,
    sample_index: u64,
    call_limit: Option<u64>,
    layer: Option<Arc<dyn Layer>>,
    calls: AtomicU64,
    /// How many steps and how many different requests are remembered; none in a service.
    most_recorded: usize,
    /// Whether equal requests of the run are told apart here.
    tells_draws: bool,
    record: Mutex<Record>,
}

/// Steps and requests that a context of no run remembers: a service may keep it for as long as it lives.
const MOST_RECORDED: usize = 256;

#[derive(Default)]
struct Record {
    steps: Vec<Option<Step>>,
    usage: Usage,
    /// The first request. Most runs make no other, so it is hashed only when a second one comes.
    first: Option<LmRequest>,
    /// How often each request was made, once there are two.
    made: HashMap<ContentHash, u64>,
}

/// The place of a step in the record, taken when the step begins, so that the record's order does
/// not depend on which of several concurrent steps ends first.
#[derive(Debug)]
pub struct StepSlot {
    place: usize,
    parent: Option<usize>,
    began: Duration,
}

impl StepSlot {
    /// That of a step which is not recorded.
    const NONE: Self = Self { place: usize::MAX, parent: None, began: Duration::ZERO };
}

impl CallContext {
    /// A context in which every predictor uses its own prompt. It records the first 256 steps, and those that begin
    /// after [`CallContext::take_record`] again. Of repeated requests it tells the draws apart for the first 256
    /// different ones. For a service there is [`CallContext::serving`].
    pub fn new(model: Arc<dyn LanguageModel>) -> Self {
        Self::of_no_run(model, MOST_RECORDED)
    }

    /// A context for a service, made once and shared by all its requests: it remembers no step and no request, whatever
    /// their number, and counts calls and usage. Every request is the first draw, so a cache of replies in front of the
    /// model answers the same request with the same reply.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use promptopt_core::program::{CallContext, LivePrompts};
    /// # use promptopt_core::lm::{LmReply, LmRequest, lm_fn};
    /// # let model = lm_fn("m", |_: LmRequest| async { Ok(LmReply::default()) });
    ///
    /// let context = CallContext::serving(Arc::new(model));
    /// let live = LivePrompts::default();
    /// // In each request:
    /// let context = context.with_prompts(live.current());
    /// ```
    pub fn serving(model: Arc<dyn LanguageModel>) -> Self {
        Self::of_no_run(model, 0)
    }

    fn of_no_run(model: Arc<dyn LanguageModel>, most_recorded: usize) -> Self {
        let price = model.profile().price;
        let run = Inner { most_recorded, ..Inner::new(Cancellation::new(), 0, None, None) };
        Self { run: Arc::new(run), prompts: Arc::default(), model, price, is_program: true }
    }

    /// The same under other prompts. All else is shared, so it costs no more than a clone. See
    /// [`LivePrompts`](super::LivePrompts) for prompts that are replaced while a service runs.
    #[must_use]
    pub fn with_prompts(&self, prompts: Arc<Prompts>) -> Self {
        Self { prompts, ..self.clone() }
    }

    /// A context for one run: the prompts in force, a flag that ends it, the sample index for
    /// repeated draws, and how many calls the run may make (`None`: as many as it wants).
    pub fn for_run(
        model: Arc<dyn LanguageModel>,
        prompts: Arc<Prompts>,
        cancellation: Cancellation,
        sample_index: u64,
        call_limit: Option<u64>,
    ) -> Self {
        let price = model.profile().price;
        let run = Inner::new(cancellation, sample_index, call_limit, None);
        Self { run: Arc::new(run), prompts, model, price, is_program: true }
    }

    /// The same with a layer around every model that is called. `model` has it already; the layer also sets
    /// prices.
    pub fn layered(
        model: Arc<dyn LanguageModel>,
        prompts: Arc<Prompts>,
        cancellation: Cancellation,
        sample_index: u64,
        call_limit: Option<u64>,
        layer: Arc<dyn Layer>,
    ) -> Self {
        let run = Inner::new(cancellation, sample_index, call_limit, Some(layer));
        Self { run: Arc::new(run), prompts, model, price: None, is_program: true }
    }

    /// A context for a rollout whose calls are made elsewhere, by what the layer puts around each model: it records steps, and
    /// leaves it to whoever makes the calls to tell the draws of equal requests apart.
    pub fn for_worker(
        model: Arc<dyn LanguageModel>,
        prompts: Arc<Prompts>,
        cancellation: Cancellation,
        layer: Arc<dyn Layer>,
    ) -> Self {
        let model = layer.around(model);
        let run = Inner { tells_draws: false, ..Inner::new(cancellation, 0, None, Some(layer)) };
        Self { run: Arc::new(run), prompts, model, price: None, is_program: true }
    }

    /// With another clock than the system's for the times of its steps. It changes nothing once the context was cloned.
    #[must_use]
    pub fn with_clock(mut self, now: Arc<dyn Fn() -> Duration + Send + Sync>) -> Self {
        if let Some(run) = Arc::get_mut(&mut self.run) {
            (run.began, run.clock) = (now(), Some(now));
        }
        self
    }

    /// The same run on another model, for a predictor that has one of its own. Its calls count in the same
    /// budget, at its own price.
    #[must_use]
    pub fn on(&self, model: Arc<dyn LanguageModel>) -> Self {
        let (model, price) = match &self.run.layer {
            Some(layer) => (layer.around(model), None),
            None => {
                let price = model.profile().price;
                (model, price)
            }
        };
        Self { model, price, ..self.clone() }
    }

    /// The same prompts and model, with a record of its own that stays empty: for what a program does besides answering.
    #[must_use]
    pub fn unrecorded(&self) -> Self {
        let run = Inner { most_recorded: 0, ..Inner::new(self.cancellation().clone(), 0, None, None) };
        Self { run: Arc::new(run), ..self.clone() }
    }

    /// The same for calls that are no steps of the program, such as those of a judge: they count in the same
    /// budget, but are not recorded as steps, and no prompt is in force for them.
    #[must_use]
    pub fn aside(&self, model: Arc<dyn LanguageModel>) -> Self {
        Self { is_program: false, ..self.on(model) }
    }

    /// The prompt in force for a predictor; `None` means the predictor's own.
    pub fn prompt(&self, predictor: &str) -> Option<&Prompt> {
        self.prompts.get(predictor).filter(|_| self.is_program)
    }

    /// The prompts in force.
    pub fn prompts(&self) -> Arc<Prompts> {
        Arc::clone(&self.prompts)
    }

    /// What identifies the model.
    pub fn model_id(&self) -> String {
        self.model.profile().id
    }

    /// The flag that ends the run.
    pub fn cancellation(&self) -> &Cancellation {
        &self.run.cancellation
    }

    /// Completes a request with the run's model, counting the call.
    ///
    /// Under a budget it first waits for its turn and until what it may cost at most is reserved. A program
    /// should hold no lock of its own meanwhile that another run of it needs.
    ///
    /// What the model thought aloud is no part of the texts that come back ([`LmReply::read`]), whichever model it is
    /// and wherever the reply was kept.
    ///
    /// The sample index of the request becomes that of this draw of the run, another one for every time
    /// that the run makes the same request.
    ///
    /// # Errors
    ///
    /// What the model says; [`LmError::Cancelled`] once the run is cancelled or over,
    /// [`LmError::CallLimit`] when this context has a limit of calls and they are made, and [`LmError::Budget`] when
    /// the request does not fit the budget, which ends the whole run.
    pub async fn complete(&self, mut request: LmRequest) -> Result<LmReply, LmError> {
        self.admit(&mut request)?;
        self.settled(&request, self.model.complete(&request, &Attempts::any())).await
    }

    /// As [`CallContext::complete`], and `tell` gets the answer piece by piece as it comes, as far as the model can stream.
    /// The reply that comes back counts: it is the one that `complete` gives.
    ///
    /// # Errors
    ///
    /// As [`CallContext::complete`]. What was told until then is no answer.
    pub async fn stream(&self, mut request: LmRequest, tell: Tell<'_>) -> Result<LmReply, LmError> {
        self.admit(&mut request)?;
        self.settled(&request, self.model.stream(&request, &Attempts::any(), tell)).await
    }

    /// Counts a call, and says which draw it is.
    fn admit(&self, request: &mut LmRequest) -> Result<(), LmError> {
        let inner = &*self.run;
        if inner.cancellation.is_cancelled() {
            return Err(LmError::Cancelled);
        }
        let made = inner.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(limit) = inner.call_limit
            && made >= limit
        {
            return Err(LmError::CallLimit { limit });
        }
        request.sample_index = self.sample_index(request);
        Ok(())
    }

    /// The reply as the program gets it, counted.
    async fn settled(
        &self,
        request: &LmRequest,
        asked: impl Future<Output = Result<LmReply, LmError>>,
    ) -> Result<LmReply, LmError> {
        let chat = Chat::begin(&*self.model, request);
        let result = chat.around(asked).await.map(|reply| {
            let mut reply = reply.read();
            if let Some(price) = self.price {
                reply.usage = price.priced(reply.usage);
            }
            reply
        });
        chat.end(&result);
        let reply = result?;
        self.with_record(|record| record.usage += reply.usage);
        Ok(reply)
    }

    /// The bound on a completion, in tokens, that holds where a request sets none; `None` where there is none, or it is
    /// not known.
    pub fn max_tokens(&self) -> Option<u32> {
        self.model.profile().max_tokens
    }

    /// Whether the model may be given tools: unless it is known to take none.
    pub fn takes_tools(&self) -> bool {
        !self.model.profile().takes_no_tools
    }

    /// How many calls were asked for so far, refused ones included.
    pub fn calls(&self) -> u64 {
        self.run.calls.load(Ordering::SeqCst)
    }

    /// The run's draw, told apart from earlier requests of the run that were the same.
    fn sample_index(&self, request: &LmRequest) -> u64 {
        let (run, own, most) = (self.run.sample_index, request.sample_index, self.run.most_recorded);
        if most == 0 || !self.run.tells_draws {
            return own;
        }
        let before = self.with_record(|record| {
            if record.first.is_none() && record.made.is_empty() {
                record.first = Some(request.clone());
                return 0;
            }
            if let Some(first) = record.first.take() {
                record.made.insert(ContentHash::of(&first), 1);
            }
            let key = ContentHash::of(request);
            if record.made.len() >= most && !record.made.contains_key(&key) {
                return 0;
            }
            let made = record.made.entry(key).or_default();
            *made += 1;
            *made - 1
        });
        if before == 0 && own == 0 {
            return run;
        }
        let parts = [run.to_le_bytes(), own.to_le_bytes(), before.to_le_bytes()];
        ContentHash::join(parts.iter().map(<[u8; 8]>::as_slice)).as_u64()
    }

    /// Takes the next place in the record for a part of another step.
    pub fn begin_part(&self, whole: &StepSlot) -> StepSlot {
        StepSlot { parent: Some(whole.place).filter(|place| *place != usize::MAX), ..self.begin_step() }
    }

    /// Takes the next place in the record.
    pub fn begin_step(&self) -> StepSlot {
        if !self.is_program || self.run.most_recorded == 0 {
            return StepSlot::NONE;
        }
        self.with_record(|record| {
            if record.steps.len() >= self.run.most_recorded {
                return StepSlot::NONE;
            }
            record.steps.push(None);
            StepSlot { place: record.steps.len() - 1, parent: None, began: self.run.now() }
        })
    }

    /// Puts a step in its place.
    pub fn end_step(&self, slot: StepSlot, mut step: Step) {
        if slot.place == usize::MAX {
            return;
        }
        step.parent = slot.parent;
        step.time = Some(StepTime::between(slot.began, self.run.now()));
        self.with_record(|record| {
            if let Some(place) = record.steps.get_mut(slot.place) {
                *place = Some(step);
            }
        });
    }

    /// The steps of a rollout that was made elsewhere, with their times since it began.
    pub fn put_steps(&self, steps: Vec<Step>) {
        if self.run.most_recorded > 0 {
            self.with_record(|record| record.steps = steps.into_iter().map(Some).collect());
        }
    }

    /// Changes the steps that have ended, for whoever learns only later what they were.
    pub fn amend_steps(&self, change: impl FnMut(&mut Step)) {
        self.with_record(|record| record.steps.iter_mut().flatten().for_each(change));
    }

    /// The steps so far in the order in which they began, and what all calls cost. A context of no run
    /// ([`CallContext::new`]) has the first 256, and that of a service ([`CallContext::serving`]) none.
    pub fn record(&self) -> (Vec<Step>, Usage) {
        self.with_record(|record| (ended(record.steps.clone()), record.usage))
    }

    /// As [`CallContext::record`], but the steps are handed over, for whoever is the last to ask.
    pub fn take_record(&self) -> (Vec<Step>, Usage) {
        self.with_record(|record| (ended(std::mem::take(&mut record.steps)), record.usage))
    }

    fn with_record<T>(&self, work: impl FnOnce(&mut Record) -> T) -> T {
        work(&mut self.run.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The steps that have ended, each with the place of the one that it is part of among these.
fn ended(slots: Vec<Option<Step>>) -> Vec<Step> {
    let place = |whole: usize| slots.iter().take(whole).flatten().count();
    let is_moved = slots.iter().any(Option::is_none);
    let parents: Vec<Option<usize>> = if is_moved {
        let parent = |step: &Step| {
            step.parent.filter(|whole| slots.get(*whole).is_some_and(Option::is_some)).map(place)
        };
        slots.iter().flatten().map(parent).collect()
    } else {
        Vec::new()
    };
    // Traces are kept by the hundred thousand, so nothing is reserved for more steps.
    let mut steps = Vec::with_capacity(slots.len());
    steps.extend(slots.into_iter().flatten());
    for (step, parent) in steps.iter_mut().zip(parents) {
        step.parent = parent;
    }
    steps
}

fn system_time() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    FIRST.elapsed()
}

impl Inner {
    fn new(
        cancellation: Cancellation,
        sample_index: u64,
        call_limit: Option<u64>,
        layer: Option<Arc<dyn Layer>>,
    ) -> Self {
        Self {
            clock: None,
            began: system_time(),
            cancellation,
            sample_index,
            call_limit,
            layer,
            calls: AtomicU64::new(0),
            most_recorded: usize::MAX,
            tells_draws: true,
            record: Mutex::default(),
        }
    }

    /// The time since the run began.
    fn now(&self) -> Duration {
        self.clock.as_ref().map_or_else(system_time, |now| now()).saturating_sub(self.began)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::lm::{Message, lm_fn};

    /// What is remembered after so many different requests, each a step: room for steps and for requests.
    fn remembered(context: &CallContext, requests: usize) -> (usize, usize) {
        for number in 0..requests {
            let slot = context.begin_step();
            let request = LmRequest::new(vec![Message::user(format!("question {number}"))]);
            context.complete(request).now_or_never().unwrap().unwrap();
            context.end_step(slot, Step::new("answer"));
        }
        context.with_record(|record| (record.steps.capacity(), record.made.capacity()))
    }

    #[test]
    fn steps_have_the_time_of_the_clock_that_is_injected() {
        let ticks = AtomicU64::new(100);
        let clock = Arc::new(move || Duration::from_micros(ticks.fetch_add(7, Ordering::SeqCst)));
        let model = Arc::new(lm_fn("m", |_| async { Ok(LmReply::text("yes", Usage::call(1, 1))) }));
        let context = CallContext::new(model).with_clock(clock);
        let whole = context.begin_step();
        let part = context.begin_part(&whole);
        context.end_step(part, Step::tool("search"));
        context.end_step(whole, Step::new("desk"));
        let (steps, _) = context.record();
        let times: Vec<_> =
            steps.iter().filter_map(|step| step.time).map(|time| (time.began, time.took)).collect();
        assert_eq!(times, [(7, 21), (14, 7)]);
        assert_eq!(steps[1].parent, Some(0));
        let kept = serde_json::to_value(&steps[1]).unwrap();
        assert_eq!(kept["time"], serde_json::json!({"began_us": 14, "took_us": 7}));
        assert_eq!(serde_json::from_value::<Step>(kept).unwrap(), steps[1]);
    }

    #[test]
    fn a_context_of_a_service_remembers_nothing_and_counts_all() {
        let model = Arc::new(lm_fn("m", |_| async { Ok(LmReply::text("yes", Usage::call(1, 1))) }));
        let serving = CallContext::serving(model);
        assert_eq!(remembered(&serving, 100_000), (0, 0));
        let prompts = Prompts::from_iter([("p", Prompt::new("other"))]);
        let other = serving.with_prompts(Arc::new(prompts));
        assert_eq!(remembered(&other, 1), (0, 0));
        assert_eq!((other.prompt("p").is_some(), serving.prompt("p").is_some()), (true, false));
        let (steps, usage) = serving.record();
        assert_eq!((steps.len(), usage.calls, serving.calls()), (0, 100_001, 100_001));
    }

    #[test]
    fn a_context_of_no_run_does_not_grow_and_one_of_a_run_forgets_nothing() {
        let model = || Arc::new(lm_fn("m", |_| async { Ok(LmReply::text("yes", Usage::call(1, 1))) }));
        let serving = CallContext::new(model());
        let before = remembered(&serving, 1_000);
        assert_eq!(remembered(&serving, 10_000), before);
        let (steps, usage) = serving.record();
        assert_eq!((steps.len(), usage.calls), (MOST_RECORDED, 11_000));
        serving.take_record();
        remembered(&serving, 3);
        assert_eq!(serving.record().0.len(), 3);
        let of_run = CallContext::for_run(model(), Arc::default(), Cancellation::new(), 0, None);
        remembered(&of_run, 1_000);
        assert_eq!(of_run.record().0.len(), 1_000);
    }
}
