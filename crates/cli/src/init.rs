//! `promptopt init`.

use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::args::InitArgs;
use crate::exit::Exit;
use crate::output::Output;

/// What is written: name and text.
const FILES: [(&str, &str); 2] = [
    ("task.toml", include_str!("../templates/task.toml")),
    ("tickets.jsonl", include_str!("../templates/tickets.jsonl")),
];

pub(crate) fn run(args: &InitArgs, output: Output) -> anyhow::Result<()> {
    let written = write(args).map_err(Exit::configuration)?;
    let task = args.folder.join("task.toml");
    let task = task.strip_prefix(".").unwrap_or(&task).display();
    output.text(format_args!(
        "wrote {}\n\nnext:\n  promptopt show {task}                  the prompt as it is sent\n  promptopt estimate {task}              \
         what a run will take\n  promptopt optimize {task} --lm sim     a simulated model: seconds, no key\n  \
         promptopt optimize {task}              the model in the file",
        written.join(" and ")
    ))?;
    output.object(&json!({"command": "init", "files": written}))
}

fn write(args: &InitArgs) -> anyhow::Result<Vec<String>> {
    // All or nothing: a file that is there is seen before anything is written.
    for (name, _) in FILES {
        let path = args.folder.join(name);
        let path = path.strip_prefix(".").unwrap_or(&path);
        // A link that leads nowhere is there as well.
        if path.symlink_metadata().is_ok() {
            bail!(
                "{} is there already and is left as it is; choose another folder, as in `promptopt init my-task`",
                path.display()
            );
        }
    }
    std::fs::create_dir_all(&args.folder)
        .with_context(|| format!("making the folder {}", args.folder.display()))?;
    let mut written = Vec::new();
    for (name, text) in FILES {
        let path = args.folder.join(name);
        let path = path.strip_prefix(".").unwrap_or(&path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .with_context(|| format!("writing {}", path.display()))?;
        file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}
