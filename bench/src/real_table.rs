//! The results of the real tasks as Markdown: a summary for the page of all measurements, and a page of every run with
//! its instructions.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use promptopt_statistics::{Comparison, Scores, compare};

use crate::real_cells::{Cell, Cells, ORIGINAL};
use crate::table::Row;

/// The page of all measurements, and what the summary stands between there.
const SUMMARY: &str = "performance.md";
const BEGIN: &str = "<!-- real tasks: begin -->\n";
const END: &str = "<!-- real tasks: end -->\n";
/// The page of every run.
const DETAILS: &str = "real-tasks.md";

/// A run and the original on the same rows.
struct Pair<'a> {
    before: &'a Cell,
    after: &'a Cell,
}

impl Pair<'_> {
    fn gain(&self) -> Result<Comparison> {
        gain(&[self])
    }
}

/// The gain over all rows of some runs.
fn gain(pairs: &[&Pair<'_>]) -> Result<Comparison> {
    let before = Scores::of(pairs.iter().flat_map(|pair| &pair.before.scores))?;
    let after = Scores::of(pairs.iter().flat_map(|pair| &pair.after.scores))?;
    Ok(compare(&before, &after, 0.95)?)
}

/// All runs that have their original beside them.
fn pairs(cells: &Cells) -> Vec<Pair<'_>> {
    let runs = cells.all().iter().filter(|cell| cell.key.method != ORIGINAL);
    runs.filter_map(|after| Some(Pair { before: cells.get(&after.key.original())?, after })).collect()
}

