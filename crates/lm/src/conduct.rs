//! The options that have nothing to do with the dialect: limits, retries, hedges, rate control, time.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use promptopt_core::lm::ModelProfile;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::format_support::FormatSupport;
use crate::parameter_support::ParameterSupport;
use crate::reasoning::reasons;
use crate::retry::RetryPolicy;
use crate::server::server;
use crate::transport::Limits;
use crate::wire::Wire;
use crate::{Concurrency, ConfigError, KnownPrices, RateControl, SystemTimer, Timer};

fn secs(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// How a client conducts itself, in whatever dialect.
pub(crate) struct Conduct {
    pub(crate) limits: Limits,
    pub(crate) retry: RetryPolicy,
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_queue_wait: Option<Duration>,
    /// Where no rate control is given.
    pub(crate) concurrency: Concurrency,
    pub(crate) max_attempts_billed: Option<u32>,
    pub(crate) rate_control: Option<RateControl>,
    pub(crate) timer: Option<Arc<dyn Timer>>,
    pub(crate) jitter_seed: Option<u64>,
}

impl Conduct {
    /// Refuses what can not work.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let zeros = [
            ("connect_timeout", limits.connect_timeout.is_zero()),
            ("timeout", limits.timeout.is_zero()),
            ("first_byte_timeout", limits.first_byte_timeout.is_zero()),
            ("max_silence", limits.max_silence.is_zero()),
            ("deadline", self.deadline.is_some_and(|bound| bound.is_zero())),
            ("hedge_after", self.hedge_after.is_some_and(|after| after.is_zero())),
            ("max_attempts_billed", self.max_attempts_billed == Some(0)),
            ("max_reply_bytes", limits.max_reply_bytes == 0),
        ];
        if let Some((option, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            return Err(ConfigError::option(option, "it is zero"));
        }
        if let (Some(wait), Some(deadline)) = (self.max_queue_wait, self.deadline)
            && wait >= deadline
        {
            let reason = format!("{} s leave nothing of the `deadline` of {} s", secs(wait), secs(deadline));
            return Err(ConfigError::option("max_queue_wait", reason));
        }
        if self.hedge_after.is_some() && self.max_attempts_billed == Some(1) {
            let reason = "a hedge is billed, and `max_attempts_billed` is 1";
            return Err(ConfigError::option("hedge_after", reason));
        }
        Ok(())
    }

    /// What tells the time: the timer of rate control where that is shared.
    pub(crate) fn timer(&self) -> Arc<dyn Timer> {
        let shared = || self.rate_control.as_ref().map(|rate| Arc::clone(rate.timer()));
        self.timer.clone().or_else(shared).unwrap_or_else(|| Arc::new(SystemTimer))
    }

    /// The client that sends to `endpoint` over `wire`; `dialect` is the provider whose API that is.
    pub(crate) fn client<W: Wire>(
        self,
        id: String,
        endpoint: &Endpoint,
        dialect: &'static str,
        wire: W,
    ) -> Result<Client<W>, ConfigError> {
        let template = &wire.peer().template;
        let most_attempts = self.retry.max_retries.saturating_add(1);
        let most_attempts = most_attempts.saturating_add(self.hedge_after.is_some().into());
        let price = KnownPrices::table().find(endpoint.host(), &template.model).map(|(price, _)| price);
        let profile = ModelProfile::new(id)
            .with_price(price)
            .with_max_tokens(template.sampling.max_tokens)
            .with_reasons(reasons(&template.model, template.sampling.reasoning_effort.as_deref()))
            .with_max_attempts_billed(self.max_attempts_billed.unwrap_or(most_attempts))
            .with_server(server(&template.model, endpoint, dialect));
        let rate = match self.rate_control {
            Some(rate) => rate,
            None => RateControl::builder().concurrency(self.concurrency).maybe_clock(self.timer).build()?,
        };
        let seed = self.jitter_seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Ok(Client {
            profile,
            wire,
            retry: self.retry,
            rate,
            hedge_after: self.hedge_after,
            deadline: self.deadline,
            max_queue_wait: self.max_queue_wait,
            formats: FormatSupport::default(),
            parameters: ParameterSupport::default(),
            jitter: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
        })
    }
}
