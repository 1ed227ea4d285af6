//! What became of the spans: how many arrived, and why others did not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

/// What became of the spans of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// How many the receiver took.
    pub sent: u64,
    /// How many it did not take, or were more than could wait.
    pub lost: u64,
    /// Why, in the words of the last failure.
    pub error: Option<String>,
}

/// Counts what ends and what arrives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    ended: AtomicU64,
    sent: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Counter {
    pub(crate) fn delivery(&self) -> Delivery {
        let (ended, sent) = (self.0.ended.load(Ordering::SeqCst), self.0.sent.load(Ordering::SeqCst));
        let error = self.0.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Delivery { sent, lost: ended.saturating_sub(sent), error }
    }
}

/// A processor that counts what ends.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) BatchSpanProcessor, pub(crate) Counter);

impl SpanProcessor for Ended {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.1.0.ended.fetch_add(1, Ordering::SeqCst);
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// An exporter that counts what arrives.
#[derive(Debug)]
pub(crate) struct Sent<E>(pub(crate) E, pub(crate) Counter);

impl<E: SpanExporter> SpanExporter for Sent<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.0.export(batch).await;
        let counts = &*self.1.0;
        match &result {
            Ok(()) => {
                counts.sent.fetch_add(spans, Ordering::SeqCst);
            }
            Err(error) => {
                *counts.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        }
        result
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
