//! Progress on standard error: two lines that are drawn anew on a terminal, plain lines elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use promptopt_core::money::{Budget, Money};
use promptopt_run::{Event, Observer, Trial, TrialKind};
use promptopt_statistics::wilson;

use crate::meter::Gauge;
use crate::output::{Output, can_draw, safe, say};
use crate::words::{money, short, time};

/// How often the lines are drawn anew.
const TICK: Duration = Duration::from_millis(200);
/// The rate is over the calls since at least so long ago.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Width of the bar that shows the budget, in characters.
const BAR: usize = 10;

/// The bar that is drawn now.
static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes something to the terminal beside the bar, not over it.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match drawn {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Shows what an optimizer tells.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: bool,
    quiet: bool,
    shown: Arc<Shown>,
}

/// What the two lines say, drawn by a thread of its own so that they go on while nothing happens.
struct Shown {
    gauge: Arc<Gauge>,
    budget: Budget,
    done: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    run: String,
    stage: String,
    trials: usize,
    /// Best mean on the whole selection set, and over how many examples.
    best: Option<(f64, usize)>,
    /// Calls that were made when this run began.
    calls_before: u64,
    /// Calls at earlier moments, for the rate.
    past: std::collections::VecDeque<(Instant, u64)>,
}

impl Progress {
    pub(crate) fn new(output: Output, gauge: &Arc<Gauge>, budget: Budget) -> Self {
        let plain = !can_draw();
        let bar = if plain || output.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}\n  {prefix}") {
            bar.set_style(style);
        }
        let shown = Arc::new(Shown {
            gauge: Arc::clone(gauge),
            budget,
            done: AtomicBool::new(false),
            state: Mutex::default(),
        });
        if !bar.is_hidden() {
            *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
            let (bar, shown) = (bar.clone(), Arc::clone(&shown));
            std::thread::spawn(move || {
                while !shown.done.load(Ordering::Relaxed) {
                    let (first, second) = shown.lines(Instant::now());
                    bar.set_message(safe(&first));
                    bar.set_prefix(second);
                    bar.tick();
                    std::thread::sleep(TICK);
                }
            });
        }
        Self { bar, plain, quiet: output.quiet, shown }
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        match self.plain {
            true => say(text),
            false => self.bar.println(safe(text)),
        }
    }

    /// Begins one of several runs.
    pub(crate) fn begin(&self, run: &str) {
        self.line(&format!("--- {run}"));
        let calls_before = self.shown.gauge.calls();
        self.shown.with(|state| {
            *state = State { run: run.to_owned(), calls_before, ..State::default() };
        });
    }

    /// Begins a stage that no optimizer tells of.
    pub(crate) fn stage(&self, name: &str, detail: &str) {
        self.line(&format!("{name}: {detail}"));
        self.shown.with(|state| name.clone_into(&mut state.stage));
    }

    pub(crate) fn finish(&self) {
        self.shown.done.store(true, Ordering::Relaxed);
        *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.bar.finish_and_clear();
    }

    fn trial(&self, trial: &Trial) {
        if trial.examples == 0 {
            // It was cut off before it began.
            return;
        }
        self.shown.with(|state| state.trial(trial));
        let kind = trial.kind.as_str();
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
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl State {
    fn trial(&mut self, trial: &Trial) {
        self.trials += 1;
        let full = [TrialKind::BASELINE, TrialKind::FULL].contains(&trial.kind);
        let known = self.best.map_or(f64::NEG_INFINITY, |(best, _)| best);
        if full && trial.score.is_some_and(|score| score >= known) {
            self.best = trial.score.map(|score| (score, trial.examples));
        }
    }
}

impl Shown {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stage, trial and best; then spend, calls in flight, rate and time to go.
    fn lines(&self, now: Instant) -> (String, String) {
        let (calls, in_flight) = (self.gauge.calls(), self.gauge.in_flight());
        self.with(|state| {
            let mut first = String::new();
            if !state.run.is_empty() {
                first = format!("{} · ", state.run);
            }
            first.push_str(if state.stage.is_empty() { "starting" } else { &state.stage });
            if state.trials > 0 {
                first.push_str(&format!(" · trial {}", state.trials));
            }
            if let Some((best, n)) = state.best {
                let (low, high) = wilson((best * n as f64).round() as usize, n, 0.95);
                first.push_str(&format!(" · best {best:.3} [{low:.2}, {high:.2}]"));
            }
            let spent = calls.saturating_sub(state.calls_before);
            let rate = state.rate(now, spent);
            let mut second = self.spend(spent);
            second.push_str(&format!(" · {in_flight} in flight"));
            if let Some(rate) = rate {
                second.push_str(&format!(" · {rate:.1}/s"));
                let left = self.budget.calls.map(|most| most.saturating_sub(spent) as f64 / rate);
                if let Some(left) = left.filter(|left| left.is_finite()) {
                    second.push_str(&format!(" · {} left", time(left)));
                }
            }
            (first, second)
        })
    }
}

impl Shown {
    /// What is spent against the caps, with a bar for the one that is used most.
    fn spend(&self, calls: u64) -> String {
        let (tokens, spent) = (self.gauge.tokens(), self.gauge.money());
        let of = |spent: String, most: Option<String>| match most {
            None => spent,
            Some(most) => format!("{spent}/{most}"),
        };
        let mut text = of(calls.to_string(), self.budget.calls.map(|most| most.to_string())) + " calls";
        let most = self.budget.tokens.map(short);
        text.push_str(&format!(" · {} tok", of(short(tokens), most)));
        if spent > Money::ZERO || self.budget.money.is_some() {
            text.push_str(&format!(" · {}", of(money(spent), self.budget.money.map(money))));
        }
        let used = [
            self.budget.calls.map(|most| (calls, most)),
            self.budget.tokens.map(|most| (tokens, most)),
            self.budget.money.map(|most| (spent.as_nanos(), most.as_nanos())),
        ];
        let share = |(spent, most): &(u64, u64)| *spent as f64 / (*most).max(1) as f64;
        let fullest = used.into_iter().flatten().max_by(|one, other| share(one).total_cmp(&share(other)));
        fullest.map_or(text.clone(), |(spent, most)| format!("{} {text}", bar(spent, most)))
    }
}

impl State {
    /// Calls a second of late; `None` before there is enough to tell.
    fn rate(&mut self, now: Instant, calls: u64) -> Option<f64> {
        self.past.push_back((now, calls));
        while self.past.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= RATE_WINDOW) {
            self.past.pop_front();
        }
        let (then, before) = self.past.front().copied()?;
        let seconds = now.duration_since(then).as_secs_f64();
        (seconds >= 1.0 && calls > before).then(|| (calls - before) as f64 / seconds)
    }
}

