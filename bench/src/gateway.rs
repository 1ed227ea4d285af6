//! What the gateway costs: CPU time of a call beyond that of a native program that makes the same call, and how near a
//! program behind it comes to what the latency allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use promptopt_core::data::{Example, Fields, Prediction};
use promptopt_core::lm::{LanguageModel, LmRequest, Message};
use promptopt_core::program::{CallContext, Evaluator, ModuleExt as _, Text, module_fn};
use promptopt_core::prompt::{Prompt, Prompts};
use promptopt_core::signature::Signature;
use promptopt_gateway::{App, Component, Door, Serve};
use promptopt_lm::{ChatClient, Concurrency, RateControl};
use promptopt_process::CommandLine;
use promptopt_run::RolloutRunner;
use promptopt_testkit::toy;

use crate::gateway_program::Shape;
use crate::options::Options;
use crate::table::{Goal, Row};
use crate::{child, cpu, task};

/// The most that a call may take beyond a native one, in microseconds of CPU time.
const MICROS: f64 = 150.0;
/// Calls of one measurement.
const CALLS: usize = 4_000;
/// What is measured, its calls that stand for one in [`CALLS`], whether there is a goal, and what was expected.
const CASES: [(&str, Shape, usize, bool, f64); 3] = [
    ("one call a rollout", Shape { calls: 1, components: 1, filler: 0 }, 1, true, 110.0),
    ("ten calls a rollout", Shape { calls: 10, components: 1, filler: 0 }, 1, true, 75.0),
    (
        "ten components, 200 KB prompt",
        Shape { calls: 1, components: 10, filler: 200_000 },
        20,
        false,
        2_000.0,
    ),
];
/// Rollouts under way at once where the model answers at once.
const AT_ONCE: usize = 16;
/// The latency and the requests in flight of the other measurement, and the share to be reached.
const LATENCY: Duration = Duration::from_millis(20);
const IN_FLIGHT: usize = 64;
const SHARE: f64 = 0.95;
/// Rollouts under way, whether the share is a goal, and what was expected behind the gateway and of native programs.
const ROLLOUTS: [(usize, bool, (f64, f64)); 2] = [(64, false, (0.93, 0.95)), (80, true, (0.96, 0.965))];

/// The rows of this part. What is timed has no goal with `--quick`, where others use the machine as well.
pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let goal = |row: Row, goal: Goal| if options.quick { row } else { row.goal(goal) };
    let mut rows = Vec::new();
    for (case, shape, size, has_goal, expected) in CASES {
        let rollouts = CALLS / size / shape.calls / if options.quick { 10 } else { 1 };
        let load = Load::new(shape, rollouts, AT_ONCE)?;
        let model = || Arc::new(task::AtOnce) as Arc<dyn LanguageModel>;
        let (mut native, mut behind) = (Took::WORST, Took::WORST);
        // Others use this machine as well, so the best of several is what the code takes.
        for _ in 0..if options.quick { 2 } else { 5 } {
            native = native.min(load.native(model()).await?);
            behind = behind.min(load.behind(model()).await?);
        }
        let beyond =
            Row::new("gateway", case, "µs CPU a call beyond a native one", behind.micros - native.micros);
        let beyond = beyond.predicted(expected);
        rows.push(if has_goal { goal(beyond, Goal::AtMost(MICROS)) } else { beyond });
        rows.push(Row::new("native", case, "µs CPU a call", native.micros));
    }

    rows.extend(shares(options, goal).await?);
    Ok(rows)
}

/// How near rollouts come to what the latency allows: as many as there are requests in flight, and with some more, so that
/// there is always a request that waits for its turn while programs do their own work.
async fn shares(options: &Options, goal: impl Fn(Row, Goal) -> Row) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let server = child::start("server", &[LATENCY.as_millis().to_string()])?;
    let rounds = if options.quick { 10 } else { 100 };
    for (rollouts, has_goal, expected) in ROLLOUTS {
        let case = format!("{} ms × {IN_FLIGHT}, {rollouts} rollouts", LATENCY.as_millis());
        let load = Load::new(Shape { calls: 1, components: 1, filler: 0 }, IN_FLIGHT * rounds, rollouts)?;
        let (mut native, mut behind) = (Took::WORST, Took::WORST);
        for _ in 0..if options.quick { 2 } else { 5 } {
            native = native.min(load.native(client(&server.line)?).await?);
            behind = behind.min(load.behind(client(&server.line)?).await?);
        }
        let share = |took: Took| LATENCY.as_secs_f64() * rounds as f64 / took.seconds;
        let unit = "share of in-flight ÷ latency";
        let reached = Row::new("gateway", &case, unit, share(behind)).predicted(expected.0);
        rows.push(if has_goal { goal(reached, Goal::AtLeast(SHARE)) } else { reached });
        rows.push(Row::new("native", &case, unit, share(native)).predicted(expected.1));
        let beyond = behind.micros - native.micros;
        rows.push(Row::new("gateway", &case, "µs CPU a call beyond a native one", beyond));
    }
    Ok(rows)
}

