//! `promptopt discover`.

mod files;
mod models;
mod rows;
mod show;
mod task;
mod template;
mod texts;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use promptopt_core::data::{Fields, plain_text, shorten};
use promptopt_core::lm::LmError;
use promptopt_core::money::Usage;
use promptopt_core::program::{CallContext, Cancellation, Module as _};
use promptopt_core::signature::Signature;
use promptopt_gateway::{App, Component, Error as AppError};
use serde_json::json;

pub(crate) use self::files::{place_of, text_files};
use self::models::Models;
use self::rows::Rows;
use self::texts::Found;
use self::watch::{Seen, Watch};
use crate::args::DiscoverArgs;
use crate::data::Undivided;
use crate::exit::Exit;
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::outputs::Inputs;
use crate::program::{AppPlan, Blueprint, component_text};
use crate::session::folder_of;
use crate::task_file::{ProgramSection, TaskFile};
use crate::words::{counted, money};

/// The longest text of an answer that an error says, in characters.
const MAX_SAID: usize = 400;

/// What a program is looked at with.
struct Setup {
    program: ProgramSection,
    signature: Signature,
    rows: Rows,
    /// In which it runs.
    folder: PathBuf,
    /// The task file that is there already.
    task: Option<TaskFile>,
}

pub(crate) async fn run(args: &DiscoverArgs, output: Output) -> anyhow::Result<()> {
    let setup = Setup::of(args).await.map_err(Exit::configuration)?;
    let app = app(&setup).map_err(Exit::configuration)?;
    let watch = Arc::new(Watch::default());
    let models = Models::of(args.lm.as_deref(), setup.task.as_ref(), &setup.folder)
        .await
        .map_err(Exit::configuration)?;
    let models = Arc::new(models);
    let (finder, watched) = (Arc::clone(&models), Arc::clone(&watch));
    let app = match &args.listen {
        Some(address) => app.listening_at(address),
        None => app,
    };
    // `--max-calls` is for all rows together.
    let app = app.with_models_by(move |name, asks| finder.find(name, asks, &watched)).with_calls(u64::MAX);
    // What a program writes while it runs is no prompt of it.
    let out = setup.out(args);
    let mut but: Vec<&Path> = vec![&out];
    but.extend(args.data.as_deref());
    but.extend(args.task.as_deref());
    let files = text_files(&setup.folder, &but);
    let mut all = Vec::new();
    let mut usage = Usage::default();
    let mut has_ended = false;
    for (number, inputs) in setup.rows.inputs.iter().enumerate() {
        let left = args.max_calls.saturating_sub(usage.calls);
        let context = CallContext::for_run(models.any(), Arc::default(), Cancellation::new(), 0, Some(left));
        let answer = tokio::select! {
            answer = app.run(&context, inputs) => answer,
            _ = interrupted() => return Err(Exit::Interrupted.with(anyhow!("interrupted"))),
        };
        usage += context.record().1;
        let (mut seen, stop) = seen(inputs, watch.take(), answer);
        if let Some(LmError::CallLimit { .. }) = stop {
            seen.answer = Err(format!("it wanted more than the {} calls of `--max-calls`", args.max_calls));
        }
        output.text(show::row(number, &seen))?;
        all.push(seen);
        match stop {
            Some(LmError::CallLimit { .. }) => {
                has_ended = true;
                break;
            }
            Some(error) => {
                return Err(anyhow::Error::new(error).context("a call of the program got no reply"));
            }
            None => {}
        }
    }
    let mut notes = app.notes();
    // Its processes end before anything is written.
    drop(app);
    check(&setup, &all, &notes, has_ended, args)?;
    notes.extend(self::notes(&setup, &all));
    let found = setup.new_ones(texts::found(&all, &files));
    output.text(show::found(&found, &files, all.len()))?;
    for note in &notes {
        output.text(format_args!("note: {note}"))?;
    }
    let cost = usage.money.map_or(String::new(), |cost| format!(", {}", money(cost)));
    output.text(format_args!(
        "{}, {}{cost}\n",
        counted(usage.calls as usize, "call"),
        usage.tokens_in_words()
    ))?;
    let written =
        task::Written { setup: &setup, args, all: &all, found: &found, files: &files, models: &models };
    let place = written.write(&out).map_err(Exit::configuration)?;
    output.text(written.next(place.as_deref()))?;
    output.object(&json!({
        "command": "discover",
        "rows": all.iter().map(show::row_json).collect::<Vec<_>>(),
        "components": found.iter().map(|found| show::found_json(found, &files)).collect::<Vec<_>>(),
        "notes": notes,
        "task_file": place,
        "usage": usage,
    }))
}

