//! The examples of the test, one by one.

use serde::Serialize;

use crate::text::{Cut, Field};
use crate::{ExampleRow, ExampleStatus, Report, StepRow, format, text, thumbnails};

/// At most this many examples are shown.
const MAX_EXAMPLES: usize = 2_000;
/// Examples are shown until they hold this many characters, so that the page stays one that opens.
const MAX_CHARS: usize = 4_000_000;

/// The table of examples.
#[derive(Debug, Serialize)]
pub(crate) struct Examples {
    split: String,
    rows: Vec<Row>,
    filters: Vec<Filter>,
    /// Whether there is anything to show beside the answers before.
    improved: bool,
    has_feedback: bool,
    /// The name of the one field that a column has in every row, so that it is said once.
    columns: Columns,
    shown: String,
    note: Option<String>,
}

/// What the headings of the columns say beside their own names.
#[derive(Debug, Serialize)]
struct Columns {
    inputs: Option<String>,
    expected: Option<String>,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Serialize)]
struct Filter {
    status: ExampleStatus,
    count: String,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    status: ExampleStatus,
    inputs: Vec<Field>,
    expected: Vec<Field>,
    before: Answer,
    after: Answer,
    feedback: Option<Cut>,
}

#[derive(Debug, Serialize)]
struct Answer {
    fields: Vec<Field>,
    steps: Vec<StepRow>,
    score: Option<f64>,
    error: Option<Cut>,
}

const STATUSES: [ExampleStatus; 5] = [
    ExampleStatus::Fixed,
    ExampleStatus::Broken,
    ExampleStatus::StillWrong,
    ExampleStatus::StillRight,
    ExampleStatus::Failed,
];

impl Examples {
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let test = report.test.as_ref().filter(|test| !test.examples.is_empty())?;
        let (mut left, mut left_for_images) = (MAX_CHARS, thumbnails::MAX_TABLE_CHARS);
        let mut rows = Vec::new();
        for (index, example) in test.examples.iter().take(MAX_EXAMPLES).enumerate() {
            let mut row = row(index, example);
            thumbnails::keep(row.values(), &mut left_for_images);
            let Some(rest) = left.checked_sub(row.characters()) else { break };
            left = rest;
            rows.push(row);
        }
        let filter = |status| {
            let count = test.examples.iter().take(rows.len()).filter(|row| row.status() == status).count();
            (count > 0).then(|| Filter { status, count: format::count(count as u64) })
        };
        Some(Self {
            split: text::name(&test.split),
            filters: STATUSES.into_iter().filter_map(filter).collect(),
            improved: report.outcome.improved(),
            has_feedback: rows.iter().any(|row| row.feedback.is_some()),
            shown: format::count(rows.len() as u64),
            columns: Columns {
                inputs: only_name(rows.iter().map(|row| &row.inputs)),
                expected: only_name(rows.iter().map(|row| &row.expected)),
                before: only_name(rows.iter().map(|row| &row.before.fields)),
                after: only_name(rows.iter().map(|row| &row.after.fields)),
            },
            note: format::first_of(rows.len(), test.examples.len(), "examples"),
            rows,
        })
    }

    /// Whether an image is shown.
    pub(crate) fn has_images(&self) -> bool {
        self.rows.iter().flat_map(Row::lists).flatten().any(|field| !field.value.images.is_empty())
    }
}

impl Row {
    fn lists(&self) -> [&Vec<Field>; 4] {
        [&self.inputs, &self.expected, &self.before.fields, &self.after.fields]
    }

    fn values(&mut self) -> impl Iterator<Item = &mut Cut> {
        let lists = [&mut self.inputs, &mut self.expected, &mut self.before.fields, &mut self.after.fields];
        lists.into_iter().flatten().map(|field| &mut field.value)
    }

    /// About how many characters the row brings to the page.
    fn characters(&self) -> usize {
        let lists = [&self.inputs, &self.expected, &self.before.fields, &self.after.fields];
        let fields = lists.into_iter().flatten().map(|field| field.name.len() + field.value.text.len() + 40);
        let errors = [&self.before.error, &self.after.error, &self.feedback];
        let errors = errors.into_iter().flatten().map(|cut| cut.text.len());
        let steps = self.before.steps.iter().chain(&self.after.steps).map(StepRow::chars);
        300 + fields.sum::<usize>() + errors.sum::<usize>() + steps.sum::<usize>()
    }
}

/// The name of the only field in all the lists, if there is one.
fn only_name<'a>(lists: impl Iterator<Item = &'a Vec<Field>>) -> Option<String> {
    let mut only: Option<&str> = None;
    for list in lists {
        match (list.as_slice(), only) {
            ([], _) => {}
            ([field], None) => only = Some(&field.name),
            ([field], Some(name)) if field.name == name => {}
            _ => return None,
        }
    }
    only.map(str::to_owned)
}

fn row(index: usize, example: &ExampleRow) -> Row {
    Row {
        number: index + 1,
        status: example.status(),
        inputs: text::fields(&example.inputs),
        expected: text::fields(&example.expected),
        before: Answer {
            fields: example.before.as_ref().map(text::fields).unwrap_or_default(),
            steps: example.steps_before.clone(),
            score: example.score_before,
            error: example.error_before.as_deref().map(Cut::value),
        },
        after: Answer {
            fields: example.after.as_ref().map(text::fields).unwrap_or_default(),
            steps: example.steps_after.clone(),
            score: example.score_after,
            error: example.error_after.as_deref().map(Cut::value),
        },
        feedback: example.feedback.as_deref().map(Cut::value),
    }
}
