//! The optimized program as a file.

use std::io::{BufRead as _, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::file::read_text;
use promptopt_core::money::{Money, Usage};
use promptopt_core::program::SavedSignatures;
use promptopt_core::prompt::{PromptCandidate, Prompts};
use promptopt_report::{ErrorLine, Report, StageCost, TestReport};
use promptopt_run::{CandidateScores, Outcome};
use promptopt_store::Redactor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Exit;
use crate::models::short_id;
use crate::program::{Blueprint, PredictorChain, ServedTools, component_text};
use crate::task_file::{ProgramSection, TaskFile};

/// What `optimize` writes; `eval --program`, `show`, `diff`, `export` and `report` read it.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedProgram {
    /// Version of the format of what a service reads ([`Program`](promptopt_core::program::Program)); 0 in older files.
    #[serde(default)]
    pub format: u32,
    /// Version of promptopt that wrote it.
    pub promptopt: String,
    /// Name of the task.
    pub task: String,
    /// The model it was optimized on.
    pub model: String,
    /// The model that wrote instructions, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_model: Option<String>,
    /// What the program is, so that its prompts can be written out without the task file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
    /// Predictor path -> the signature that its prompt was made for, with its hash.
    #[serde(default, skip_serializing_if = "SavedSignatures::is_empty")]
    pub signatures: SavedSignatures,
    /// Predictor path -> instruction and demos.
    pub prompts: Prompts,
    /// The prompts that the program came with.
    #[serde(default)]
    pub prompts_before: Prompts,
    /// The sealed test; none when it was not finished.
    pub test: Option<TestReport>,
    /// What the sealed test took.
    #[serde(default)]
    pub test_usage: Usage,
    /// What failed, in words.
    #[serde(default)]
    pub errors: Vec<ErrorLine>,
    /// What it takes to make the same run again.
    #[serde(default)]
    pub configuration: Value,
    /// Everything the optimizer did. Of a large run, demos and scores are those of the original and the winner.
    pub outcome: Outcome,
    /// What a large run knows of all candidates, which stands in a file of its own in the run directory.
    #[serde(skip)]
    pub(crate) aside: Arc<Vec<Aside>>,
}

/// What is known of a candidate, on a line of [`CANDIDATES`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Aside {
    candidate: PromptCandidate,
    scores: CandidateScores,
}

/// The file in a run directory that holds what is known of every candidate, one a line, where the program does not.
pub(crate) const CANDIDATES: &str = "candidates.jsonl";

/// So many scores of single examples, and so many bytes of prompts, stand in the program's file at most.
const MOST_SCORES: usize = 100_000;
const MOST_PROMPTS: usize = 4_000_000;

/// What a program is: what the task file says of it, and how its requests are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Definition {
    /// The section `[program]`.
    pub program: Value,
    /// Whether it runs on the embedded model, which has a format of its own.
    #[serde(default)]
    pub embedded: bool,
    /// Predictor -> the tools that its MCP servers gave it.
    #[serde(default, skip_serializing_if = "ServedTools::is_empty")]
    pub tools: ServedTools,
}

impl Definition {
    /// The definition of a task's program.
    pub(crate) fn of(task: &TaskFile, embedded: bool, tools: ServedTools) -> Self {
        let mut program = task.source.get("program").cloned().unwrap_or_default();
        // Which model a predictor ran on, with its headers, is nothing that its prompt needs.
        let predictors = program.get_mut("predictors").and_then(Value::as_array_mut);
        for predictor in predictors.into_iter().flatten().filter_map(Value::as_object_mut) {
            predictor.shift_remove("model");
        }
        // The texts of a program that is not ours stand in files that may change.
        let components = program.get_mut("components").and_then(Value::as_array_mut);
        for (component, section) in components.into_iter().flatten().zip(&task.program.components) {
            if let (Some(component), Ok(text)) =
                (component.as_object_mut(), component_text(section, &task.folder))
            {
                component.insert("text".to_owned(), text.into());
            }
        }
        Self { program, embedded, tools }
    }
}

impl SavedProgram {
    /// The program, with the prompts that the task file gives it.
    pub(crate) fn chain(&self) -> anyhow::Result<PredictorChain> {
        let definition =
            self.definition.as_ref().context("the file does not hold the program's definition")?;
        let section: ProgramSection =
            serde_json::from_value(definition.program.clone()).context("reading the program's definition")?;
        // Its tools are shown, and never run.
        let blueprint = Blueprint::of(&section)?.showing(&definition.tools);
        PredictorChain::new(&self.task, &blueprint, definition.embedded, Path::new(""))
    }