fn bar(spent: u64, most: u64) -> String {
    let filled = (spent.min(most) as usize * BAR) / (most.max(1) as usize);
    format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled))
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        match event {
            Event::Stage { name, detail } => self.stage(name, detail),
            Event::Trial(trial) => self.trial(trial),
            Event::Warning { message } => self.line(&format!("  note: {message}")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_say_what_matters_and_fit_eighty_columns() {
        let shown = Shown {
            gauge: Arc::default(),
            budget: Budget::calls(100_000),
            done: AtomicBool::new(false),
            state: Mutex::default(),
        };
        shown.with(|state| {
            state.run = "miprov2 seed 12".to_owned();
            state.stage = "search".to_owned();
            for kind in [TrialKind::BASELINE, TrialKind::MINIBATCH, TrialKind::FULL] {
                let score = if kind == TrialKind::BASELINE { 0.25 } else { 0.75 };
                state.trial(&Trial::new(kind, 0, 100, score).with_progress(0, score));
            }
        });
        let (first, second) = shown.lines(Instant::now());
        assert_eq!(first, "miprov2 seed 12 · search · trial 3 · best 0.750 [0.66, 0.82]");
        assert_eq!(second, "░░░░░░░░░░ 0/100000 calls · 0 tok · 0 in flight");
        shown.gauge.count(99_999, 64, 1_234_567);
        let (_, second) = shown.lines(Instant::now() + Duration::from_secs(2000));
        assert_eq!(second, "█████████░ 99999/100000 calls · 1.2M tok · 64 in flight · 50.0/s · 1 s left");
        // Two columns of indent come before it.
        assert!(second.chars().count() <= 78, "{second}");
        let start = Instant::now();
        shown.with(|state| {
            state.past.clear();
            assert_eq!(state.rate(start, 0), None);
            assert_eq!(state.rate(start + Duration::from_secs(2), 30), Some(15.0));
            // What is long past does not count.
            assert_eq!(state.rate(start + Duration::from_secs(30), 31), Some(1.0 / 28.0));
        });
        assert_eq!(bar(5, 10), "█████░░░░░");
    }
}
