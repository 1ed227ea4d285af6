//! `promptopt optimize` and `promptopt resume`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::money::{Budget, Usage};
use promptopt_core::program::{Cancellation, ModuleExt as _, Program, SavedSignature};
use promptopt_core::prompt::Prompts;
use promptopt_core::telemetry::Span;
use promptopt_run::{Clock as _, Event, Observer, Optimizer as _, Outcome, StopReason, TracingObserver};
use promptopt_store::Redactor;
use serde_json::json;

use crate::args::{OptimizeArgs, ResumeArgs, RunArgs, SearchArgs};
use crate::estimate::estimate;
use crate::exit::Exit;
use crate::forecast::PricedForecast;
use crate::interrupt::cancel_on_interrupt;
use crate::keeping::Keeping;
use crate::kept::{self, Kept, Place};
use crate::models::{Endpoints, short_id};
use crate::output::{Output, say};
use crate::outputs::{Inputs, file_stem};
use crate::progress::Progress;
use crate::recorded::{self, Recorded};
use crate::report;
use crate::run_clock::{RunClock, Timekeeper};
use crate::saved::{Definition, SavedProgram};
use crate::secrets;
use crate::session::{self, Draft, Session};
use crate::stages::{self, Planned};
use crate::summary::{self, Ending};
use crate::task_file::{OptimizerSection, TaskFile};

/// How long requests that have left are waited for when a run is interrupted.
const GRACE: Duration = Duration::from_secs(1);

/// What is to be done, by the command line or by a run directory.
struct Plan {
    /// The command line, with whole paths.
    command: OptimizeArgs,
    task: TaskFile,
    section: OptimizerSection,
    left_out: Vec<String>,
    /// Where the optimized program is written.
    program: PathBuf,
    place: Place,
}

pub(crate) async fn run(args: &OptimizeArgs, output: Output) -> anyhow::Result<()> {
    if args.dry_run {
        return estimate(&args.run, &args.search, output).await;
    }
    // A mistake in the options is said before any model is loaded.
    let read = || {
        let task = TaskFile::read(&args.run.task)?;
        let (section, left_out) = options(&args.search, &task)?;
        anyhow::Ok((task, section, left_out))
    };
    let (task, section, left_out) = read().map_err(Exit::configuration)?;
    let name = session::name(&task, &args.run.task);
    let default = || PathBuf::from(format!("{}.optimized.json", file_stem(&name)));
    let program = args.out.clone().unwrap_or_else(default);
    let (free, unfinished) = kept::choose(&program);
    let place = match &args.run_directory {
        _ if args.no_run => Place::Nowhere,
        Some(path) => Place::New(path.clone()),
        None => Place::New(free),
    };
    if let (Place::New(path), Some(unfinished), None, false) =
        (&place, unfinished, &args.run_directory, output.quiet)
    {
        say(format_args!(
            "note: {} holds a run that is not finished; `promptopt resume {}` goes on with it, and this one starts \
             anew in {}",
            unfinished.display(),
            unfinished.display(),
            path.display()
        ));
    }
    let command = recorded::absolute(args, &program).map_err(Exit::configuration)?;
    execute(Plan { command, task, section, left_out, program, place }, &args.run, output).await
}

/// `promptopt resume`.
pub(crate) async fn resume(args: &ResumeArgs, output: Output) -> anyhow::Result<()> {
    let read = || {
        let recorded = Recorded::read(&args.directory)
            .with_context(|| format!("reading the run in {}", args.directory.display()))?;
        let task = recorded.task()?;
        let (section, left_out) = options(&recorded.command.search, &task)?;
        let program = recorded.command.out.clone().unwrap_or_else(|| args.directory.join(kept::PROGRAM));
        let place = Place::Old(args.directory.clone());
        anyhow::Ok(Plan { command: recorded.command, task, section, left_out, program, place })
    };
    let plan = read().map_err(Exit::configuration)?;
    let mut run_args = plan.command.run.clone();
    run_args.concurrency = args.concurrency.or(run_args.concurrency);
    run_args.fleet.clone_from(&args.fleet);
    execute(plan, &run_args, output).await
}

async fn execute(plan: Plan, args: &RunArgs, output: Output) -> anyhow::Result<()> {
    let started = Instant::now();
    let Plan { command, task, section, left_out, program, place } = plan;
    let cancellation = cancel_on_interrupt();
    let redactor = secrets::redactor(&task);
    check_outputs(&command, &task, &program, &place).map_err(Exit::configuration)?;
    let draft = Draft::of(args, command.search.from.as_deref(), task, Endpoints::default()).await?;
    let manifest = || recorded::manifest(&command, &section, &draft.facts(), place.path());
    let kept = Kept::begin(&place, manifest, redactor.clone()).map_err(Exit::configuration)?;
    let work =
        Work { args, command: &command, section, left_out, program, redactor, cancellation, started, output };
    let fleet = draft.fleet();
    let result = match work.optimize(draft, &kept).await {
        Ok((optimized, saved)) => work.prove(optimized, saved, &kept).await,
        Err(error) => Err(kept.given_up(error).await),
    };
    fleet.close().await;
    result
}

