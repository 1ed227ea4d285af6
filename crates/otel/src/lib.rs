//! Sends the spans of [promptopt](https://docs.rs/promptopt) to an OpenTelemetry collector, or whatever else receives OTLP, such as MLflow, Jaeger,
//! Grafana Tempo or Langfuse.
//!
//! Calls of models are spans with the names of OpenTelemetry's conventions for generative AI; the page "Traces" in the
//! repository (`docs/tracing.md`) says what they hold. [`Otlp`] gives a layer of `tracing_subscriber` that sends them, and a
//! guard that sends the rest at the end:
//!
//! ```
//! use promptopt_otel::Otlp;
//! use tracing_subscriber::layer::SubscriberExt as _;
//! use tracing_subscriber::util::SubscriberInitExt as _;
//!
//! let (layer, sending) = Otlp::new("desk").with_endpoint("http://localhost:4318").layer()?;
//! tracing_subscriber::registry().with(layer).init();
//! // … the service …
//! let delivery = sending.finish();
//! assert_eq!((delivery.sent, delivery.lost), (0, 0));
//! # Ok::<(), promptopt_otel::Error>(())
//! ```
//!
//! The variables that every exporter of OpenTelemetry reads hold here as well: `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and their like. It speaks
//! `http/protobuf`.
//!
//! A service with a pipeline of its own needs no more than [`with_lists`] around its exporter, which makes lists of the
//! fields that are lists.
//!
//! There are no cargo features. The spans themselves are a feature of the crates that make them: `tracing`, which the
//! feature `otlp` of `promptopt` turns on.

mod delivery;
mod lists;
mod otlp;

pub use delivery::Delivery;
pub use lists::{WithLists, with_lists};
pub use otlp::{Error, Otlp, Sending};
/// Lets spans say what was said, see there.
pub use promptopt_core::telemetry::capture_content;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
