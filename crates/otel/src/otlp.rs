//! The layer that sends spans, and the guard that sends the rest.

use std::time::Duration;

use opentelemetry::Key;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::Delivery;
use crate::delivery::{Counter, Ended, Sent};
use crate::lists::with_lists;

/// So many spans wait to be sent at most; where there are more, they are dropped.
const MOST_WAITING: usize = 16_384;
const MOST_WAITING_VARIABLE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
/// How long the end waits for what is left,
const LAST_WAIT: Duration = Duration::from_secs(5);
/// and for a receiver that took nothing yet.
const LAST_WAIT_FOR_NOBODY: Duration = Duration::from_secs(1);
/// The path of a receiver of traces.
const PATH: &str = "/v1/traces";
/// What is below the exporter: spans of it would never end.
const OWN: [&str; 9] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_http",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "reqwest",
    "rustls",
];
const TRIAL: &str = "promptopt::trial";

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "the export of traces could not be set up; look at the endpoint and at the variables OTEL_EXPORTER_OTLP_…"
)]
#[non_exhaustive]
pub struct Error(#[from] ExporterBuildError);

/// Where spans go. Whatever is not set here is taken from the variables of OpenTelemetry.
#[derive(Clone)]
pub struct Otlp {
    service: String,
    endpoint: Option<String>,
}

impl Otlp {
    /// Spans of a service of this name, where `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say no other.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), endpoint: None }
    }

    /// To the receiver at this address, such as `http://localhost:4318`; `/v1/traces` is put behind it. Default: that of
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`, else `http://localhost:4318`.
    #[must_use]
    pub fn with_endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// The layer, and the guard that sends the rest at the end. The layer passes on all spans of the level `INFO` and
    /// above, and the trials of a run as events. Sending goes on in a thread beside.
    ///
    /// # Errors
    ///
    /// Where the endpoint is no address.
    pub fn layer<S>(self) -> Result<(impl Layer<S> + Send + Sync + 'static, Sending), Error>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let exporter = SpanExporter::builder().with_http();
        let exporter = match &self.endpoint {
            Some(url) => exporter.with_endpoint(traces_at(url)),
            None => exporter,
        };
        let counter = Counter::default();
        let exporter = Sent(with_lists(exporter.build()?), counter.clone());
        let mut batches = BatchConfigBuilder::default();
        if std::env::var_os(MOST_WAITING_VARIABLE).is_none() {
            batches = batches.with_max_queue_size(MOST_WAITING);
        }
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(self.service))
            .with_span_processor(Ended(batches, counter.clone()))
            .build();
        // What the conventions do not name is left out.
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("promptopt"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false);
        Ok((layer.with_filter(filter_fn(is_told)), Sending { provider: Some(provider), counter }))
    }
}

/// Sends what is left when it ends. Keep it until then.
#[derive(Debug)]
#[must_use = "spans that are not sent yet are lost without it"]
pub struct Sending {
    provider: Option<SdkTracerProvider>,
    counter: Counter,
}

impl Sending {
    /// Sends what is left, and says what became of all spans. It waits at most 5 s, and 1 s for a receiver that took
    /// nothing yet.
    pub fn finish(mut self) -> Delivery {
        self.end()
    }

    fn end(&mut self) -> Delivery {
        if let Some(provider) = self.provider.take() {
            let so_far = self.counter.delivery();
            let is_dead = so_far.error.is_some() && so_far.sent == 0;
            let wait = if is_dead { LAST_WAIT_FOR_NOBODY } else { LAST_WAIT };
            // What failed is in the counter; what was not sent in time is lost.
            let _ = provider.shutdown_with_timeout(wait);
        }
        let mut delivery = self.counter.delivery();
        if delivery.lost > 0 {
            delivery.error.get_or_insert_with(|| "the receiver did not answer in time".to_owned());
        }
        delivery
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.end();
    }
}

fn traces_at(url: &str) -> String {
    let base = url.trim().trim_end_matches('/');
    if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
}

fn resource(service: String) -> Resource {
    let told = Resource::builder().build();
    let name = told.get(&Key::from_static_str("service.name"));
    // So the SDK calls a service that nobody named.
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if is_named { told } else { Resource::builder().with_service_name(service).build() }
}

fn is_told(metadata: &Metadata<'_>) -> bool {
    if metadata.is_event() {
        return metadata.target() == TRIAL;
    }
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO && !OWN.contains(&library)
}
