//! Outputs never replace inputs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use promptopt_core::data::is_unsafe;
use promptopt_store::check_replaceable;

use crate::kept;
use crate::session::named_models;
use crate::task_file::{Part, TaskFile};

/// The files that a command reads, with what each is.
#[derive(Default)]
pub(crate) struct Inputs(Vec<(&'static str, PathBuf)>);

impl Inputs {
    /// Those of a task.
    pub(crate) fn of_task(task: &TaskFile, file: &Path) -> Self {
        let parts = [&task.data.train, &task.data.selection, &task.data.test];
        let data = parts.into_iter().flatten().filter_map(Part::file).chain(task.data.path.as_deref());
        let keys = named_models(task).into_iter().filter_map(|(_, section)| section.api_key_file.as_deref());
        let commands = task.metric.iter().filter_map(|metric| metric.command.as_ref()).flatten();
        let mut inputs = Self::default().and("the task file", file);
        inputs.0.extend(data.map(|path| ("the data set", path.to_owned())));
        inputs.0.extend(keys.map(|path| ("a key file", path.to_owned())));
        inputs.0.extend(commands.map(|word| ("a file of the metric", task.folder.join(word))));
        inputs
    }

    /// The same with another file. Of a run directory it is the program in it.
    pub(crate) fn and(mut self, what: &'static str, path: &Path) -> Self {
        let path = if path.is_dir() { path.join(kept::PROGRAM) } else { path.to_owned() };
        self.0.push((what, path));
        self
    }

    /// Refuses a place where something cannot or must not be written, before anything is paid for it. `option`
    /// says who names it.
    pub(crate) fn check(&self, option: &str, output: &Path) -> anyhow::Result<()> {
        let place = output.display();
        let refused = || format!("{option} names {place}, which cannot be written");
        if let Some((what, input)) = self.0.iter().find(|(_, input)| is_same(input, output)) {
            bail!("{option} names {place}, which is {what} {}: choose another name", input.display());
        }
        check_replaceable(output).with_context(refused)?;
        let folder =
            output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!("{option} names {place}, but there is no folder {}: make it first", folder.display());
        }
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        if kept::is_run(folder) && kept::OWN.contains(&&*name) {
            bail!(
                "{option} names {place}, which belongs to the run in {}: choose another name",
                folder.display()
            );
        }
        tempfile::tempfile_in(folder).with_context(refused)?;
        Ok(())
    }
}

/// Whether two paths lead to one file, by whatever way.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(one), Ok(other)) = (one.metadata(), other.metadata()) {
        use std::os::unix::fs::MetadataExt as _;
        return (one.dev(), one.ino()) == (other.dev(), other.ino());
    }
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// The name of a task as part of a file's name, which leads nowhere else.
pub(crate) fn file_stem(name: &str) -> String {
    let letter = |letter: char| if is_unsafe(letter) || "/\\:\n\t".contains(letter) { '-' } else { letter };
    let stem: String = name.chars().map(letter).collect();
    let stem = stem.trim_start_matches('.').trim();
    if stem.is_empty() { "task".to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_no_input_by_whatever_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("task.toml"), "").unwrap();
        std::fs::create_dir(at("sub")).unwrap();
        let inputs = Inputs::default().and("the task file", &at("task.toml"));
        let refused = |output: &Path, says: &str| {
            let error = format!("{:#}", inputs.check("--out", output).unwrap_err());
            assert!(error.contains("--out names") && error.contains(says), "{error}");
        };
        refused(&at("task.toml"), "which is the task file");
        refused(&at("sub/../task.toml"), "which is the task file");
        refused(&at("sub"), "it is a folder");
        refused(&at("none/out.json"), "there is no folder");
        std::fs::hard_link(at("task.toml"), at("hard.json")).unwrap();
        refused(&at("hard.json"), "which is the task file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(at("task.toml"), at("soft.json")).unwrap();
            refused(&at("soft.json"), "which is the task file");
            symlink(at("nowhere"), at("dangling.json")).unwrap();
            refused(&at("dangling.json"), "a symbolic link, which is not followed");
            symlink(folder.path(), at("sub/here")).unwrap();
            refused(&at("sub/here/task.toml"), "which is the task file");
            refused(Path::new("/dev/null"), "it is a device");
        }
        std::fs::write(at("sub/run.json"), "").unwrap();
        refused(&at("sub/journal.redb"), "belongs to the run");
        inputs.check("--out", &at("out.json")).unwrap();
        inputs.check("--out", &at("sub/report.html")).unwrap();
        assert!(!at("out.json").exists());
    }

    #[test]
    fn a_name_leads_to_no_other_folder() {
        let names = ["route", "../../etc/x", "a\\b:c", ".ssh", "x\u{1b}]0;y\u{7}", " ", "Straße 1"];
        let stems = ["route", "-..-etc-x", "a-b-c", "ssh", "x-]0;y-", "task", "Straße 1"];
        assert_eq!(names.map(file_stem), stems);
    }
}
