//! The page: which sections there are, and in which order.

use serde::Serialize;

use crate::candidates::Candidates;
use crate::choices::{self, ChoiceTable};
use crate::cost::Cost;
use crate::demos::{self, DemoTable};
use crate::depths::{self, DepthChart};
use crate::details;
use crate::examples::Examples;
use crate::frontier::Frontier;
use crate::headline::Headline;
use crate::headroom::{self, HeadroomSection};
use crate::lineage::Lineage;
use crate::problems::Problems;
use crate::prompts::{self, PromptDiff};
use crate::rules::{self, RulesSection};
use crate::splits::{self, Confirmed, SplitRow};
use crate::text::{self, Cut, Field, MAX_LONG};
use crate::trials::Trials;
use crate::{Report, format};

/// At most this many notes are shown.
const MAX_NOTES: usize = 100;

/// What the templates draw. A section without data is empty, and is left out.
#[derive(Debug, Serialize)]
pub(crate) struct Page<'a> {
    title: String,
    optimizer: String,
    task: String,
    model: String,
    prompt_model: Option<String>,
    created_at: String,
    headline: Headline<'a>,
    headroom: Option<HeadroomSection>,
    splits: Vec<SplitRow<'a>>,
    confirmation: Option<Confirmed<'a>>,
    prompts: Vec<PromptDiff>,
    rules: Option<RulesSection>,
    demos: Vec<DemoTable>,
    examples: Option<Examples>,
    trials: Option<Trials<'a>>,
    choices: Vec<ChoiceTable>,
    frontier: Option<Frontier>,
    lineage: Option<Lineage>,
    depths: Vec<DepthChart>,
    candidates: Option<Candidates>,
    problems: Option<Problems>,
    cost: Option<Cost>,
    choice: Cut,
    stop: Cut,
    notes: Vec<Cut>,
    details: Vec<Field>,
    configuration: Option<Cut>,
    version: &'static str,
    /// Whether the page has images, which are inside of it.
    pub(crate) shows_images: bool,
}

impl<'a> Page<'a> {
    pub(crate) fn of(report: &'a Report) -> Self {
        let outcome = &report.outcome;
        let (optimizer, task) = (text::name(report.optimizer_name()), text::name(&report.task));
        let title = match (report.title.is_empty(), task.is_empty()) {
            (false, _) => text::name(&report.title),
            (true, true) if optimizer.is_empty() => "A run".to_owned(),
            (true, true) => optimizer.clone(),
            (true, false) => format!("{optimizer} on {task}"),
        };
        let (demos, examples) = (demos::tables(report), Examples::of(report));
        Self {
            title,
            optimizer,
            task,
            model: text::name(&report.model),
            prompt_model: report.prompt_model.as_deref().map(text::name),
            created_at: text::name(&report.created_at),
            headline: Headline::of(report),
            headroom: headroom::section(outcome),
            splits: splits::rows(report),
            confirmation: splits::confirmation(report),
            prompts: prompts::diffs(report),
            rules: rules::section(outcome),
            shows_images: examples.as_ref().is_some_and(Examples::has_images)
                || demos.iter().any(DemoTable::has_images),
            demos,
            examples,
            trials: Trials::of(outcome),
            choices: choices::tables(outcome),
            frontier: Frontier::of(outcome),
            lineage: Lineage::of(outcome),
            depths: depths::charts(outcome),
            candidates: Candidates::of(outcome),
            problems: Problems::of(report),
            cost: Cost::of(report),
            choice: Cut::value(&outcome.choice),
            stop: Cut::value(&format::capitalised(&outcome.stop.to_string())),
            notes: outcome.notes.iter().take(MAX_NOTES).map(|note| Cut::value(note)).collect(),
            details: details::others(outcome),
            configuration: configuration(report),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn configuration(report: &Report) -> Option<Cut> {
    let value = &report.configuration;
    let text = match value {
        serde_json::Value::Null => return None,
        // A task file is shown as it was written.
        serde_json::Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string()),
    };
    Some(Cut::new(&text, MAX_LONG))
}