impl Setup {
    async fn of(args: &DiscoverArgs) -> anyhow::Result<Self> {
        let most = usize::try_from(args.rows)?;
        let (program, rows, folder, task) = match &args.task {
            Some(path) => {
                let task = TaskFile::read(path)?;
                if args.has_door() {
                    bail!(
                        "--task has a program already: leave the command and `--url` out, or take `--data`"
                    );
                }
                let program = task.program.clone();
                let rows = of_task(&task, most).await?;
                (program, rows, folder_of(path).to_owned(), Some(task))
            }
            None => {
                let rows = match &args.data {
                    Some(path) => Rows::of_file(path, args.signature.as_deref(), most)?,
                    None => Rows::of_words(&args.input, args.signature.as_deref())?,
                };
                let program = args.program(&rows.signature);
                (program, rows, folder_of(&args.out_or_default()).to_owned(), None)
            }
        };
        let text = program.signature.as_deref().context(
            "the task file has no `program.signature`: say what goes in and what comes out, as in \"question -> answer\"",
        )?;
        let signature = Signature::parse(text).context("in the signature")?;
        let setup = Self { program, signature, rows, folder, task };
        setup.check_out(args)?;
        Ok(setup)
    }

    /// The texts that the task file does not have yet.
    fn new_ones(&self, found: Vec<Found>) -> Vec<Found> {
        let known =
            self.program.components.iter().filter_map(|known| component_text(known, &self.folder).ok());
        let known: Vec<String> = known.map(|text| Component::new("known", &text).text().to_owned()).collect();
        found.into_iter().filter(|found| !known.contains(&found.text)).collect()
    }

    /// The file that is written.
    fn out(&self, args: &DiscoverArgs) -> PathBuf {
        args.out.clone().or_else(|| args.task.clone()).unwrap_or_else(|| args.out_or_default())
    }

    /// Refuses a file that is there before anything is paid for it.
    fn check_out(&self, args: &DiscoverArgs) -> anyhow::Result<()> {
        let out = self.out(args);
        let shows = args.task.is_some() && args.out.is_none();
        if !args.force && !shows && out.symlink_metadata().is_ok() {
            bail!(
                "{} is there already and is left as it is: name another with --out, or give --force to write over it",
                out.display()
            );
        }
        let whole = |folder: &Path| Path::new(".").join(folder).canonicalize().ok();
        if args.task.is_some() && whole(folder_of(&out)) != whole(&self.folder) {
            bail!(
                "--out names {}, and the paths in a task file start at its folder: choose a name in the folder of {}",
                out.display(),
                args.task.as_deref().unwrap_or(Path::new("")).display()
            );
        }
        if let Some(path) = args.task.as_deref().filter(|_| args.force || args.out.is_some()) {
            // A file that cannot take the sections is found out before anything is paid.
            let there =
                std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let more = "[[program.components]]\nname = \"x\"\ntext = \"x\"\n";
            TaskFile::parse(&format!("{there}\n{more}")).with_context(|| {
                format!(
                    "texts cannot be added to {}: write its components as `[[program.components]]`",
                    path.display()
                )
            })?;
        }
        if !shows {
            let inputs =
                args.data.iter().fold(Inputs::default(), |inputs, data| inputs.and("the data set", data));
            inputs.check("--out", &out)?;
        }
        Ok(())
    }
}

/// The rows of a task that is there already.
async fn of_task(task: &TaskFile, most: usize) -> anyhow::Result<Rows> {
    let text = task.program.signature.as_deref().unwrap_or_default();
    let signature = Signature::parse(text).context("in `program.signature`")?;
    let blueprint = Blueprint { steps: Vec::new(), signature, app: None };
    let rows = Undivided::load(task, &blueprint).await?;
    let inputs = rows.all().take(most).map(promptopt_core::data::Example::inputs).collect();
    Ok(Rows { signature: text.to_owned(), inputs, ..Rows::default() })
}

