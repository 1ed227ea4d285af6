//! Two real tasks on the embedded model: which city is meant, and which department answers.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use miprov2::proposer::TemplateProposer;
use miprov2::{MIPROv2, ModuleExt as _, Optimizer};
use promptopt_copro::COPRO;
use promptopt_core::data::{Example, Prediction, plain_text};
use promptopt_core::lm::{LanguageModel, ModelProfile};
use promptopt_core::money::Price;
use promptopt_core::program::{MetricFn, metric_fn};
use promptopt_core::prompt::Prompts;
use promptopt_core::signature::Signature;
use promptopt_data::{LoadOptions, Portion, SplitOptions, load, split};
use promptopt_dspy::Layout;
use promptopt_gepa::GEPA;
use promptopt_lm_local::{LocalModel, LocalModelOptions, resolve};
use promptopt_predict::{PlainAdapter, Predict};
use promptopt_run::{InstructionRequest, Run, RunOptions, evaluate};
use promptopt_testkit::around;
use serde_json::json;

use crate::model_scribe::Scribe;
use crate::options::Options;
use crate::search_counting::counted;
use crate::search_peers::{compile, python, rows};
use crate::table::{Row, say};

const SIZES: [usize; 3] = [60, 40, 100];
const BUDGET: u64 = 300;
const SEED: u64 = 1;
/// Room for a value in the plain format, and for one between the markers of a chat.
const PLAIN_TOKENS: u32 = 12;
const CHAT_TOKENS: u32 = 60;

struct RealTask {
    name: &'static str,
    signature: &'static str,
    instruction: &'static str,
    input: &'static str,
    output: &'static str,
    file: &'static str,
}

const TASKS: [RealTask; 2] = [
    RealTask {
        name: "cities (extraction)",
        signature: "message -> city",
        instruction: "Extract the city that the person wants to travel to.",
        input: "message",
        output: "city",
        file: "examples/data/cities.jsonl",
    },
    RealTask {
        name: "tickets (classification)",
        signature: "ticket -> department",
        instruction: "Route the support ticket to the department that should answer it: billing, shipping, returns, \
                      technical, account, sales or legal.",
        input: "ticket",
        output: "department",
        file: "examples/data/tickets.jsonl",
    },
];

/// A task with its data.
struct Loaded {
    train: Vec<Example>,
    selection: Vec<Example>,
    test: Vec<Arc<Example>>,
}

pub(crate) async fn run(options: &Options) -> Result<Vec<Row>> {
    let path = resolve(None).context("finding the weights; `promptopt model pull` fetches them")?;
    let settings = LocalModelOptions::builder().path(path).temperature(0.0).max_tokens(CHAT_TOKENS).build();
    let model: Arc<dyn LanguageModel> =
        Arc::new(LocalModel::load(settings).await.context("loading the embedded model")?);
    let mut table = Vec::new();
    for task in &TASKS {
        let data = task.load()?;
        ours(task, &data, &model, &mut table).await?;
        if options.peers {
            peer(task, &data, &model, &mut table).await?;
        }
    }
    Ok(table)
}

/// The three optimizers at their defaults under a budget, with templates for instructions, as the command
/// has it on this model.
async fn ours(
    task: &RealTask,
    data: &Loaded,
    model: &Arc<dyn LanguageModel>,
    table: &mut Vec<Row>,
) -> Result<()> {
    let bounded = bounded(model, PLAIN_TOKENS, true);
    let plain = || -> Result<Predict> {
        Ok(task.program()?.with_adapter(Arc::new(PlainAdapter)).with_json_retry(false))
    };
    let before = sealed(task, plain()?, &bounded, &Prompts::new(), data).await?;
    for name in ["MIPROv2", "COPRO", "GEPA"] {
        let (counted, calls) = counted(Arc::clone(&bounded));
        let mut program = plain()?.with_metric(task.metric());
        optimizer(name, data, counted)
            .compile(&mut program, data.train.clone())
            .await
            .with_context(|| format!("{name} on {}", task.name))?;
        let after = sealed(task, plain()?, &bounded, &program.candidate().prompts, data).await?;
        table.push(row(task, name, before, after, calls.get()));
    }
    Ok(())
}

fn optimizer(name: &str, data: &Loaded, model: Arc<dyn LanguageModel>) -> Box<dyn Optimizer> {
    let options = RunOptions::builder()
        .seed(SEED)
        .valset(data.selection.clone())
        .max_calls(BUDGET)
        .task_model(model)
        .instruction_writer(Arc::new(TemplateProposer::default()))
        .build();
    match name {
        "MIPROv2" => Box::new(MIPROv2::default().with_run_options(options)),
        "COPRO" => Box::new(COPRO::default().with_run_options(options)),
        _ => Box::new(GEPA::default().with_run_options(options)),
    }
}