/// Refuses places for program and report where they cannot or must not be, before anything is paid.
fn check_outputs(
    command: &OptimizeArgs,
    task: &TaskFile,
    program: &Path,
    place: &Place,
) -> anyhow::Result<()> {
    if command.out.is_none() {
        // The program stays in the run directory.
        return Ok(());
    }
    let mut inputs = Inputs::of_task(task, &command.run.task);
    if let Some(from) = &command.search.from {
        inputs = inputs.and("the program of --from,", from);
    }
    inputs.check("--out", program)?;
    if let Place::New(run) = place
        && run.is_symlink()
    {
        bail!(
            "--run names {}, a symbolic link, which is not followed; name the folder itself",
            run.display()
        );
    }
    if let Place::New(run) = place
        && std::path::absolute(program)?.parent() == Some(&std::path::absolute(run)?)
    {
        bail!(
            "--out names {}, in the run directory, which keeps files of its own: choose another place",
            program.display()
        );
    }
    let page = program.with_extension("html");
    match command.no_report {
        true => Ok(()),
        false if page == program => {
            bail!("--out names {}, where the report goes: let it end with .json", program.display())
        }
        false => inputs.check("the report beside --out", &page),
    }
}

/// One run of the command.
struct Work<'a> {
    args: &'a RunArgs,
    command: &'a OptimizeArgs,
    section: OptimizerSection,
    left_out: Vec<String>,
    /// Where the optimized program is written.
    program: PathBuf,
    redactor: Redactor,
    cancellation: Cancellation,
    started: Instant,
    output: Output,
}

/// What the sealed test needs of the optimization.
struct Optimized {
    session: Session,
    forecast: PricedForecast,
    /// Whether an earlier process made the search.
    searched: bool,
    clock: RunClock,
    _timekeeper: Option<Timekeeper>,
    observer: Arc<dyn Observer>,
    progress: Arc<Progress>,
    seconds: f64,
}

