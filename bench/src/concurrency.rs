//! Rollouts a second against a server with latency, as a share of in-flight ÷ latency.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use promptopt_core::data::Example;
use promptopt_lm::{ChatClient, Concurrency, RateControl};
use promptopt_run::RolloutRunner;

use crate::options::Options;
use crate::table::{Goal, Row};
use crate::{child, cpu, task};

/// Latency in ms, requests in flight, the goal if there is one, and what was expected of us and of bare HTTP.
const CASES: [(u64, usize, Option<f64>, f64, f64); 8] = [
    (20, 16, Some(0.95), 0.96, 0.98),
    (20, 64, None, 0.93, 0.97),
    (20, 256, None, 0.55, 0.9),
    (20, 1024, None, 0.15, 0.35),
    (200, 16, None, 0.99, 0.995),
    (200, 64, None, 0.985, 0.99),
    (200, 256, None, 0.97, 0.985),
    (200, 1024, Some(0.95), 0.85, 0.95),
];

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (millis, in_flight, goal, ours, bare) in CASES {
        let case = format!("{millis} ms × {in_flight}");
        let load = Load::new(millis, in_flight, options.quick)?;
        let (mut best, mut micros, mut ceiling) = (0.0_f64, f64::INFINITY, 0.0_f64);
        // Others use this machine as well, so the best of several is what we can do.
        for _ in 0..if options.quick { 2 } else { 4 } {
            let (share, cost) = load.rollouts().await?;
            (best, micros) = (best.max(share), micros.min(cost));
            ceiling = ceiling.max(load.bare().await?);
        }
        let row = Row::new("concurrency", &case, "share of in-flight ÷ latency", best).predicted(ours);
        rows.push(match goal {
            Some(goal) => row.goal(Goal::AtLeast(goal)),
            None => row,
        });
        let unit = "share of in-flight ÷ latency";
        rows.push(Row::new("bare HTTP", &case, unit, ceiling).predicted(bare));
        rows.push(Row::new("client CPU", case, "µs a rollout", micros));
    }
    Ok(rows)
}

struct Load {
    server: child::Running,
    latency: Duration,
    in_flight: usize,
    examples: Vec<Arc<Example>>,
    warm_up: Vec<Arc<Example>>,
}

impl Load {
    fn new(millis: u64, in_flight: usize, quick: bool) -> Result<Self> {
        // At first all requests come at once and have to queue; after that their replies keep them apart. So a
        // run has to be much longer than a round.
        let rounds = if quick { 20.max(1000 / millis) } else { 50.max(2000 / millis) };
        let mut examples = task::examples(in_flight * (1 + rounds as usize));
        let warm_up = examples.split_off(in_flight * rounds as usize);
        let server = child::start("server", &[millis.to_string()])?;
        Ok(Self { server, latency: Duration::from_millis(millis), in_flight, examples, warm_up })
    }

    /// The share that is reached of what the latency allows.
    fn share(&self, took: Duration) -> f64 {
        let ideal = self.latency.as_secs_f64() * self.examples.len() as f64 / self.in_flight as f64;
        ideal / took.as_secs_f64()
    }

    /// With the whole of a rollout, after one round that opens the connections; and CPU µs of a rollout.
    async fn rollouts(&self) -> Result<(f64, f64)> {
        let client = ChatClient::builder()
            .base_url(&self.server.line)
            .model("loopback")
            .api_key("none")
            .rate_control(RateControl::builder().concurrency(Concurrency::Fixed(self.in_flight)).build()?)
            .build()?;
        let program = task::program();
        let runner = RolloutRunner::new(&program, Arc::new(client)).concurrency(self.in_flight);
        task::evaluated(&runner, &task::prompts(0), &self.warm_up).await?;
        let (start, before) = (Instant::now(), cpu::spent());
        let evaluation = task::evaluated(&runner, &task::prompts(0), &self.examples).await?;
        let (took, micros) = (start.elapsed(), cpu::micros_each(before, self.examples.len()));
        ensure!(evaluation.estimate.failed == 0 && evaluation.estimate.missing == 0, "rollouts failed");
        Ok((self.share(took), micros))
    }

    /// With nothing but an HTTP client: what this machine can do at most.
    async fn bare(&self) -> Result<f64> {
        let client = reqwest::Client::builder().build()?;
        let url = format!("{}/chat/completions", self.server.line);
        let body = "x".repeat(1200);
        let worker = |requests: usize| {
            let (client, url, body) = (client.clone(), url.clone(), body.clone());
            async move {
                for _ in 0..requests {
                    let reply = client.post(&url).body(body.clone()).send().await?;
                    reply.bytes().await?;
                }
                anyhow::Ok(())
            }
        };
        let all = |requests: usize| async move {
            let tasks = (0..self.in_flight).map(|_| tokio::spawn(worker(requests)));
            for done in try_join_all(tasks).await? {
                done.context("bare HTTP")?;
            }
            anyhow::Ok(())
        };
        all(1).await?;
        let start = Instant::now();
        all(self.examples.len() / self.in_flight).await?;
        Ok(self.share(start.elapsed()))
    }
}
