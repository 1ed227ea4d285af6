//! `promptopt import`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use promptopt_core::money::Usage;
use promptopt_core::program::{ModuleExt as _, Program, SavedSignature};
use promptopt_run::Outcome;
use serde_json::{Value, json};

use crate::args::ImportArgs;
use crate::exit::Exit;
use crate::output::Output;
use crate::outputs::{Inputs, file_stem};
use crate::program::{Blueprint, ProgramFile};
use crate::saved::{Definition, SavedProgram};
use crate::secrets;
use crate::session;
use crate::task_file::TaskFile;
use crate::words::counted;

pub(crate) async fn run(args: &ImportArgs, output: Output) -> anyhow::Result<()> {
    let (saved, path) = imported(args).await.map_err(Exit::configuration)?;
    saved.write(&path)?;
    let demos: usize = saved.prompts.iter().map(|(_, prompt)| prompt.demos.len()).sum();
    output.text(format_args!(
        "wrote {}, with {} and {}",
        path.display(),
        counted(saved.prompts.iter().count(), "predictor"),
        counted(demos, "demo")
    ))?;
    output.text(format_args!(
        "`promptopt eval {task} --program {path}` measures it, `promptopt optimize {task} --from {path}` goes on from it",
        task = args.task.display(),
        path = path.display()
    ))?;
    output.object(&json!({"command": "import", "program": path, "demos": demos}))
}

async fn imported(args: &ImportArgs) -> anyhow::Result<(SavedProgram, PathBuf)> {
    let task = TaskFile::read(&args.task)?;
    let blueprint = Blueprint::of(&task.program)?.equipped(session::folder_of(&args.task)).await?;
    let mut chain = session::chain_of(&blueprint, &task, &args.task)?;
    let prompts_before = chain.candidate().prompts;
    let file = ProgramFile::read(&args.state)?;
    if !matches!(file, ProgramFile::Dspy(_)) {
        bail!("{} was not saved by DSPy; `--program` and `--from` take it as it is", args.state.display());
    }
    file.install(&mut chain, &args.map, &args.state)
        .await
        .with_context(|| format!("for {}", args.task.display()))?;
    let name = session::name(&task, &args.task);
    let default = || PathBuf::from(format!("{}.imported.json", file_stem(&name)));
    let path = args.out.clone().unwrap_or_else(default);
    let inputs = Inputs::of_task(&task, &args.task).and("the program of DSPy", &args.state);
    inputs.check("--out", &path)?;
    let embedded = task.model.name == "local" || task.model.name.starts_with("local/");
    let saved = SavedProgram {
        aside: Arc::default(),
        format: Program::FORMAT,
        promptopt: env!("CARGO_PKG_VERSION").to_owned(),
        signatures: SavedSignature::of_all(&chain),
        task: name,
        model: task.model.name.clone(),
        prompt_model: None,
        definition: Some(Definition::of(&task, embedded, blueprint.served())),
        prompts: chain.candidate().prompts,
        prompts_before,
        test: None,
        test_usage: Usage::default(),
        errors: Vec::new(),
        configuration: Value::Null,
        outcome: Outcome::new("imported from DSPy"),
    };
    Ok((saved.without_secrets(&secrets::redactor(&task))?, path))
}
