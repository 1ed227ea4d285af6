//! Descriptions of data, program and predictors by the prompt model, each written once.

use std::sync::Arc;

use promptopt_core::data::{ContentHash, Example, Fields};
use promptopt_core::lm::Sampling;
use promptopt_run::{Assignment, Brief, Halt, Run};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::render::{self, DESCRIBE_PREDICTOR, DESCRIBE_PROGRAM, OBSERVE_DATA, SUMMARIZE_DATA};
use crate::{ModelProposerOptions, Study, Task};

/// A first reading of at most this many batches describes a data set well enough.
const MAX_BATCHES: usize = 5;

/// Values of a trace are cut to this many characters.
const MAX_TRACE_VALUE: usize = 1000;

/// An assignment's inputs.
pub(crate) fn fields<const N: usize>(values: [(&str, String); N]) -> Fields {
    values.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

/// Puts records together where there is nothing to be said without any.
fn needed(put: impl Fn(&[&str]) -> String) -> impl Fn(&[&str]) -> String {
    move |records| if records.is_empty() { String::new() } else { put(records) }
}

/// How many calls a study takes, at least and at most: a reply that does not fit is asked for again.
pub(crate) fn study_calls(options: &ModelProposerOptions, examples: usize, predictors: usize) -> (u64, u64) {
    let batches = examples.div_ceil(options.view_data_batch_size.max(1)).min(MAX_BATCHES) as u64;
    let data = if options.data_aware && batches > 0 { (batches, batches + 1) } else { (0, 0) };
    let program = if options.program_aware { (1, 1 + predictors as u64) } else { (0, 0) };
    (data.0 + program.0, 2 * (data.1 + program.1))
}

/// Asks the prompt model and puts together what it says.
struct Student<'a, 'p> {
    run: &'a mut Run<'p>,
    sampling: &'a Sampling,
}

impl Student<'_, '_> {
    /// Has one kind of text written; `None` where nothing came out, which a note says.
    async fn ask(
        &mut self,
        brief: Brief<'_>,
        assignments: Vec<Assignment>,
    ) -> Result<Vec<Option<String>>, Halt> {
        let texts = self.run.write(self.sampling, brief, assignments).await?;
        if let Some(failure) = texts.iter().find_map(|text| text.as_ref().err()) {
            self.run.note(format!("the prompt model could not write `{}`: {failure}", brief.output.0));
        }
        Ok(texts.into_iter().map(|text| text.ok().filter(|text| !text.is_empty())).collect())
    }
}

/// Describes data and program. Where a description fails a proposal can still be written, so the run goes on unless
/// the provider refuses or the budget is gone.
pub(crate) async fn study(
    run: &mut Run<'_>,
    sampling: &Sampling,
    options: &ModelProposerOptions,
    task: &Task,
) -> Result<Study, Halt> {
    let (mut student, mut study) = (Student { run, sampling }, Study::default());
    if options.data_aware {
        study.data_summary = describe_data(&mut student, options, task).await?;
    }
    if options.program_aware {
        describe_program(&mut student, &mut study, task).await?;
    }
    Ok(study)
}

async fn describe_data(
    student: &mut Student<'_, '_>,
    options: &ModelProposerOptions,
    task: &Task,
) -> Result<Option<String>, Halt> {
    let mut shown: Vec<_> = task.examples.iter().collect();
    shown.shuffle(&mut ChaCha8Rng::seed_from_u64(task.seed));
    let record = |example: &&Arc<Example>| (example.content_hash(), render::example(example.fields()));
    let assignment = |batch: &[&Arc<Example>]| {
        let records = batch.iter().map(record).collect();
        Assignment::default().with_records("examples", records, needed(render::blocks))
    };
    let batches =
        shown.chunks(options.view_data_batch_size.max(1)).take(MAX_BATCHES).map(assignment).collect();
    let observations = student
        .ask(
            Brief::new(
                "observe_data",
                OBSERVE_DATA,
                &[("examples", "Sample data points from the dataset.")],
                ("observations", "Observations that hold true for most or all of the examples."),
            ),
            batches,
        )
        .await?;
    let observations: Vec<_> = observations.into_iter().flatten().collect();
    if observations.is_empty() {
        return Ok(None);
    }
    let summary = student
        .ask(
            Brief::new(
                "summarize_data",
                SUMMARIZE_DATA,
                &[("observations", "Observations made about the dataset.")],
                ("summary", "The most important of the observations, put together."),
            ),
            vec![Assignment::default().with_records(
                "observations",
                observations.iter().map(|text| (ContentHash::of(text), text.clone())).collect(),
                needed(|texts| texts.join("\n\n")),
            )],
        )
        .await?;
    // Where the summary fails, the observations themselves serve.
    Ok(summary.into_iter().next().flatten().or_else(|| observations.into_iter().next()))
}

async fn describe_program(student: &mut Student<'_, '_>, study: &mut Study, task: &Task) -> Result<(), Halt> {
    let code = render::program(&task.program)?;
    let example = match task.traces.first() {
        Some(trace) => Some((trace.example.content_hash(), trace.format_for_prompt(MAX_TRACE_VALUE))),
        None => {
            task.examples.first().map(|example| (example.content_hash(), render::example(example.fields())))
        }
    };
    let assignment = |inputs: Fields| {
        Assignment::new(inputs).with_records(
            "program_example",
            example.clone().into_iter().collect(),
            render::blocks,
        )
    };
    let description = student
        .ask(
            Brief::new(
                "describe_program",
                DESCRIBE_PROGRAM,
                &[
                    (
                        "program_code",
                        "Pseudo-code of a language model program designed to solve a particular task.",
                    ),
                    ("program_example", "An example of the program in use."),
                ],
                ("program_description", "What the program is for, and how it goes about it."),
            ),
            vec![assignment(fields([("program_code", code.clone())]))],
        )
        .await?
        .into_iter()
        .next()
        .flatten();
    let Some(description) = description else { return Ok(()) };
    let assignments = task
        .program
        .predictors
        .iter()
        .map(|predictor| {
            assignment(fields([
                ("program_code", code.clone()),
                ("program_description", description.clone()),
                ("module", format!("{}: {}", predictor.path, predictor.signature)),
            ]))
        })
        .collect();
    let described = student
        .ask(
            Brief::new(
                "describe_predictor",
                DESCRIBE_PREDICTOR,
                &[
                    (
                        "program_code",
                        "Pseudo-code of a language model program designed to solve a particular task.",
                    ),
                    ("program_example", "An example of the program in use."),
                    ("program_description", "What the program is for, and how it goes about it."),
                    ("module", "The module of the program to describe."),
                ],
                ("module_description", "The module's role in the program."),
            ),
            assignments,
        )
        .await?;
    study.program_description = Some(description);
    for (predictor, text) in task.program.predictors.iter().zip(described) {
        if let Some(text) = text {
            study.predictor_descriptions.insert(predictor.path.clone(), text);
        }
    }
    Ok(())
}
