//! `promptopt export`.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use promptopt_core::data::{Fields, plain_text};
use promptopt_core::lm::Message;
use promptopt_core::program::{Module as _, ModuleExt as _, Predictor};
use promptopt_core::signature::Field;
use promptopt_dspy::{DspyProgram, Versions};
use promptopt_store::write_atomically;
use serde_json::{Value, json};

use crate::args::{ExportArgs, ExportFormat};
use crate::exit::Exit;
use crate::output::Output;
use crate::program::{PredictorChain, ProgramFile, layout, mapped};

pub(crate) fn run(args: &ExportArgs, output: Output) -> anyhow::Result<()> {
    let (chain, text) = exported(args).map_err(Exit::configuration)?;
    match &args.out {
        Some(path) => {
            write_atomically(path, text.as_bytes())
                .with_context(|| format!("writing the prompt to {}", path.display()))?;
            output.text(format_args!("wrote {}", path.display()))?;
        }
        None => output.text(text.trim_end())?,
    }
    let text = if args.out.is_some() { Value::Null } else { text.into() };
    output.object(&json!({"command": "export", "program": chain.name(), "file": args.out, "text": text}))
}

fn exported(args: &ExportArgs) -> anyhow::Result<(PredictorChain, String)> {
    if args.format != ExportFormat::Dspy && (args.into.is_some() || !args.map.is_empty()) {
        bail!("--into and --map are for `--format dspy`");
    }
    let chain = ProgramFile::load(&args.program, args.task.as_deref(), &[])?;
    let text = match args.format {
        ExportFormat::Text => text(&chain),
        ExportFormat::Messages => messages(&chain)?,
        ExportFormat::Markdown => markdown(&chain),
        ExportFormat::Dspy => dspy(&chain, args)?,
    };
    Ok((chain, text))
}

/// What stands around the name of an input where it goes.
struct Marks(String, String);

impl Marks {
    /// Double braces, or the first marks with which no input is named in the prompts themselves: a row that became a
    /// demo may hold anything.
    fn of(chain: &PredictorChain) -> Self {
        let with = |value: &dyn Fn(&str) -> String| -> Vec<String> {
            let fields = Self::inputs(chain).map(|name| (name.to_owned(), value(name).into())).collect();
            chain
                .chats(&fields)
                .into_iter()
                .flat_map(|(_, chat)| chat)
                .map(|message| message.content)
                .collect()
        };
        let content = with(&|_| String::new());
        let marks = (2..).flat_map(|count| {
            [("{", "}"), ("<", ">")].map(|(open, close)| Self(open.repeat(count), close.repeat(count)))
        });
        let is_free = |marks: &Self| {
            let mut holes = Self::inputs(chain).map(|name| marks.around(name));
            !holes.any(|hole| content.iter().any(|text| text.contains(&hole)))
        };
        marks.into_iter().find(is_free).unwrap_or_else(|| Self("{{".to_owned(), "}}".to_owned()))
    }

    fn inputs(chain: &PredictorChain) -> impl Iterator<Item = &str> {
        let signatures = chain.predictors().into_iter().map(Predictor::signature);
        signatures.flat_map(|signature| signature.inputs()).map(|field| field.name.as_str())
    }

    fn around(&self, name: &str) -> String {
        format!("{}{name}{}", self.0, self.1)
    }

    /// The chats of a program with a hole for each input.
    fn chats(&self, chain: &PredictorChain) -> Vec<(String, Vec<Message>)> {
        let holes: Fields =
            Self::inputs(chain).map(|name| (name.to_owned(), self.around(name).into())).collect();
        chain.chats(&holes)
    }
}

fn text(chain: &PredictorChain) -> String {
    let marks = Marks::of(chain);
    let chats = marks.chats(chain);
    let mut text = String::new();
    if marks.0 != "{{" {
        let _ = writeln!(text, "=== {} stands where an input goes\n", marks.around("field"));
    }
    for (predictor, messages) in &chats {
        if chats.len() > 1 {
            let _ = writeln!(text, "=== {predictor}\n");
        }
        text.push_str(&as_text(messages));
    }
    text
}

