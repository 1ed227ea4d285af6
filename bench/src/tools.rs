//! Function calling by the rows and checkers of a stranger: the agent and the client as they are, over the loopback
//! interface, and behind it a simulated caller that knows what is right.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use promptopt_core::data::Example;
use promptopt_core::lm::LanguageModel;
use promptopt_core::program::ModuleExt as _;
use promptopt_core::prompt::Prompts;
use promptopt_lm::ChatClient;
use promptopt_predict::ToolForm;
use promptopt_run::{Evaluation, Run, RunOptions, evaluate};
use promptopt_testkit::{CallFault, LoopbackServer, ToolCaller};

use crate::options::Options;
use crate::table::{Goal, Row as Figure, say};
use crate::tools_package::{Judge, Package, Row};
use crate::tools_program::FunctionCaller;
use crate::tools_search;

/// The rows whose tools all rows of their kind share.
pub(crate) const SHARED: &str = "shared_tools";
/// The kind in which any call is right.
const RELEVANCE: &str = "live_relevance";
/// Rows of each kind with `--quick`.
const QUICK: usize = 12;
const CONCURRENCY: usize = 8;
/// Rows that a caller with faults is tried on, of each kind.
const FAULTY: usize = 40;
/// What was expected before the first measurement, in percent.
const ACCEPTED: f64 = 99.0;
const EXPECTED_REFUSED: f64 = 97.0;
const REFUSED: f64 = 99.0;
/// Tools at work may do with a number that is a text.
const REFUSED_OF_SEVERAL: f64 = 85.0;

/// The rows of this part.
pub(crate) async fn run(options: &Options) -> Result<Vec<Figure>> {
    let package = Package::install()?;
    let judge = package.judge()?;
    let wanted = |name: &str| options.tasks.is_empty() || options.tasks.iter().any(|task| task == name);
    for task in &options.tasks {
        if !["accepted", "refused", "instructions", "descriptions"].contains(&task.as_str()) {
            bail!("there is no task `{task}`; there are accepted, refused, instructions and descriptions");
        }
    }
    let mut figures = Vec::new();
    if wanted("accepted") {
        let rows = package.rows(1, if options.quick { QUICK } else { 0 }).await?;
        figures.extend(accepted(&rows, &package, &judge).await?);
    }
    if wanted("refused") {
        let rows = package.rows(1, if options.quick { QUICK } else { FAULTY }).await?;
        figures.extend(refused(&rows, &package, &judge).await?);
    }
    if wanted("instructions") {
        figures.extend(tools_search::instructions(options, &package, &judge).await?);
    }
    if wanted("descriptions") && !options.quick {
        figures.extend(tools_search::descriptions(options, &package, &judge).await?);
    }
    // The short form is a test.
    let missed = figures.iter().filter(|figure| options.quick && figure.met == Some(false));
    let missed: Vec<String> =
        missed.map(|figure| format!("{}: {:.1} {}", figure.case, figure.value, figure.unit)).collect();
    ensure!(missed.is_empty(), "goals are missed: {}", missed.join("; "));
    Ok(figures)
}

/// A model behind the loopback server, as a client sees it. It is served as long as the server is kept.
pub(crate) async fn served(
    model: Arc<dyn LanguageModel>,
) -> Result<(LoopbackServer, Arc<dyn LanguageModel>)> {
    let server = LoopbackServer::start(model, Duration::ZERO, None).await?;
    let client =
        ChatClient::builder().base_url(server.base_url()).model("loopback").api_key("none").build()?;
    Ok((server, Arc::new(client)))
}