/// MIPROv2 of DSPy over the same model, in DSPy's own chat format, and with the same writer of instructions: asked
/// for one in that format the model gives none, and the run ends with an error.
async fn peer(
    task: &RealTask,
    data: &Loaded,
    model: &Arc<dyn LanguageModel>,
    table: &mut Vec<Row>,
) -> Result<()> {
    let bounded = bounded(model, CHAT_TOKENS, false);
    let given = json!({
        "signature": task.signature,
        "instruction": task.instruction,
        "input": task.input,
        "output": task.output,
        "contains": true,
        "max_tokens": CHAT_TOKENS,
        "budget": BUDGET,
        "train": rows(&data.train),
        "selection": rows(&data.selection),
    });
    let chat = || -> Result<Predict> { Ok(task.program()?.with_json_retry(false)) };
    let layout = Layout::of(&chat()?);
    let (model, calls) = counted(Arc::clone(&bounded));
    let served = Arc::new(Scribe::new(model, task.request(data)?));
    let (prompts, _) = compile(&python()?, "miprov2", served, &given, &layout, SEED).await?;
    let before = sealed(task, chat()?, &bounded, &Prompts::new(), data).await?;
    let after = sealed(task, chat()?, &bounded, &prompts, data).await?;
    table.push(row(task, "DSPy MIPROv2", before, after, calls.get()));
    // Ours in the same format, which this model hardly follows without demos.
    let (model, calls) = counted(Arc::clone(&bounded));
    let mut program = chat()?.with_metric(task.metric());
    optimizer("MIPROv2", data, model).compile(&mut program, data.train.clone()).await?;
    let after = sealed(task, chat()?, &bounded, &program.candidate().prompts, data).await?;
    table.push(row(task, "MIPROv2 in DSPy's format", before, after, calls.get()));
    Ok(())
}

async fn sealed(
    task: &RealTask,
    program: Predict,
    model: &Arc<dyn LanguageModel>,
    prompts: &Prompts,
    data: &Loaded,
) -> Result<f64> {
    let mut program = program.with_metric(task.metric());
    program.install(prompts)?;
    let mut run = Run::bare(&program, Arc::clone(model));
    Ok(evaluate(&mut run, &Arc::default(), &data.test).await?.estimate.mean)
}

fn row(task: &RealTask, name: &str, before: f64, after: f64, calls: u64) -> Row {
    let case = format!("{}, {name}: {:.1} to {:.1}, {calls} calls", task.name, 100.0 * before, 100.0 * after);
    say(&case);
    Row::new("model", case, "points gained", 100.0 * (after - before))
}

impl RealTask {
    fn program(&self) -> Result<Predict> {
        let signature = Signature::parse(self.signature)?.with_instructions(self.instruction);
        Ok(Predict::new("answer", signature))
    }

    /// What a writer of instructions is asked for.
    fn request(&self, data: &Loaded) -> Result<InstructionRequest> {
        let signature = Signature::parse(self.signature)?.with_instructions(self.instruction);
        let mut request = InstructionRequest::new("answer", signature, self.instruction, SEED);
        request.examples = data.train.iter().cloned().map(Arc::new).collect();
        Ok(request)
    }

    fn load(&self) -> Result<Loaded> {
        let signature = Signature::parse(self.signature)?;
        let examples = load(Path::new(self.file), &LoadOptions::for_signature(&signature))?;
        let [train, selection, test] = SIZES;
        let sizes = SplitOptions::default()
            .with_train(Portion::Count(train))
            .with_selection(Portion::Count(selection))
            .with_test(Portion::Count(test))
            .with_seed(SEED);
        let parts = split(examples, &sizes)?;
        Ok(Loaded {
            train: parts.train,
            selection: parts.selection,
            test: parts.test.open().into_iter().map(Arc::new).collect(),
        })
    }

    /// Whether the expected value stands in the answer, case aside.
    fn metric(&self) -> MetricFn<impl Fn(&Example, &Prediction) -> bool + Send + Sync + use<>> {
        let output = self.output;
        metric_fn(move |example: &Example, prediction: &Prediction| {
            let text =
                |value: Option<&serde_json::Value>| value.map(plain_text).unwrap_or_default().to_lowercase();
            let expected = text(example.get(output));
            !expected.is_empty() && text(prediction.get(output)).contains(&expected)
        })
    }
}

/// A model with an upper bound on what it writes.
fn bounded(model: &Arc<dyn LanguageModel>, tokens: u32, one_line: bool) -> Arc<dyn LanguageModel> {
    let profile = ModelProfile::new(format!("{}, at most {tokens} tokens", model.profile().id));
    let bounded = around(Arc::clone(model), move |next, mut request| async move {
        request.sampling.max_tokens = Some(tokens);
        request.sampling.temperature = Some(0.0);
        if one_line {
            request.sampling.stop.push("\n".to_owned());
        }
        next.complete(&request).await
    });
    Arc::new(bounded.with_profile(profile.with_price(Price::FREE)))
}