/// The program, without texts: they are what is looked for.
fn app(setup: &Setup) -> anyhow::Result<App> {
    let plan = AppPlan::of(&setup.program, &setup.signature)?;
    let plan = plan.context(
        "there is no program to look at: give its command, as in `promptopt discover -- python3 app.py`, or `--url`",
    )?;
    plan.check_variables()?;
    plan.without_components().module("app", &setup.signature, &setup.folder)
}

/// What a program did with a row, and why nothing more is to be asked.
fn seen(
    inputs: &Fields,
    calls: Vec<watch::Call>,
    answer: anyhow::Result<promptopt_core::data::Prediction>,
) -> (Seen, Option<LmError>) {
    let (inputs, answer) = (inputs.clone(), answer.map(promptopt_core::data::Prediction::into_fields));
    let stop = answer
        .as_ref()
        .err()
        .and_then(|error| error.chain().find_map(|cause| cause.downcast_ref::<LmError>()));
    let stop = stop.filter(|error| !error.is_caused_by_prompt()).cloned();
    let is_unusable = answer.as_ref().err().is_some_and(|error| {
        error.chain().any(|cause| matches!(cause.downcast_ref(), Some(AppError::Answer { .. })))
    });
    (Seen { inputs, calls, answer: answer.map_err(|error| format!("{error:#}")), is_unusable }, stop)
}

/// Whether there is anything to find texts in.
fn check(
    setup: &Setup,
    all: &[Seen],
    notes: &[String],
    has_ended: bool,
    args: &DiscoverArgs,
) -> anyhow::Result<()> {
    let chats = all.iter().flat_map(|seen| &seen.calls).filter(|call| !call.embeds).count();
    let failure = all.iter().find_map(|seen| seen.answer.as_ref().err().filter(|_| !seen.is_unusable));
    if chats == 0 {
        let how = match setup.program.url.is_some() || setup.program.serve.is_some() {
            true => "use the base_url and the api_key that it gets with each question",
            false => {
                "take its address and its key from the variables that clients read: OPENAI_BASE_URL and OPENAI_API_KEY, or \
                 ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY"
            }
        };
        let how = format!("Its client has to {how}: look for an address or a key that stands in its code");
        let notes: String = notes.iter().map(|note| format!("\n  {note}")).collect();
        if let Some(failure) = failure {
            let has_inputs = setup.task.is_some() || all.iter().any(|seen| !seen.inputs.is_empty());
            let given =
                if has_inputs { "" } else { "\n  it was given no inputs, which `--data` and `--input` do" };
            bail!(
                "the program failed before a call of it went through the gateway: {failure}{notes}{given}\n  {how}"
            );
        }
        let answered = all.iter().find_map(|seen| seen.answer.as_ref().ok());
        let answered = answered.map_or(String::new(), |fields| {
            let texts: Vec<String> = fields.values().map(plain_text).collect();
            format!("\n  it answered: {}", shorten(&texts.join(", "), MAX_SAID))
        });
        bail!("the program made no call that went through the gateway. {how}{notes}{answered}");
    }
    if has_ended && !all.iter().any(|seen| seen.answer.is_ok()) {
        return Err(Exit::Budget.with(anyhow!(
            "the program made {} calls and gave no answer yet: raise `--max-calls`, or look for a loop that does not end",
            args.max_calls
        )));
    }
    match failure {
        Some(failure) if all.iter().all(|seen| seen.answer.is_err() && !seen.is_unusable) => {
            bail!("the program failed on each row: {failure}")
        }
        _ => Ok(()),
    }
}

/// What else a user should know.
fn notes(setup: &Setup, all: &[Seen]) -> Vec<String> {
    let mut notes = Vec::new();
    if all.len() < setup.rows.inputs.len() {
        notes.push("the calls of `--max-calls` are made, so not all rows were run".to_owned());
    }
    if all.len() > 1 && all.windows(2).all(|pair| matches!(pair, [one, other] if one.inputs == other.inputs))
    {
        notes.push(
            "all rows are the same, so what belongs to a row looks like a part of the prompt: give several with `--data` or \
             `--input`"
                .to_owned(),
        );
    }
    if all.iter().all(|seen| seen.is_unusable) {
        let place = if setup.task.is_some() { "program.signature" } else { "--signature" };
        notes.push(format!(
            "no answer could be read as `{}`: say with `{place}` what goes in and what comes out",
            setup.rows.signature
        ));
    }
    notes
}
