//! `promptopt apply`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use promptopt_core::file::read_text;
use promptopt_store::{check_replaceable, write_atomically};
use serde_json::json;
use similar::TextDiff;

use crate::args::ApplyArgs;
use crate::exit::Exit;
use crate::output::{Output, ask, safe};
use crate::outputs::file_stem;
use crate::program::{ProgramFile, is_task};
use crate::saved::SavedProgram;
use crate::session::{folder_of, name};
use crate::task_file::{ComponentSection, ProgramSection, TaskFile};
use crate::words::counted;

/// The largest file of a text, in bytes.
const MAX_TEXT: u64 = 1024 * 1024;

/// What is to be done with the text of a component.
struct Change {
    name: String,
    /// How many demos go with it.
    demos: usize,
    what: What,
}

enum What {
    /// The better text is there already, or the original is the best.
    Nothing,
    /// A file gets another content.
    File { path: PathBuf, shown: PathBuf, before: String, after: String },
    /// The text stands in the task file and in the program's sources, where its user puts it.
    Text { before: String, after: String, source: Option<String> },
}

pub(crate) fn run(args: &ApplyArgs, output: Output) -> anyhow::Result<()> {
    let changes = changes(args).map_err(Exit::configuration)?;
    let mut files = Vec::new();
    let mut left = 0;
    for change in &changes {
        match &change.what {
            What::Nothing => continue,
            What::File { shown, before, after, .. } => {
                files.push(change);
                output.text(unified(shown, before, after))?;
            }
            What::Text { before, after, source } => {
                left += 1;
                let source = source
                    .as_ref()
                    .map_or("where the program has it".to_owned(), |place| format!("at {place}"));
                output.text(format_args!(
                    "change the text of `{}` by hand, in the task file and {source}:\n{}",
                    change.name,
                    lines("  - ", before) + &lines("  + ", after)
                ))?;
            }
        }
        if change.demos > 0 {
            output.text(format_args!(
                "note: `{}` also has {}, which `promptopt export` prints: put them where the program shows its examples\n",
                change.name,
                counted(change.demos, "demo")
            ))?;
        }
    }
    let is_written = match files.len() {
        0 if left == 0 => {
            output.text("nothing to do: the files hold the best texts already")?;
            false
        }
        0 => false,
        count => {
            let question = format!("write {}?", counted(count, "file"));
            let is_asked = args.yes || ask(output, &question)?;
            if is_asked {
                write(&files)?;
                // The diff is shown as a terminal bears it, which is not always the text itself.
                let is_shown = |text: &str| !text.contains('\r') && safe(text) == text;
                let can_patch = files.iter().all(|change| {
                    matches!(&change.what, What::File { before, after, .. } if is_shown(before) && is_shown(after))
                });
                let or = match can_patch {
                    true => {
                        ", or save the diff above and give it to `patch -R -p1` in the folder of the task file"
                    }
                    false => "",
                };
                output.text(format_args!(
                    "wrote {}\nto take it back, use your version control{or}",
                    names(&files)
                ))?;
            } else {
                output.text("nothing is written; --yes writes without being asked")?;
            }
            is_asked
        }
    };
    output.object(&json!({
        "command": "apply",
        "written": is_written,
        "components": changes.iter().map(|change| as_json(change, is_written)).collect::<Vec<_>>(),
    }))
}

/// What there is to do for each text. Nothing is done where a file holds another text than it should.
fn changes(args: &ApplyArgs) -> anyhow::Result<Vec<Change>> {
    let (saved, task, folder) = program(args)?;
    let definition = saved.definition.as_ref().context("the file does not hold the program's definition")?;
    let section: ProgramSection =
        serde_json::from_value(definition.program.clone()).context("reading the program's definition")?;
    if section.components.is_empty() {
        bail!(
            "the program has predictors of promptopt, whose prompts stand in no file: `promptopt export` writes them out"
        );
    }
    let sources = Sources::of(&folder);
    let mut changes: Vec<Change> = Vec::new();
    for component in &section.components {
        let prompt = saved.prompts.get(&component.name);
        let prompt = prompt.with_context(|| format!("the program has no text of `{}`", component.name))?;
        let before = bare(component.text.as_deref().unwrap_or_default());
        let after = bare(&prompt.instruction);
        let what = match &component.file {
            Some(file) => of_file(component, &folder.join(file), file, &before, &after)?,
            None if before == after || is_in(task.as_ref(), &component.name, &after) => What::Nothing,
            None => What::Text { source: sources.place_of(&before), before, after },
        };
        if let What::File { path, after, .. } = &what
            && let Some(other) = changes.iter().find(|other| {
                matches!(&other.what, What::File { path: taken, after: text, .. } if taken == path && text != after)
            })
        {
            bail!(
                "the components `{}` and `{}` have one file, {}, and two texts: give each a file of its own",
                other.name,
                component.name,
                path.display()
            );
        }
        changes.push(Change { name: component.name.clone(), demos: prompt.demos.len(), what });
    }
    Ok(changes)
}

