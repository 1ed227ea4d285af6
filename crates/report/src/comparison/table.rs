//! Runs side by side in plain text.

use promptopt_statistics::Estimate;

use super::{ComparisonRow, by_optimizer, mean, profile, surprises};
use crate::format;

/// The widest line.
const WIDTH: usize = 100;
/// Width of the names of the rows, with the gap behind them.
const LABEL: usize = 21;
/// The narrowest column that still reads.
const NARROWEST: usize = 16;

/// The runs as a table: a column for each optimizer, a line for each thing to compare, no line longer
/// than 100 characters with up to four optimizers. Several runs of one optimizer, with different
/// seeds, share its column: figures are means then, and scores have the lowest and highest run with
/// them. Below the table stands what was measured otherwise than is said.
pub fn rows_to_table(rows: &[ComparisonRow]) -> String {
    let groups = by_optimizer(rows);
    if groups.is_empty() {
        return "no runs to compare\n".to_owned();
    }
    let width = ((WIDTH - LABEL) / groups.len()).clamp(NARROWEST, 40);
    let mut table = Table { width, text: String::new() };
    let mut line = |label: &str, cell: &dyn Fn(&[&ComparisonRow]) -> String| {
        let cells: Vec<String> = groups.iter().map(|(_, group)| cell(group)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.row(label, &cells);
        }
    };
    let said = |group: &[&ComparisonRow], part: fn(&ComparisonRow) -> &String| {
        group.first().map(|row| part(row).clone()).unwrap_or_default()
    };
    line("", &|group| said(group, |row| &row.optimizer));
    line("approach", &|group| said(group, |row| &row.approach));
    line("feedback used", &|group| said(group, |row| &row.feedback));
    line("selection rule", &|group| said(group, |row| &row.selection));
    line("runs", &|group| if group.len() > 1 { format!("{} seeds", group.len()) } else { String::new() });
    line("LM calls", &|group| {
        let task = mean(group, |row| row.spending.task.calls as f64);
        let prompt = mean(group, |row| row.spending.prompt.calls as f64);
        format!("{} ({} task, {} prompt)", count(task + prompt), count(task), count(prompt))
    });
    line("tokens read, written", &|group| {
        let read = mean(group, |row| row.spending.total().prompt_tokens as f64);
        let written = mean(group, |row| row.spending.total().completion_tokens as f64);
        format!("{}, {}", count(read), count(written))
    });
    line("wall time", &|group| duration(mean(group, |row| row.seconds)));
    line("candidates", &|group| {
        let different = mean(group, |row| row.candidates as f64);
        format!("{}, distance {:.2}", count(different), mean(group, |row| row.distance))
    });
    line("baseline", &|group| scores(group, |row| Some(row.baseline)));
    line("selection score", &|group| scores(group, |row| Some(row.selected)));
    line("test baseline", &|group| scores(group, |row| row.test_baseline));
    line("sealed test score", &|group| scores(group, |row| row.test));
    line("gain on the test", &gain);
    line("said of it", &|group| {
        let name = group.first().map_or("", |row| row.optimizer.as_str());
        profile(name).map_or_else(String::new, |profile| {
            let speed = if profile.speed.is_empty() { String::new() } else { format!(", {}", profile.speed) };
            format!("{} calls{speed}, {} diversity", profile.calls, profile.diversity)
        })
    });
    line("use this when", &|group| said(group, |row| &row.use_when));
    let mut text = table.text;
    for (number, surprise) in surprises::surprises(&groups).iter().enumerate() {
        text.push_str(if number == 0 { "\n" } else { "" });
        text.push_str(&wrap(&format!("measured otherwise: {surprise}"), WIDTH).join("\n  "));
        text.push('\n');
    }
    text
}

/// The gain with its interval; of several runs the mean gain, and how many were surely better.
fn gain(group: &[&ComparisonRow]) -> String {
    let comparisons: Vec<_> = group.iter().filter_map(|row| row.test_comparison.as_ref()).collect();
    match comparisons.as_slice() {
        [] => String::new(),
        [one] => {
            let verdict = if one.is_within_noise() {
                "within noise"
            } else if one.is_better() {
                "better"
            } else {
                "worse"
            };
            format!("{:+.3} [{:+.3}, {:+.3}] {verdict}", one.difference, one.low, one.high)
        }
        several => {
            let sum: f64 = several.iter().map(|one| one.difference).sum();
            let better = several.iter().filter(|one| one.is_better()).count();
            let n = several.len();
            format!("{:+.3} on average, better in {better} of {n}", sum / n as f64)
        }
    }
}

