//! Writes program states for DSPy into a folder, and what is in them into `expected.json`:
//! `cargo run -p promptopt-dspy --example write -- FOLDER [PYTHON DSPY CLOUDPICKLE]`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use promptopt_dspy::{DspyProgram, Versions};
use serde_json::{Map, json};

#[path = "support/programs.rs"]
mod programs;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("name the folder to write to")?);
    let versions = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(python), Some(dspy), Some(cloudpickle)) => Versions::new(python, dspy, cloudpickle),
        _ => Versions::default(),
    };
    let mut expected = Map::new();
    for sample in programs::samples()? {
        let program = DspyProgram::from_prompts(&sample.prompts, &sample.layout, &versions)?;
        let path = folder.join(format!("{}.json", sample.name));
        std::fs::write(&path, program.to_json()).with_context(|| format!("writing {}", path.display()))?;
        let prompts = sample.prompts.iter().map(|(path, prompt)| {
            let dspy_path = sample.layout.dspy_path(path).unwrap_or(path);
            Ok((dspy_path.to_owned(), serde_json::to_value(prompt)?))
        });
        expected.insert(sample.name.to_owned(), prompts.collect::<Result<Map<_, _>>>()?.into());
    }
    let path = folder.join("expected.json");
    std::fs::write(&path, json!(expected).to_string()).with_context(|| format!("writing {}", path.display()))
}
