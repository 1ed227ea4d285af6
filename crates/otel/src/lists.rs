//! Attributes that are lists. A field of `tracing` cannot hold one, so it comes as JSON.

use std::time::Duration;

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// The attributes that the conventions want as lists of texts.
const LISTS: [&str; 2] = ["gen_ai.response.finish_reasons", "gen_ai.request.stop_sequences"];

/// An exporter that gets lists; see [`with_lists`].
#[derive(Debug)]
pub struct WithLists<E>(E);

/// Puts before an exporter what makes lists of the attributes that OpenTelemetry's conventions want as such:
/// `gen_ai.response.finish_reasons` and `gen_ai.request.stop_sequences`. For services that have a pipeline of their own.
pub fn with_lists<E: SpanExporter>(exporter: E) -> WithLists<E> {
    WithLists(exporter)
}

impl<E: SpanExporter> SpanExporter for WithLists<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().flat_map(|span| &mut span.attributes).for_each(listed);
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// Makes a list of an attribute that is to be one.
fn listed(attribute: &mut KeyValue) {
    let Value::String(text) = &attribute.value else { return };
    if !LISTS.contains(&attribute.key.as_str()) {
        return;
    }
    if let Ok(texts) = serde_json::from_str::<Vec<String>>(text.as_str()) {
        let texts = texts.into_iter().map(StringValue::from).collect();
        attribute.value = Value::Array(Array::String(texts));
    }
}
