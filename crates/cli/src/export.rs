//! `promptopt export`.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use promptopt_core::data::{Fields, plain_text};
use promptopt_core::program::{Module as _, ModuleExt as _, Predictor};
use promptopt_core::signature::Field;
use promptopt_dspy::{DspyProgram, Versions};
use promptopt_store::write_atomically;
use serde_json::{Value, json};

use crate::args::{ExportArgs, ExportFormat};
use crate::exit::Exit;
use crate::markdown::{block, inline};
use crate::output::{Output, escaped};
use crate::outputs::Inputs;
use crate::program::{Chat, PredictorChain, ProgramFile, is_task, layout, mapped, message_text};
use crate::task_file::TaskFile;

pub(crate) async fn run(args: &ExportArgs, output: Output) -> anyhow::Result<()> {
    let (chain, text) = exported(args).await.map_err(Exit::configuration)?;
    match &args.out {
        Some(path) => {
            write_atomically(path, text.as_bytes())
                .with_context(|| format!("writing the prompt to {}", path.display()))?;
            output.text(format_args!("wrote {}", path.display()))?;
        }
        None => output.data(text.trim_end())?,
    }
    let text = if args.out.is_some() { Value::Null } else { text.into() };
    output.object(&json!({"command": "export", "program": chain.name(), "file": args.out, "text": text}))
}

async fn exported(args: &ExportArgs) -> anyhow::Result<(PredictorChain, String)> {
    if args.format != ExportFormat::Dspy && (args.into.is_some() || !args.map.is_empty()) {
        bail!("--into and --map are for `--format dspy`");
    }
    if let Some(out) = &args.out {
        inputs(args)?.check("--out", out)?;
    }
    let chain = ProgramFile::load(&args.program, args.task.as_deref(), &[]).await?;
    let text = match args.format {
        ExportFormat::Text => text(&chain),
        ExportFormat::Messages => escaped(&messages(&chain)?).into_owned(),
        ExportFormat::Markdown => markdown(&chain),
        ExportFormat::Dspy => escaped(&dspy(&chain, args)?).into_owned(),
    };
    Ok((chain, text))
}

/// The files that an export reads.
fn inputs(args: &ExportArgs) -> anyhow::Result<Inputs> {
    let task = Some(&args.program).filter(|program| is_task(program)).or(args.task.as_ref());
    let mut inputs = match task {
        Some(path) => Inputs::of_task(&TaskFile::read(path)?, path),
        None => Inputs::default(),
    };
    inputs = inputs.and("the program", &args.program);
    Ok(args.into.iter().fold(inputs, |inputs, into| inputs.and("the program of --into,", into)))
}

/// What stands around the name of an input where it goes.
struct Marks(String, String);

impl Marks {
    /// Double braces, or the first marks with which no input is named in the prompts themselves: a row that became a
    /// demo may hold anything.
    fn of(chain: &PredictorChain) -> Self {
        let fields = Self::inputs(chain).map(|name| (name.to_owned(), String::new().into())).collect();
        let chats = chain.chats(&fields);
        let content: Vec<&str> =
            chats.iter().flat_map(|chat| &chat.messages).map(|message| message.text()).collect();
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
    fn chats<'c>(&self, chain: &'c PredictorChain) -> Vec<Chat<'c>> {
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
    for chat in &chats {
        if chats.len() > 1 {
            let _ = writeln!(text, "=== {}\n", chat.predictor.path());
        }
        text.push_str(&as_text(chat));
    }
    text
}

fn as_text(chat: &Chat<'_>) -> String {
    let messages: String = chat.messages.iter().map(|message| message_text(message) + "\n").collect();
    format!("{messages}{}", chat.tools_text())
}

fn messages(chain: &PredictorChain) -> anyhow::Result<String> {
    let marks = Marks::of(chain);
    let names = |fields: &[Field]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    let one = |chat: Chat<'_>| {
        let signature = chat.predictor.signature();
        let holes =
            signature.inputs().iter().map(|field| (field.name.clone(), marks.around(&field.name).into()));
        let mut fields = json!({
            "predictor": chat.predictor.path(),
            "inputs": names(signature.inputs()),
            "placeholders": holes.collect::<Fields>(),
            "outputs": names(signature.outputs()),
        });
        fields.as_object_mut().into_iter().for_each(|fields| fields.extend(chat.to_json()));
        fields
    };
    let all: Vec<Value> = marks.chats(chain).into_iter().map(one).collect();
    Ok(serde_json::to_string_pretty(&json!({ "predictors": all }))? + "\n")
}

fn markdown(chain: &PredictorChain) -> String {
    let marks = Marks::of(chain);
    let mut page = format!("# {}\n", inline(chain.name()));
    if let Some(source) = chain.source() {
        let _ = write!(page, "\nThe predictors run one after the other:\n\n{}", block(&source));
    }
    for chat in marks.chats(chain) {
        let predictor = chat.predictor;
        let signature = predictor.signature();
        let _ = write!(
            page,
            "\n## Predictor `{}`\n\n| field | | type | meaning |\n|---|---|---|---|\n",
            inline(predictor.path())
        );
        for (way, fields) in [("input", signature.inputs()), ("output", signature.outputs())] {
            for field in fields {
                let meaning = inline(&field.description);
                let _ = writeln!(
                    page,
                    "| `{}` | {way} | {} | {meaning} |",
                    inline(&field.name),
                    inline(&field.kind.to_string())
                );
            }
        }
        let prompt = predictor.prompt();
        let _ = write!(page, "\n### Instruction\n\n{}", block(&prompt.instruction));
        if !prompt.demos.is_empty() {
            let _ = write!(page, "\n### Demonstrations\n");
        }
        for (number, demo) in prompt.demos.iter().enumerate() {
            let lines = demo.fields.iter().map(|(name, value)| format!("{name}: {}\n", plain_text(value)));
            let _ = write!(page, "\n{}.\n\n{}", number + 1, block(&lines.collect::<String>()));
        }
        let _ = write!(
            page,
            "\n### As it is sent\n\n`{}` stands where an input goes.\n\n{}",
            marks.around("field"),
            block(as_text(&chat).trim_end())
        );
    }
    page
}

fn dspy(chain: &PredictorChain, args: &ExportArgs) -> anyhow::Result<String> {
    let prompts = chain.dspy_prompts(&chain.candidate().prompts);
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
