//! Servers, clients and runs of these tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use miprov2::MIPROv2;
use promptopt_copro::COPRO;
use promptopt_core::lm::{LanguageModel, Sampling};
use promptopt_core::money::{Budget, Money, Price, Prices, Usage};
use promptopt_core::program::ModuleExt as _;
use promptopt_gepa::GEPA;
use promptopt_lm::{ChatClient, Concurrency, RateControl, Timer};
use promptopt_run::{Optimizer, Outcome, RunOptions, most_prompt_tokens};
use promptopt_testkit::{FaultPlan, FaultServer, HiddenRules, Seen, SimulatedLm, around, toy};

/// Largest reply that clients here take, in bytes.
pub(crate) const MAX_REPLY_BYTES: usize = 128 * 1024;

/// The price of the model in these tests, in whole billionths of a dollar for every token.
fn price() -> Price {
    Price::new(Money::from_nanos(100_000_000), Money::from_nanos(1_000_000_000))
}

/// Tokens of every completion: as many as are allowed.
const MAX_TOKENS: u32 = 300;

/// A model that costs as much as it may for every request, so that one request too many overshoots a budget.
fn dear(model: SimulatedLm) -> impl LanguageModel {
    around(model, |next, request| async move {
        let mut reply = next.complete(&request).await?;
        let written = u64::from(MAX_TOKENS) * reply.completions.len() as u64;
        reply.usage = Usage::call(most_prompt_tokens(&request), written);
        Ok(reply)
    })
}

/// A clock that stands still until it is asked to wait; then it jumps to the end of the wait. Waits that run
/// together end together, as they do in the world.
#[derive(Debug, Default)]
pub(crate) struct JumpingClock(AtomicU64);

#[async_trait]
impl Timer for JumpingClock {
    fn now(&self) -> SystemTime {
        // Not on a whole second, so that dates have to be rounded.
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_300);
        start + Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.monotonic() + duration;
        tokio::task::yield_now().await;
        self.0.fetch_max(end.as_nanos() as u64, Ordering::SeqCst);
    }
}

/// What one run is made of.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) plan: FaultPlan,
    pub(crate) seed: u64,
    /// Rollouts at once.
    pub(crate) concurrency: usize,
    /// Requests at once, from the start.
    pub(crate) requests: Concurrency,
    /// Of one attempt. Long enough by default that nothing but a stall meets it, on a busy machine too.
    pub(crate) timeout: Duration,
    pub(crate) budget: Option<Budget>,
}

impl Setup {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self {
            plan,
            seed: 0,
            concurrency: 8,
            requests: Concurrency::default(),
            timeout: Duration::from_secs(30),
            budget: None,
        }
    }

    /// The client and the server, which share a clock that does not make anybody wait.
    pub(crate) async fn start(&self, model: Arc<dyn LanguageModel>) -> (ChatClient, FaultServer) {
        let clock = Arc::new(JumpingClock::default());
        let time = Arc::clone(&clock);
        let server =
            FaultServer::start(model, self.plan.clone().time_of_day(move || time.now())).await.unwrap();
        let clock = clock as Arc<dyn Timer>;
        let rate =
            RateControl::builder().concurrency(self.requests).clock(Arc::clone(&clock)).build().unwrap();
        let client = ChatClient::builder()
            .base_url(server.base_url())
            .model("simulated")
            .sampling(Sampling::default().with_max_tokens(MAX_TOKENS))
            .timeout(self.timeout)
            .max_reply_bytes(MAX_REPLY_BYTES)
            .jitter_seed(self.seed)
            .rate_control(rate)
            .build()
            .unwrap();
        (client, server)
    }

    /// A whole run of `which` of the three optimizers on the hidden-rules task.
    pub(crate) async fn run(&self, which: Which) -> Run {
        let task = HiddenRules::new(6, 5);
        let (client, server) = self.start(Arc::new(dear(task.model(5)))).await;
        let mut program = toy::answerer().with_model(Arc::new(client)).with_metric(toy::exact_answer());
        let result = self.optimizer(which).compile(&mut program, task.examples(40)).await;
        Run { result: result.map_err(|error| error.to_string()), log: server.log().await }
    }

    fn optimizer(&self, which: Which) -> Box<dyn Optimizer> {
        let mut options = RunOptions::builder().seed(self.seed).concurrency(self.concurrency).build();
        (options.budget, options.prices) = (self.budget, Some(Prices::new().with("*", price())));
        match which {
            Which::Miprov2 => {
                let sized = MIPROv2::builder().num_candidates(4).num_trials(6).minibatch_size(8).build();
                Box::new(sized.with_run_options(options))
            }
            Which::Copro => Box::new(COPRO::builder().breadth(3).depth(2).build().with_run_options(options)),
            Which::Gepa => {
                options.max_metric_calls = Some(200);
                Box::new(GEPA::builder().parallel_proposals(2).build().with_run_options(options))
            }
        }
    }
}

/// One of the optimizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Miprov2,
    Copro,
    Gepa,
}

impl Which {
    pub(crate) const ALL: [Self; 3] = [Self::Miprov2, Self::Copro, Self::Gepa];
}

/// What a run came to, and what the server saw of it.
pub(crate) struct Run {
    pub(crate) result: Result<Outcome, String>,
    pub(crate) log: Vec<Seen>,
}

impl Run {
    pub(crate) fn outcome(&self) -> &Outcome {
        self.result.as_ref().unwrap()
    }

    /// What the server would bill: every request that it did not refuse by its status.
    pub(crate) fn billed(&self) -> Usage {
        self.log.iter().filter(|seen| seen.may_be_billed()).map(|seen| price().priced(seen.usage)).sum()
    }
}
