//! What a service pays: many requests at once, one call beside bare HTTP, and memory over many calls.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use promptopt_core::data::Fields;
use promptopt_core::program::CallContext;
use promptopt_core::signature::Signature;
use promptopt_lm::ChatClient;
use promptopt_predict::Predict;

use crate::options::Options;
use crate::table::{Goal, Row};
use crate::{child, cpu, memory};

/// Requests at once, and the latency that they meet.
const AT_ONCE: usize = 200;
const LATENCY: Duration = Duration::from_millis(300);
/// The latency of a single call, and how many follow each other.
const SINGLE: Duration = Duration::from_millis(20);
const SINGLES: usize = 200;
/// Calls after which memory is looked at.
const CALLS: [usize; 2] = [10_000, 100_000];
const QUICK_CALLS: [usize; 2] = [2_000, 10_000];

/// The rows of this part. What is timed has no goal with `--quick`, where others use the machine as well.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let timed = |row: Row, most: f64| if options.quick { row } else { row.goal(Goal::AtMost(most)) };
    let server = child::start("server", &[LATENCY.as_millis().to_string()])?;
    let (service, bare) = (Service::new(&server.line)?, Bare::new(&server.line)?);
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    // The first wave opens the connections. Others use this machine as well, so the best of several counts.
    for wave in 0..if options.quick { 2 } else { 6 } {
        let (own, other) = (service.wave().await?, bare.wave().await?);
        if wave > 0 {
            (ours, theirs) = (ours.min(own), theirs.min(other));
        }
    }
    let case = format!("{AT_ONCE} at once × {} ms", LATENCY.as_millis());
    let mut rows = vec![
        timed(Row::new("serve", &case, "× one latency, the last reply", ours).predicted(1.04), 1.15),
        Row::new("bare HTTP", &case, "× one latency, the last reply", theirs).predicted(1.02),
    ];

    let server = child::start("server", &[SINGLE.as_millis().to_string()])?;
    let (service, bare) = (Service::new(&server.line)?, Bare::new(&server.line)?);
    let (mut ours, mut theirs) = (Single::worst(), Single::worst());
    for _ in 0..if options.quick { 2 } else { 5 } {
        theirs = theirs.min(Single::of(|| bare.call()).await?);
        ours = ours.min(Single::of(|| service.call()).await?);
    }
    let case = format!("one call after another × {} ms", SINGLE.as_millis());
    let ratio = Row::new("serve", &case, "latency, ratio to bare HTTP", ours.took / theirs.took);
    rows.push(timed(ratio.predicted(1.02), 1.15));
    rows.push(Row::new("serve", &case, "µs CPU a call", ours.micros).predicted(250.0));
    rows.push(Row::new("bare HTTP", &case, "µs CPU a call", theirs.micros).predicted(150.0));

    let [before, after] = if options.quick { QUICK_CALLS } else { CALLS };
    let server = child::start("server", &["0".to_owned()])?;
    let arguments = [server.line.clone(), before.to_string(), after.to_string()];
    let grown =
        child::start("serve", &arguments)?.line.parse().context("reading what the service grew by")?;
    let case = format!("from {before} to {after} calls");
    let memory = Row::new("serve", case, "MiB resident more", grown).predicted(0.3);
    rows.push(timed(memory, 2.0));
    Ok(rows)
}

/// Plays a service that answers so many calls, and says what its memory grew by between two of them, in MiB.
pub(crate) fn grow(url: &str, before: usize, after: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let grown = runtime.block_on(async {
        let service = Service::new(url)?;
        service.calls(before).await?;
        let first = resident()?;
        service.calls(after - before).await?;
        let (steps, usage) = service.context.record();
        ensure!(
            steps.is_empty() && usage.calls == after as u64,
            "{} steps, {} calls",
            steps.len(),
            usage.calls
        );
        Ok(resident()? - first)
    })?;
    child::answer(&format!("{grown:.2}"));
    Ok(())
}

fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("reading memory from /proc")?;
    memory::mib(&status, "VmRSS:")
}

/// A predictor as a service holds it.
struct Service {
    predict: Predict,
    context: CallContext,
    inputs: Fields,
}

impl Service {
    fn new(url: &str) -> Result<Self> {
        let client =
            ChatClient::builder().base_url(url).model("loopback").api_key("none").for_serving().build()?;
        let inputs = [("question".to_owned(), "What is the code for a green lamp?".into())];
        Ok(Self {
            predict: Predict::new("answer", Signature::parse("question -> answer")?),
            context: CallContext::serving(Arc::new(client)),
            inputs: inputs.into_iter().collect(),
        })
    }

    async fn call(&self) -> Result<()> {
        let prediction = self.predict.call(&self.context, &self.inputs).await?;
        ensure!(prediction.get_str("answer") == Some("K4"), "another answer: {prediction:?}");
        Ok(())
    }

    /// How long the slowest of many at once takes, in latencies.
    async fn wave(&self) -> Result<f64> {
        let start = Instant::now();
        try_join_all((0..AT_ONCE).map(|_| self.call())).await?;
        Ok(start.elapsed().as_secs_f64() / LATENCY.as_secs_f64())
    }

    /// So many calls, as many at once as a wave has.
    async fn calls(&self, count: usize) -> Result<()> {
        let worker = |calls: usize| async move {
            for _ in 0..calls {
                self.call().await?;
            }
            anyhow::Ok(())
        };
        try_join_all((0..AT_ONCE).map(|_| worker(count / AT_ONCE))).await?;
        Ok(())
    }
}

/// The same request with nothing but an HTTP client.
struct Bare {
    client: reqwest::Client,
    url: String,
    body: String,
}

impl Bare {
    fn new(url: &str) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, url: format!("{url}/chat/completions"), body: "x".repeat(1200) })
    }

    async fn call(&self) -> Result<()> {
        let reply = self.client.post(&self.url).body(self.body.clone()).send().await?;
        let body: serde_json::Value = serde_json::from_slice(&reply.bytes().await?)?;
        ensure!(body.get("choices").is_some(), "no completion");
        Ok(())
    }

    async fn wave(&self) -> Result<f64> {
        let start = Instant::now();
        try_join_all((0..AT_ONCE).map(|_| self.call())).await?;
        Ok(start.elapsed().as_secs_f64() / LATENCY.as_secs_f64())
    }
}

/// What one call takes: seconds, and CPU time in microseconds.
#[derive(Clone, Copy)]
struct Single {
    took: f64,
    micros: f64,
}

impl Single {
    fn worst() -> Self {
        Self { took: f64::INFINITY, micros: f64::INFINITY }
    }

    fn min(self, other: Self) -> Self {
        Self { took: self.took.min(other.took), micros: self.micros.min(other.micros) }
    }

    async fn of<F: Future<Output = Result<()>>>(call: impl Fn() -> F) -> Result<Self> {
        call().await?;
        let (start, before) = (Instant::now(), cpu::spent());
        for _ in 0..SINGLES {
            call().await?;
        }
        let took = start.elapsed().as_secs_f64() / SINGLES as f64;
        Ok(Self { took, micros: cpu::micros_each(before, SINGLES) })
    }
}
