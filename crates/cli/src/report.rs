//! `promptopt report`.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use promptopt_store::write_atomically;
use serde_json::json;

use crate::args::ReportArgs;
use crate::exit::Exit;
use crate::kept::{PROGRAM, REPORT};
use crate::output::Output;
use crate::outputs::Inputs;
use crate::saved::SavedProgram;
use crate::secrets::clean_strictly;

pub(crate) fn run(args: &ReportArgs, output: Output) -> anyhow::Result<()> {
    let (program, page) = match args.program.is_dir() {
        true => (args.program.join(PROGRAM), Some(args.program.join(REPORT))),
        false => (args.program.clone(), None),
    };
    let mut saved = SavedProgram::read(&program)?;
    if args.program.is_dir() {
        saved.read_candidates(&args.program).map_err(Exit::configuration)?;
    }
    if saved.outcome.candidates.is_empty() {
        return Err(Exit::Configuration.with(anyhow!(
            "{} was imported, so there is no run to report; `promptopt optimize` makes one",
            program.display()
        )));
    }
    let page = args.out.clone().or(page).unwrap_or_else(|| program.with_extension("html"));
    let inputs = Inputs::default().and("the program", &program);
    inputs.check("--out", &page).map_err(Exit::configuration)?;
    let page = write(&saved, &program, Some(&page))?;
    output.text(page.display())?;
    output.object(&json!({"command": "report", "report": page}))
}

/// Writes the report of a saved program, by default beside it, and says where.
pub(crate) fn write(saved: &SavedProgram, program: &Path, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let page = out.map_or_else(|| program.with_extension("html"), Path::to_path_buf);
    // The file's own time, so that the same file makes the same page.
    let time =
        std::fs::metadata(program).and_then(|data| data.modified()).unwrap_or_else(|_| SystemTime::now());
    let text = self::page(saved, &utc(time))?;
    write_atomically(&page, clean_strictly(&text).as_bytes())
        .with_context(|| format!("writing the report to {}", page.display()))?;
    Ok(page)
}

/// The report of a run that was started at some time.
pub(crate) fn page(saved: &SavedProgram, started: &str) -> anyhow::Result<String> {
    saved.report(started.to_owned()).to_html().context("making the report")
}

/// The time now.
pub(crate) fn utc_now() -> String {
    utc(SystemTime::now())
}

/// A time as `2026-01-31 14:05 UTC`.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March, so that a leap day is the last day of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_read_off_the_calendar() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        };
        check(0, "1970-01-01 00:00 UTC");
        check(951_782_400, "2000-02-29 00:00 UTC");
        check(1_769_868_300, "2026-01-31 14:05 UTC");
        check(4_107_542_399, "2100-02-28 23:59 UTC");
        check(4_107_542_400, "2100-03-01 00:00 UTC");
    }
}
