//! What the command tells while it works: the log on the terminal, and spans for a receiver of OTLP.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::anyhow;
use promptopt_core::telemetry::capture_content;
use promptopt_store::Redactor;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::args::TraceArgs;
use crate::exit::Exit;
use crate::output;

/// Where OpenTelemetry's exporters look for the receiver.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// What OpenTelemetry's instrumentations look at before they tell what was said.
#[cfg(feature = "otlp")]
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Whether spans say what was said.
static TELLS_CONTENT: AtomicBool = AtomicBool::new(false);

/// Sends what is left of the spans at the end.
#[derive(Default)]
pub(crate) struct Traces {
    #[cfg(feature = "otlp")]
    sending: Option<promptopt_otel::Sending>,
}

/// Begins to tell. The log never shows what spans say of calls.
pub(crate) fn begin(args: &TraceArgs, filter: EnvFilter) -> anyhow::Result<Traces> {
    let calls: Directive = "promptopt::gen_ai=off".parse()?;
    let log = fmt::layer().with_writer(output::Log).with_ansi(false).without_time();
    let registry = tracing_subscriber::registry().with(log.with_filter(filter.add_directive(calls)));
    if !is_wanted(args) {
        registry.init();
        return Ok(Traces::default());
    }
    if let Err(error) = check(args) {
        registry.init();
        return Err(error);
    }
    #[cfg(feature = "otlp")]
    {
        let mut otlp = promptopt_otel::Otlp::new("promptopt");
        if let Some(url) = args.otlp.as_deref().filter(|url| !url.is_empty()) {
            otlp = otlp.with_endpoint(url);
        }
        let (layer, sending) = match otlp.layer() {
            Ok(parts) => parts,
            Err(error) => {
                registry.init();
                return Err(Exit::Configuration.with(error.into()));
            }
        };
        registry.with(layer).init();
        if args.trace_content || variable(CAPTURE).is_some_and(|value| wants_content(&value)) {
            TELLS_CONTENT.store(true, Ordering::SeqCst);
            crate::secrets::tell_traces();
        }
        Ok(Traces { sending: Some(sending) })
    }
    #[cfg(not(feature = "otlp"))]
    {
        registry.init();
        Ok(Traces::default())
    }
}

/// Whether what is asked for was built.
fn check(args: &TraceArgs) -> anyhow::Result<()> {
    if cfg!(not(feature = "otlp")) && args.otlp.is_some() {
        let error = anyhow!("this promptopt was built without OTLP: build it with `--features otlp`");
        return Err(Exit::Configuration.with(error));
    }
    Ok(())
}

impl Traces {
    /// Sends what is left, and says what did not arrive.
    pub(crate) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(sending) = self.sending {
            let delivery = sending.finish();
            if let Some(error) = delivery.error {
                output::say(format_args!(
                    "note: {} of the run's spans did not reach the receiver: {error}",
                    delivery.lost
                ));
            }
        }
    }
}

/// Takes the secrets that are known now out of what spans say.
pub(crate) fn learn(redactor: &Redactor) {
    if TELLS_CONTENT.load(Ordering::SeqCst) {
        capture_content(redactor.clone());
    }
}

fn is_wanted(args: &TraceArgs) -> bool {
    let is = |name: &str, word: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    if args.otlp.is_some() {
        return true;
    }
    ENDPOINTS.iter().any(|name| variable(name).is_some())
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

#[cfg(feature = "otlp")]
fn wants_content(value: &str) -> bool {
    ["true", "1", "span_only", "span_and_event"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_the_feature_names_it() {
        let args = TraceArgs { otlp: Some(String::new()), trace_content: false };
        let said = check(&args).map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(said.contains("build it with `--features otlp`"), cfg!(not(feature = "otlp")), "{said}");
    }
}