/// A score with its interval; of several runs the mean, and the lowest and highest run.
fn scores(group: &[&ComparisonRow], part: impl Fn(&ComparisonRow) -> Option<Estimate>) -> String {
    let estimates: Vec<Estimate> = group.iter().filter_map(|row| part(row)).collect();
    match estimates.as_slice() {
        [] => String::new(),
        [one] => format!("{:.3} [{:.3}, {:.3}]", one.mean, one.low, one.high),
        several => {
            let means = || several.iter().map(|one| one.mean);
            let (low, high) = (means().fold(f64::MAX, f64::min), means().fold(f64::MIN, f64::max));
            format!("{:.3} ({low:.3} to {high:.3})", means().sum::<f64>() / several.len() as f64)
        }
    }
}

/// A mean of counts, rounded, in groups of three digits.
fn count(value: f64) -> String {
    format::count(value.max(0.0).round_ties_even() as u64)
}

pub(super) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    }
}

struct Table {
    width: usize,
    text: String,
}

impl Table {
    fn row(&mut self, label: &str, cells: &[String]) {
        let cells: Vec<Vec<String>> = cells.iter().map(|cell| wrap(cell, self.width - 2)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..height {
            let mut line = format!("{:<LABEL$}", if number == 0 { label } else { "" });
            for cell in &cells {
                line.push_str(&format!("{:<1$}", cell.get(number).map_or("", String::as_str), self.width));
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

/// The text in lines of at most `width` characters, broken between words where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: String = word.to_owned();
        while let Some(line) = lines.last_mut() {
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.chars().count() <= width {
                line.push_str(if gap > 0 { " " } else { "" });
                line.push_str(&word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            let rest: String = word.chars().skip(width.max(1)).collect();
            *line = word.chars().take(width.max(1)).collect();
            lines.push(String::new());
            word = rest;
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use promptopt_core::money::Usage;
    use promptopt_core::prompt::{Origin, Prompt, PromptCandidate, Prompts};
    use promptopt_run::{Outcome, Spending};
    use promptopt_statistics::Comparison;

    use super::*;
    use crate::TestReport;

    fn row(optimizer: &str, seed: u64, seconds: u64, instructions: &[&str]) -> ComparisonRow {
        let candidate = |text: &&str| {
            PromptCandidate::new(Prompts::from_iter([("route", Prompt::new(*text))]), Origin::original())
        };
        let estimate = |mean: f64| Estimate::new(mean, mean - 0.05, mean + 0.05, 200);
        let mut comparison = Comparison::new(200, 0.54, 0.47, 0.61, 1e-9);
        (comparison.wins, comparison.losses, comparison.test) = (110, 2, "exact McNemar".to_owned());
        let mut outcome = Outcome::new(optimizer);
        outcome.candidates = instructions.iter().map(candidate).collect();
        outcome.best = instructions.len() - 1;
        outcome.baseline = estimate(0.25);
        outcome.selected = estimate(0.9);
        outcome.spending = Spending::new(Usage::call(1_234_567, 89).with_calls(1200), Usage::call(10, 20));
        let test = TestReport {
            detectable_gain: None,
            split: "sealed test".to_owned(),
            baseline: estimate(0.26),
            optimized: estimate(0.8 + seed as f64 / 100.0),
            comparison,
            examples: Vec::new(),
        };
        ComparisonRow::of(&outcome, Some(&test), Duration::from_secs(seconds), seed)
    }

    #[test]
    fn three_runs_stand_side_by_side_in_a_hundred_columns() {
        let rows = [
            row("COPRO", 0, 70, &["Route it.", "Route it at once."]),
            row("MIPROv2", 0, 30, &["Route it.", "Which department should answer?"]),
            row("GEPA", 0, 200, &["Route it.", "Route it now."]),
        ];
        let table = rows_to_table(&rows);
        for line in table.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn seeds_of_one_optimizer_share_its_column() {
        let table = rows_to_table(&[row("GEPA", 1, 1, &["a"]), row("GEPA", 3, 1, &["a"])]);
        assert!(table.contains("2 seeds"), "{table}");
        assert!(table.contains("0.820 (0.810 to 0.830)"), "{table}");
        assert!(table.contains("better in 2 of 2"), "{table}");
    }

    #[test]
    fn nothing_to_compare_and_a_stranger_are_no_trouble() {
        assert_eq!(rows_to_table(&[]), "no runs to compare\n");
        let table = rows_to_table(&[row("Hill climbing", 0, 1, &["a"])]);
        assert!(table.contains("Hill climbing") && !table.contains("approach"), "{table}");
    }

    #[test]
    fn long_words_are_broken() {
        assert_eq!(wrap("ab abcdefgh c", 4), ["ab", "abcd", "efgh", "c"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(duration(200.4), "3 min 20 s");
    }
}
