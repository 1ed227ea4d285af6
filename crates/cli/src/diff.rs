//! `promptopt diff`.

use std::path::Path;

use anyhow::bail;
use promptopt_core::data::{plain_text, shorten};
use promptopt_core::program::ModuleExt as _;
use promptopt_core::prompt::{Demo, Prompt, Prompts};
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use crate::args::DiffArgs;
use crate::exit::Exit;
use crate::output::{Ink, Output};
use crate::program::{ProgramFile, is_task};
use crate::session;

pub(crate) async fn run(args: &DiffArgs, output: Output) -> anyhow::Result<()> {
    let (before, after) = sides(args).await.map_err(Exit::configuration)?;
    let mut paths: Vec<&str> = before.iter().map(|(path, _)| path).collect();
    paths.extend(after.iter().map(|(path, _)| path).filter(|path| before.get(path).is_none()));
    let mut changes = Vec::new();
    for path in paths {
        let empty = Prompt::default();
        let (old, new) = (before.get(path).unwrap_or(&empty), after.get(path).unwrap_or(&empty));
        let removed: Vec<&Demo> = old.demos.iter().filter(|demo| !has(new, demo)).collect();
        let added: Vec<&Demo> = new.demos.iter().filter(|demo| !has(old, demo)).collect();
        output.text(format_args!("predictor `{path}`"))?;
        if old.instruction == new.instruction {
            output.text("  the instruction is the same")?;
        } else {
            output.painted(&behind_a_bar(words(&old.instruction, &new.instruction)))?;
        }
        let kept = new.demos.len() - added.len();
        output.text(format_args!(
            "  demos: {kept} kept, {} removed, {} added",
            removed.len(),
            added.len()
        ))?;
        for (mark, demos) in [("-", &removed), ("+", &added)] {
            for demo in demos {
                output.text(format_args!("  {mark} {}", line(demo)))?;
            }
        }
        if old.format != new.format {
            let name =
                |prompt: &Prompt| prompt.format.clone().unwrap_or_else(|| "as in the task file".to_owned());
            output.text(format_args!("  format: {} -> {}", name(old), name(new)))?;
        }
        changes.push(json!({
            "predictor": path,
            "instruction": {"before": old.instruction, "after": new.instruction},
            "demos_removed": removed,
            "demos_added": added,
            "demos_kept": kept,
            "format": {"before": old.format, "after": new.format},
        }));
    }
    output.object(&json!({"command": "diff", "same": before == after, "predictors": changes}))
}

/// The prompts on both sides.
async fn sides(args: &DiffArgs) -> anyhow::Result<(Prompts, Prompts)> {
    match &args.after {
        Some(after) => Ok((prompts(&args.before, args).await?, prompts(after, args).await?)),
        None if is_task(&args.before) => {
            bail!("{} is a task file, so give a second program to compare it with", args.before.display())
        }
        None => match ProgramFile::read(&args.before)? {
            ProgramFile::Saved(saved) => Ok((saved.before()?.clone(), saved.prompts)),
            _ => bail!("give a second program to compare {} with", args.before.display()),
        },
    }
}

/// The prompts of a program.
async fn prompts(path: &Path, args: &DiffArgs) -> anyhow::Result<Prompts> {
    match ProgramFile::read(path)? {
        ProgramFile::Saved(saved) => Ok(saved.prompts),
        ProgramFile::OfRust(program) => Ok(program.prompts),
        ProgramFile::Task(task) => Ok(session::chain(&task, path).await?.candidate().prompts),
        ProgramFile::Dspy(_) => {
            Ok(ProgramFile::load(path, args.task.as_deref(), &args.map).await?.candidate().prompts)
        }
    }
}

/// Whether a prompt shows a demo; where a demo came from does not matter.
fn has(prompt: &Prompt, demo: &Demo) -> bool {
    prompt.demos.iter().any(|other| other.fields == demo.fields)
}

fn line(demo: &Demo) -> String {
    let fields = demo
        .fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", shorten(&plain_text(value).replace('\n', " "), 60)));
    fields.collect::<Vec<_>>().join(" | ")
}

/// Texts that have less than this in common are shown one after the other.
const REWRITTEN: f32 = 0.5;

/// Both texts as one, in pieces by what differs.
fn words(before: &str, after: &str) -> Vec<(Ink, String)> {
    let diff = TextDiff::from_words(before, after);
    if diff.ratio() < REWRITTEN && !before.is_empty() && !after.is_empty() {
        let side = |text: &str, ink: Ink| -> Vec<(Ink, String)> {
            let line = |line: &str| [(ink, line.to_owned()), (Ink::Plain, "\n".to_owned())];
            text.lines().flat_map(line).collect()
        };
        return [side(before, Ink::Removed), side(after, Ink::Added)].concat();
    }
    let mut pieces: Vec<(Ink, String)> = Vec::new();
    for change in diff.iter_all_changes() {
        let ink = match change.tag() {
            ChangeTag::Delete => Ink::Removed,
            ChangeTag::Insert => Ink::Added,
            ChangeTag::Equal => Ink::Plain,
        };
        match pieces.last_mut().filter(|(last, _)| *last == ink) {
            Some((_, text)) => text.push_str(change.value()),
            None => pieces.push((ink, change.value().to_owned())),
        }
    }
    pieces
}

/// Pieces behind a bar in every line.
fn behind_a_bar(mut pieces: Vec<(Ink, String)>) -> Vec<(Ink, String)> {
    pieces.insert(0, (Ink::Plain, "  | ".to_owned()));
    if let Some((_, last)) = pieces.last_mut() {
        last.truncate(last.trim_end().len());
    }
    pieces.iter_mut().for_each(|(_, text)| *text = text.replace('\n', "\n  | "));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::paint;

    #[test]
    fn words_that_differ_are_marked() {
        let check = |before: &str, after: &str, shown: &str| {
            assert_eq!(paint(&words(before, after), false), shown);
        };
        check("Route the ticket.", "Route the e-mail.", "Route the [-ticket.-]{+e-mail.+}");
        check("a", "a b\u{1b}[2J", "a{+ b␛[2J+}");
        check("one two", "three\nfour", "[-one two-]\n{+three+}\n{+four+}\n");
        assert!(paint(&words("a", "b"), true).contains("\u{1b}[32mb"));
        let lines = behind_a_bar(words("a b c\nd e\n", "a b c\nd f\n"));
        assert_eq!(paint(&lines, false), "  | a b c\n  | d [-e-]{+f+}");
    }
}