fn client(url: &str) -> Result<Arc<dyn LanguageModel>> {
    let control = RateControl::builder().concurrency(Concurrency::Fixed(IN_FLIGHT)).build()?;
    let client = ChatClient::builder().base_url(url).model("loopback").api_key("none").rate_control(control);
    Ok(Arc::new(client.build()?))
}

/// What a measurement took: seconds in all, and CPU time of this process a call, in microseconds.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    micros: f64,
}

impl Took {
    const WORST: Self = Self { seconds: f64::INFINITY, micros: f64::INFINITY };

    fn min(self, other: Self) -> Self {
        Self { seconds: self.seconds.min(other.seconds), micros: self.micros.min(other.micros) }
    }
}

/// The same rollouts of a native program and of one behind the gateway.
struct Load {
    shape: Shape,
    examples: Vec<Arc<Example>>,
    warm_up: Vec<Arc<Example>>,
    in_flight: usize,
    /// Other texts than those that the program sends, so each is found and replaced.
    prompts: Arc<Prompts>,
}

impl Load {
    fn new(shape: Shape, rollouts: usize, in_flight: usize) -> Result<Self> {
        let mut examples = task::examples(rollouts + in_flight);
        let warm_up = examples.split_off(rollouts);
        let texts = shape.texts().into_iter().enumerate();
        let prompts =
            texts.map(|(number, text)| (name(number), Prompt::new(format!("{text} Say nothing else."))));
        Ok(Self { shape, examples, warm_up, in_flight, prompts: Arc::new(prompts.collect()) })
    }

    async fn native(&self, model: Arc<dyn LanguageModel>) -> Result<Took> {
        let shape = self.shape;
        let texts =
            shape.texts().into_iter().enumerate().map(|(number, text)| Text::new(name(number), &text));
        let run = move |context: CallContext, texts: Arc<[Text]>, inputs: Fields| async move {
            let in_force: Vec<String> = texts.iter().map(|text| text.in_force(&context).to_owned()).collect();
            let system = shape.system(&in_force);
            let question = inputs.get("question").and_then(|question| question.as_str()).unwrap_or_default();
            let mut said = String::new();
            for call in 0..shape.calls {
                let messages = vec![Message::system(&system), Message::user(shape.said(question, call))];
                context.complete(LmRequest::new(messages)).await?.first_text().clone_into(&mut said);
            }
            Ok(Prediction::from_iter([("answer", said)]))
        };
        let program = module_fn("native", texts, run).with_metric(toy::exact_answer());
        self.measured(&program, model).await
    }

    async fn behind(&self, model: Arc<dyn LanguageModel>) -> Result<Took> {
        let program = std::env::current_exe()?.display().to_string();
        let arguments = ["child", "program"].map(str::to_owned).into_iter().chain(self.shape.arguments());
        let serve = Serve::new(CommandLine::new(program, arguments));
        let app = App::new("app", Signature::parse("question -> answer")?, Door::Serve(serve));
        let texts = self.shape.texts().into_iter().enumerate();
        let app = texts.fold(app.with_calls(self.shape.calls as u64), |app, (number, text)| {
            app.with_component(Component::new(name(number), &text))
        });
        self.measured(&app.with_metric(toy::exact_answer()), model).await
    }

    async fn measured(&self, program: &impl Evaluator, model: Arc<dyn LanguageModel>) -> Result<Took> {
        let runner = RolloutRunner::new(program, model).concurrency(self.in_flight);
        // The process starts, and the connections are opened.
        task::evaluated(&runner, &self.prompts, &self.warm_up).await?;
        let (start, before) = (Instant::now(), cpu::spent());
        let evaluation = task::evaluated(&runner, &self.prompts, &self.examples).await?;
        let (took, micros) =
            (start.elapsed(), cpu::micros_each(before, self.examples.len() * self.shape.calls));
        let estimate = &evaluation.estimate;
        ensure!(estimate.failed == 0 && estimate.missing == 0, "rollouts failed: {:?}", estimate);
        Ok(Took { seconds: took.as_secs_f64(), micros })
    }
}

fn name(number: usize) -> String {
    format!("rule {number}")
}
