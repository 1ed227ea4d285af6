//! The demos that were chosen.

use promptopt_core::prompt::{Demo, Prompt};
use serde::Serialize;

use crate::text::{Cut, Field};
use crate::{Report, format, text, thumbnails};

/// At most this many demos of a predictor are shown.
const MAX_DEMOS: usize = 100;
const MAX_PREDICTORS: usize = 50;

/// The demos of one predictor.
#[derive(Debug, Serialize)]
pub(crate) struct DemoTable {
    predictor: String,
    demos: usize,
    bootstrapped: usize,
    columns: Vec<String>,
    rows: Vec<Row>,
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    number: usize,
    bootstrapped: bool,
    kept: bool,
    cells: Vec<Option<Cut>>,
}

impl DemoTable {
    /// Whether an image is shown.
    pub(crate) fn has_images(&self) -> bool {
        self.rows.iter().flat_map(|row| row.cells.iter().flatten()).any(|cut| !cut.images.is_empty())
    }
}

/// A table for every predictor that has demos.
pub(crate) fn tables(report: &Report) -> Vec<DemoTable> {
    let prompts = report.prompts_after.iter().filter(|(_, prompt)| !prompt.demos.is_empty());
    prompts
        .take(MAX_PREDICTORS)
        .map(|(path, prompt)| table(path, prompt, report.prompts_before.get(path)))
        .collect()
}

fn table(path: &str, prompt: &Prompt, before: Option<&Prompt>) -> DemoTable {
    let shown: Vec<(&Demo, Vec<Field>)> =
        prompt.demos.iter().take(MAX_DEMOS).map(|demo| (demo, text::fields(&demo.fields))).collect();
    let mut columns: Vec<String> = Vec::new();
    for field in shown.iter().flat_map(|(_, fields)| fields) {
        if !columns.contains(&field.name) {
            columns.push(field.name.clone());
        }
    }
    let cell = |fields: &[Field], column: &String| {
        fields.iter().find(|field| field.name == *column).map(|field| field.value.clone())
    };
    let row = |(index, (demo, fields)): (usize, &(&Demo, Vec<Field>))| Row {
        number: index + 1,
        bootstrapped: demo.augmented,
        kept: before.is_some_and(|before| before.demos.contains(demo)),
        cells: columns.iter().map(|column| cell(fields, column)).collect(),
    };
    let mut rows: Vec<Row> = shown.iter().enumerate().map(row).collect();
    let mut left = thumbnails::MAX_TABLE_CHARS;
    thumbnails::keep(rows.iter_mut().flat_map(|row| row.cells.iter_mut().flatten()), &mut left);
    DemoTable {
        predictor: text::name(path),
        demos: prompt.demos.len(),
        bootstrapped: prompt.demos.iter().filter(|demo| demo.augmented).count(),
        rows,
        columns,
        note: format::first_of(MAX_DEMOS, prompt.demos.len(), "demos"),
    }
}
