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
use crate::output::{Output, colours};
use crate::program::{ProgramFile, is_task};
use crate::session;

pub(crate) fn run(args: &DiffArgs, output: Output) -> anyhow::Result<()> {
    let (before, after) = sides(args).map_err(Exit::configuration)?;
    let mut paths: Vec<&str> = before.iter().map(|(path, _)| path).collect();
    paths.extend(after.iter().map(|(path, _)| path).filter(|path| before.get(path).is_none()));
    let marks = Marks::new(colours());
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
            let words = words(&old.instruction, &new.instruction, &marks);
            output.text(words.lines().map(|line| format!("  | {line}\n")).collect::<String>().trim_end())?;
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
fn sides(args: &DiffArgs) -> anyhow::Result<(Prompts, Prompts)> {
    match &args.after {
        Some(after) => Ok((prompts(&args.before, args)?, prompts(after, args)?)),
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
fn prompts(path: &Path, args: &DiffArgs) -> anyhow::Result<Prompts> {
    match ProgramFile::read(path)? {
        ProgramFile::Saved(saved) => Ok(saved.prompts),
        ProgramFile::Task(task) => Ok(session::chain(&task, path)?.candidate().prompts),
        ProgramFile::Dspy(_) => {
            Ok(ProgramFile::load(path, args.task.as_deref(), &args.map)?.candidate().prompts)
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

/// What stands around words that are gone, and words that are new.
struct Marks {
    removed: (&'static str, &'static str),
    added: (&'static str, &'static str),
}

impl Marks {
    fn new(colours: bool) -> Self {
        match colours {
            true => Self { removed: ("\u{1b}[31;9m", "\u{1b}[0m"), added: ("\u{1b}[32m", "\u{1b}[0m") },
            false => Self { removed: ("[-", "-]"), added: ("{+", "+}") },
        }
    }
}

/// Texts that have less than this in common are shown one after the other.
const REWRITTEN: f32 = 0.5;

/// Both texts as one, with marks around what differs.
fn words(before: &str, after: &str, marks: &Marks) -> String {
    let diff = TextDiff::from_words(before, after);
    if diff.ratio() < REWRITTEN && !before.is_empty() && !after.is_empty() {
        let side = |text: &str, (open, close): (&str, &str)| {
            text.lines().map(|line| format!("{open}{}{close}\n", harmless(line))).collect::<String>()
        };
        return side(before, marks.removed) + &side(after, marks.added);
    }
    let mut text = String::new();
    let mut open: Option<ChangeTag> = None;
    let close = |text: &mut String, open: Option<ChangeTag>| match open {
        Some(ChangeTag::Delete) => text.push_str(marks.removed.1),
        Some(ChangeTag::Insert) => text.push_str(marks.added.1),
        _ => {}
    };
    for change in diff.iter_all_changes() {
        let tag = change.tag();
        if open != Some(tag) {
            close(&mut text, open);
            match tag {
                ChangeTag::Delete => text.push_str(marks.removed.0),
                ChangeTag::Insert => text.push_str(marks.added.0),
                ChangeTag::Equal => {}
            }
            open = Some(tag);
        }
        text.push_str(&harmless(change.value()));
    }
    close(&mut text, open);
    text
}

/// The text without control characters: what some model wrote must not command the terminal.
fn harmless(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_are_marked() {
        let marks = Marks::new(false);
        assert_eq!(
            words("Route the ticket.", "Route the e-mail.", &marks),
            "Route the [-ticket.-]{+e-mail.+}"
        );
        assert_eq!(words("a", "a b\u{1b}[2J", &marks), "a{+ b[2J+}");
        assert_eq!(words("one two", "three\nfour", &marks), "[-one two-]\n{+three+}\n{+four+}\n");
        assert!(words("a", "b", &Marks::new(true)).contains("\u{1b}[32mb"));
    }
}
