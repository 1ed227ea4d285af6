//! `promptopt show`.

use anyhow::anyhow;
use promptopt_core::data::without_bytes;
use promptopt_core::lm::{Message, ToolDefinition};
use serde_json::json;

use crate::args::ShowArgs;
use crate::data::Undivided;
use crate::exit::Exit;
use crate::output::Output;
use crate::program::{self, Blueprint};
use crate::session;
use crate::task_file::TaskFile;

pub(crate) async fn run(args: &ShowArgs, output: Output) -> anyhow::Result<()> {
    let chats = chats(args).await.map_err(Exit::configuration)?;
    let mut text = String::new();
    for (predictor, messages, tools) in &chats {
        text.push_str(&format!("=== predictor `{predictor}`: {} messages\n", messages.len()));
        for message in messages {
            text.push_str(&format!("\n--- {}\n{}\n", message.role.as_str(), message.content));
        }
        if !tools.is_empty() {
            text.push_str("\n--- tools\n");
        }
        for tool in tools {
            text.push_str(&format!("{}: {}\n{}\n", tool.name, tool.description, tool.parameters));
        }
        text.push('\n');
    }
    output.text(text.trim_end())?;
    // What an image or a file holds is nothing to read.
    let chat = |(predictor, messages, tools): &Chat| {
        let chat = match tools.as_slice() {
            [] => json!({"predictor": predictor, "messages": messages}),
            tools => json!({"predictor": predictor, "messages": messages, "tools": tools}),
        };
        without_bytes(&chat).into_owned()
    };
    output.object(&json!({"command": "show", "predictors": chats.iter().map(chat).collect::<Vec<_>>()}))
}

/// The path of a predictor, its messages, and its tools.
type Chat = (String, Vec<Message>, Vec<ToolDefinition>);

async fn chats(args: &ShowArgs) -> anyhow::Result<Vec<Chat>> {
    let mut task = TaskFile::read(&args.task)?;
    if let Some(name) = &args.lm {
        name.clone_into(&mut task.model.name);
    }
    let blueprint = Blueprint::of(&task.program)?;
    let mut chain = session::chain(&task, &args.task)?;
    if let Some(path) = &args.program {
        program::install(path, &mut chain)?;
    }
    let rows = Undivided::load(&task, &blueprint).await?;
    let example = args.example.checked_sub(1).and_then(|index| rows.all().nth(index)).ok_or_else(|| {
        anyhow!("there is no example {}: the data has 1 to {}", args.example, rows.all().count())
    })?;
    let with_tools = |(path, messages): (String, Vec<Message>)| {
        let tools = chain.tools(&path);
        (path, messages, tools)
    };
    Ok(chain.chats(example.fields()).into_iter().map(with_tools).collect())
}