impl Work<'_> {
    /// The optimization. When it fails, everything that was opened is closed again.
    async fn optimize(&self, draft: Draft, kept: &Kept) -> anyhow::Result<(Optimized, SavedProgram)> {
        let (redactor, cancellation) = (self.redactor.clone(), self.cancellation.clone());
        let limits = self.section.run_options()?.limits();
        // Without a limit of time nothing depends on the clock, and a replay comes to the same search.
        let (clock, timekeeper) = match limits.wall_time {
            Some(_) => kept.clock(),
            None => (RunClock::after(Duration::ZERO, 0), None),
        };
        let known = if limits.wall_time.is_some() { kept.searched()? } else { None };
        let keeping = Keeping::new(kept.journal(), redactor, draft.facts().task, self.args, cancellation);
        let keeping = keeping.map_err(Exit::configuration)?.with_clock(clock.clone());
        let mut session = draft.open(keeping)?;
        let progress = Arc::new(Progress::new(self.output, &session.gauge, limits));
        self.introduce(&session, &progress);
        kept.introduction().iter().for_each(|line| progress.line(line));
        let _watch = session.fleet.show(&progress);
        let observer = kept.observer(told(&session.name, &progress));

        let before = session.program.candidate().prompts;
        let (listener, flag) = (Arc::clone(&observer), self.cancellation.clone());
        let planned = stages::plan(&mut session, &self.section, listener, flag, clock.clone());
        let Planned { strategy, trainset, forecast } = planned.inspect_err(|_| progress.finish())?;
        let searched = known.is_some();
        let saved = match known {
            Some(saved) => saved,
            None => match strategy.compile(&mut session.program, trainset).await.context("optimizing") {
                Ok(outcome) => self.saved(&session, before, outcome),
                Err(error) => {
                    progress.finish();
                    if self.cancellation.is_cancelled() {
                        session.keeping.settle(GRACE).await;
                    }
                    return Err(error);
                }
            },
        };
        let seconds = self.started.elapsed().as_secs_f64();
        let _timekeeper = timekeeper;
        let optimized =
            Optimized { session, forecast, searched, clock, _timekeeper, observer, progress, seconds };
        Ok((optimized, saved))
    }

    /// What is written of an outcome.
    fn saved(&self, session: &Session, before: Prompts, outcome: Outcome) -> SavedProgram {
        let (model, prompt_model) =
            (session.model.model.profile().id, session.prompt_model.model.profile().id);
        let mut saved = SavedProgram {
            format: Program::FORMAT,
            promptopt: env!("CARGO_PKG_VERSION").to_owned(),
            signatures: SavedSignature::of_all(&session.program),
            task: session.name.clone(),
            prompt_model: Some(prompt_model).filter(|id| *id != model),
            model,
            prompts: session.program.candidate().prompts,
            prompts_before: before,
            test: None,
            test_usage: Usage::default(),
            definition: Some(Definition::of(
                &session.task,
                session.model.is_embedded,
                session.served.clone(),
            )),
            errors: Vec::new(),
            configuration: configuration(&self.args.task, session, &self.section),
            outcome,
            aside: Arc::default(),
        };
        saved.set_aside();
        saved
    }

    /// The sealed test, and all that is written and said at the end.
    async fn prove(&self, mut optimized: Optimized, saved: SavedProgram, kept: &Kept) -> anyhow::Result<()> {
        // What was paid for is on disk before more is paid.
        let mut saved = saved.without_secrets(&self.redactor)?;
        self.write(kept, &saved, false)?;
        if saved.outcome.stop == StopReason::Cancelled {
            return self.interrupted(&optimized, &saved, kept).await;
        }
        if saved.test.is_none() {
            self.test(&mut optimized, &mut saved, kept).await?;
        }
        let saved = saved.without_secrets(&self.redactor)?;
        let page = match self.command.no_report {
            true => None,
            false => {
                saved.write(&self.program)?;
                kept.write_report(&saved)?;
                Some(report::write(&saved, &self.program, None)?)
            }
        };
        // The last thing that is written says that nothing is left to do.
        self.write(kept, &saved, !matches!(saved.outcome.stop, StopReason::Provider { .. }))?;
        let Optimized { session, forecast, seconds, .. } = &optimized;
        let ending = Ending {
            saved: &saved,
            gauge: &session.gauge,
            replies: session.keeping.stats(),
            forecast,
            seconds: *seconds,
            program: &self.program,
            page: page.as_deref(),
            run: kept.path(),
        };
        self.output.text(ending.text())?;
        self.output.object(&ending.to_json())?;
        self.exit(&saved, kept)
    }

    fn write(&self, kept: &Kept, saved: &SavedProgram, finished: bool) -> anyhow::Result<()> {
        saved.write(&self.program)?;
        kept.write(saved, finished)
    }

    /// Measures both programs, and says what their prompts are.
    async fn test(
        &self,
        optimized: &mut Optimized,
        saved: &mut SavedProgram,
        kept: &Kept,
    ) -> anyhow::Result<()> {
        let Optimized { session, observer, progress, searched, clock, .. } = optimized;
        let cap = self.section.run_options()?.limits();
        // What the optimization left is the test's.
        let spent = saved.outcome.spending.counted();
        let mut budget = Budget::default();
        budget.tokens = cap.tokens.map(|cap| cap.saturating_sub(spent.total_tokens()));
        budget.money = cap.money.map(|cap| cap.saturating_sub(spent.money.unwrap_or_default()));
        // Whoever resumes a run for its test alone wants the test.
        budget.wall_time = cap.wall_time.filter(|_| !*searched).map(|cap| cap.saturating_sub(clock.now()));
        let (observer, cancellation) = (Arc::clone(observer), self.cancellation.clone());
        let tested = stages::sealed_test(session, saved, budget, observer, cancellation).await;
        progress.finish();
        if self.cancellation.is_cancelled() {
            session.keeping.settle(GRACE).await;
        }
        self.output.text(summary::before_and_after(saved))?;
        match tested {
            Ok((test, errors, usage)) => {
                (saved.test, saved.errors, saved.test_usage) = (Some(test), errors, usage);
                Ok(())
            }
            Err(error) => {
                self.output.text(summary::optimization(&saved.outcome, None))?;
                let exit = Exit::of(&error);
                let program = self.program.display();
                // A cap of tokens or money would end a second try where it ended the first.
                let in_vain = exit == Exit::Budget && cap.wall_time.is_none();
                let goes_on = kept.goes_on().filter(|_| !in_vain).unwrap_or_else(|| {
                    format!("; `promptopt eval {} --program {program}` runs it", self.args.task.display())
                });
                Err(exit.with(anyhow!(
                    "the optimized program is written to {program}, but the sealed test was not finished: \
                     {error:#}{goes_on}"
                )))
            }
        }
    }

    /// The end of a run that was interrupted before its test.
    async fn interrupted(
        &self,
        optimized: &Optimized,
        saved: &SavedProgram,
        kept: &Kept,
    ) -> anyhow::Result<()> {
        optimized.progress.finish();
        let keeping = &optimized.session.keeping;
        let out = keeping.settle(GRACE).await;
        self.output.text(summary::optimization(&saved.outcome, None))?;
        for line in summary::replies(&keeping.stats()) {
            self.output.text(line)?;
        }
        let lost = if out == 0 { String::new() } else { format!(", {out} requests got no reply in time") };
        Err(Exit::Interrupted.with(anyhow!(
            "interrupted; the best so far is written to {}, and the sealed test was not opened{lost}{}",
            self.program.display(),
            kept.goes_on().unwrap_or_default()
        )))
    }

    /// The code that the command ends with, once everything is written and said.
    fn exit(&self, saved: &SavedProgram, kept: &Kept) -> anyhow::Result<()> {
        if let StopReason::Provider { message } = &saved.outcome.stop {
            let goes_on = kept.goes_on().unwrap_or_default();
            return Err(Exit::Provider.with(anyhow!("the optimization ended early: {message}{goes_on}")));
        }
        match (self.command.fail_under, &saved.test) {
            (Some(least), Some(test)) => enough(test.optimized.mean, least),
            _ => Ok(()),
        }
    }

    fn introduce(&self, session: &Session, progress: &Progress) {
        progress.line(&format!("{}: {}", session.task.data.place(), session.split));
        progress.line(&format!("model: {}", short_id(&session.model.model.profile().id)));
        warnings(session, &self.section, progress);
        if !self.left_out.is_empty() {
            progress.line(&format!(
                "note: {} has no option {}, so the task file's is left out",
                self.section.name(),
                self.left_out.join(", ")
            ));
        }
    }
}

