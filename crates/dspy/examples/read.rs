//! Reads program states that DSPy saved and prints as JSON what is in them, and whether they come
//! back byte for byte: `cargo run -p promptopt-dspy --example read -- FILE…`.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use promptopt_core::signature::Signature;
use promptopt_dspy::{DspyProgram, Layout};
use serde_json::{Map, Value, json};

#[path = "support/programs.rs"]
mod programs;

fn main() -> Result<()> {
    let mut report = Map::new();
    for file in std::env::args().skip(1) {
        let found = examine(Path::new(&file)).with_context(|| format!("reading {file}"))?;
        report.insert(file, found);
    }
    writeln!(std::io::stdout(), "{}", Value::Object(report))?;
    Ok(())
}

fn examine(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file)?;
    let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let layout = layout(name)?;
    let program = DspyProgram::read(&text)?;
    let prompts = program.prompts(&layout)?;

    let mut updated = program.clone();
    updated.update(&prompts, &layout)?;
    let mut changed = program.clone();
    let other: Prompts = prompts.iter().map(|(path, _)| (path, Prompt::new("Another."))).collect();
    changed.update(&other, &layout)?;

    let sample = programs::samples()?.into_iter().find(|sample| sample.name == name);
    Ok(json!({
        "identical": program.to_json() == text,
        "identical_after_update": updated.to_json() == text,
        "takes_other_prompts": changed.prompts(&layout)? == other,
        "same_prompts": sample.is_none_or(|sample| without_sources(&sample.prompts) == prompts),
        "paths": program.paths(),
        "prompts": prompts
            .iter()
            .map(|(path, prompt)| (layout.dspy_path(path).unwrap_or(path).to_owned(), json!(prompt)))
            .collect::<Map<_, _>>(),
    }))
}

/// The layout of a sample, or of the program that `check.py` optimizes in DSPy.
fn layout(name: &str) -> Result<Layout> {
    if name == "bootstrapped" {
        return Ok(Layout::new([
            ("plan", Signature::parse("question -> reasoning, steps: list[str]")?),
            ("answer", Signature::parse("question, steps: list[str] -> answer")?),
        ]));
    }
    if name == "values" {
        return Ok(Layout::new([("any", Signature::parse("question -> answer")?)]));
    }
    let sample = programs::samples()?.into_iter().find(|sample| sample.name == name);
    Ok(sample.with_context(|| format!("there is no sample `{name}`"))?.layout)
}

fn without_sources(prompts: &Prompts) -> Prompts {
    let without = |demo: &Demo| demo.clone().with_source(None);
    prompts
        .iter()
        .map(|(path, prompt)| {
            let demos = prompt.demos.iter().map(without).collect();
            (path, Prompt::new(prompt.instruction.clone()).with_demos(demos))
        })
        .collect()
}
