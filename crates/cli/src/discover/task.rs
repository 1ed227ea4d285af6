//! The task file that is written.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use promptopt_store::write_atomically;
use serde_json::json;

use super::Setup;
use super::files::{TextFile, place_of};
use super::models::Models;
use super::texts::{Found, Place};
use super::watch::Seen;
use crate::args::DiscoverArgs;
use crate::session::folder_of;
use crate::task_file::TaskFile;

/// So many calls of a search for each call that the program makes for a row.
const SEARCH: u64 = 300;
/// The calls that a program may make for a row where nothing is said.
const USUAL_CALLS: u64 = 10;
/// What the data file is called where there is none yet.
const EXAMPLES: &str = "examples.jsonl";

/// What goes into the file.
pub(crate) struct Written<'w> {
    pub(crate) setup: &'w Setup,
    pub(crate) args: &'w DiscoverArgs,
    pub(crate) all: &'w [Seen],
    pub(crate) found: &'w [Found],
    pub(crate) files: &'w [TextFile],
    pub(crate) models: &'w Models,
}

impl Written<'_> {
    /// Writes the file, and says where. `None` where there is nothing to write, or it is only shown.
    pub(crate) fn write(&self, out: &Path) -> anyhow::Result<Option<PathBuf>> {
        let text = match &self.args.task {
            _ if self.found.is_empty() => return Ok(None),
            Some(_) if self.args.out.is_none() && !self.args.force => return Ok(None),
            Some(path) => {
                let there =
                    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                format!("{}\n\n{}", there.trim_end(), self.components())
            }
            None => self.whole()?,
        };
        TaskFile::parse(&text).context("the task file that was made cannot be read")?;
        let writing = || format!("writing {}", out.display());
        if self.args.force {
            write_atomically(out, text.as_bytes()).with_context(writing)?;
        } else {
            // It may have come to be while the program ran.
            let file = OpenOptions::new().write(true).create_new(true).open(out);
            file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(writing)?;
        }
        Ok(Some(out.to_owned()))
    }

    /// What to do then.
    pub(crate) fn next(&self, place: Option<&Path>) -> String {
        let Some(place) = place else {
            return match &self.args.task {
                Some(task) if !self.found.is_empty() => format!(
                    "put these into {}, or let --force add them:\n\n{}",
                    task.display(),
                    self.components()
                ),
                _ => "no task file is written".to_owned(),
            };
        };
        let task = place.display();
        let mut text = format!("wrote {task}\n\nnext:\n");
        if self.setup.rows.is_made_up {
            let _ = writeln!(text, "  write {EXAMPLES}: thirty lines or more such as {}", self.example());
        }
        let _ = write!(
            text,
            "  promptopt estimate {task}    what a run will take\n  promptopt optimize {task}    looks for better texts, and \
             measures them\n  promptopt apply {task}       shows them as a diff, and writes your files"
        );
        text
    }

    /// A line of data, as it should look.
    fn example(&self) -> String {
        let signature = &self.setup.signature;
        let fields = signature.inputs().iter().chain(signature.outputs());
        let value = |name: &String| {
            let of_row = self.setup.rows.inputs.first().and_then(|row| row.get(name)).cloned();
            (name.clone(), of_row.unwrap_or_else(|| "…".into()))
        };
        let fields: promptopt_core::data::Fields = fields.map(|field| value(&field.name)).collect();
        json!(fields).to_string()
    }

    fn whole(&self) -> anyhow::Result<String> {
        let Setup { program, rows, .. } = self.setup;
        let mut text = String::from(
            "# Written by `promptopt discover`. docs/task-file.md describes every key, docs/metrics.md every metric.\n\n[program]\n",
        );
        let mut line = |key: &str, value: toml::Value, comment: &str| {
            let comment = if comment.is_empty() { String::new() } else { format!("    # {comment}") };
            let _ = writeln!(text, "{key} = {value}{comment}");
        };
        line("signature", rows.signature.clone().into(), "what goes in, and what comes out");
        if let Some(command) = &program.run {
            line("run", command.clone().into(), "started for each row");
        }
        if let Some(command) = &program.serve {
            line("serve", command.clone().into(), "started once, and asked in lines of JSON");
        }
        if let Some(url) = &program.url {
            line("url", url.clone().into(), "asked over HTTP");
        }
        if !program.variables.is_empty() {
            let variables =
                program.variables.iter().map(|(name, input)| (name.clone(), input.clone().into()));
            line("variables", toml::Value::Table(variables.collect()), "environment variable -> input");
        }
        if !program.env.is_empty() {
            line("env", program.env.clone().into(), "variables of yours that it gets");
        }
        if let Some(timeout) = program.timeout {
            line("timeout", timeout.into(), "seconds for one row");
        }
        let most = self.all.iter().map(|seen| seen.calls.len() as u64).max().unwrap_or(1).max(1);
        if most > USUAL_CALLS / 2 {
            let calls = i64::try_from(2 * most)?;
            line(
                "max_calls",
                calls.into(),
                &format!("calls for one row; the most that were seen are {most}"),
            );
        }
        let _ = write!(text, "\n{}[model]\n{}", self.components(), self.model()?);
        let _ = write!(text, "\n[data]\n{}", self.data()?);
        let metric = if rows.are_long { "f1" } else { "exact" };
        let _ = write!(
            text,
            "\n[metric]\nkind = \"{metric}\"    # how an answer is compared with what the row expects\n\n[optimizer]\nkind = \
             \"gepa\"\nmax_calls = {}\n",
            SEARCH * most
        );
        Ok(text)
    }

    /// The sections of the texts.
    fn components(&self) -> String {
        let known = self.setup.task.iter().flat_map(|task| &task.program.components);
        let known: BTreeSet<&str> = known.map(|component| component.name.as_str()).collect();
        let mut text = String::new();
        for found in self.found {
            let mut name = found.name.clone();
            while known.contains(name.as_str()) {
                name.push_str("-found");
            }
            let place = place_of(&found.text, self.files).filter(|_| found.file.is_none());
            let place =
                place.map_or(String::new(), |(file, line)| format!("; {}, line {line}", file.display()));
            let _ = writeln!(
                text,
                "[[program.components]]    # {}{}",
                found.place.in_words().replace(char::is_control, " "),
                place.replace(char::is_control, " ")
            );
            let mut line = |key: &str, value: &str| {
                let _ = writeln!(text, "{key} = {}", toml::Value::from(value));
            };
            line("name", &name);
            match &found.file {
                Some(file) => line("file", &file.to_string_lossy()),
                None => line("text", &found.text),
            }
            if matches!(found.place, Place::Tool(_)) {
                line("kind", "tool_description");
            }
            text.push('\n');
        }
        text
    }

    fn model(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let mut line = |key: &str, value: toml::Value, comment: &str| {
            let comment = if comment.is_empty() { String::new() } else { format!("    # {comment}") };
            let _ = writeln!(text, "{key} = {value}{comment}");
        };
        let asked = |embeds: bool| -> Vec<String> {
            let calls = self.all.iter().flat_map(|seen| &seen.calls).filter(|call| call.embeds == embeds);
            calls.map(|call| call.model.clone()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let (chat, embeddings) = (asked(false), asked(true));
        if let Some(name) = &self.args.lm {
            line("name", name.clone().into(), "answers whatever the program asks for");
        } else {
            let server = self.models.server().context("there is no server")?;
            match chat.as_slice() {
                [only] => line("name", only.clone().into(), "what the program asks for"),
                many => {
                    line("name", "as-asked".into(), "");
                    line(
                        "models",
                        many.to_vec().into(),
                        "what the program asks for; the first one writes the new texts",
                    );
                }
            }
            if let Some(address) = &server.base_url {
                line("base_url", address.clone().into(), "");
            }
            if let Some(key) = &server.api_key_env {
                line("api_key_env", key.clone().into(), "where the key is; the program never sees it");
            }
        }
        if !embeddings.is_empty() {
            // They were asked at the server of the environment, and a section has one server.
            let (key, comment) = match self.args.lm {
                None => ("embeddings", ""),
                Some(_) => {
                    ("# embeddings", "asked at the server of the environment: name one server for both")
                }
            };
            line(key, embeddings.into(), comment);
        }
        Ok(text)
    }

    fn data(&self) -> anyhow::Result<String> {
        let rows = &self.setup.rows;
        let path = match &self.args.data {
            // Paths in the file start at its folder.
            Some(path) if !folder_of(&self.args.out_or_default()).as_os_str().is_empty() => {
                path.canonicalize().with_context(|| format!("reading {}", path.display()))?
            }
            Some(path) => path.clone(),
            None => PathBuf::from(EXAMPLES),
        };
        let mut text = format!("path = {}", toml::Value::from(path.to_string_lossy().into_owned()));
        if rows.is_made_up {
            let _ = write!(
                text,
                "    # to be written: lines such as {}",
                self.example().replace(char::is_control, " ")
            );
        }
        text.push('\n');
        if rows.has_others {
            text.push_str("unknown_fields = \"drop\"    # columns that are no field\n");
        }
        if !rows.columns.is_empty() {
            text.push_str("\n[data.columns]\n");
        }
        for (field, column) in &rows.columns {
            let _ = writeln!(text, "{field} = {}", toml::Value::from(column.as_str()));
        }
        Ok(text)
    }
}