/// The optimized program, its task where that is known, and the folder of the files.
fn program(args: &ApplyArgs) -> anyhow::Result<(SavedProgram, Option<TaskFile>, PathBuf)> {
    let given = &args.program;
    if is_task(given) {
        if args.task.is_some() {
            bail!("--task is for an optimized program, and {} is a task file: leave it out", given.display());
        }
        let task = TaskFile::read(given)?;
        let program = format!("{}.optimized.json", file_stem(&name(&task, given)));
        let folder = folder_of(given).to_owned();
        let places = [PathBuf::from(&program), folder.join(&program)];
        let there: Vec<&PathBuf> = places.iter().filter(|path| path.exists()).collect();
        if let [one, other] = there.as_slice()
            && one.canonicalize().ok() != other.canonicalize().ok()
        {
            bail!(
                "there are {} and {}: name the one to apply, with `--task {}`",
                one.display(),
                other.display(),
                given.display()
            );
        }
        let Some(path) = there.first() else {
            bail!(
                "there is no {program}: `promptopt optimize {}` makes it, or name the program, as in `promptopt apply best.json \
                 --task {0}`",
                given.display()
            );
        };
        return Ok((SavedProgram::read(path)?, Some(task), folder));
    }
    let ProgramFile::Saved(saved) = ProgramFile::read(given)? else {
        bail!("{} is no program as `promptopt optimize` writes it", given.display());
    };
    let beside = folder_of(given);
    let task = args.task.clone().or_else(|| {
        let name = saved.configuration.get("task_file")?.as_str()?;
        [beside.join(name), PathBuf::from(name)].into_iter().find(|path| path.is_file())
    });
    let folder = task.as_deref().map_or(beside, folder_of).to_owned();
    let task = task.as_deref().map(TaskFile::read).transpose();
    // The folder of a task file says where the files are, whatever became of the rest of it.
    let task = if args.task.is_some() { task? } else { task.unwrap_or_default() };
    Ok((*saved, task, folder))
}

/// Whether a task file has this text of a component.
fn is_in(task: Option<&TaskFile>, name: &str, text: &str) -> bool {
    let components = task.into_iter().flat_map(|task| &task.program.components);
    let own = components.filter(|component| component.name == name).find_map(|own| own.text.as_deref());
    own.is_some_and(|own| bare(own) == text)
}

/// What is to be done with a file.
fn of_file(
    component: &ComponentSection,
    path: &Path,
    shown: &Path,
    before: &str,
    after: &str,
) -> anyhow::Result<What> {
    let content = read_text(path, MAX_TEXT).with_context(|| {
        format!(
            "reading the file of `{}`, {}; name the task file that it belongs to with --task",
            component.name,
            path.display()
        )
    })?;
    let there = bare(&content);
    if there == after {
        return Ok(What::Nothing);
    }
    if there != before {
        bail!(
            "{} has changed since: it holds neither the text of `{}` that the run began with nor the better one. Nothing is \
             written. Put the old text back, or optimize the new one",
            path.display(),
            component.name
        );
    }
    check_replaceable(path).with_context(|| format!("writing {}", path.display()))?;
    let after = within(&content, after);
    Ok(What::File { path: path.to_owned(), shown: shown.to_owned(), before: content, after })
}

/// A text without white space at its ends and with line feeds, as components are compared.
fn bare(text: &str) -> String {
    text.trim().replace("\r\n", "\n").replace('\r', "\n")
}

