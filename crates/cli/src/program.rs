//! The program of a task: what the file says, checked, and made into a chain of predictors.

mod agent_plan;
mod app_plan;
mod blueprint;
mod chain;
mod chat;
mod file;

#[cfg(feature = "gateway")]
pub(crate) use app_plan::AppPlan;
pub(crate) use app_plan::{AskedModels, text as component_text};
pub(crate) use blueprint::{Blueprint, ServedTools};
pub(crate) use chain::PredictorChain;
pub(crate) use chat::{Chat, message_text};
pub(crate) use file::{ProgramFile, install, is_task, layout, mapped, path_pair};