/// What comes first keeps its place.
fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for value in values {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

/// The mean gain of every method on every model, over what there is of it.
pub(crate) fn rows(cells: &Cells) -> Result<Vec<Row>> {
    let pairs = pairs(cells);
    let mut rows = Vec::new();
    for model in distinct(pairs.iter().map(|pair| pair.after.key.model.as_str())) {
        let of_model: Vec<_> = pairs.iter().filter(|pair| pair.after.key.model == model).collect();
        for method in distinct(of_model.iter().map(|pair| pair.after.key.method.as_str())) {
            let runs: Vec<&Pair<'_>> =
                of_model.iter().copied().filter(|pair| pair.after.key.method == method).collect();
            let case = format!("{model}, {method}, {} runs", runs.len());
            rows.push(Row::new("real", case, "points gained", 100.0 * gain(&runs)?.difference));
        }
    }
    Ok(rows)
}

/// Writes both into the folder of the documentation.
pub(crate) fn write(cells: &Cells, docs: &Path) -> Result<()> {
    let path = docs.join(SUMMARY);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let placed = placed(&page, &summary(cells)?).with_context(|| {
        format!("{} has no lines `{}` and `{}`", path.display(), BEGIN.trim(), END.trim())
    })?;
    fs::write(&path, placed).with_context(|| format!("writing {}", path.display()))?;
    let path = docs.join(DETAILS);
    fs::write(&path, details(cells)?).with_context(|| format!("writing {}", path.display()))
}

/// The page with another text between the two lines.
fn placed(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

/// A table for each model and size: the sealed test before and after, and what it took.
fn summary(cells: &Cells) -> Result<String> {
    let pairs = pairs(cells);
    let name = |pair: &Pair<'_>| settings(pair.after);
    let names: Vec<String> = pairs.iter().map(name).collect();
    let mut tables = Vec::new();
    for settings in distinct(names.iter().map(String::as_str)) {
        let runs: Vec<&Pair<'_>> = pairs.iter().filter(|pair| name(pair) == settings).collect();
        tables.push(format!("{settings}:\n\n{}", table(&runs)?));
    }
    Ok(if tables.is_empty() { "Nothing is measured yet.\n".to_owned() } else { tables.join("\n") })
}

/// What the runs of a table have in common.
fn settings(cell: &Cell) -> String {
    let [train, selection, test] = cell.key.sizes;
    let (model, calls) = (&cell.key.model, cell.key.max_calls);
    format!("Model `{model}`, {train}/{selection}/{test} rows, {calls} calls")
}

/// Methods down, tasks across: the mean after, bold where it is better and in italics where it is worse than before
/// over all rows of all seeds.
fn table(runs: &[&Pair<'_>]) -> Result<String> {
    let tasks = distinct(runs.iter().map(|pair| pair.after.key.task.as_str()));
    let methods = distinct(runs.iter().map(|pair| pair.after.key.method.as_str()));
    let mut lines = vec![
        format!("| | {} | gain | runs | calls | tokens read | written | s |", tasks.join(" | ")),
        format!("|---|{}---|---|---|---|---|---|", "---|".repeat(tasks.len())),
    ];
    let mut before = Vec::new();
    for task in &tasks {
        let first = methods.first().copied().unwrap_or_default();
        let most = methods.iter().max_by_key(|method| of(runs, task, method).len()).copied().unwrap_or(first);
        let originals: Vec<f64> = of(runs, task, most).iter().map(|pair| pair.before.mean()).collect();
        before.push(format!("{:.1}", 100.0 * mean(originals)));
    }
    lines.push(format!("| {ORIGINAL} | {} | | | | | | |", before.join(" | ")));
    for method in &methods {
        let mut after = Vec::new();
        let mut all = Vec::new();
        for task in &tasks {
            let found = of(runs, task, method);
            after.push(score(&found)?);
            all.extend(found);
        }
        let total = gain(&all)?;
        let errors = all.iter().filter(|pair| pair.after.error.is_some()).count();
        let count =
            if errors == 0 { all.len().to_string() } else { format!("{}, {errors} failed", all.len()) };
        let of_all = |value: fn(&Cell) -> f64| mean(all.iter().map(|pair| value(pair.after)).collect());
        lines.push(format!(
            "| {method} | {} | {:+.1} [{:+.1}, {:+.1}] | {count} | {:.0} + {:.0} | {:.0} | {:.0} | {:.0} |",
            after.join(" | "),
            100.0 * total.difference,
            100.0 * total.low,
            100.0 * total.high,
            of_all(|cell| cell.spent.task_calls as f64),
            of_all(|cell| cell.spent.writer_calls as f64),
            of_all(|cell| cell.spent.tokens_read as f64),
            of_all(|cell| cell.spent.tokens_written as f64),
            of_all(|cell| cell.seconds),
        ));
    }
    Ok(lines.join("\n") + "\n")
}

fn of<'a>(runs: &[&'a Pair<'a>], task: &str, method: &str) -> Vec<&'a Pair<'a>> {
    runs.iter()
        .copied()
        .filter(|pair| pair.after.key.task == task && pair.after.key.method == method)
        .collect()
}

fn score(runs: &[&Pair<'_>]) -> Result<String> {
    if runs.is_empty() {
        return Ok(String::new());
    }
    let text = format!("{:.1}", 100.0 * mean(runs.iter().map(|pair| pair.after.mean()).collect()));
    let gain = gain(runs)?;
    Ok(match (gain.is_better(), gain.is_worse()) {
        (true, _) => format!("**{text}**"),
        (_, true) => format!("*{text}*"),
        _ => text,
    })
}

fn mean(values: Vec<f64>) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The page of every run.
fn details(cells: &Cells) -> Result<String> {
    let mut text = "# Real tasks, run by run\n\nWritten by `cargo xtask bench real --docs docs` from the results that \
                    are there. What was measured, and how, is told in [performance](performance.md#real-tasks). A gain \
                    is on the sealed test, in points with its 95 % interval; calls are those of the task's model and of \
                    the one that writes.\n"
        .to_owned();
    let pairs = pairs(cells);
    if pairs.is_empty() {
        text += "\nNothing is measured yet.\n";
    }
    let titles: Vec<String> =
        pairs.iter().map(|pair| format!("{}: {}", settings(pair.after), pair.after.key.task)).collect();
    for title in distinct(titles.iter().map(String::as_str)) {
        text += &format!(
            "\n## {title}\n\n| seed | method | before → after | gain | calls | tokens read | written | s | demos |\n\
             |---|---|---|---|---|---|---|---|---|\n"
        );
        let runs = || pairs.iter().zip(&titles).filter(|(_, own)| *own == title).map(|(pair, _)| pair);
        for pair in runs() {
            let (gain, cell) = (pair.gain()?, pair.after);
            text += &format!(
                "| {} | {} | {:.1} → {:.1} | {:+.1} [{:+.1}, {:+.1}] | {} + {} | {} | {} | {:.0} | {} |\n",
                cell.key.seed,
                cell.key.method,
                100.0 * pair.before.mean(),
                100.0 * cell.mean(),
                100.0 * gain.difference,
                100.0 * gain.low,
                100.0 * gain.high,
                cell.spent.task_calls,
                cell.spent.writer_calls,
                cell.spent.tokens_read,
                cell.spent.tokens_written,
                cell.seconds,
                cell.demos,
            );
        }
        if let Some(first) = runs().next() {
            text += &format!("\nThe instruction to begin with:\n\n{}", quoted(&first.before.instruction));
        }
        for pair in runs() {
            let (cell, begun) = (pair.after, &pair.before.instruction);
            let name = format!("{}, seed {}", cell.key.method, cell.key.seed);
            match &cell.error {
                Some(error) => text += &format!("\n{name}, ended with an error:\n\n{}", quoted(error)),
                None if cell.instruction == *begun => {}
                None => text += &format!("\n{name}:\n\n{}", quoted(&cell.instruction)),
            }
        }
    }
    Ok(text)
}

/// A text of a model as a block of code by its indent, which nothing in the text can end.
fn quoted(text: &str) -> String {
    let shown = |line: &str| format!("    {}", line.replace(char::is_control, " ")).trim_end().to_owned();
    text.trim().lines().map(|line| shown(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real_cells::{plan, tests::cell};

    fn cells(folder: &Path) -> Cells {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let plan = plan(
            [&names(&["small"]), &names(&["gcd"]), &names(&["copro", "dspy-copro"])],
            &[1, 2],
            [4, 3, 8],
            50,
        );
        let mut cells = Cells::open(&folder.join("cells.jsonl")).unwrap();
        for key in &plan {
            let scores = if key.method == "copro" { [1.0; 8] } else { [0.0; 8] };
            let mut cell = cell(key, &scores);
            if key.method == "dspy-copro" {
                cell.error = Some("AdapterParseError: no\tinstruction\n\n# in it".to_owned());
            }
            cells.add(cell).unwrap();
        }
        cells
    }

    #[test]
    fn the_summary_has_scores_calls_and_tokens_of_every_method() {
        let folder = tempfile::tempdir().unwrap();
        let cells = cells(folder.path());
        let text = summary(&cells).unwrap();
        assert!(text.starts_with("Model `small`, 4/3/8 rows, 50 calls:\n"), "{text}");
        assert!(text.contains("| original | 0.0 |"), "{text}");
        assert!(
            text.contains("| copro | **100.0** | +100.0 [")
                && text.contains("| 2 | 90 + 10 | 5000 | 600 | 12 |"),
            "{text}"
        );
        assert!(text.contains("| dspy-copro | 0.0 | +0.0 [") && text.contains("| 2, 2 failed |"), "{text}");
        let rows = rows(&cells).unwrap();
        assert_eq!((rows[0].case.as_str(), rows[0].value), ("small, copro, 2 runs", 100.0));
    }

    #[test]
    fn the_page_of_every_run_has_the_instructions_and_the_errors() {
        let folder = tempfile::tempdir().unwrap();
        let text = details(&cells(folder.path())).unwrap();
        assert!(text.contains("| 2 | copro | 0.0 → 100.0 | +100.0 ["), "{text}");
        assert!(text.contains("begin with:\n\n    Answer as original does.\n"), "{text}");
        assert!(text.contains("\ncopro, seed 2:\n\n    Answer as copro does.\n"), "{text}");
        // What a model wrote ends no block.
        assert!(
            text.contains("an error:\n\n    AdapterParseError: no instruction\n\n    # in it\n"),
            "{text}"
        );
    }

    #[test]
    fn the_summary_takes_the_place_of_the_last_one() {
        let docs = tempfile::tempdir().unwrap();
        let page = docs.path().join(SUMMARY);
        fs::write(&page, format!("# Page\n{BEGIN}old\n{END}rest\n")).unwrap();
        let cells = cells(docs.path());
        write(&cells, docs.path()).unwrap();
        let once = fs::read_to_string(&page).unwrap();
        write(&cells, docs.path()).unwrap();
        assert_eq!(fs::read_to_string(&page).unwrap(), once);
        assert!(once.starts_with("# Page\n") && once.ends_with("rest\n") && !once.contains("old"), "{once}");
        assert!(docs.path().join(DETAILS).exists());
        fs::write(&page, "# Page\n").unwrap();
        let error = format!("{:#}", write(&cells, docs.path()).unwrap_err());
        assert!(error.contains("performance.md has no lines"), "{error}");
    }
}
