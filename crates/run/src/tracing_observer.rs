//! What a run tells, as spans and events of `tracing`.

use std::sync::{Mutex, PoisonError};

use tracing::{Span, debug, info, info_span};

use crate::{Event, Observer};

/// Tells a run to `tracing`: a span `optimization` for the whole of it, in it a span `stage` for each stage, and
/// in that the events. Trials and warnings are at level `INFO`, rollouts and proposals at `DEBUG`; the target is
/// `promptopt`, and `promptopt::trial` that of trials. The rollouts are spans in the stage. The spans close with the observer.
///
/// ```
/// use promptopt_run::{Event, Observer, TracingObserver};
///
/// let observer = TracingObserver::new("route");
/// observer.observe(&Event::Stage { name: "baseline".into(), detail: "the original".into() });
/// ```
#[derive(Debug)]
pub struct TracingObserver {
    // It closes before the run, in which it is.
    stage: Mutex<Option<Span>>,
    run: Span,
}

impl TracingObserver {
    /// An observer of one run; `name` is what is optimized.
    pub fn new(name: &str) -> Self {
        Self {
            stage: Mutex::new(None),
            run: info_span!(
                target: "promptopt",
                "optimization",
                otel.name = format!("optimization {name}"),
                promptopt.name = name
            ),
        }
    }
}

impl Observer for TracingObserver {
    fn observe(&self, event: &Event) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Stage { name, detail } = event {
            let span = self.run.in_scope(|| stage_span(name, detail));
            *stage = Some(span);
            return;
        }
        stage.as_ref().unwrap_or(&self.run).in_scope(|| tell(event));
    }

    /// The stage under way.
    fn span(&self) -> promptopt_core::telemetry::Span {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.as_ref().unwrap_or(&self.run).clone().into()
    }
}

fn stage_span(name: &str, detail: &str) -> Span {
    info_span!(
        target: "promptopt",
        "stage",
        otel.name = format!("stage {name}"),
        promptopt.stage = name,
        promptopt.detail = detail
    )
}

fn tell(event: &Event) {
    match event {
        Event::Stage { .. } => {}
        Event::Rollout { score, failure, reused, calls } => {
            debug!(target: "promptopt", score, ?failure, reused, calls, "rollout");
        }
        Event::Proposal { predictor, instruction, dropped } => {
            debug!(target: "promptopt", predictor, instruction, dropped, "proposal");
        }
        Event::Trial(trial) => info!(
            target: "promptopt::trial",
            kind = trial.kind.as_str(),
            // OpenTelemetry has no numbers without a sign: they would become texts.
            candidate = trial.candidate as i64,
            examples = trial.examples as i64,
            score = trial.score,
            failures = trial.failures as i64,
            calls_so_far = trial.calls_so_far as i64,
            best_so_far = trial.best_so_far,
            "trial"
        ),
        Event::Warning { message } => info!(target: "promptopt", "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::Arc;

    use tracing::span::{Attributes, Id};
    use tracing::{Metadata, Subscriber};

    use super::*;

    /// Writes down what begins, happens and ends.
    #[derive(Default)]
    struct Notes {
        names: Mutex<Vec<&'static str>>,
        said: Mutex<String>,
    }

    impl Notes {
        fn say(&self, text: std::fmt::Arguments<'_>) {
            let _ = self.said.lock().unwrap().write_fmt(text);
        }

        fn name(&self, span: &Id) -> &'static str {
            self.names.lock().unwrap()[span.into_u64() as usize - 1]
        }
    }

    impl Subscriber for Notes {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("promptopt")
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let name = span.metadata().name();
            let mut names = self.names.lock().unwrap();
            names.push(name);
            self.say(format_args!("+{name} "));
            Id::from_u64(names.len() as u64)
        }

        fn event(&self, event: &tracing::Event<'_>) {
            self.say(format_args!("{} ", event.metadata().level()));
        }

        fn enter(&self, span: &Id) {
            self.say(format_args!("{}>", self.name(span)));
        }

        fn try_close(&self, span: Id) -> bool {
            self.say(format_args!("-{} ", self.name(&span)));
            true
        }

        fn exit(&self, _: &Id) {}
        fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
    }

    #[test]
    fn events_stand_in_their_stage() {
        let notes = Arc::new(Notes::default());
        tracing::subscriber::with_default(Arc::clone(&notes), || {
            let observer = TracingObserver::new("route");
            let stage = |name: &str| Event::Stage { name: name.into(), detail: String::new() };
            let rollout = Event::Rollout { score: Some(1.0), failure: None, reused: false, calls: 1 };
            observer.observe(&stage("baseline"));
            observer.observe(&rollout);
            observer.observe(&stage("search"));
            observer.observe(&Event::Warning { message: "odd".into() });
        });
        let said = notes.said.lock().unwrap().clone();
        assert_eq!(
            said,
            "+optimization optimization>+stage stage>DEBUG optimization>+stage -stage stage>INFO -stage -optimization "
        );
    }
}