    /// Sets aside what makes the file of a large run larger than anybody can use.
    pub(crate) fn set_aside(&mut self) {
        let Outcome { candidates, scores, best, .. } = &mut self.outcome;
        let of_row = |row: &CandidateScores| row.examples.len() * (1 + row.objectives.len());
        let (many_scores, long_prompts) = (
            scores.iter().map(of_row).sum::<usize>() > MOST_SCORES,
            candidates.iter().map(|one| length(&one.prompts)).sum::<usize>() > MOST_PROMPTS,
        );
        if !many_scores && !long_prompts {
            return;
        }
        let mut aside = Vec::with_capacity(candidates.len());
        for (at, candidate) in candidates.iter_mut().enumerate() {
            let mut known = Aside { candidate: candidate.clone(), scores: CandidateScores::default() };
            let is_wanted = at == 0 || at == *best;
            if long_prompts && !is_wanted {
                candidate.prompts = Prompts::default();
            }
            if let Some(scores) = scores.get_mut(at) {
                let (calls, rollouts) = (scores.calls_at_discovery, scores.rollouts_at_discovery);
                known.scores = scores.clone();
                if many_scores && !is_wanted {
                    *scores = CandidateScores::default().with_discovery(calls, rollouts);
                }
            }
            aside.push(known);
        }
        self.aside = Arc::new(aside);
    }

    /// Reads what the program's file does not hold from its run directory.
    pub(crate) fn read_candidates(&mut self, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join(CANDIDATES);
        let Ok(file) = std::fs::File::open(&path) else { return Ok(()) };
        let reading = || format!("reading {}", path.display());
        let mut aside = Vec::new();
        for line in std::io::BufReader::new(file).lines() {
            aside.push(serde_json::from_str(&line.with_context(reading)?).with_context(reading)?);
        }
        self.aside = Arc::new(aside);
        Ok(())
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        serde_json::from_str(text)
            .with_context(|| format!("{} is not a program as `promptopt optimize` writes it", path.display()))
            .map_err(Exit::configuration)
    }

    /// Writes the file at once: a reader sees the old one or the new one, never half of it.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_json(path, self).with_context(|| format!("writing the optimized program to {}", path.display()))
    }

    /// The same without secrets, whoever repeated them.
    pub(crate) fn without_secrets(mut self, redactor: &Redactor) -> anyhow::Result<Self> {
        fn clean<T: Serialize + DeserializeOwned>(value: &T, redactor: &Redactor) -> anyhow::Result<T> {
            let mut value = serde_json::to_value(value)?;
            redactor.redact_json(&mut value);
            serde_json::from_value(value).context("removing secrets from the outcome")
        }
        // Numbers of trials are no texts, and there may be very many.
        let trials = std::mem::take(&mut self.outcome.trials);
        // A hash looks like a key. Names of fields are in the prompts as well, where they are masked.
        let signatures = std::mem::take(&mut self.signatures);
        let aside: anyhow::Result<Vec<Aside>> =
            self.aside.iter().map(|known| clean(known, redactor)).collect();
        let mut cleaned = Self { aside: Arc::new(aside?), ..clean(&self, redactor)? };
        cleaned.outcome.trials = trials;
        cleaned.signatures = signatures;
        Ok(cleaned)
    }

    /// Reads the file that the command wrote.
    ///
    /// # Errors
    ///
    /// When there is no such file, or it holds something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || {
            let text = bounded(path, LARGEST, || format!("the program {}", path.display()))?;
            Self::parse(&text, path)
        };
        read().map_err(Exit::configuration)
    }

    /// The original prompts.
    pub(crate) fn before(&self) -> anyhow::Result<&Prompts> {
        let first = self.outcome.candidates.first().map(|candidate| &candidate.prompts);
        let kept = Some(&self.prompts_before).filter(|prompts| !prompts.is_empty());
        kept.or(first).ok_or_else(|| anyhow!("the program does not say what its original prompts were"))
    }

    /// The report of the run. `created_at` is when it ended, as text.
    pub(crate) fn report(&self, created_at: String) -> Report {
        let spending = self.outcome.spending;
        let stage = |name: &str, usage: promptopt_core::money::Usage| {
            let mut cost = StageCost::new(name, usage);
            // What runs here is free, and an amount of nothing would only puzzle.
            cost.money = usage.money.filter(|money| *money > Money::ZERO).map(|money| money.as_dollars());
            cost
        };
        // The whole id, with every setting, stands where the run is described.
        let mut configuration = self.configuration.clone();
        if let Some(object) = configuration.as_object_mut() {
            object.insert("model".to_owned(), self.model.clone().into());
        }
        let mut outcome = self.outcome.clone();
        if !self.aside.is_empty() {
            outcome.candidates = self.aside.iter().map(|known| known.candidate.clone()).collect();
            outcome.scores = self.aside.iter().map(|known| known.scores.clone()).collect();
        }
        let mut report = Report::new(self.task.clone(), outcome);
        report.model = short_id(&self.model);
        report.prompt_model = self.prompt_model.as_deref().map(short_id);
        report.optimizer = self.outcome.optimizer.clone();
        report.created_at = created_at;
        report.prompts_before = self.before().cloned().unwrap_or_default();
        report.prompts_after = self.prompts.clone();
        report.test = self.test.clone();
        report.errors = self.errors.clone();
        report.configuration = configuration;
        report.stages = vec![
            stage("running the program", spending.task),
            stage("writing instructions", spending.prompt),
            stage("sealed test", self.test_usage),
        ];
        report
    }
}

