//! The task file: program, models, data, metrics and optimizer in TOML.

mod cache;
mod data;
mod fleet;
mod keys;
mod metric;
mod model;
mod optimizer;
mod program;
mod shorthand;
mod task;

pub(crate) use cache::CacheSection;
pub(crate) use data::{DataSection, Part};
pub(crate) use fleet::FleetSection;
pub(crate) use keys::nearest;
pub(crate) use metric::{MetricKind, MetricSection};
pub(crate) use model::{AS_ASKED, ModelSection};
pub(crate) use optimizer::{OptimizerSection, ProposerKind};
pub(crate) use program::{
    ComponentKind, ComponentSection, FieldSection, Format, McpSection, PredictorSection, ProgramSection,
    ToolForm, ToolSection,
};
pub(crate) use task::TaskFile;
