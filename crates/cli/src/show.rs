//! `promptopt show`.

use anyhow::anyhow;
use promptopt_core::data::{Fields, without_bytes};
use serde_json::json;

use crate::args::ShowArgs;
use crate::data::Undivided;
use crate::exit::Exit;
use crate::output::Output;
use crate::program::{self, Blueprint, Chat, PredictorChain, message_text};
use crate::session;
use crate::task_file::TaskFile;

pub(crate) async fn run(args: &ShowArgs, output: Output) -> anyhow::Result<()> {
    let (chain, example) = shown(args).await.map_err(Exit::configuration)?;
    let chats = chain.chats(&example);
    let mut text = String::new();
    for chat in &chats {
        let (path, count) = (chat.predictor.path(), chat.messages.len());
        text.push_str(&format!("=== predictor `{path}`: {count} messages\n"));
        for message in &chat.messages {
            text.push_str(&format!("\n{}", message_text(message)));
        }
        text.push_str(&format!("\n{}\n", chat.tools_text()));
    }
    output.text(text.trim_end())?;
    // What an image or a file holds is nothing to read.
    let chat = |chat: &Chat<'_>| without_bytes(&chat.to_json().into()).into_owned();
    output.object(&json!({"command": "show", "predictors": chats.iter().map(chat).collect::<Vec<_>>()}))
}

/// The program, and the example that is asked about.
async fn shown(args: &ShowArgs) -> anyhow::Result<(PredictorChain, Fields)> {
    let mut task = TaskFile::read(&args.task)?;
    if let Some(name) = &args.lm {
        name.clone_into(&mut task.model.name);
    }
    let blueprint = Blueprint::of(&task.program)?;
    let mut chain = session::chain(&task, &args.task).await?;
    if let Some(path) = &args.program {
        program::install(path, &mut chain).await?;
    }
    let rows = Undivided::load(&task, &blueprint).await?;
    let example = args.example.checked_sub(1).and_then(|index| rows.all().nth(index)).ok_or_else(|| {
        anyhow!("there is no example {}: the data has 1 to {}", args.example, rows.all().count())
    })?;
    let fields = example.fields().clone();
    Ok((chain, fields))
}