/// How long some prompts are, about.
fn length(prompts: &Prompts) -> usize {
    let demo = |demo: &promptopt_core::prompt::Demo| -> usize {
        demo.fields.iter().map(|(name, value)| name.len() + value.as_str().map_or(8, str::len)).sum()
    };
    let prompt = |prompt: &promptopt_core::prompt::Prompt| {
        prompt.instruction.len() + prompt.demos.iter().map(demo).sum::<usize>()
    };
    prompts.iter().map(|(_, one)| prompt(one)).sum()
}

/// The largest program that is read, in bytes: it holds every candidate and every row of the test.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;

/// Reads a text file of at most so many bytes; `what` says what it should be.
pub(crate) fn bounded(path: &Path, most: u64, what: impl Fn() -> String) -> anyhow::Result<String> {
    match read_text(path, most) {
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            bail!("{} is larger than {} MB; is it the right file?", what(), most / 1_000_000)
        }
        text => text.with_context(|| format!("reading {}; is the path right?", what())),
    }
}

/// Writes JSON at once.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(promptopt_store::write_atomically(path, &text)?)
}

#[cfg(test)]
mod tests {
    use promptopt_core::prompt::{Demo, Origin, Prompt};

    use super::*;

    /// A program with so many candidates on so many rows, each with a demo of so many bytes.
    fn saved(candidates: usize, rows: usize, demo: usize) -> SavedProgram {
        let candidate = |number: usize| {
            let fields = [("ticket".to_owned(), "x".repeat(demo).into())].into_iter().collect();
            let prompt = Prompt::new(format!("way {number}")).with_demos(vec![Demo::new(fields)]);
            PromptCandidate::new(Prompts::from_iter([("route", prompt)]), Origin::original())
        };
        let scores = |number: usize| {
            CandidateScores::new(vec![Some((number % 2) as f64); rows]).with_discovery(number as u64, 0)
        };
        let mut outcome = Outcome::new("GEPA");
        outcome.candidates = (0..candidates).map(candidate).collect();
        outcome.scores = (0..candidates).map(scores).collect();
        outcome.best = candidates - 1;
        let outcome = serde_json::to_value(outcome).unwrap();
        let file = serde_json::json!({
            "promptopt": "0", "task": "t", "model": "m", "prompts": {}, "test": null, "outcome": outcome,
        });
        let mut saved = SavedProgram::parse(&file.to_string(), Path::new("p.json")).unwrap();
        saved.set_aside();
        saved
    }

    #[test]
    fn a_large_run_is_read_back_whole_from_two_small_files() {
        let check = |candidates: usize, rows: usize, demo: usize, is_large: bool| {
            let all = saved(candidates, rows, demo);
            assert_eq!(!all.aside.is_empty(), is_large);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("program.json");
            all.write(&path).unwrap();
            let lines = all.aside.iter().map(|known| serde_json::to_string(known).unwrap() + "\n");
            std::fs::write(folder.path().join(CANDIDATES), lines.collect::<String>()).unwrap();
            let bytes = std::fs::metadata(&path).unwrap().len();
            assert!(bytes < 8_000_000, "{bytes}");
            let mut read = SavedProgram::read(&path).unwrap();
            read.read_candidates(folder.path()).unwrap();
            let report = read.report(String::new());
            assert_eq!(report.outcome.scores.len(), candidates);
            for (number, (candidate, scores)) in
                report.outcome.candidates.iter().zip(&report.outcome.scores).enumerate()
            {
                assert_eq!(candidate.instruction("route"), Some(&*format!("way {number}")));
                assert_eq!(scores.examples, vec![Some((number % 2) as f64); rows]);
            }
            // Without the run directory, original and winner are whole, and the others are named.
            let alone = SavedProgram::read(&path).unwrap().outcome;
            assert_eq!(
                alone.winner().unwrap().instruction("route"),
                Some(&*format!("way {}", candidates - 1))
            );
            assert_eq!((alone.candidates.len(), alone.scores[1].calls_at_discovery), (candidates, 1));
            assert_eq!(alone.scores[candidates - 1].examples.len(), rows);
        };
        check(5, 40, 100, false);
        check(300, 1_000, 100, true);
        check(1_000, 20, 10_000, true);
    }
}