fn as_text(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("--- {}\n{}\n\n", message.role.as_str(), message.content)).collect()
}

fn messages(chain: &PredictorChain) -> anyhow::Result<String> {
    let (predictors, marks) = (chain.predictors(), Marks::of(chain));
    let names = |fields: &[Field]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    let one = |(predictor, (path, messages)): (&&dyn Predictor, (String, Vec<Message>))| {
        let signature = predictor.signature();
        let holes =
            signature.inputs().iter().map(|field| (field.name.clone(), marks.around(&field.name).into()));
        json!({
            "predictor": path,
            "inputs": names(signature.inputs()),
            "placeholders": holes.collect::<Fields>(),
            "outputs": names(signature.outputs()),
            "messages": messages,
        })
    };
    let all: Vec<Value> = predictors.iter().zip(marks.chats(chain)).map(one).collect();
    Ok(serde_json::to_string_pretty(&json!({ "predictors": all }))? + "\n")
}

fn markdown(chain: &PredictorChain) -> String {
    let marks = Marks::of(chain);
    let mut page = format!("# {}\n", chain.name());
    if let Some(source) = chain.source() {
        let _ = write!(page, "\nThe predictors run one after the other:\n\n{}", fenced(&source));
    }
    for (predictor, (path, messages)) in chain.predictors().iter().zip(marks.chats(chain)) {
        let signature = predictor.signature();
        let _ = write!(page, "\n## Predictor `{path}`\n\n| field | | type | meaning |\n|---|---|---|---|\n");
        for (way, fields) in [("input", signature.inputs()), ("output", signature.outputs())] {
            for field in fields {
                let meaning = cell(&field.description);
                let _ = writeln!(
                    page,
                    "| `{}` | {way} | {} | {meaning} |",
                    field.name,
                    cell(&field.kind.to_string())
                );
            }
        }
        let prompt = predictor.prompt();
        let _ = write!(page, "\n### Instruction\n\n{}", fenced(&prompt.instruction));
        if !prompt.demos.is_empty() {
            let _ = write!(page, "\n### Demonstrations\n");
        }
        for (number, demo) in prompt.demos.iter().enumerate() {
            let lines = demo.fields.iter().map(|(name, value)| format!("{name}: {}\n", plain_text(value)));
            let _ = write!(page, "\n{}.\n\n{}", number + 1, fenced(&lines.collect::<String>()));
        }
        let _ = write!(
            page,
            "\n### As it is sent\n\n`{}` stands where an input goes.\n\n{}",
            marks.around("field"),
            fenced(as_text(&messages).trim_end())
        );
    }
    page
}

/// A text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// A text in a fence that is longer than any within it.
fn fenced(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

fn dspy(chain: &PredictorChain, args: &ExportArgs) -> anyhow::Result<String> {
    let prompts = chain.candidate().prompts;
    let Some(into) = &args.into else {
        let program = DspyProgram::from_prompts(&prompts, &mapped(chain, &args.map)?, &Versions::default())?;
        return Ok(program.to_json());
    };
    let ProgramFile::Dspy(mut program) = ProgramFile::read(into)? else {
        bail!("{} was not saved by DSPy; leave --into out to write a new file", into.display());
    };
    let layout = layout(chain, &program, &args.map)?;
    program
        .update(&prompts, &layout)
        .with_context(|| format!("putting the prompts into {}", into.display()))?;
    Ok(program.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert_eq!(fenced("a"), "```text\na\n```\n");
        assert_eq!(fenced("```\nb\n````"), "`````text\n```\nb\n````\n`````\n");
        assert_eq!(cell("a|b\nc"), "a\\|b c");
    }
}