/// Refuses a score that is below what was asked for.
pub(crate) fn enough(score: f64, least: f64) -> anyhow::Result<()> {
    if score < least {
        let error = anyhow!("the score on the sealed test is {score:.3}, below --fail-under {least}");
        return Err(Exit::BelowThreshold.with(error));
    }
    Ok(())
}

/// The optimizer's options from file and command line, and those of the file that are left out.
pub(crate) fn options(args: &SearchArgs, task: &TaskFile) -> anyhow::Result<(OptimizerSection, Vec<String>)> {
    let (mut section, left_out) = match args.optimizer {
        Some(kind) => task.optimizer.for_optimizer(kind),
        None => (task.optimizer.clone(), Vec::new()),
    };
    section.set("--candidates", "num_candidates", args.candidates)?;
    section.set("--trials", "num_trials", args.trials)?;
    section.set("--seed", "seed", args.seed)?;
    section.set("--max-calls", "max_calls", args.max_calls)?;
    section.set("--max-tokens", "max_tokens", args.max_tokens)?;
    section.set("--max-cost", "max_cost", args.max_cost.as_deref())?;
    section.set("--max-time", "max_time", args.max_time.as_deref())?;
    Ok((section, left_out))
}

/// Who looks on: the progress, and whoever listens to `tracing`.
pub(crate) fn told(name: &str, progress: &Arc<Progress>) -> Arc<dyn Observer> {
    Arc::new(Told { traced: TracingObserver::new(name), progress: Arc::clone(progress) })
}

struct Told {
    traced: TracingObserver,
    progress: Arc<Progress>,
}

impl Observer for Told {
    fn observe(&self, event: &Event) {
        self.traced.observe(event);
        self.progress.observe(event);
    }

    fn span(&self) -> Span {
        self.traced.span()
    }
}

/// What somebody who reads the scores should know of data and models.
pub(crate) fn warnings(session: &Session, section: &OptimizerSection, progress: &Progress) {
    let sensitivity = promptopt_statistics::sensitivity_note(session.test_rows());
    for note in session.notes.iter().chain(&sensitivity) {
        progress.line(&format!("note: {note}"));
    }
    if session.model.is_simulated {
        progress.line(
            "note: the simulated model knows the data's answers; its scores say nothing of a real model",
        );
    }
    if session.prompt_model.is_embedded && section.proposer.unwrap_or_default() == Default::default() {
        progress.line(
            "the embedded model is too small to write instructions, so they are composed from templates \
             (`proposer = \"model\"` in the task file asks it all the same)",
        );
    }
}

/// What it takes to make the same run again.
fn configuration(task: &Path, session: &Session, section: &OptimizerSection) -> serde_json::Value {
    json!({
        "task_file": task.file_name().map(|name| name.to_string_lossy()),
        "optimizer": section.to_json(),
        "data": session.split.to_string(),
        "data_seed": session.task.data.seed,
        "metric": session.task.metric,
    })
}
