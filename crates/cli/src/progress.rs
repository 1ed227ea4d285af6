//! Progress on standard error: a line that is drawn anew on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use promptopt_core::{Event, Observer, TrialKind};

/// Shows what an optimizer tells.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    calls: AtomicU64,
    stage: Mutex<String>,
    best: Mutex<f64>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, plain, calls: AtomicU64::new(0), stage: Mutex::default(), best: Mutex::default() }
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.plain {
            // A closed standard error is no reason to end a run.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n"));
        } else {
            self.bar.println(text);
        }
    }

    /// Begins a stage that no optimizer tells of.
    pub(crate) fn stage(&self, name: &str, detail: &str) {
        self.line(&format!("{name}: {detail}"));
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = name.to_owned();
        self.redraw();
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn redraw(&self) {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let best = *self.best.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.calls.load(Ordering::Relaxed);
        self.bar.set_message(format!("{stage}  {calls} calls  best {best:.3}"));
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        match event {
            Event::Stage { name, detail } => self.stage(name, detail),
            Event::Rollout { calls, .. } => {
                self.calls.fetch_add(*calls, Ordering::Relaxed);
                self.redraw();
            }
            Event::Trial(trial) => {
                *self.best.lock().unwrap_or_else(PoisonError::into_inner) = trial.best_so_far;
                let kind = match trial.kind {
                    TrialKind::Baseline => "baseline",
                    TrialKind::Full => "full",
                    _ => "minibatch",
                };
                let score = trial.score.map_or("none".to_owned(), |score| format!("{score:.3}"));
                let failed = match trial.failures {
                    0 => String::new(),
                    failures => format!(", {failures} failed"),
                };
                self.line(&format!(
                    "  candidate {:>2}  {kind:<9}  {score} on {} examples{failed}  (best {:.3}, {} calls)",
                    trial.candidate, trial.examples, trial.best_so_far, trial.calls_so_far
                ));
            }
            Event::Warning { message } => self.line(&format!("  note: {message}")),
            _ => {}
        }
    }
}
