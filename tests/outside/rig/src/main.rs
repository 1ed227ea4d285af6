//! A program that is written with rig and knows nothing of promptopt, under an optimizer.
//!
//! `outside-rig app` is the program: it reads a row, asks an agent, and prints the answer. Without arguments this optimizes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use promptopt::anyhow::{self, Context as _, ensure};
use promptopt::core::lm::around;
use promptopt::gateway::{App, CommandLine, Component, Door, Run};
use promptopt::prelude::*;
use promptopt_testkit::{HiddenRules, toy};
use rig::prelude::*;
use rig::providers::openai::OpenAI;

const PROMPT: &str = "Answer the question.";

/// The program. rig finds the gateway by `OPENAI_BASE_URL` and `OPENAI_API_KEY`, as it finds any server.
async fn app() -> anyhow::Result<()> {
    let row: Fields = serde_json::from_reader(std::io::stdin())?;
    let question = row.get("question").and_then(|question| question.as_str()).context("no question")?;
    // The simulated model wants to be told which field it is asked for.
    let preamble = format!("Your output fields are:\n1. `answer`\n\n{PROMPT}");
    let agent = AgentBuilder::new(OpenAI::from_env()?.completion("gpt-unknown")).preamble(&preamble).build();
    let response = agent.prompt(question).await?;
    // It writes the name of the field before its answer, and a mark behind it.
    let answer = response.output().split("##").nth(2).unwrap_or_default().to_owned();
    println!("{}", answer.trim_matches(|letter: char| "[] \n".contains(letter)));
    Ok(())
}

async fn optimize() -> anyhow::Result<()> {
    let task = HiddenRules::new(8, 1);
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let model: Arc<dyn LanguageModel> = Arc::new(around(task.model(1), move |next, request| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { next.complete(&request).await }
    }));
    let command = std::env::current_exe()?.to_string_lossy().into_owned();
    let door = Door::Run(Run::new(CommandLine::new(command, ["app".to_owned()])));
    let program = App::new("rig", Signature::parse("question -> answer")?, door)
        .with_component(Component::new("answer", PROMPT))
        .with_calls(1);
    let mut program = program.with_metric(toy::exact_answer());
    let optimizer = COPRO::builder().task_model(model).max_calls(200).seed(1).build();
    let outcome = optimizer.compile(&mut program, task.examples(60)).await?;
    ensure!(outcome.improved(), "{} -> {}", outcome.baseline, outcome.selected);
    let calls = outcome.spending.total().calls;
    ensure!(calls <= 200 && calls == asked.load(Ordering::SeqCst), "{calls} calls in the books");
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("app") => app().await,
        _ => optimize().await,
    }
}