/// The content of a file with another text: white space around it and line endings stay.
fn within(content: &str, text: &str) -> String {
    let (all, windows) = (content.matches('\n').count(), content.matches("\r\n").count());
    let text = if windows * 2 > all { text.replace('\n', "\r\n") } else { text.to_owned() };
    let head = content.len() - content.trim_start().len();
    let tail = content.trim_end().len();
    let side = |range: Option<&str>| range.unwrap_or_default().to_owned();
    side(content.get(..head)) + &text + &side(content.get(tail.max(head)..))
}

/// A text with something before each line.
fn lines(before: &str, text: &str) -> String {
    text.lines().map(|line| format!("{before}{line}\n")).collect()
}

/// A diff that `patch` and `git apply` read.
fn unified(file: &Path, before: &str, after: &str) -> String {
    let name = file.to_string_lossy().replace('\\', "/");
    let (old, new) = (format!("a/{name}"), format!("b/{name}"));
    TextDiff::from_lines(before, after).unified_diff().header(&old, &new).to_string()
}

/// Writes the files, unless somebody wrote to one meanwhile.
fn write(files: &[&Change]) -> anyhow::Result<()> {
    let of = |change: &&Change| match &change.what {
        What::File { path, before, after, .. } => Some((path.clone(), before.clone(), after.clone())),
        _ => None,
    };
    let files: Vec<_> = files.iter().filter_map(of).collect();
    for (path, before, _) in &files {
        if !read_text(path, MAX_TEXT).is_ok_and(|now| now == *before) {
            bail!("{} was changed meanwhile, so nothing is written: run the command again", path.display());
        }
    }
    for (number, (path, _, after)) in files.iter().enumerate() {
        write_atomically(path, after.as_bytes()).with_context(|| {
            let done = counted(number, "file");
            format!("writing {}, after {done} of {}: run the command again", path.display(), files.len())
        })?;
    }
    Ok(())
}

fn names(files: &[&Change]) -> String {
    let name = |change: &&Change| match &change.what {
        What::File { path, .. } => path.display().to_string(),
        _ => change.name.clone(),
    };
    files.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn as_json(change: &Change, is_written: bool) -> serde_json::Value {
    match &change.what {
        What::Nothing => json!({"name": change.name, "state": "same"}),
        What::File { path, before, after, .. } => {
            let state = if is_written { "written" } else { "to be written" };
            json!({"name": change.name, "state": state, "file": path, "before": before, "after": after})
        }
        What::Text { before, after, source } => {
            json!({"name": change.name, "state": "by hand", "source": source, "before": before, "after": after})
        }
    }
}

/// The sources of the program, to say where a text stands.
#[cfg(feature = "gateway")]
struct Sources(PathBuf);

#[cfg(feature = "gateway")]
impl Sources {
    fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn place_of(&self, text: &str) -> Option<String> {
        let files = crate::discover::text_files(&self.0, &[]);
        let files: Vec<_> = files.into_iter().filter(|file| !is_task(&file.path)).collect();
        let (file, line) = crate::discover::place_of(text, &files)?;
        Some(format!("{}:{line}", self.0.join(file).display()))
    }
}

#[cfg(not(feature = "gateway"))]
struct Sources;

#[cfg(not(feature = "gateway"))]
impl Sources {
    fn of(_: &Path) -> Self {
        Self
    }

    fn place_of(&self, _: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_text_of_a_file_changes() {
        let check = |content: &str, text: &str, expected: &str| assert_eq!(within(content, text), expected);
        check("old\n", "new", "new\n");
        check("\n  old text", "new", "\n  new");
        check("a\r\nb\r\n\r\n", "c\nd", "c\r\nd\r\n\r\n");
        check("a\nb\r\nc\n", "d\ne", "d\ne\n");
        check("", "new", "new");
        check(" \n", "new", " \nnew");
    }

    proptest! {
        #[test]
        fn what_was_written_can_be_taken_back(
            space in "[ \n]{0,3}", old in "[a-c]{1,3}(\n[a-c]{1,3}){0,3}", new in "[d-f]{1,3}(\n[d-f]{0,3}){0,2}[d-f]",
            windows in any::<bool>(),
        ) {
            let content = format!("{space}{old}\n{space}");
            let content = if windows { content.replace('\n', "\r\n") } else { content };
            let written = within(&content, &new);
            prop_assert_eq!(bare(&written), new);
            prop_assert_eq!(within(&written, &bare(&content)), content);
        }
    }
}