/// The rows of each kind that a caller without faults gets past the checker, natively and in words.
async fn accepted(rows: &[Row], package: &Package, judge: &Judge) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, form) in [("native", ToolForm::Native), ("in words", ToolForm::Text)] {
        for (kind, rows) in by_kind(rows.iter().filter(|row| row.kind != SHARED)) {
            let (mut right, mut all) = (0_u32, 0_u32);
            for rows in distinct(rows) {
                let caller = ToolCaller::new(rows.iter().map(Row::talk), 1);
                let evaluation = judged(&rows, caller, form, package, judge).await?;
                for trace in evaluation.traces.iter().flatten() {
                    let is_right = trace.evidence() == Some(1.0);
                    (right, all) = (right + u32::from(is_right), all + 1);
                    if !is_right {
                        let row = trace.example.get_str("row").unwrap_or_default();
                        let said =
                            trace.score.as_ref().map(|score| score.feedback.as_deref().unwrap_or_default());
                        say(&format!("{name}, {row} is refused: {:?} {:?}", said, trace.error));
                    }
                }
            }
            let share = 100.0 * f64::from(right) / f64::from(all.max(1));
            let figure = Figure::new(
                "tools",
                format!("a perfect caller, {name}, {kind}: accepted of {all}"),
                "%",
                share,
            );
            figures.push(figure.goal(Goal::AtLeast(ACCEPTED)).predicted(ACCEPTED));
        }
    }
    Ok(figures)
}

/// The rows that a caller with a fault does not get past the checker.
async fn refused(rows: &[Row], package: &Package, judge: &Judge) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for fault in CallFault::ALL {
        for (several, goal) in [(false, REFUSED), (true, REFUSED_OF_SEVERAL)] {
            let can = |row: &&Row| {
                let is_it = row.works == several && row.kind != SHARED && row.kind != RELEVANCE;
                // In talks the leaderboard lets a call pass that changes nothing.
                is_it && !(several && fault == CallFault::CallsAnyway) && row.can_have(fault)
            };
            let (mut wrong, mut all) = (0_u32, 0_u32);
            for (_, rows) in by_kind(rows.iter().filter(can)) {
                for rows in distinct(rows) {
                    let caller = ToolCaller::new(rows.iter().map(Row::talk), 1).always(fault);
                    let evaluation = judged(&rows, caller, ToolForm::Native, package, judge).await?;
                    for trace in evaluation.traces.iter().flatten() {
                        all += 1;
                        if trace.evidence() == Some(0.0) {
                            wrong += 1;
                        } else {
                            let row = trace.example.get_str("row").unwrap_or_default();
                            say(&format!("{fault:?}, {row} is accepted: {:?}", trace.error));
                        }
                    }
                }
            }
            if all > 0 {
                let turns = if several { "several turns" } else { "one turn" };
                let case = format!("a caller with {fault:?}: refused of {all} of {turns}");
                let figure = Figure::new("tools", case, "%", 100.0 * f64::from(wrong) / f64::from(all));
                figures.push(figure.goal(Goal::AtLeast(goal)).predicted(EXPECTED_REFUSED));
            }
        }
    }
    Ok(figures)
}

fn by_kind<'r>(rows: impl Iterator<Item = &'r Row>) -> BTreeMap<String, Vec<Row>> {
    let mut kinds: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        kinds.entry(row.kind.clone()).or_default().push(row.clone());
    }
    kinds
}

/// Rows in groups of which none asks the same twice. A caller knows a row by what it asks.
fn distinct(mut rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut groups = Vec::new();
    while !rows.is_empty() {
        let mut asked = HashSet::new();
        let is_new = |row: &Row| {
            let questions: Vec<&str> = row.turns.iter().map(|turn| turn.question.trim()).collect();
            let all: Vec<String> = (1..=questions.len())
                .map(|n| questions.iter().take(n).copied().collect::<Vec<_>>().join("\u{0}"))
                .collect();
            let is_new = all.iter().all(|one| !asked.contains(one));
            if is_new {
                asked.extend(all);
            }
            is_new
        };
        let (group, rest) = rows.into_iter().partition(is_new);
        groups.push(group);
        rows = rest;
    }
    groups
}

/// Every row once, through the client.
async fn judged(
    rows: &[Row],
    caller: ToolCaller,
    form: ToolForm,
    package: &Package,
    judge: &Judge,
) -> Result<Evaluation> {
    let (_server, client) = served(Arc::new(caller)).await?;
    let program = FunctionCaller::new(rows, package, form)?.with_metric(judge.clone());
    let examples: Vec<Arc<Example>> =
        rows.iter().map(|row| Arc::new(row.example(&["question", "row"]))).collect();
    let options = RunOptions::builder().task_model(client).concurrency(CONCURRENCY).build();
    let mut run = Run::of(&program, options)?;
    Ok(evaluate(&mut run, &Arc::new(Prompts::default()), &examples).await?)
}
