//! What all connections share: the plan, the hidden limits and the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use promptopt_core::data::ContentHash;
use promptopt_core::lm::LanguageModel;
use promptopt_core::money::Usage;

use super::plan::{Fault, FaultPlan};

/// What a request was met with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The model's reply.
    Reply,
    /// A planned fault.
    Fault(Fault),
    /// HTTP 429: the hidden limit on requests at once.
    TooManyAtOnce,
    /// HTTP 429: the hidden limit on requests in a window of time.
    TooFast,
    /// HTTP 400: not a chat request.
    BadRequest,
}

/// One request as the server saw it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Seen {
    /// The time of day when it was there, by the clock of the plan.
    pub arrived: SystemTime,
    /// The hash of its body.
    pub content: ContentHash,
    /// What it was met with.
    pub answer: Answer,
    /// Before when the server asked for no further request, by the clock of the plan.
    pub not_before: Option<SystemTime>,
    /// What the model's reply to it costs; nothing where it was refused.
    pub usage: Usage,
    /// Bytes of the reply, head included, that could be written before the client hung up.
    pub written: usize,
    /// Requests that were under way with it when it came, itself included.
    pub under_way: usize,
}

impl Seen {
    /// Whether a provider may bill it: whatever was not refused by its status.
    pub fn may_be_billed(&self) -> bool {
        match self.answer {
            Answer::Reply => true,
            Answer::Fault(fault) => !fault.is_refusal(),
            Answer::TooManyAtOnce | Answer::TooFast | Answer::BadRequest => false,
        }
    }
}

/// What the connections work on.
pub(super) struct Shared {
    pub(super) model: Arc<dyn LanguageModel>,
    pub(super) plan: FaultPlan,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Vec<Seen>,
    under_way: usize,
    /// Of those under way the ones that were not refused at a limit.
    let_through: usize,
    /// When requests of the window were let through, the oldest first.
    recent: Vec<SystemTime>,
    contents: HashMap<ContentHash, Count>,
}

#[derive(Default)]
struct Count {
    times: u64,
    faults_in_a_row: u32,
}

/// A request that is being answered; dropped, it is over.
pub(super) struct Visit {
    shared: Arc<Shared>,
    index: usize,
    pub(super) answer: Answer,
    /// Decides between the variants of a fault.
    pub(super) variant: u64,
    /// What the time of day was when it came.
    pub(super) now: SystemTime,
    /// How long the hidden rate asks to wait.
    pub(super) wait: Duration,
}

impl Shared {
    pub(super) fn new(model: Arc<dyn LanguageModel>, plan: FaultPlan) -> Arc<Self> {
        Arc::new(Self { model, plan, state: Mutex::default() })
    }

    /// Enters a request with this body, and decides what becomes of it.
    pub(super) fn enter(self: &Arc<Self>, body: &[u8], is_readable: bool) -> Visit {
        let content = ContentHash::join([body]);
        let mut state = self.lock();
        let now = (self.plan.time_of_day)();
        state.under_way += 1;
        let (answer, variant, wait) = state.decide(&self.plan, content, is_readable, now);
        let under_way = state.under_way;
        let index = state.log.len();
        state.log.push(Seen {
            arrived: now,
            content,
            answer,
            not_before: None,
            usage: Usage::default(),
            written: 0,
            under_way,
        });
        Visit { shared: Arc::clone(self), index, answer, variant, now, wait }
    }

    pub(super) fn log(&self) -> Vec<Seen> {
        self.lock().log.clone()
    }

    pub(super) fn under_way(&self) -> usize {
        self.lock().under_way
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn decide(
        &mut self,
        plan: &FaultPlan,
        content: ContentHash,
        is_readable: bool,
        now: SystemTime,
    ) -> (Answer, u64, Duration) {
        if !is_readable {
            return (Answer::BadRequest, 0, Duration::ZERO);
        }
        if plan.concurrency.is_some_and(|limit| self.let_through >= limit) {
            return (Answer::TooManyAtOnce, 0, Duration::ZERO);
        }
        if let Some((requests, window)) = plan.rate {
            self.recent.retain(|then| *then + window > now);
            if self.recent.len() >= requests {
                let oldest = self.recent.first().copied().unwrap_or(now);
                let wait = (oldest + window).duration_since(now).unwrap_or_default();
                return (Answer::TooFast, 0, wait);
            }
            self.recent.push(now);
        }
        self.let_through += 1;
        let count = self.contents.entry(content).or_default();
        let may_fail = count.faults_in_a_row < plan.most_in_a_row;
        let fault = plan.fault(content, count.times).filter(|_| may_fail);
        let variant = plan.variant(content, count.times);
        count.times += 1;
        count.faults_in_a_row = fault.map_or(0, |_| count.faults_in_a_row + 1);
        (fault.map_or(Answer::Reply, Answer::Fault), variant, Duration::ZERO)
    }
}

impl Visit {
    /// Notes before when no further request should come.
    pub(super) fn ask(&self, not_before: SystemTime) {
        self.note(|seen| seen.not_before = Some(not_before));
    }

    /// Notes what the model's reply costs.
    pub(super) fn bill(&self, usage: Usage) {
        self.note(|seen| seen.usage = usage);
    }

    /// Notes that so many bytes more could be written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.note(|seen| seen.written += bytes);
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.shared.lock().log.get_mut(self.index) {
            change(seen);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.under_way -= 1;
        if matches!(self.answer, Answer::Reply | Answer::Fault(_)) {
            state.let_through -= 1;
        }
    }
}
